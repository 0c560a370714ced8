"""Attacks on the wire, each bounded in count, bytes and time, on loopback alone.

Every attack is told who it is by the `Live` server: a sender whose key is approved and whose machine has been
taken over (the hardest case), or a stranger without any key. It says how the server ended it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.peers.harness import objects
from tests.peers.harness.process import MemoryWatch
from tests.peers.harness.servers import Live
from tests.peers.harness.wire import (
    CT,
    DEFLATED,
    EXPLICIT,
    VERIFICATION,
    Answer,
    Client,
    Refused,
    data_pdus,
    message_pdus,
    store_request,
)

ATTACKER = "127.0.0.2"
"""The attackers' address: the good sender calls from 127.0.0.1."""
PATIENCE_SECONDS = 45.0
SECONDS_FOR_PEERS = 120.0

Attack = Callable[[Live], str]


def _store(live: Live, dataset: bytes, sop_instance: str, syntax: str = EXPLICIT) -> str:
    client = live.associate([(1, CT, [syntax])], timeout=SECONDS_FOR_PEERS, source=ATTACKER)
    with contextlib.closing(client):
        if not client.accepted:
            return "context refused"
        try:
            client.send(message_pdus(1, 1, CT, sop_instance, dataset))
        except OSError:
            return str(client.ending())
        return str(client.ending())


def nested(depth: int) -> Attack:
    return lambda live: _store(live, objects.nested(depth), f"{objects.UID_ROOT}.66.2.{depth}")


def deflate_bomb(live: Live) -> str:
    return _store(live, objects.deflate_bomb(1 << 30), f"{objects.UID_ROOT}.66.3", DEFLATED)


def endless(size: int) -> Attack:
    """Send a data set that does not end, until the server stops it or `size` bytes have gone."""

    def attack(live: Live) -> str:
        client = live.associate([(1, CT, [EXPLICIT])], timeout=SECONDS_FOR_PEERS, source=ATTACKER)
        with contextlib.closing(client):
            client.send(data_pdus(1, store_request(1, CT, f"{objects.UID_ROOT}.66.4"), is_command=True))
            sent = 0
            try:
                for block in objects.endless(size):
                    client.send(data_pdus(1, block, is_command=False, is_last=False))
                    sent += len(block)
            except OSError:
                return f"{client.ending()} after {sent / 1e6:.0f} MB"
            return f"took all {sent / 1e6:.0f} MB"

    return attack


def giant_pdu(live: Live, size: int = 1 << 30) -> str:
    """Claim a P-DATA-TF of 2 GiB and send half of it."""
    client = live.associate([(1, CT, [EXPLICIT])], timeout=10, source=ATTACKER)
    with contextlib.closing(client):
        client.send(data_pdus(1, store_request(1, CT, f"{objects.UID_ROOT}.66.5"), is_command=True))
        client.send(struct.pack(">BBIIBB", 4, 0, 0x7FFFFFFF, 0x7FFFFFFB, 1, 0))
        sent, block = 0, bytes(1 << 20)
        try:
            while sent < size:
                client.send(block)
                sent += len(block)
        except OSError:
            return f"{client.ending()} after {sent / 1e6:.0f} MB"
        return f"took {sent / 1e6:.0f} MB"


