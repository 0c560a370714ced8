"""The fast loop of a walk: runs of plain elements, whole and in order, with local names only.

A plain element has a short value that is there to its end, an even length, a tag above the last one and no group
below 0008; whatever is not plain is left to the walker. Top-level elements that an earlier object had to the byte are
passed over by runs (see `recall`).
"""

from __future__ import annotations

from struct import Struct

from leadglass.dicom.account import Account
from leadglass.dicom.dictionary import LONG_VRS, SEQUENCES, SHORT_VRS, vr_of
from leadglass.dicom.levels import Kind, Level
from leadglass.dicom.recall import Recall, Run
from leadglass.dicom.visitor import Buffer, Visitor

EXPLICIT_LITTLE = Struct("<HH2sH")
EXPLICIT_BIG = Struct(">HH2sH")
IMPLICIT = Struct("<HHI")
LONG_LITTLE = Struct("<I")
LONG_BIG = Struct(">I")

_PLAIN_MAX = 0x7FE00001
_NO_TAGS: frozenset[int] = frozenset()
_NO_RUNS: dict[int, Run] = {}


class PlainElements:
    """The fast loop over the data set of one walk; `values` is what the walk keeps."""

    __slots__ = ("_account", "_explicit", "_keep", "_length_max", "_long", "_recall", "_values", "_visitor")

    def __init__(
        self,
        *,
        is_little_endian: bool,
        account: Account,
        keep: frozenset[int],
        values: dict[int, bytes],
        visitor: Visitor | None,
        recall: Recall | None,
    ) -> None:
        self._explicit = EXPLICIT_LITTLE if is_little_endian else EXPLICIT_BIG
        self._long = LONG_LITTLE if is_little_endian else LONG_BIG
        self._account = account
        self._keep = keep
        self._values = values
        self._visitor = visitor
        self._length_max = account.limits.value_kept
        self._recall = recall

    def take(self, buf: Buffer, pos: int, end: int, level: Level, base: int) -> int:
        """Take plain elements from `pos` on, as many as there are; `base` is the offset of the buffer's first byte."""
        if level.bound >= 0:
            end = min(end, level.bound - base)
        if self._account.group_end >= 0 and level.kind == Kind.DATASET:
            end = min(end, self._account.group_end - base)
        is_top, is_implicit = level.kind == Kind.DATASET, level.is_implicit
        keep, recall = (self._keep, self._recall) if is_top else (_NO_TAGS, None)
        runs = _NO_RUNS if recall is None else recall.runs
        learn = recall.learn if recall is not None and recall.is_learning else None
        values, visitor, long_of = self._values, self._visitor, self._long.unpack_from
        unpack = IMPLICIT.unpack_from if is_implicit else self._explicit.unpack_from
        short, long, sequences, seen, last = SHORT_VRS, LONG_VRS, SEQUENCES, level.seen, level.last
        count, final, most, passed = 0, end - 8, self._length_max, 0
        while pos <= final:
            if is_implicit:
                group, element, length = unpack(buf, pos)
            else:
                group, element, vr, length = unpack(buf, pos)
            tag = group << 16 | element
            if not last < tag < _PLAIN_MAX or not element:
                break
            if tag in runs and recall is not None and (run := recall.match(tag, buf, pos, end)) is not None:
                seen.extend(run.tags)
                values.update(run.kept)
                last = run.tags[-1]
                pos += len(run.content)
                passed += len(run.tags)
                continue
            start = pos + 8
            if is_implicit:
                if tag in sequences:
                    break
                vr = vr_of(tag).encode()
            elif vr in long and not length and pos + 12 <= end:
                (length,) = long_of(buf, start)
                start = pos + 12
            elif vr not in short:
                break
            stop = start + length
            if stop > end or length & 1 or group < 8 or length > most:
                break
            kept = None
            if tag in keep:
                kept = values[tag] = bytes(buf[start:stop])
            if visitor is not None and visitor.begin_element(tag, vr, length, base + pos):
                visitor.value(buf[start:stop], True)
            if learn is not None:
                learn(tag, bytes(buf[pos:stop]), kept, base + pos)
            seen.append(tag)
            last = tag
            pos = stop
            count += 1
        level.last = last
        self._account.count += count + passed
        if recall is not None:
            recall.walked(count)
        return pos
