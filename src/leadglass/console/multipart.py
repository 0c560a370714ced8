"""multipart/related as PS3.18 §8.6 and RFC 2046 §5.1 write it: a bounded streaming reader, and a writer.

The reader takes bytes as they come and gives events: a part begins, a piece of its body, a part ends. It holds at
most one header block and one boundary's worth of body, whatever is sent, however it is cut.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from leadglass.errors import LimitExceeded, PeerError
from leadglass.limits import MULTIPART_HEADER_BYTES_MAX, MULTIPART_PARTS_MAX

__all__ = ["MultipartReader", "PartBegins", "PartEnds", "Piece", "media_type", "new_boundary", "part_head", "parts_end"]

_IN_ADDRESS: Final = ":/?#[]@!$&'()*+,;=%"


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part and its headers, names in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of the part's body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is whole."""


Event = PartBegins | Piece | PartEnds


class MultipartReader:
    """A parser fed with pieces of a request body."""

    def __init__(self, boundary: str) -> None:
        """Begin; raises PeerError for a boundary RFC 2046 does not allow."""
        if not 1 <= len(boundary) <= 70 or not boundary.isascii() or not boundary.isprintable():
            raise _fault("The multipart boundary is not one.")
        self._mark = b"\r\n--" + boundary.encode("ascii")
        self._held = bytearray(b"\r\n")
        self._state = "preamble"
        self._parts = 0

    @property
    def is_complete(self) -> bool:
        """Tell whether the closing boundary has been read."""
        return self._state == "end"

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take the next bytes; raises PeerError where the syntax is broken, LimitExceeded beyond the bounds."""
        self._held += data
        while True:
            before = len(self._held), self._state
            if self._state in ("preamble", "body"):
                yield from self._to_mark()
            elif self._state == "mark":
                yield from self._after_mark()
            elif self._state == "headers":
                yield from self._headers()
            else:
                self._held.clear()
            if (len(self._held), self._state) == before:
                return

    def _to_mark(self) -> Iterator[Event]:
        at = self._held.find(self._mark)
        if at >= 0:
            if self._state == "body":
                if at:
                    yield Piece(bytes(self._held[:at]))
                yield PartEnds()
            del self._held[: at + len(self._mark)]
            self._state = "mark"
            return
        safe = len(self._held) - len(self._mark) + 1
        if safe > 0:
            if self._state == "body":
                yield Piece(bytes(self._held[:safe]))
            del self._held[:safe]

    def _after_mark(self) -> Iterator[Event]:
        if len(self._held) < 2:
            return
        if self._held[:2] == b"--":
            self._state = "end"
            self._held.clear()
            return
        end = self._held.find(b"\r\n")
        if end < 0:
            if len(self._held) > 256:
                raise _fault("A multipart boundary line does not end.")
            return
        if self._held[:end].strip(b" \t"):
            raise _fault("A multipart boundary line holds something more.")
        del self._held[:end]
        self._state = "headers"
        yield from ()

    def _headers(self) -> Iterator[Event]:
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or end > MULTIPART_HEADER_BYTES_MAX:
            if len(self._held) > MULTIPART_HEADER_BYTES_MAX:
                raise LimitExceeded("The headers of a part are too long.", code="multipart", clause="RFC 2046 §5.1")
            return
        headers: dict[str, str] = {}
        for line in bytes(self._held[:end]).decode("latin-1").split("\r\n"):
            if line:
                name, colon, value = line.partition(":")
                if not colon:
                    raise _fault("A part has a header line without a colon.")
                headers[name.strip().lower()] = value.strip()
        self._parts += 1
        if self._parts > MULTIPART_PARTS_MAX:
            raise LimitExceeded("The request has too many parts.", code="multipart", clause="PS3.18 §10.5")
        del self._held[: end + 4]
        self._state = "body"
        yield PartBegins(headers)


def _fault(message: str) -> PeerError:
    return PeerError(message, code="multipart", clause="RFC 2046 §5.1")


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """Split a media type from its parameters, names in lower case (RFC 9110 §8.3.1); quotes are taken off."""
    parts, quoted, start = [], False, 0
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    parameters = {}
    for part in parts[1:]:
        name, equals, value = part.partition("=")
        if equals:
            parameters[name.strip().lower()] = value.strip().strip('"')
    return parts[0].strip().lower(), parameters


def new_boundary() -> str:
    """Make a boundary no content can guess."""
    return secrets.token_hex(20)


def part_head(boundary: str, content_type: str, *, location: str = "", is_first: bool = False) -> bytes:
    """Write what stands before a part's body; a location is made to fit one line (RFC 3986 §2.1)."""
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    if location:
        lines.append(f"Content-Location: {quote(location, safe=_IN_ADDRESS)}")
    return ("" if is_first else "\r\n").encode() + "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"


def parts_end(boundary: str) -> bytes:
    """Write what stands after the last part."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")
