"""The account a walk keeps: what is open, what was counted, what was odd (PS3.5 §7.1 to §7.5)."""

from __future__ import annotations

from leadglass.dicom.levels import Kind, Level, Place, path_of
from leadglass.dicom.pixels import PixelLog
from leadglass.dicom.structure import DatasetError, DatasetLimit, OddityCode, OddityLog, WalkLimits
from leadglass.dicom.visitor import Visitor


class Account:
    """Everything a walk knows about the bytes behind it."""

    __slots__ = (
        "count",
        "depth_max",
        "group_end",
        "group_offset",
        "group_tag",
        "is_first_pixels",
        "levels",
        "limits",
        "noted",
        "oddities",
        "pixels",
        "sequences",
        "visitor",
    )

    def __init__(self, limits: WalkLimits, visitor: Visitor | None, is_implicit: bool) -> None:
        self.limits = limits
        self.visitor = visitor
        self.levels = [Level(Kind.DATASET, 0, -1, -1, is_implicit)]
        self.count = 0
        self.sequences = 0
        self.depth_max = 0
        self.group_end = -1
        self.group_tag = 0
        self.group_offset = 0
        self.is_first_pixels = False
        self.noted = -1
        self.oddities = OddityLog()
        self.pixels = PixelLog()

    def commit(self, tag: int, length: int, offset: int, level: Level) -> None:
        """Count an element and note what is odd about it."""
        self.count += 1
        is_root = level.kind == Kind.DATASET
        if is_root and self.group_end >= 0 and (offset >= self.group_end or not tag & 0xFFFF):
            self.close_group(offset, tag)
        add, depth = self.oddities.add, self.sequences
        place = level.place(tag)
        if place is not Place.IN_ORDER:
            if place is Place.TOO_MANY:
                raise self.limit("disorder", "Too many elements are out of order.", offset)
            add(OddityCode.DUPLICATE if place is Place.DUPLICATE else OddityCode.OUT_OF_ORDER, offset, tag, depth)
        if length & 1:
            add(OddityCode.ODD_LENGTH, offset, tag, depth)
        if tag >> 16 < 8 and tag >> 16 != 4:
            add(OddityCode.FORBIDDEN_GROUP, offset, tag, depth)
        if not tag & 0xFFFF:
            add(OddityCode.GROUP_LENGTH, offset, tag, depth)

    def note_header(self, code: OddityCode, offset: int, tag: int) -> None:
        """Note what is odd about a header, once, however often it is read before its value is there."""
        if offset > self.noted:
            self.noted = offset
            self.oddities.add(code, offset, tag, self.sequences)

    def open_group(self, length: int, offset: int, start: int, tag: int) -> None:
        """Note what a group length claims."""
        self.group_end = start + length
        self.group_tag = tag
        self.group_offset = offset

    def close_group(self, offset: int, tag: int) -> None:
        """Hold a group length against the group (PS3.5 §7.2)."""
        is_true = offset == self.group_end and tag >> 16 != self.group_tag >> 16
        if not is_true or self.levels[0].last >> 16 != self.group_tag >> 16:
            self.oddities.add(OddityCode.GROUP_LENGTH_LIE, self.group_offset, self.group_tag, 0)
        self.group_end = -1

    def push(self, kind: Kind, tag: int, end: int, offset: int, is_implicit: bool) -> None:
        """Open a sequence, an item or fragments; `end` is where its length says it stops, or -1."""
        bound = self.levels[-1].bound
        if kind is not Kind.ITEM:
            self.sequences += 1
            self.depth_max = max(self.depth_max, self.sequences)
            if self.sequences > self.limits.depth:
                raise self.limit("depth", f"Sequences nest deeper than {self.limits.depth}.", offset)
        if end >= 0:
            if 0 <= bound < end:
                message = "A sequence or item is longer than what holds it."
                raise self.fault("length-overrun", message, "PS3.5 §7.5.1", offset, tag)
            bound = end
        self.levels.append(Level(kind, tag, end, bound, is_implicit))

    def pop(self) -> None:
        """Close the innermost."""
        level = self.levels.pop()
        if level.kind == Kind.ITEM:
            if self.visitor is not None:
                self.visitor.end_item()
            return
        self.sequences -= 1
        self.is_first_pixels = False
        if self.visitor is not None:
            self.visitor.end_sequence()

    def path(self, tag: int | None = None) -> str:
        """Name the innermost place, and in it this element."""
        return path_of(self.levels, tag)

    def fault(self, code: str, message: str, clause: str, offset: int, tag: int | None = None) -> DatasetError:
        """Make the error for a broken rule, named with its place."""
        element = self.path(tag) or None
        return DatasetError(message, code=code, clause=clause, offset=offset, element=element, tag=tag)

    def limit(self, code: str, message: str, offset: int) -> DatasetLimit:
        """Make the error for a limit."""
        return DatasetLimit(message, code=code, clause="PS3.5 §7", offset=offset)
