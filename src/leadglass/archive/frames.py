"""Where each frame lies in a sealed object's plaintext, and how that table is written into the footer.

Columns of numbers rather than pairs, so that a million frames cost megabytes and no Python objects
(docs/spec/envelope.md, "Footer").
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import overload

from leadglass import limits
from leadglass.errors import IntegrityError, LimitExceeded

Ranges = tuple[tuple[int, int], ...]
"""The (offset, length) ranges of one frame."""

FRAMES_MAX = limits.PIXEL_FRAGMENTS_MAX
_PLAIN, _DEFLATE = 0, 1
_PLAIN_RANGES_MAX = 16
_WRAP = (1 << 64) - 1


class FrameTable(Sequence[Ranges]):
    """The frames of one object, in order; each gives its ranges of the plaintext."""

    __slots__ = ("_lengths", "_offsets", "_starts")

    def __init__(self, counts: Sequence[int], offsets: Sequence[int], lengths: Sequence[int]) -> None:
        assert len(offsets) == len(lengths) == sum(counts)
        self._starts = array("I", accumulate(counts, initial=0))
        self._offsets = array("Q", offsets)
        self._lengths = array("Q", lengths)

    @classmethod
    def of(cls, frames: Iterable[Ranges]) -> FrameTable:
        """Take frames as (offset, length) ranges; LimitExceeded where there are more than `FRAMES_MAX`."""
        frames = frames if isinstance(frames, Sequence) else tuple(frames)
        counts = array("I", map(len, frames))
        if len(counts) > FRAMES_MAX or sum(counts) > FRAMES_MAX:
            raise LimitExceeded("The object has more frames or fragments than can be kept.", code="frames")
        flat = array("Q", chain.from_iterable(chain.from_iterable(frames)))
        return cls(counts, flat[0::2], flat[1::2])

    @overload
    def __getitem__(self, index: int) -> Ranges: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Ranges, ...]: ...
    def __getitem__(self, index: int | slice) -> Ranges | tuple[Ranges, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError("frame index out of range")
        part = slice(self._starts[index], self._starts[index + 1])
        return tuple(zip(self._offsets[part], self._lengths[part], strict=True))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[Ranges]:
        return (self[index] for index in range(len(self)))

    @property
    def range_count(self) -> int:
        """Give the number of ranges of all frames."""
        return len(self._offsets)

    def fits(self, length: int) -> bool:
        """Tell whether every range lies inside a plaintext of that length."""
        return all(map(length.__ge__, map(int.__add__, self._offsets, self._lengths)))

    def encode(self) -> tuple[int, bytes]:
        """Give the encoding's number and the table's bytes."""
        ends = map(int.__add__, self._offsets, self._lengths)
        gaps = array("Q", ((o - e) & _WRAP for o, e in zip(self._offsets, chain((0,), ends), strict=False)))
        counts = array("I", map(int.__sub__, self._starts[1:], self._starts[:-1]))
        table = _bytes_of(counts) + _bytes_of(gaps) + _bytes_of(self._lengths)
        if self.range_count <= _PLAIN_RANGES_MAX:
            return _PLAIN, table
        return _DEFLATE, zlib.compress(table, 1, wbits=-15)

    @classmethod
    def decode(cls, encoding: int, table: bytes | memoryview, frame_count: int, range_count: int) -> FrameTable:
        """Take a table that was authenticated; IntegrityError where its shape is not the specified one."""
        size = frame_count * 4 + range_count * 16
        if encoding == _DEFLATE and frame_count <= FRAMES_MAX and range_count <= FRAMES_MAX:
            table = _inflated(table, size)
        elif encoding != _PLAIN:
            raise IntegrityError("The frame table is written in a way this version does not know.")
        if len(table) != size:
            raise IntegrityError("The frame table does not have its stated length.")
        counts = _numbers_of("I", table[: frame_count * 4])
        gaps = _numbers_of("Q", table[frame_count * 4 : frame_count * 4 + range_count * 8])
        lengths = _numbers_of("Q", table[frame_count * 4 + range_count * 8 :])
        if sum(counts) != range_count:
            raise IntegrityError("The frame table's counts do not add up.")
        offsets = array("Q")
        end = 0
        for gap, length in zip(gaps, lengths, strict=True):
            offset = (end + gap) & _WRAP
            offsets.append(offset)
            end = offset + length
        return cls(counts, offsets, lengths)


def _inflated(table: bytes | memoryview, size: int) -> bytes:
    inflater = zlib.decompressobj(wbits=-15)
    try:
        return inflater.decompress(table, size + 1)
    except zlib.error as error:
        raise IntegrityError("The frame table does not inflate.") from error


def _bytes_of(numbers: array[int]) -> bytes:
    if sys.byteorder == "little":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _numbers_of(code: str, data: bytes | memoryview) -> array[int]:
    numbers: array[int] = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
