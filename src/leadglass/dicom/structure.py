"""What a walk over a data set leaves: where things lie, what is odd, what is broken (PS3.5 §7, §8, Annex A).

Every offset counts bytes from the start of the data set as it is written down, or of the inflated data set
where the transfer syntax is deflated. Fragments and offset tables stay packed arrays: a million of them
take 12 MB, and as tuples would take 150.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from leadglass import limits
from leadglass.errors import LimitExceeded, PeerError

ODDITIES_KEPT_MAX = 64
"""A report a person reads; `Structure.oddity_count` tells how many there were."""


class DatasetError(PeerError):
    """The bytes are not a data set; `offset` is where the first impossible thing lies, `tag` what stands there."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        clause: str,
        offset: int,
        element: str | None = None,
        tag: int | None = None,
    ) -> None:
        super().__init__(message, code=code, clause=clause)
        self.offset = offset
        self.element = element
        self.tag = tag


class DatasetLimit(LimitExceeded):
    """The data set wants more than `WalkLimits` allows; `offset` is where it asked."""

    def __init__(self, message: str, *, code: str, clause: str, offset: int, hint: str = "") -> None:
        super().__init__(message, code=code, clause=clause, hint=hint)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """Bounds of one walk."""

    depth: int = limits.DATASET_DEPTH_MAX
    elements: int = limits.DATASET_ELEMENTS_MAX
    unbulk_bytes: int = limits.DATASET_UNBULK_BYTES_MAX
    value_kept: int = limits.ELEMENT_VALUE_KEPT_MAX
    fragments: int = limits.PIXEL_FRAGMENTS_MAX
    inflated_bytes: int = limits.INFLATED_BYTES_MAX
    inflate_ratio: int = limits.INFLATE_RATIO_MAX


class OddityCode(StrEnum):
    """What real files do although the standard says otherwise, or that only an attacker gains from."""

    ODD_LENGTH = "odd-length"
    OUT_OF_ORDER = "out-of-order"
    DUPLICATE = "duplicate-tag"
    CONTRADICTION = "contradicting-duplicate"
    GROUP_LENGTH = "group-length"
    GROUP_LENGTH_LIE = "group-length-lie"
    RESERVED_BYTES = "reserved-bytes"
    UNKNOWN_VR = "unknown-vr"
    FORBIDDEN_GROUP = "forbidden-group"
    UN_SEQUENCE = "un-undefined-length"
    DEFLATE_PAD = "deflate-pad"


@dataclass(frozen=True, slots=True)
class Oddity:
    """One thing that is odd and does not stop the walk."""

    code: OddityCode
    offset: int
    tag: int
    depth: int = 0


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the pixels of the object lie.

    `offset` is the first byte of the value (native), or of the item that holds the basic offset table
    (encapsulated); `length` is None where it is undefined. A fragment's offset is its first value byte.
    Basic offsets count from the first byte of the first fragment's item header (PS3.5 §A.4).
    """

    tag: int
    offset: int
    length: int | None
    is_encapsulated: bool
    fragment_offsets: Sequence[int] = ()
    fragment_lengths: Sequence[int] = ()
    basic_offset_table: Sequence[int] = ()
    extended_offset_table: Sequence[int] = ()
    extended_lengths: Sequence[int] = ()

    @property
    def fragments(self) -> list[tuple[int, int]]:
        """List (offset, length) of each fragment after the basic offset table."""
        return list(zip(self.fragment_offsets, self.fragment_lengths, strict=True))


@dataclass(frozen=True, slots=True)
class Structure:
    """A whole data set, walked to its last byte.

    `length_bytes` is the data set as walked (inflated, where deflated); `wire_bytes` is what was fed.
    """

    values: Mapping[int, bytes]
    element_count: int
    depth_max: int
    length_bytes: int
    wire_bytes: int
    oddities: tuple[Oddity, ...] = ()
    oddity_count: int = 0
    pixel_data: PixelData | None = None
    last_tag: int = 0


@dataclass(slots=True)
class OddityLog:
    """Collect oddities, keeping a first few of each kind and counting all."""

    kept: list[Oddity] = field(default_factory=list)
    count: int = 0
    _by_code: dict[OddityCode, int] = field(default_factory=dict)

    def add(self, code: OddityCode, offset: int, tag: int, depth: int) -> None:
        """Note one; only the first eight of a kind keep their place."""
        self.count += 1
        seen = self._by_code.get(code, 0)
        self._by_code[code] = seen + 1
        if seen < 8 and len(self.kept) < ODDITIES_KEPT_MAX:
            self.kept.append(Oddity(code, offset, tag, depth))


def packed(kind: str, data: bytes | bytearray) -> array[int]:
    """Read little-endian unsigned integers ("I" 32 bits, "Q" 64); a ragged tail is dropped."""
    numbers = array(kind)
    whole = len(data) - len(data) % numbers.itemsize
    numbers.frombytes(bytes(data[:whole]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
