"""The DICOM doors: one thread an association, bounded, and never closed to a good sender.

A full pool evicts the connection that has been idle longest (those without an association first), so idle
connections cannot lock anybody out, while a connection at work is never evicted. The TLS handshake runs in
the connection's own thread under the ARTIM limit. Who may enter is decided elsewhere (`gateway/admission`);
this file owns sockets and threads alone.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from leadglass.dicom.association import Association, WireLimits
from leadglass.edge.tls import handshake_failure_code, handshake_failure_sentence
from leadglass.edge.wire import SocketWire
from leadglass.errors import LeadglassError, UsageError
from leadglass.journeys.ports import Caller, Timeouts, Wire

_log = logging.getLogger(__name__)

ACCEPT_BACKLOG = 512
RECEIVE_WINDOW_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """How many connections at once: in all, from one address, and of one node."""

    associations_max: int
    associations_per_address_max: int
    associations_per_node_max: int


Serve = Callable[[Wire, Caller], None]
Turned = Callable[[Caller, str, str], None]
"""Told of a caller turned away before any association: caller, code, sentence."""


class _Connection:
    """One accepted socket on its way through handshake, association and end."""

    __slots__ = ("address", "node", "opened_at", "socket", "wire")

    def __init__(self, accepted: socket.socket, address: str) -> None:
        self.socket = accepted
        self.address = address
        self.node = ""
        self.opened_at = time.monotonic()
        self.wire: SocketWire | None = None

    @property
    def idle_rank(self) -> tuple[bool, float] | None:
        """Order for eviction, lowest first; None while it works."""
        if self.wire is None:
            return False, self.opened_at
        if self.wire.is_busy or self.wire.engine.is_inside_message:
            return None
        return self.wire.engine.is_established, self.wire.active_at

    def interrupt(self) -> None:
        """Break it from outside; its thread ends."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def give_way(self) -> None:
        """End it for a newcomer's sake; its thread records why."""
        if self.wire is not None:
            self.wire.gave_way = True
        self.interrupt()


class Listener:
    """One listening address: with `tls` mutual TLS, without it plaintext."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        serve: Serve,
        turned_away: Turned,
        tls: Callable[[], ssl.SSLContext] | None,
        limits: ListenerLimits,
        wire_limits: WireLimits,
        timeouts: Timeouts,
    ) -> None:
        self._serve = serve
        self._turned_away = turned_away
        self._tls = tls
        self._limits = limits
        self._wire_limits = wire_limits
        self._timeouts = timeouts
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self._is_closing = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=ACCEPT_BACKLOG)
        except OSError as error:
            raise UsageError(
                f"The DICOM port {port} on {host} cannot be opened: {error.strerror}.",
                hint=f"Choose another {'plain_port' if tls is None else 'tls_port'} in leadglass.toml, "
                "or stop what uses it.",
            ) from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_WINDOW_BYTES)
        self._thread = threading.Thread(target=self._accept, name=f"listener-{self.port}", daemon=True)

    @property
    def port(self) -> int:
        """Give the port that is really listened on (0 asked for a free one)."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def connection_count(self) -> int:
        """Count the connections now open."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to accept, in a thread of its own."""
        self._thread.start()

    def close(self, *, patience_seconds: float = 5.0) -> None:
        """Stop accepting, break idle connections, give working ones a moment, then break them too."""
        self._is_closing = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        deadline = time.monotonic() + patience_seconds
        while True:
            with self._lock:
                remaining = list(self._connections)
            is_late = time.monotonic() > deadline
            for connection in remaining:
                if is_late or connection.idle_rank is not None:
                    connection.interrupt()
            if not remaining or time.monotonic() > deadline + 1:
                return
            time.sleep(0.02)

    def _accept(self) -> None:
        while not self._is_closing:
            try:
                accepted, address = self._socket.accept()
            except OSError as error:
                if self._is_closing:
                    return
                _log.warning("accept failed: %s", error.strerror)
                time.sleep(0.05)  # out of descriptors: let connections end
                continue
            connection = _Connection(accepted, address[0])
            if not self._make_room(connection):
                accepted.close()
                self._turned_away(
                    Caller(address[0], self._tls is not None), "pool-full", "Every association is at work."
                )
                continue
            threading.Thread(target=self._run, args=(connection,), name="association", daemon=True).start()

    def _make_room(self, newcomer: _Connection) -> bool:
        with self._lock:
            same = [c for c in self._connections if c.address == newcomer.address]
            full: list[_Connection] = []
            if len(self._connections) >= self._limits.associations_max:
                full = list(self._connections)
            elif len(same) >= self._limits.associations_per_address_max:
                full = same
            if full and not self._evict_one(full):
                return False
            self._connections.add(newcomer)
        return True

    def _evict_one(self, candidates: list[_Connection]) -> bool:
        """Break the longest idle of these; False when all are at work. The lock is held."""
        ranked = [(rank, c) for c in candidates if (rank := c.idle_rank) is not None]
        if not ranked:
            return False
        victim = min(ranked, key=lambda pair: pair[0])[1]
        self._connections.discard(victim)
        victim.give_way()
        return True

    def _claim(self, connection: _Connection, node: str) -> bool:
        with self._lock:
            same = [c for c in self._connections if c.node == node]
            if len(same) >= self._limits.associations_per_node_max and not self._evict_one(same):
                return False
            connection.node = node
        return True

    def _run(self, connection: _Connection) -> None:
        caller = Caller(connection.address, self._tls is not None)
        try:
            stream: socket.socket = connection.socket
            if self._tls is not None:
                stream.settimeout(self._timeouts.artim_seconds)
                try:
                    stream = self._tls().wrap_socket(stream, server_side=True)
                except (ssl.SSLError, OSError) as error:
                    self._refuse_handshake(caller, error, connection)
                    return
                connection.socket = stream
                caller = Caller(connection.address, True, _peer_certificate(stream), stream.version() or "")
            engine = Association(is_requestor=False, limits=self._wire_limits)
            connection.wire = SocketWire(stream, engine, self._timeouts, claim=partial(self._claim, connection))
            self._serve(connection.wire, caller)
        except LeadglassError as error:
            _log.info("connection from %s ended: %s", connection.address, error.message)
        except Exception:  # noqa: BLE001 - one association's fault never takes the listener down
            _log.exception("association thread failed")
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.socket.close()

    def _refuse_handshake(self, caller: Caller, error: OSError, connection: _Connection) -> None:
        with self._lock:
            was_evicted = connection not in self._connections
        if self._is_closing:
            return
        code = "idle" if was_evicted else handshake_failure_code(error)
        sentence = "The connection was idle and gave way." if was_evicted else handshake_failure_sentence(error)
        self._turned_away(caller, code, sentence)


def _peer_certificate(stream: ssl.SSLSocket) -> bytes | None:
    return stream.getpeercert(binary_form=True)
