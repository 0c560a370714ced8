"""The items of a PDU: one byte type, one reserved, two bytes length, value (PS3.8 §9.3.1).

Every length is checked against the region that holds it before a byte of the value is read, and a
value is sliced from bytes that have already arrived, so a claimed length never allocates.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from leadglass.dicom.values import UID
from leadglass.errors import PeerError

_HEADER = struct.Struct(">BxH")
_U16 = struct.Struct(">H")
LENGTH_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class RawItem:
    """An item this house does not know, kept as it came (PS3.8 §9.3.1 says to ignore it)."""

    item_type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a PDU whose ends are known to lie inside it; `clause` says which rule shaped it."""

    body: bytes
    start: int
    end: int
    clause: str

    @property
    def length(self) -> int:
        """Give the number of bytes."""
        return self.end - self.start

    @property
    def data(self) -> bytes:
        """Give a copy of the bytes."""
        return self.body[self.start : self.end]

    def items(self) -> Iterator[tuple[int, Region]]:
        """Iterate over (type, value) of the items that fill the region exactly."""
        start = self.start
        while start < self.end:
            if self.end - start < 4:
                raise self.fault("A few bytes are left over where an item should start.", code="item-length")
            item_type, length = _HEADER.unpack_from(self.body, start)
            start += 4
            if length > self.end - start:
                raise self.fault(
                    f"Item {item_type:02X}H claims more bytes than its enclosing item has.", code="item-length"
                )
            yield item_type, Region(self.body, start, start + length, self.clause)
            start += length

    def under(self, clause: str) -> Region:
        """Give the same bytes, read under another clause."""
        return Region(self.body, self.start, self.end, clause)

    def exactly(self, length: int) -> bytes:
        """Give the bytes if there are exactly `length` of them."""
        if self.length != length:
            raise self.fault(f"The value must be {length} bytes long and is {self.length}.", code="item-length")
        return self.data

    def skip(self, length: int) -> Region:
        """Give the region after its first `length` bytes."""
        if length > self.length:
            raise self.fault("The item is too short for its fixed fields.", code="item-length")
        return Region(self.body, self.start + length, self.end, self.clause)

    def take_counted(self) -> tuple[Region, Region]:
        """Read a two-byte length and that many bytes; give them and the rest."""
        if self.length < 2:
            raise self.fault("The item ends inside a length.", code="item-length")
        start = self.start + 2
        length = _U16.unpack_from(self.body, self.start)[0]
        if length > self.end - start:
            raise self.fault("A field claims more bytes than its item has.", code="item-length")
        return (
            Region(self.body, start, start + length, self.clause),
            Region(self.body, start + length, self.end, self.clause),
        )

    def uid(self) -> UID:
        """Read the whole region as a UID."""
        return UID.parse(self.data)

    def fault(self, message: str, *, code: str) -> PeerError:
        """Make the error for a rule of this region's clause."""
        return PeerError(message, code=code, clause=self.clause)


def encode_item(item_type: int, value: bytes) -> bytes:
    """Put a value into an item."""
    assert len(value) <= LENGTH_MAX, "an item holds at most 65535 bytes"
    return _HEADER.pack(item_type, len(value)) + value


def encode_counted(value: bytes) -> bytes:
    """Put a two-byte length before a value."""
    assert len(value) <= LENGTH_MAX, "a field holds at most 65535 bytes"
    return _U16.pack(len(value)) + value
