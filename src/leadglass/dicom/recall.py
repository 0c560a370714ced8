"""What the header of one object has in common with those before it, so that it is compared and not walked again.

The objects of a series repeat most of their header to the byte. A run is a stretch of plain top-level elements that
were walked once and left no trace with the visitor. Where the very same bytes stand again, a walk would come to the
very same end, so it is passed over whole: one comparison for many elements. What is not equal is walked, always.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from leadglass.dicom.visitor import Buffer

HELD_BYTES_MAX = 1 << 16
"""Bytes of runs held. The plain short elements of a header come to some KiB."""

PARTED_MAX = 24
"""Runs that may be broken up by one object: beyond it the object is another kind, and runs are learnt anew."""


class Listener(Protocol):
    """A visitor that can tell what it made of an element."""

    @property
    def is_unmoved(self) -> bool:
        """Tell whether the element just seen left no trace: with the same bytes it need not be seen again."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive plain elements: their bytes as they came, their tags, where each ends, and the values kept of them.

    `kept` is what the walk keeps of top-level values, by tag.
    """

    content: bytes
    tags: array[int]
    ends: Sequence[int]
    kept: Mapping[int, bytes]

    def part(self, at: int) -> tuple[Run | None, Run | None]:
        """Give what stands before element `at` and what stands after it."""
        return self._slice(0, at), self._slice(at + 1, len(self.tags))

    def _slice(self, first: int, beyond: int) -> Run | None:
        if first >= beyond:
            return None
        start = self.ends[first - 1] if first else 0
        tags = self.tags[first:beyond]
        ends = [end - start for end in self.ends[first:beyond]]
        kept = {tag: self.kept[tag] for tag in tags if tag in self.kept}
        return Run(self.content[start : start + ends[-1]], tags, ends, kept)


class Recall:
    """The runs of objects of one transfer syntax, all walked with one visitor's rules, limits and kept tags.

    The first object is learnt from; each later one breaks a run up where it differs. When less than half of an
    object's plain elements are known, the next is learnt from afresh. Not thread-safe.
    """

    __slots__ = ("_held", "_learnt", "_listener", "_parted", "_passed", "_walked", "is_learning", "runs")

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self.runs: dict[int, Run] = {}
        self.is_learning = True
        self._learnt: list[tuple[int, bytes, bytes | None, int]] = []
        self._held = self._parted = self._passed = self._walked = 0

    def begin(self, listener: Listener) -> None:
        """Begin an object, whose visitor this is, and learn from the one before."""
        self._listener = listener
        if self.is_learning:
            if self._learnt:
                self._settle()
        elif self._parted > PARTED_MAX or self._passed < self._walked:
            self.runs = {}
            self.is_learning = True
        self._held = self._parted = self._passed = self._walked = 0

    def walked(self, count: int) -> None:
        """Count plain elements that had to be walked."""
        self._walked += count

    def learn(self, tag: int, content: bytes, kept: bytes | None, offset: int) -> None:
        """Note the plain element just walked at `offset`; `kept` is its value where the walk keeps it."""
        if self._listener is None or not self._listener.is_unmoved:
            return
        self._held += len(content)
        if self._held <= HELD_BYTES_MAX:
            self._learnt.append((tag, content, kept, offset))

    def match(self, tag: int, buf: Buffer, pos: int, limit: int) -> Run | None:
        """Give the run that stands at `pos`, where it begins with this tag; None where it has to be walked."""
        while (run := self.runs.get(tag)) is not None:
            stop = pos + len(run.content)
            if stop > limit:
                return None
            found = bytes(buf[pos:stop])
            if found == run.content:
                self._passed += len(run.tags)
                return run
            self._break(run, found)
        return None

    def _break(self, run: Run, found: bytes) -> None:
        """Forget the first element that differs, and keep what stands before and after it."""
        self._parted += 1
        del self.runs[run.tags[0]]
        start = 0
        for at, end in enumerate(run.ends):
            if found[start:end] != run.content[start:end]:
                for part in run.part(at):
                    if part is not None:
                        self.runs[part.tags[0]] = part
                return
            start = end

    def _settle(self) -> None:
        """Make runs of what was learnt: elements that stood one behind the other."""
        group: list[tuple[int, bytes, bytes | None, int]] = []
        for noted in self._learnt:
            if group and group[-1][3] + len(group[-1][1]) != noted[3]:
                self._add(group)
                group = []
            group.append(noted)
        self._add(group)
        self._learnt = []
        self.is_learning = False

    def _add(self, group: Sequence[tuple[int, bytes, bytes | None, int]]) -> None:
        self.runs[group[0][0]] = Run(
            b"".join(content for _, content, _, _ in group),
            array("I", (tag for tag, _, _, _ in group)),
            list(accumulate(len(content) for _, content, _, _ in group)),
            {tag: kept for tag, _, kept, _ in group if kept is not None},
        )