def idle_associations(count: int, hold_seconds: float = 8.0) -> Attack:
    """Open `count` associations and say nothing on them."""

    def attack(live: Live) -> str:
        outcomes: Counter[str] = Counter()
        held: list[Client] = []
        lock = threading.Lock()

        def one() -> None:
            try:
                client = live.associate(timeout=hold_seconds, source=ATTACKER)
                with lock:
                    held.append(client)
                    outcomes["accepted"] += 1
            except Refused as refused:
                with lock:
                    outcomes[str(refused.answer)] += 1

        threads = [threading.Thread(target=one) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(hold_seconds)
        for client in held:
            client.close()
        return ", ".join(f"{number} {what}" for what, number in outcomes.most_common())

    return attack


def idle_connections(count: int, hold_seconds: float = 15.0) -> Attack:
    """Open `count` connections and send nothing at all."""

    def attack(live: Live) -> str:
        held = []
        for _ in range(count):
            connection = socket.socket()
            connection.bind((ATTACKER, 0))
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", live.port))
            held.append(connection)
        time.sleep(hold_seconds)
        ended = 0
        for connection in held:
            try:
                ended += connection.recv(1) == b""
            except BlockingIOError:
                pass
            except OSError:
                ended += 1
            connection.close()
        return f"{len(held)} connected, {ended} ended by the server within {hold_seconds:.0f} s"

    return attack


def one_byte_a_second(live: Live) -> str:
    """Send a C-STORE one byte a second."""
    client = live.associate([(1, CT, [EXPLICIT])], timeout=1.0, source=ATTACKER)
    message = message_pdus(1, 1, CT, f"{objects.UID_ROOT}.66.6", objects.identity(f"{objects.UID_ROOT}.66.6"))
    began = time.monotonic()
    with contextlib.closing(client):
        for at in range(len(message)):
            waited = time.monotonic() - began
            if waited > PATIENCE_SECONDS:
                return f"still waiting after {waited:.0f} s"
            try:
                client.send(message[at : at + 1])
            except OSError:
                return f"{client.ending()} after {waited:.0f} s"
            answer = client.ending()
            if answer.kind != "no answer in time":
                return f"{answer} after {time.monotonic() - began:.0f} s"
        return "took it all"


def any_ae_title(live: Live) -> str:
    """Associate as somebody nobody knows, calling a title nobody has."""
    try:
        client = live.associate([(1, VERIFICATION, [EXPLICIT])], source=ATTACKER, calling="NOBODY", called="WHOEVER")
    except Refused as refused:
        return str(refused.answer)
    client.release()
    return "accepted"


def path_traversal(live: Live) -> str:
    """Name an object so that a careless server writes outside its folder."""
    name = "../../../../leadglass-escape"
    root = live.storage.parents[min(4, len(live.storage.parents) - 1)]
    before = set(root.glob("leadglass-escape*"))
    outcome = _store(live, objects.identity(name), name)
    escaped = [path for level in list(live.storage.parents)[:5] for path in Path(level).glob("*leadglass-escape*")]
    outside = [path for path in escaped if path not in before and live.storage not in path.parents]
    for path in outside:
        path.unlink(missing_ok=True)
    return outcome + (" and wrote outside its folder" if outside else "")


ATTACKS: dict[str, Attack] = {
    "sequences nested 20,000 deep": nested(20_000),
    "sequences nested 300,000 deep": nested(300_000),
    "1 GiB deflate bomb": deflate_bomb,
    "endless data set, 1.5 GB": endless(1_500_000_000),
    "one PDU claiming 2 GiB, 1 GiB sent": giant_pdu,
    "120 idle associations": idle_associations(120),
    "200 idle connections": idle_connections(200),
    "1 byte a second": one_byte_a_second,
    "any AE title": any_ae_title,
    "path traversal in the SOP Instance UID": path_traversal,
}


class GoodSender:
    """Somebody else who only wants in: associates, echoes and releases again and again, and notes how long it took."""

    def __init__(self, live: Live, calling: str | None = None) -> None:
        self._live = live
        self._calling = calling
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.worst_seconds = 0.0
        self.failures = 0
        self.tries = 0

    def _run(self) -> None:
        while not self._done.wait(0.1):
            began = time.monotonic()
            self.tries += 1
            try:
                client = self._live.associate(timeout=10, calling=self._calling)
                try:
                    if client.echo() != 0:
                        self.failures += 1
                finally:
                    client.release()
            except (Refused, OSError):
                self.failures += 1
            self.worst_seconds = max(self.worst_seconds, time.monotonic() - began)

    def __enter__(self) -> GoodSender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(30)

    def __str__(self) -> str:
        if self.failures:
            return f"shut out {self.failures} of {self.tries}"
        return f"{self.worst_seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attack did to one server."""

    attack: str
    answer: str
    is_crashed: bool
    growth_bytes: int
    good: GoodSender
    recorded: tuple[str, ...]

    @property
    def growth_mb(self) -> float:
        return self.growth_bytes / 1e6


def warm_up(live: Live) -> None:
    """Let the server do its ordinary work first: what it loads once for that is not growth under attack."""
    for number in range(1, 9):
        with contextlib.suppress(Refused, OSError):
            client = live.associate([(1, CT, [EXPLICIT])])
            name = f"{objects.UID_ROOT}.65.{number}"
            pixels = objects.explicit(0x7FE00010, b"OW", bytes(1 << 20))
            client.send(message_pdus(1, 1, CT, name, objects.identity(name) + pixels))
            client.read_status()
            client.release()


def strike(live: Live, name: str, good_live: Live | None = None) -> Outcome:
    """Run one attack against a live server while a good sender keeps calling."""
    warm_up(live)
    before = len(live.recorded())
    with MemoryWatch(live.running.pid) as watch, GoodSender(good_live or live) as good:
        time.sleep(0.5)
        try:
            answer = ATTACKS[name](live)
        except Refused as refused:
            answer = str(refused.answer)
        except OSError as error:
            answer = str(Answer("closed", type(error).__name__))
        time.sleep(0.5)
    crashed = not live.running.is_alive()
    lines = live.recorded()[before:] if not crashed else []
    recorded = tuple(line for line in lines if '"association-accepted"' not in line)
    return Outcome(name, answer, crashed, watch.growth, good, recorded)
