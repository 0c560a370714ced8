"""Walk a data set as it arrives, trusting nothing in it (PS3.5 §7, §8, Annex A).

Bytes come in any chunks; nothing is held but a header that straddles two chunks and the few values asked
for. The fast loop of `plain` takes runs of plain elements; everything else (sequences, items, delimiters,
pixel data, odd or unordered elements) goes through `_step`, one thing at a time. Nesting is an
explicit stack, so depth costs a list entry and never a Python frame. A length is a claim: it moves a
counter, allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from leadglass.dicom.account import Account
from leadglass.dicom.dictionary import (
    ITEM,
    ITEM_END,
    KEPT_BY_DEFAULT,
    LONG_VRS,
    PIXEL_TAGS,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    vr_of,
)
from leadglass.dicom.inflate import Inflater
from leadglass.dicom.levels import Kind, Level
from leadglass.dicom.passing import PassingValue
from leadglass.dicom.pixels import OFFSET_TABLES
from leadglass.dicom.plain import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT, LONG_BIG, LONG_LITTLE, PlainElements
from leadglass.dicom.recall import Recall
from leadglass.dicom.structure import DatasetError, OddityCode, Structure, WalkLimits
from leadglass.dicom.syntaxes import TransferSyntax
from leadglass.dicom.visitor import Buffer, Visitor

_WAIT = -1


class DatasetWalker:
    """Account for every byte of one data set: feed it until the bytes end, then call `finish`.

    `tap` is given each piece of the data set (inflated) and its position, before it is walked. `recall` remembers
    objects walked before with the same syntax, kept tags, limits and kind of visitor.
    After an error the walker is dead; `remainder` holds what lay from the fault to the end of the chunk.
    """

    def __init__(
        self,
        syntax: TransferSyntax,
        *,
        keep: frozenset[int] = KEPT_BY_DEFAULT,
        visitor: Visitor | None = None,
        limits: WalkLimits = WalkLimits(),  # noqa: B008 — frozen
        tap: Callable[[Buffer, int], None] | None = None,
        recall: Recall | None = None,
    ) -> None:
        self._tap = tap
        self._explicit = EXPLICIT_LITTLE if syntax.is_little_endian else EXPLICIT_BIG
        self._long = LONG_LITTLE if syntax.is_little_endian else LONG_BIG
        self.inflater = Inflater(limits) if syntax.is_deflated else None
        self._keep = keep
        self._visitor = visitor
        self._limits = limits
        self.account = Account(limits, visitor, syntax.is_implicit)
        self._carry = bytearray()
        self._need = self._base = self._bulk = self._wire_bytes = 0
        self._passing = PassingValue(self.account.pixels, visitor)
        self.values: dict[int, bytes] = {}
        self._plain = PlainElements(
            is_little_endian=syntax.is_little_endian,
            account=self.account,
            keep=keep,
            values=self.values,
            visitor=visitor,
            recall=recall,
        )
        self.is_done_with_header = False
        self.remainder: bytes = b""

    @property
    def position(self) -> int:
        """Tell how many bytes of the data set are accounted for."""
        return self._base

    def feed(self, data: Buffer) -> None:
        """Walk on. Raises DatasetError or DatasetLimit; never anything else, whatever the bytes are."""
        self._wire_bytes += len(data)
        if self.inflater is None:
            self._walk(data)
            return
        for piece in self.inflater.feed(data):
            self._walk(piece)

    def finish(self) -> Structure:
        """Close the walk: every byte is accounted for, or DatasetError ("truncated") says from where not."""
        if self.inflater is not None and self.inflater.finish():
            self.account.oddities.add(OddityCode.DEFLATE_PAD, self._base, 0, 0)
        levels, missing = self.account.levels, self.missing_bytes
        while len(levels) > 1 and levels[-1].end == self._base and not missing:
            self.account.pop()
        if missing or len(levels) > 1:
            self.remainder = bytes(self._carry)
            raise self.account.fault("truncated", "The data set stops too early.", "PS3.5 §7.1", self._base)
        return self.settle()

    def settle(self) -> Structure:
        """Describe what was walked, up to the fault if there was one."""
        account = self.account
        if account.group_end >= 0:
            account.close_group(self._base, UNDEFINED)
        self.is_done_with_header = True
        return Structure(
            values=self.values,
            element_count=account.count,
            depth_max=account.depth_max,
            length_bytes=self._base,
            wire_bytes=self._wire_bytes,
            oddities=tuple(account.oddities.kept),
            oddity_count=account.oddities.count,
            pixel_data=account.pixels.result(),
            last_tag=max(account.levels[0].last, 0),
        )

    @property
    def missing_bytes(self) -> int:
        """Tell how many bytes what is open still claims, as far as its header is known."""
        return self._passing.remaining or (self._need - len(self._carry) if self._carry else 0)

    # --- the loop ---------------------------------------------------------------------------------------

    def _walk(self, data: Buffer) -> None:
        carry, passing = self._carry, self._passing
        if self._tap is not None:
            self._tap(data, self._base + len(carry))
        buf = data
        if carry:
            carry += data
            if len(carry) < self._need:
                return
            buf = bytes(carry)
            carry.clear()
        pos, end, most = 0, len(buf), self._limits.elements
        try:
            while True:
                if passing.remaining:
                    pos = passing.take(buf, pos, end)
                    if passing.remaining:
                        break
                level = self.account.levels[-1]
                if level.kind <= Kind.ITEM:
                    pos = self._plain.take(buf, pos, end, level, self._base)
                if self.account.count > most:
                    raise self.account.limit("elements", f"More than {most} elements.", self._base + pos)
                after = self._step(buf, pos, end, level)
                if after < 0:
                    break
                pos = after
        except DatasetError as error:
            pos = max(0, error.offset - self._base)
            self.remainder = bytes(buf[pos:])
            self._base += pos
            raise
        carry += buf[pos:]
        self._base += pos
        if self._base - self._bulk > self._limits.unbulk_bytes:
            message = f"More than {self._limits.unbulk_bytes} bytes outside bulk values."
            raise self.account.limit("unbulk-bytes", message, self._base)

    # --- one thing at a time ----------------------------------------------------------------------------

    def _step(self, buf: Buffer, pos: int, end: int, level: Level) -> int:
        """Take the next thing the fast loop does not; give where it ends, or _WAIT for want of bytes."""
        offset = self._base + pos
        if offset == level.end:
            self.account.pop()
            return pos
        if level.bound >= 0 and offset + 8 > level.bound:
            raise self.account.fault("length-overrun", "A header crosses the end of its item.", "PS3.5 §7.5.1", offset)
        if end - pos < 8:
            self._need = 8
            return _WAIT
        if level.kind <= Kind.ITEM:
            return self._element(buf, pos, end, level)
        group, element = (IMPLICIT if level.is_implicit else self._explicit).unpack_from(buf, pos)[:2]
        (length,) = (LONG_LITTLE if level.is_implicit else self._long).unpack_from(buf, pos + 4)
        tag = group << 16 | element
        if level.kind == Kind.SEQUENCE:
            self._item(tag, length, offset, level)
        else:
            self._fragment(tag, length, offset, level)
        return pos + 8

    def _header(self, buf: Buffer, pos: int, end: int, level: Level) -> tuple[int, bytes, int, int]:
        """Read one header: tag, VR, length and header size; size 0 asks for more bytes."""
        if level.is_implicit:
            group, element, length = IMPLICIT.unpack_from(buf, pos)
            tag = group << 16 | element
            return tag, vr_of(tag).encode(), length, 8
        group, element, vr, length = self._explicit.unpack_from(buf, pos)
        tag = group << 16 | element
        if vr in SHORT_VRS:
            return tag, vr, length, 8
        if group == 0xFFFE:
            (length,) = self._long.unpack_from(buf, pos + 4)
            return tag, b"", length, 8
        offset = self._base + pos
        is_known = vr in LONG_VRS or vr == b"SQ"
        if not is_known and not (vr.isalpha() and vr.isupper()):
            raise self.account.fault(
                "vr", "Two bytes that are no VR stand where a VR must.", "PS3.5 §7.1.2", offset, tag
            )
        if end - pos < 12:
            self._need = 12
            return tag, vr, 0, 0
        if length or not is_known:
            code = OddityCode.UNKNOWN_VR if not is_known else OddityCode.RESERVED_BYTES
            self.account.note_header(code, offset, tag)
        (length,) = self._long.unpack_from(buf, pos + 8)
        return tag, vr, length, 12

    def _element(self, buf: Buffer, pos: int, end: int, level: Level) -> int:
        tag, vr, length, size = self._header(buf, pos, end, level)
        if not size:
            return _WAIT
        offset = self._base + pos
        if tag >> 16 == 0xFFFE:
            self._delimiter(tag, length, offset, level)
            return pos + 8
        if length == UNDEFINED:
            self.account.commit(tag, 0, offset, level)
            self._open_undefined(tag, vr, offset, offset + size, level)
            return pos + size
        stop = offset + size + length
        if 0 <= level.bound < stop:
            message = "An element is longer than its item."
            raise self.account.fault("length-overrun", message, "PS3.5 §7.5.1", offset, tag)
        if vr == b"SQ":
            self.account.commit(tag, length, offset, level)
            self.account.push(Kind.SEQUENCE, tag, stop, offset, level.is_implicit)
            if self._visitor is not None:
                self._visitor.begin_sequence(tag, vr, offset)
            return pos + size
        is_kept = tag in self._keep and level.kind == Kind.DATASET and length <= self._limits.value_kept
        is_group_length = not tag & 0xFFFF and length == 4 and level.kind == Kind.DATASET
        is_whole = is_kept or is_group_length or (self._visitor is not None and length <= self._limits.value_kept)
        if is_whole and pos + size + length > end:
            self._need = size + length
            return _WAIT
        self.account.commit(tag, length, offset, level)
        if is_kept:
            value = bytes(buf[pos + size : pos + size + length])
            if self.values.setdefault(tag, value) != value:
                self.account.oddities.add(OddityCode.CONTRADICTION, offset, tag, 0)
        if is_group_length:
            self.account.open_group(self._long.unpack_from(buf, pos + size)[0], offset, stop, tag)
        self._open_value(tag, vr, length, offset, offset + size, level)
        return pos + size

    def _open_value(self, tag: int, vr: bytes, length: int, offset: int, start: int, level: Level) -> None:
        """Let the value stream by, to those who want it."""
        if level.kind == Kind.DATASET and tag >> 16 == 0x7FE0:
            if tag in PIXEL_TAGS:
                self.is_done_with_header = True
                self.account.pixels.native(tag, start, length)
            elif tag in OFFSET_TABLES and length <= 8 * self._limits.fragments:
                self._passing.collect(tag)
        if length > self._limits.value_kept:
            self._bulk += length
        self._passing.begin(tag, vr, length, offset)

    def _open_undefined(self, tag: int, vr: bytes, offset: int, start: int, level: Level) -> None:
        """Open what ends with a delimiter: a sequence, an implicit one inside UN, or fragments."""
        if vr in (b"SQ", b"UN"):
            if vr == b"UN" and not level.is_implicit:
                self.account.oddities.add(OddityCode.UN_SEQUENCE, offset, tag, self.account.sequences)
            self.account.push(Kind.SEQUENCE, tag, -1, offset, level.is_implicit or vr == b"UN")
        elif tag in PIXEL_TAGS and vr in (b"OB", b"OW"):
            self.account.push(Kind.FRAGMENTS, tag, -1, offset, level.is_implicit)
            if level.kind == Kind.DATASET:
                self.is_done_with_header = True
                self.account.is_first_pixels = self.account.pixels.encapsulated(tag, start)
        else:
            message = "Only sequences and pixel data may have no length."
            raise self.account.fault("undefined-length", message, "PS3.5 §7.1.2", offset, tag)
        if self._visitor is not None:
            self._visitor.begin_sequence(tag, vr, offset)

    def _delimiter(self, tag: int, length: int, offset: int, level: Level) -> None:
        if length:
            raise self.account.fault("delimiter-length", "A delimiter has a length.", "PS3.5 §7.5.1", offset, tag)
        if tag == ITEM_END and level.kind == Kind.ITEM and level.end < 0:
            self.account.pop()
            return
        raise self.account.fault("stray-delimiter", "A delimiter closes nothing.", "PS3.5 §7.5.1", offset, tag)

    def _item(self, tag: int, length: int, offset: int, level: Level) -> None:
        """Take what may stand in a sequence: an item, or its end."""
        if tag == ITEM:
            self.account.count += 1
            if self._visitor is not None:
                self._visitor.begin_item(offset)
            end = -1 if length == UNDEFINED else offset + 8 + length
            self.account.push(Kind.ITEM, tag, end, offset, level.is_implicit)
            self.account.levels[-1].index = level.index
            level.index += 1
        elif tag == SEQUENCE_END and level.end < 0 and not length:
            self.account.pop()
        else:
            message = "Something other than an item stands in a sequence."
            raise self.account.fault("sequence-item", message, "PS3.5 §7.5.1", offset, tag)

    def _fragment(self, tag: int, length: int, offset: int, level: Level) -> None:
        """Take what may stand in encapsulated pixel data: the offset table, fragments, the end."""
        if tag == SEQUENCE_END and not length:
            self.account.pop()
            return
        if tag != ITEM or length == UNDEFINED or 0 <= level.bound < offset + 8 + length:
            message = "Something other than a fragment that fits stands in pixel data."
            raise self.account.fault("fragment", message, "PS3.5 §A.4", offset, tag)
        is_table = level.index == 0
        level.index += 1
        if level.index > self._limits.fragments + 1 or (is_table and length > 4 * self._limits.fragments):
            raise self.account.limit("fragments", f"More than {self._limits.fragments} fragments.", offset)
        if self.account.is_first_pixels:
            if is_table:
                self._passing.collect(level.tag)
            else:
                self.account.pixels.fragment(offset + 8, length)
        self._bulk += length
        self._passing.begin(ITEM, b"OB", length, offset)
