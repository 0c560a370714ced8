"""The stack of a walk: what is open, where it must end, and which tags it has had (PS3.5 §7.1, §7.5)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from enum import IntEnum

DISORDER_MAX = 65_536
"""Tags out of order in one item. Real files have a handful; a set of more is an attack on memory."""


class Kind(IntEnum):
    """What is open."""

    DATASET = 0
    ITEM = 1
    SEQUENCE = 2
    FRAGMENTS = 3


class Place(IntEnum):
    """How a tag stands to those before it."""

    IN_ORDER = 0
    OUT_OF_ORDER = 1
    DUPLICATE = 2
    TOO_MANY = 3


class Level:
    """One open thing: `end` is its defined end or -1, `bound` the nearest end around it or -1.

    `seen` holds the ascending tags packed (4 MB for a million), `extra` those that came late, so that a
    duplicate is found wherever it hides.
    """

    __slots__ = ("bound", "end", "extra", "index", "is_implicit", "kind", "last", "seen", "tag")

    def __init__(self, kind: Kind, tag: int, end: int, bound: int, is_implicit: bool) -> None:
        self.kind = kind
        self.tag = tag
        self.end = end
        self.bound = bound
        self.is_implicit = is_implicit
        self.index = 0
        self.last = -1
        self.seen = array("I")
        self.extra: set[int] | None = None

    def place(self, tag: int) -> Place:
        """Note a tag and tell how it stands."""
        if tag > self.last:
            self.seen.append(tag)
            self.last = tag
            return Place.IN_ORDER
        at = bisect_left(self.seen, tag)
        if at < len(self.seen) and self.seen[at] == tag:
            return Place.DUPLICATE
        if self.extra is None:
            self.extra = set()
        if tag in self.extra:
            return Place.DUPLICATE
        if len(self.extra) >= DISORDER_MAX:
            return Place.TOO_MANY
        self.extra.add(tag)
        return Place.OUT_OF_ORDER


def path_of(levels: list[Level], tag: int | None = None) -> str:
    """Name the innermost place, such as "(0040,0275)[0].(0040,0007)"."""
    parts: list[str] = []
    for level in levels[1:]:
        if level.kind == Kind.ITEM:
            parts[-1] += f"[{level.index}]"
        else:
            parts.append(f"({level.tag >> 16:04X},{level.tag & 0xFFFF:04X})")
    if tag is not None:
        parts.append(f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
    return ".".join(parts)
