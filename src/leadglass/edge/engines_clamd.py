"""ClamAV beside the detectors: a client of clamd's INSTREAM, over TCP or a Unix socket (clamd(8), COMMANDS).

The scanner is a service of the hospital's own, outside our sandbox, so this side speaks to it: bytes go out in
chunks, one line comes back. A scanner that cannot be reached, is too slow, or refuses the length gives `NotAssessed`:
whoever configured it wants its word.
"""

from __future__ import annotations

import re
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from leadglass.errors import UsageError
from leadglass.finding import Assessed, Finding, Inspection, NotAssessed, Severity

__all__ = ["Clamd", "ClamdScan", "parse_address"]

CLAMD_SECONDS = 30.0
"""Silence of the scanner; it answers in milliseconds, and in seconds while it reloads its database."""

_PORT = 3310
_REPLY_BYTES_MAX = 4_096
_CHUNK = struct.Struct(">I")
_FOUND = re.compile(rb"stream: (.{1,200}) FOUND")
_NAME = re.compile(r"[^A-Za-z0-9_.:/()-]")
_ADDRESS = re.compile(r"(?:tcp://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Clamd:
    """Where the scanner is: a path, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = _PORT
    seconds: float = CLAMD_SECONDS

    def scan(self) -> ClamdScan:
        """Begin a file."""
        return ClamdScan(self)

    def connect(self) -> socket.socket:
        """Open a connection. Raises OSError."""
        if not self.path:
            return socket.create_connection((self.host, self.port), self.seconds)
        link = socket.socket(socket.AF_UNIX)
        try:
            link.settimeout(self.seconds)
            link.connect(self.path)
        except OSError:
            link.close()
            raise
        return link


def parse_address(text: str, *, seconds: float = CLAMD_SECONDS) -> Clamd:
    """Read an address: a path, unix:PATH, HOST, HOST:PORT or tcp://HOST:PORT. Raises UsageError."""
    if text.startswith("unix:"):
        return Clamd(path=text.removeprefix("unix:").removeprefix("//"), seconds=seconds)
    if text.startswith(("/", "./", "../")):
        return Clamd(path=str(Path(text)), seconds=seconds)
    match = _ADDRESS.fullmatch(text)
    port = int(match[2]) if match is not None and match[2] else _PORT
    if match is None or not 0 < port < 65_536:
        raise UsageError(
            f"{text} is not the address of a clamd.",
            hint="Write 127.0.0.1:3310, or a path such as /run/clamav/clamd.ctl.",
        )
    return Clamd(host=match[1].strip("[]"), port=port, seconds=seconds)


class ClamdScan:
    """One file on its way through the scanner. It never raises; what goes wrong is the answer."""

    def __init__(self, clamd: Clamd) -> None:
        self._failed = ""
        self._link: socket.socket | None = None
        try:
            self._link = clamd.connect()
            self._link.sendall(b"zINSTREAM\0")
        except OSError as error:
            self._fail(error)

    def feed(self, data: bytes | memoryview) -> None:
        """Send the next bytes."""
        if self._link is None or not len(data):
            return
        try:
            self._link.sendall(_CHUNK.pack(len(data)))
            self._link.sendall(data)
        except OSError as error:
            self._refused(error)

    def finish(self) -> Inspection:
        """Ask for the answer and wait for it."""
        link = self._link
        if link is not None:
            try:
                link.sendall(_CHUNK.pack(0))
                return _judged(_reply(link))
            except OSError as error:
                self._refused(error)
            finally:
                self.close()
        return NotAssessed(self._failed)

    def close(self) -> None:
        """Hang up."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _refused(self, error: OSError) -> None:
        """Note a failure; a scanner that hangs up in the middle may have said why."""
        assert self._link is not None
        self._fail(error)
        with suppress(OSError):
            if b"size limit exceeded" in _reply(self._link):
                self._failed = "The file is longer than the virus scanner takes."
        self.close()

    def _fail(self, error: OSError) -> None:
        is_slow = isinstance(error, TimeoutError)
        self._failed = "The virus scanner is too slow." if is_slow else "The virus scanner cannot be reached."


def _reply(link: socket.socket) -> bytes:
    said = b""
    while len(said) < _REPLY_BYTES_MAX and b"\0" not in said:
        piece = link.recv(_REPLY_BYTES_MAX)
        if not piece:
            break
        said += piece
    return said.split(b"\0")[0]


def _judged(untrusted_reply: bytes) -> Inspection:
    if untrusted_reply == b"stream: OK":
        return Assessed()
    found = _FOUND.fullmatch(untrusted_reply)
    if found is not None:
        name = _NAME.sub("_", found[1].decode("latin-1"))
        claim = f"The virus scanner finds {name}."
        return Assessed((Finding("LG-CLM-001", "clamav", Severity.HIGH, claim, control="DCM-INSPECT"),))
    if b"size limit exceeded" in untrusted_reply:
        return NotAssessed("The file is longer than the virus scanner takes.")
    return NotAssessed("The virus scanner gave no answer that is understood.")
