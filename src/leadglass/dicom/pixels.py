"""Where pixel data lies and where each frame of it lies (PS3.5 §8.2, §A.4; PS3.3 §C.7.6.3.1.8).

Frames are ranges of the data set as written down, so one frame of a large object is read without the
rest. An encapsulated frame may be several ranges: its fragments without their item headers.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from leadglass.dicom.structure import DatasetError, PixelData, packed
from leadglass.limits import PIXEL_FRAGMENTS_MAX

EXTENDED_OFFSET_TABLE = 0x7FE00001
EXTENDED_LENGTHS = 0x7FE00002
OFFSET_TABLES = frozenset({EXTENDED_OFFSET_TABLE, EXTENDED_LENGTHS})

Ranges = tuple[tuple[int, int], ...]

SAMPLES_PER_PIXEL, NUMBER_OF_FRAMES = 0x00280002, 0x00280008
ROWS, COLUMNS, BITS_ALLOCATED = 0x00280010, 0x00280011, 0x00280100
LAYOUT = frozenset({SAMPLES_PER_PIXEL, NUMBER_OF_FRAMES, ROWS, COLUMNS, BITS_ALLOCATED})
"""The elements that tell where a native frame ends."""


class PixelLog:
    """Note the pixel data of one walk: the first such element of the top level."""

    __slots__ = ("_basic", "_extended", "_extended_lengths", "_found", "lengths", "offsets")

    def __init__(self) -> None:
        self._found: PixelData | None = None
        self._basic: Sequence[int] = ()
        self._extended: Sequence[int] = ()
        self._extended_lengths: Sequence[int] = ()
        self.offsets = array("Q")
        self.lengths = array("I")

    @property
    def found(self) -> PixelData | None:
        """Give the pixel data as it was noted first, without its fragments and tables."""
        return self._found

    def native(self, tag: int, offset: int, length: int) -> None:
        """Note native pixel data at its first value byte."""
        if self._found is None:
            self._found = PixelData(tag, offset, length, is_encapsulated=False)

    def encapsulated(self, tag: int, offset: int) -> bool:
        """Note encapsulated pixel data at its first item; tell whether it is the first."""
        if self._found is not None:
            return False
        self._found = PixelData(tag, offset, None, is_encapsulated=True)
        return True

    def fragment(self, offset: int, length: int) -> None:
        """Note one fragment at its first value byte."""
        self.offsets.append(offset)
        self.lengths.append(length)

    def take_table(self, tag: int, data: bytearray) -> None:
        """Take an offset table: the extended ones by their tag, the basic one by that of the pixel data."""
        if tag == EXTENDED_OFFSET_TABLE:
            self._extended = packed("Q", data)
        elif tag == EXTENDED_LENGTHS:
            self._extended_lengths = packed("Q", data)
        else:
            self._basic = packed("I", data)

    def result(self) -> PixelData | None:
        """Give what was noted."""
        if self._found is None:
            return None
        return replace(
            self._found,
            fragment_offsets=self.offsets,
            fragment_lengths=self.lengths,
            basic_offset_table=self._basic,
            extended_offset_table=self._extended,
            extended_lengths=self._extended_lengths,
        )


def frame_length_bits(rows: int, columns: int, samples_per_pixel: int, bits_allocated: int) -> int:
    """Give the bits of one native frame; frames of 1 bit are packed without padding (PS3.5 §8.1.1)."""
    return rows * columns * samples_per_pixel * bits_allocated


def native_frames(values: Mapping[int, bytes], *, is_little: bool = True) -> tuple[int, int]:
    """Read how many frames a data set states, at least one, and the bits of one native frame; 0 where it is silent."""
    order: Literal["little", "big"] = "little" if is_little else "big"

    def number(tag: int, default: int) -> int:
        raw = values.get(tag, b"")
        return int.from_bytes(raw[:2], order) if len(raw) >= 2 else default

    stated = values.get(NUMBER_OF_FRAMES, b"").split(b"\\")[0].strip(b" \0")
    bits = frame_length_bits(
        number(ROWS, 0), number(COLUMNS, 0), number(SAMPLES_PER_PIXEL, 1), number(BITS_ALLOCATED, 0)
    )
    return max(1, int(stated[:20])) if stated.isdigit() else 1, bits


def frames(pixel_data: PixelData, number_of_frames: int, native_frame_bits: int = 0) -> list[Ranges]:
    """List the ranges of each frame, in order.

    Native frames need `native_frame_bits`; one that starts inside a byte (1 bit allocated) shares that byte
    with its neighbour. Encapsulated frames follow the extended table, else the basic one, else one fragment
    each; a single frame takes every fragment. Raises DatasetError ("frames") where the frames do not fit.
    """
    if number_of_frames < 1:
        raise _misfit(pixel_data, "An image has at least one frame.")
    if not pixel_data.is_encapsulated:
        return _native(pixel_data, number_of_frames, native_frame_bits)
    count = len(pixel_data.fragment_offsets)
    if number_of_frames == 1:
        return [tuple(pixel_data.fragments)]
    if len(pixel_data.extended_offset_table) == number_of_frames:
        return _extended(pixel_data, number_of_frames)
    if len(pixel_data.basic_offset_table) == number_of_frames:
        return _by_starts(pixel_data, pixel_data.basic_offset_table)
    if count == number_of_frames:
        return [(fragment,) for fragment in pixel_data.fragments]
    raise _misfit(pixel_data, f"{count} fragments and no offset table do not give {number_of_frames} frames.")


def _native(pixel_data: PixelData, number_of_frames: int, bits: int) -> list[Ranges]:
    length = pixel_data.length or 0
    if number_of_frames > PIXEL_FRAGMENTS_MAX:
        raise _misfit(pixel_data, f"No object has more than {PIXEL_FRAGMENTS_MAX} frames.")
    if bits < 1 or number_of_frames * bits > length * 8:
        raise _misfit(pixel_data, f"{length} bytes do not hold {number_of_frames} frames of {bits} bits.")
    result: list[Ranges] = []
    for index in range(number_of_frames):
        first, beyond = index * bits // 8, ((index + 1) * bits + 7) // 8
        result.append(((pixel_data.offset + first, beyond - first),))
    return result


def _extended(pixel_data: PixelData, number_of_frames: int) -> list[Ranges]:
    ranges = _by_starts(pixel_data, pixel_data.extended_offset_table)
    if len(pixel_data.extended_lengths) != number_of_frames:
        return ranges
    return [
        ((parts[0][0], min(length, parts[0][1])),) if len(parts) == 1 else parts
        for parts, length in zip(ranges, pixel_data.extended_lengths, strict=True)
    ]


def _by_starts(pixel_data: PixelData, starts: Sequence[int]) -> list[Ranges]:
    """Cut the fragments where frames start; a start must be the item header of a fragment."""
    offsets = pixel_data.fragment_offsets
    if not offsets:
        raise _misfit(pixel_data, "There is an offset table and no fragment.")
    origin = offsets[0]
    cuts: list[int] = []
    for start in starts:
        at = bisect_left(offsets, origin + start)
        if at >= len(offsets) or offsets[at] != origin + start or (cuts and at <= cuts[-1]):
            raise _misfit(pixel_data, "The offset table points where no fragment starts.")
        cuts.append(at)
    if cuts[0] != 0:
        raise _misfit(pixel_data, "The first frame does not start at the first fragment.")
    cuts.append(len(offsets))
    fragments = pixel_data.fragments
    return [tuple(fragments[first:beyond]) for first, beyond in pairwise(cuts)]


def _misfit(pixel_data: PixelData, message: str) -> DatasetError:
    return DatasetError(message, code="frames", clause="PS3.5 §A.4", offset=pixel_data.offset, element="(7FE0,0010)")
