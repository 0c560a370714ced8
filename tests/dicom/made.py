"""Data sets made by hand, byte by byte, so that a test says what it feeds; and the real files beside the checkout."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from leadglass.dicom.visitor import Buffer

SHARED = Path(__file__).parents[2] / "../shared/data"
CLEAN = SHARED / "dicom-clean"
SPECIMENS = SHARED / "specimens"

LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])


def element(tag: int, vr: str, value: bytes, length: int | None = None, order: str = "<") -> bytes:
    """Write an explicit element; `length` overrides the true one."""
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    head += struct.pack(order + "HI", 0, length) if vr in LONG else struct.pack(order + "H", length)
    return head + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    """Write an implicit element."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(body: bytes, *, is_defined: bool = True, order: str = "<") -> bytes:
    """Write an item around a data set."""
    head = struct.pack(order + "HHI", 0xFFFE, 0xE000, len(body) if is_defined else 0xFFFFFFFF)
    return head + body + (b"" if is_defined else struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0))


def sequence(tag: int, *items: bytes, is_defined: bool = True, vr: str = "SQ", order: str = "<") -> bytes:
    """Write a sequence of items."""
    body = b"".join(items)
    if is_defined:
        return element(tag, vr, body, order=order)
    return element(tag, vr, body + struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0), 0xFFFFFFFF, order=order)


def encapsulated(*fragments: bytes, table: bytes = b"") -> bytes:
    """Write encapsulated pixel data."""
    return sequence(0x7FE00010, item(table), *map(item, fragments), is_defined=False, vr="OB")


def real_files(pattern: str = "*.dcm", folder: Path = CLEAN) -> list[Path]:
    """List real files, or skip where the shared data is absent."""
    if not folder.is_dir():
        pytest.skip(f"the shared data set {folder.name} is not beside this checkout")
    return sorted(folder.glob(pattern))


class Recorder:
    """A visitor that keeps everything, for comparing walks."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self._value = bytearray()

    def begin_element(self, tag: int, vr: bytes, length: int, offset: int) -> bool:
        self._value.clear()
        self.events.append(("element", tag, vr, length, offset))
        return True

    def value(self, data: Buffer, is_last: bool) -> None:
        self._value += data
        if is_last:
            self.events.append(("value", bytes(self._value)))

    def begin_sequence(self, tag: int, vr: bytes, offset: int) -> None:
        self.events.append(("sequence", tag, vr, offset))

    def end_sequence(self) -> None:
        self.events.append(("end",))

    def begin_item(self, offset: int) -> None:
        self.events.append(("item", offset))

    def end_item(self) -> None:
        self.events.append(("end item",))
