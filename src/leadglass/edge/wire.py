"""One DICOM connection on a socket: blocking for its caller, bounded in time, space and patience.

Bytes are gathered without blocking into one reused buffer while they are there (a TLS record is only
16 KiB), so that the engine and the inspector are called with large pieces. Data fragments given out are
slices of that buffer: they are valid until the next event is asked for.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable

from leadglass.dicom.association import Association, Buffer
from leadglass.dicom.events import Event
from leadglass.errors import PeerError, RemoteError
from leadglass.journeys.ports import Timeouts

FIRST_BUFFER_BYTES = 16 << 10
"""Enough for a request; an idle association holds no more than this."""

GATHER_BYTES = 256 << 10
"""The buffer of a connection that once filled the first one."""

_JOIN_BYTES = 16 << 10
"""Buffers up to this size are joined into one send, so that a command and its data leave in one segment."""


class SocketWire:
    """A socket joined with an association engine; implements `ports.Wire`. One thread at a time."""

    def __init__(
        self,
        connection: socket.socket,
        engine: Association,
        timeouts: Timeouts,
        *,
        claim: Callable[[str], bool] = lambda _node: True,
    ) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._timeouts = timeouts
        self.engine = engine
        self.claim = claim
        self._events: deque[Event] = deque()
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self.opened_at = time.monotonic()
        self.active_at = self.opened_at
        self.is_busy = False
        self.gave_way = False
        """Set before it is broken for a newcomer's sake."""
        self._window_started_at = self.opened_at
        self._window_bytes = 0
        self.received_bytes = 0

    def next_event(self, *, timeout_seconds: float | None = None) -> Event:
        """Wait for the next event; a peer that is silent or too slow raises PeerError (artim, idle, rate)."""
        events = self._events
        while not events:
            self._receive(timeout_seconds)
        return events.popleft()

    def poll_events(self) -> None:
        """Take in what has already arrived, without waiting; for cancel requests between responses."""
        if not self._events and (self._pending() or select.select([self._connection], [], [], 0)[0]):
            self._receive(0.0)

    def peek(self) -> Event | None:
        """Look at the next event that has already arrived."""
        return self._events[0] if self._events else None

    def _pending(self) -> int:
        return self._connection.pending() if isinstance(self._connection, ssl.SSLSocket) else 0

    def _receive(self, timeout_seconds: float | None) -> None:
        if self.received_bytes >= FIRST_BUFFER_BYTES and len(self._buffer) < GATHER_BYTES:
            self._buffer = bytearray(GATHER_BYTES)
        view = memoryview(self._buffer)
        count = self._gather(view)
        while count < 0:
            self._wait(select.POLLIN, timeout_seconds)
            count = self._gather(view)
        if count == 0:
            if self.gave_way:
                raise PeerError("The connection was idle and gave way to another.", code="idle", clause="PS3.8 §9.1.4")
            ended = self.engine.receive_eof()
            if not ended:
                raise RemoteError("The connection has already ended.")
            self._events.extend(ended)
            return
        self.received_bytes += count
        self._measure(count)
        self._events.extend(self.engine.receive_bytes(view[:count]))
        if not self.engine.is_inside_message:
            self._window_started_at, self._window_bytes = self.active_at, 0

    def _gather(self, view: memoryview) -> int:
        """Read what is there: the byte count, 0 at the end of the stream, -1 when nothing has arrived."""
        receive = self._connection.recv_into
        count = 0
        try:
            while count < len(view):
                received = receive(view[count:])
                if received == 0:
                    break
                count += received
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if count == 0:
                return -1
        except (ConnectionError, ssl.SSLError, TimeoutError, OSError):
            pass  # what was received before the break is still delivered; the next call sees the end
        return count

    def _measure(self, count: int) -> None:
        now = time.monotonic()
        if not self.engine.is_inside_message:
            self._window_started_at = now
        self.active_at = now
        self._window_bytes += count
        elapsed = now - self._window_started_at
        if elapsed >= self._timeouts.rate_window_seconds:
            too_slow = self._window_bytes < self._timeouts.rate_bytes_per_second_min * elapsed
            self._window_started_at, self._window_bytes = now, 0
            if too_slow and self.engine.is_inside_message:
                raise PeerError(
                    "The sender trickles: a message arrives below the minimum rate.", code="rate", clause="PS3.8 §9.1.5"
                )

    def _wait(self, mask: int, timeout_seconds: float | None) -> None:
        poll = select.poll()
        poll.register(self._connection, mask)
        patience = self._patience() if timeout_seconds is None else timeout_seconds
        if patience > 0 and poll.poll(patience * 1000):
            return
        if not self.engine.is_established:
            raise PeerError("No complete association request in time.", code="artim", clause="PS3.8 §9.1.5")
        if self.engine.is_inside_message:
            raise PeerError("The sender stopped inside a message.", code="rate", clause="PS3.8 §9.1.5")
        raise PeerError("Nothing was asked for too long.", code="idle", clause="PS3.8 §9.1.4")

    def _patience(self) -> float:
        now = time.monotonic()
        if not self.engine.is_established:
            return self.opened_at + self._timeouts.artim_seconds - now
        if self.engine.is_inside_message:
            return self._timeouts.rate_window_seconds
        return self._timeouts.idle_seconds

    def send(self, buffers: bytes | Iterable[Buffer]) -> None:
        """Send all of it; a peer that does not read for long raises PeerError (code "rate")."""
        if isinstance(buffers, bytes):
            self._send_all(memoryview(buffers))
            return
        small = bytearray()
        for buffer in buffers:
            if len(buffer) <= _JOIN_BYTES:
                small += buffer
                continue
            if small:
                self._send_all(memoryview(small))
                small = bytearray()
            self._send_all(memoryview(buffer))
        if small:
            self._send_all(memoryview(small))

    def _send_all(self, view: memoryview) -> None:
        self.active_at = time.monotonic()
        while view:
            try:
                view = view[self._connection.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT, self._timeouts.rate_window_seconds)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, self._timeouts.rate_window_seconds)
            except (ConnectionError, ssl.SSLError, OSError) as error:
                raise RemoteError(f"The connection broke while sending ({type(error).__name__}).") from error

    def close(self) -> None:
        """Close the connection; again is harmless."""
        self._connection.close()

    def interrupt(self) -> None:
        """Break the connection from another thread; its owner sees the end of the stream."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
