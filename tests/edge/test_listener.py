"""The doors stay open to a good caller: idle connections give way, working ones never do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from leadglass.dicom.association import WireLimits
from leadglass.dicom.events import ConnectionClosed
from leadglass.edge.listener import Listener, ListenerLimits
from leadglass.errors import LeadglassError, PeerError
from leadglass.journeys.ports import Caller, Timeouts, Wire

PATIENT = Timeouts(artim_seconds=30, idle_seconds=30)


class Hall:
    """A service that greets each caller and keeps it until it leaves; busy callers say so."""

    def __init__(self, *, is_busy: bool) -> None:
        self.is_busy = is_busy
        self.turned_away: list[str] = []
        self.refused = threading.Event()
        self.ended = threading.Semaphore(0)

    def serve(self, wire: Wire, caller: Caller) -> None:
        wire.is_busy = self.is_busy
        if not wire.claim("CT1"):
            self.turned_away.append("node")
            self.refused.set()
            return
        wire.send(b"hello")
        try:
            while not isinstance(wire.next_event(), ConnectionClosed):
                pass
        except PeerError as error:
            self.turned_away.append(error.code)
        except LeadglassError:
            pass
        finally:
            self.ended.release()

    def refuse(self, caller: Caller, code: str, sentence: str) -> None:
        self.turned_away.append(code)
        self.refused.set()


@contextmanager
def opened(hall: Hall, limits: ListenerLimits, timeouts: Timeouts = PATIENT) -> Iterator[Callable[[], socket.socket]]:
    listener = Listener("127.0.0.1", 0, serve=hall.serve, turned_away=hall.refuse, tls=None, limits=limits,
                        wire_limits=WireLimits(), timeouts=timeouts)  # fmt: skip
    listener.start()
    callers: list[socket.socket] = []

    def call() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", listener.port), timeout=10)
        callers.append(connection)
        return connection

    yield call
    listener.close(patience_seconds=0)
    for connection in callers:
        connection.close()


def greeted(connection: socket.socket) -> bool:
    try:
        return connection.recv(5) == b"hello"
    except OSError:
        return False


def test_a_full_pool_evicts_the_longest_idle_and_lets_the_next_in() -> None:
    hall = Hall(is_busy=False)
    with opened(hall, ListenerLimits(3, 100, 100)) as call:
        first = call()
        assert greeted(first)
        assert greeted(call()) and greeted(call())
        assert greeted(call())
        assert first.recv(1) == b"", "the longest idle one was let go"
        assert hall.ended.acquire(timeout=10)
        assert hall.turned_away == ["idle"], "who serves it is told why it ended"


def test_connections_at_work_are_never_evicted() -> None:
    hall = Hall(is_busy=True)
    with opened(hall, ListenerLimits(2, 100, 100)) as call:
        working = [call(), call()]
        assert all(map(greeted, working))
        assert not greeted(call())
        assert hall.refused.wait(10)
        assert hall.turned_away == ["pool-full"]
        working[0].close()
        assert hall.ended.acquire(timeout=10)
        assert greeted(call())


def test_one_address_cannot_take_the_whole_pool() -> None:
    hall = Hall(is_busy=False)
    with opened(hall, ListenerLimits(100, 2, 100)) as call:
        first = call()
        assert greeted(first)
        assert greeted(call())
        assert greeted(call())
        assert first.recv(1) == b""


def test_closing_ends_idle_callers_at_once() -> None:
    hall = Hall(is_busy=False)
    with opened(hall, ListenerLimits(3, 3, 3)) as call:
        connection = call()
        assert greeted(connection)
    assert hall.ended.acquire(timeout=10)


def test_one_node_cannot_take_the_whole_pool() -> None:
    hall = Hall(is_busy=False)
    with opened(hall, ListenerLimits(100, 100, 1)) as call:
        first = call()
        assert greeted(first)
        assert greeted(call())
        assert first.recv(1) == b""
    busy = Hall(is_busy=True)
    with opened(busy, ListenerLimits(100, 100, 1)) as call:
        assert greeted(call())
        assert not greeted(call())
        assert busy.refused.wait(10)
        assert busy.turned_away == ["node"]
