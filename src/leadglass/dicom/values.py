"""Value types of the standard, parsed once at the door (PS3.5 §6.2, §9; PS3.8 §9.3.2).

A string from a peer is `untrusted_…` until one of these has parsed it. Types that identify a patient
print as •••, so a log line cannot leak them by accident.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from leadglass.errors import PeerError

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
_UID_CHARACTERS = re.compile(r"[0-9.]*")


class UID(str):
    """A unique identifier (PS3.5 §9.1): digits and dots, at most 64 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, untrusted_text: str | bytes, *, strict: bool = False) -> UID:
        """Take a UID off the wire; trailing NUL or space padding is dropped.

        Leading zeros of a component occur in real archives and pass unless `strict`. Anything that is not
        a digit or a dot, an empty UID, or more than 64 characters raises PeerError (code "uid").
        """
        text = untrusted_text.decode("latin-1") if isinstance(untrusted_text, bytes) else untrusted_text
        text = text.rstrip("\0 ")
        shape = _UID if strict else _UID_CHARACTERS
        if not 1 <= len(text) <= 64 or shape.fullmatch(text) is None:
            raise PeerError(
                "A UID holds something other than digits and dots, or too many of them.",
                code="uid",
                clause="PS3.5 §9.1",
            )
        return cls(text)


class AETitle(str):
    """An application entity title (PS3.5 VR AE): 1 to 16 characters of the default repertoire, no backslash."""

    __slots__ = ()

    @classmethod
    def parse(cls, untrusted_text: str | bytes) -> AETitle:
        """Take an AE title off the wire; surrounding spaces are not significant. Raises PeerError (code "ae-title")."""
        text = untrusted_text.decode("latin-1") if isinstance(untrusted_text, bytes) else untrusted_text
        text = text.strip(" \0")
        if not 1 <= len(text) <= 16 or any(not " " <= c <= "~" or c == "\\" for c in text):
            raise PeerError(
                "An AE title must be 1 to 16 printable characters without a backslash.",
                code="ae-title",
                clause="PS3.5 §6.2 (AE)",
            )
        return cls(text)


class Tag(int):
    """An element tag, (group << 16) | element."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"({self >> 16:04X},{self & 0xFFFF:04X})"

    __repr__ = __str__

    @property
    def is_private(self) -> bool:
        """Tell whether the group is odd (PS3.5 §7.8)."""
        return bool(self >> 16 & 1)


@dataclass(frozen=True, slots=True, repr=False)
class Identifying:
    """Text that identifies a person; it compares and hashes, and never prints."""

    text: str

    def __repr__(self) -> str:
        return "•••"

    __str__ = __repr__
