"""A virus scanner is asked by its own protocol; whatever it does other than answer is `NotAssessed`."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from leadglass.edge.engines_clamd import Clamd, parse_address
from leadglass.errors import UsageError
from leadglass.finding import Assessed, Inspection, NotAssessed, Severity

UNREACHABLE = NotAssessed("The virus scanner cannot be reached.")
TOO_LONG = NotAssessed("The file is longer than the virus scanner takes.")


class FakeClamd:
    """Speaks INSTREAM as clamd does: finds EICAR, refuses what is too long, or does what a test says."""

    def __init__(self, door: socket.socket, length_max: int = 1 << 20) -> None:
        self.length_max = length_max
        self.seen: list[bytes] = []
        self.answer: Callable[[socket.socket], None] | None = None
        self._door = door
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._door.accept()
                with link, suppress(OSError, EOFError, struct.error):
                    self._speak(link)

    def _speak(self, link: socket.socket) -> None:
        if self.answer is not None:
            self.answer(link)
            return
        file = link.makefile("rb")
        command = file.read(10)
        if command != b"zINSTREAM\0":
            link.sendall(b"UNKNOWN COMMAND\0")
            return
        data = b""
        while length := struct.unpack(">I", file.read(4))[0]:
            data += file.read(length)
            if len(data) > self.length_max:
                link.sendall(b"INSTREAM size limit exceeded. ERROR\0")
                return
        self.seen.append(data)
        link.sendall(b"stream: Eicar-Test-Signature FOUND\0" if b"EICAR" in data else b"stream: OK\0")


def drained(link: socket.socket) -> None:
    """Read a stream to its end, as clamd does before it answers."""
    data = b""
    while not data.endswith(bytes(4)) and (piece := link.recv(1 << 16)):
        data += piece


@pytest.fixture(params=["unix", "tcp"])
def fake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FakeClamd, Clamd]]:
    if request.param == "unix":
        path = tmp_path / "clamd.ctl"
        door = socket.socket(socket.AF_UNIX)
        door.bind(str(path))
        door.listen()
        address = parse_address(f"unix:{path}", seconds=5)
    else:
        door = socket.create_server(("127.0.0.1", 0))
        address = parse_address(f"tcp://127.0.0.1:{door.getsockname()[1]}", seconds=5)
    server = FakeClamd(door)
    yield server, address
    server.close()


def scanned(clamd: Clamd, *pieces: bytes) -> Inspection:
    scan = clamd.scan()
    for piece in pieces:
        scan.feed(piece)
    return scan.finish()


def test_every_byte_reaches_the_scanner(fake: tuple[FakeClamd, Clamd]) -> None:
    server, clamd = fake
    assert scanned(clamd, b"abc", b"", memoryview(b"de")) == Assessed()  # type: ignore[arg-type]
    assert server.seen == [b"abcde"]


def test_what_it_finds_is_a_grave_finding(fake: tuple[FakeClamd, Clamd]) -> None:
    (finding,) = scanned(fake[1], b"x EICAR y").findings
    assert (finding.id, finding.severity) == ("LG-CLM-001", Severity.HIGH)
    assert finding.claim == "The virus scanner finds Eicar-Test-Signature."


def test_an_empty_file_is_asked_about_too(fake: tuple[FakeClamd, Clamd]) -> None:
    assert scanned(fake[1]) == Assessed()


def test_a_file_too_long_for_it_is_not_assessed(fake: tuple[FakeClamd, Clamd]) -> None:
    assert scanned(fake[1], *[bytes(1 << 18)] * 40) == TOO_LONG


def test_silence_is_not_assessed(fake: tuple[FakeClamd, Clamd]) -> None:
    server, clamd = fake
    release = threading.Event()
    server.answer = lambda link: release.wait(30) and None
    assert scanned(Clamd(clamd.path, clamd.host, clamd.port, 0.2), b"a") == NotAssessed(
        "The virus scanner is too slow."
    )
    release.set()


@pytest.mark.parametrize("reply", [b"stream: OK and more\0", b"", b"stream:  FOUND\0", b"\xff" * 9_000, b"OK\0"])
def test_no_answer_that_is_understood_is_not_assessed(fake: tuple[FakeClamd, Clamd], reply: bytes) -> None:
    server, clamd = fake

    def answer(link: socket.socket) -> None:
        drained(link)
        link.sendall(reply)

    server.answer = answer
    assert isinstance(scanned(clamd), NotAssessed)


def test_a_name_of_its_own_making_is_harmless(fake: tuple[FakeClamd, Clamd]) -> None:
    server, clamd = fake

    def answer(link: socket.socket) -> None:
        drained(link)
        link.sendall(b"stream: <b>\x1b[31m'x FOUND\0")

    server.answer = answer
    (finding,) = scanned(clamd).findings
    assert finding.claim == "The virus scanner finds _b___31m_x."


def test_a_scanner_that_is_not_there_is_not_assessed(tmp_path: Path) -> None:
    assert scanned(Clamd(path=str(tmp_path / "none")), b"a") == UNREACHABLE
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    assert scanned(Clamd(host="127.0.0.1", port=port), b"a") == UNREACHABLE


def test_a_scan_given_up_hangs_up_once(fake: tuple[FakeClamd, Clamd]) -> None:
    scan = fake[1].scan()
    scan.close()
    scan.close()
    scan.feed(b"a")
    assert isinstance(scan.finish(), NotAssessed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/run/clamav/clamd.ctl", Clamd(path="/run/clamav/clamd.ctl")),
        ("unix:///run/c", Clamd(path="/run/c")),
        ("127.0.0.1:3311", Clamd(host="127.0.0.1", port=3311)),
        ("scanner.example", Clamd(host="scanner.example")),
        ("tcp://[::1]:3310", Clamd(host="::1")),
    ],
)
def test_an_address_reads(text: str, expected: Clamd) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "host:0", "host:70000", "host:x", "http://x"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)
