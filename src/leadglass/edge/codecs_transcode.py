"""Another transfer syntax for a stored object, byte for byte where only the notation changes (PS3.5 §7, Annex A).

Runs in the codec worker only. Values are not interpreted: text, numbers and private data keep their bytes, numbers
turn their byte order where the source is big endian. Sequences come out with undefined lengths, so the stream never
waits for its end. Encapsulated pixel data is decoded frame by frame.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from leadglass.dicom.dictionary import SEQUENCES, row_of, vr_of
from leadglass.dicom.syntaxes import TransferSyntax
from leadglass.edge.codecs import CodecError
from leadglass.edge.codecs_object import StoredObject, sample_bytes
from leadglass.limits import DATASET_DEPTH_MAX, DECODE_HEAD_BYTES_MAX

__all__ = ["part10_head", "rewritten_dataset"]

_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_WIDTH = {
    "AT": 2,
    "FD": 8,
    "FL": 4,
    "OD": 8,
    "OF": 4,
    "OL": 4,
    "OV": 8,
    "OW": 2,
    "SL": 4,
    "SS": 2,
    "SV": 8,
    "UL": 4,
    "US": 2,
    "UV": 8,
}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


@dataclass(frozen=True, slots=True)
class _Header:
    tag: int
    vr: str
    length: int


@dataclass(frozen=True, slots=True)
class _Notation:
    """How the source is written, and whether its US-or-SS values are signed."""

    is_implicit: bool
    order: str
    is_signed: bool

    def header(self, file: BinaryIO) -> _Header | None:
        """Read one element header; None at the end."""
        start = file.read(8)
        if len(start) < 8:
            return None
        group, element = struct.unpack_from(self.order + "HH", start)
        tag = group << 16 | element
        if group == 0xFFFE or self.is_implicit:
            (length,) = struct.unpack_from(self.order + "L", start, 4)
            return _Header(tag, "" if group == 0xFFFE else self._vr(tag, length), length)
        vr = start[4:6].decode("latin-1")
        if vr in _LONG:
            (length,) = struct.unpack(self.order + "L", file.read(4))
        elif vr.isalpha() and vr.isupper():
            (length,) = struct.unpack_from(self.order + "H", start, 6)
        else:
            (length,) = struct.unpack_from(self.order + "L", start, 4)
            vr = self._vr(tag, length)
        return _Header(tag, vr, length)

    def _vr(self, tag: int, length: int) -> str:
        if tag in SEQUENCES or length == _UNDEFINED:
            return "SQ"
        row = row_of(tag)
        if row is not None and row[0] == "US or SS":
            return "SS" if self.is_signed else "US"
        return vr_of(tag)


def part10_head(obj: StoredObject, syntax: TransferSyntax) -> bytes:
    """Write preamble and group 0002 anew for another transfer syntax (PS3.10 §7.1); the preamble is zero."""
    out = io.BytesIO()
    for tag in sorted(int(t) for t in obj.meta.keys()):  # noqa: SIM118  a Dataset iterates over elements
        raw = obj.meta.get_item(tag)
        if tag in (0x00020000, 0x00020010) or raw is None:
            continue
        value = raw.value if isinstance(raw.value, bytes) else b""
        if not value and raw.value:
            value = str(raw.value).encode("ascii", "replace")
        out.write(_explicit(tag, str(raw.VR), _padded(value, str(raw.VR))))
        if tag == 0x00020003:
            out.write(_explicit(0x00020010, "UI", _padded(syntax.uid.encode(), "UI")))
    body = out.getvalue()
    if b"\x02\x00\x10\x00UI" not in body:
        body += _explicit(0x00020010, "UI", _padded(syntax.uid.encode(), "UI"))
    return b"\0" * 128 + b"DICM" + _explicit(0x00020000, "UL", struct.pack("<L", len(body))) + body


def _padded(value: bytes, vr: str) -> bytes:
    return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ") * (len(value) & 1)


def _explicit(tag: int, vr: str, value: bytes) -> bytes:
    return _element_header(tag, vr, len(value), implicit=False) + value


def _element_header(tag: int, vr: str, length: int, *, implicit: bool) -> bytes:
    if implicit or not vr:
        return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)
    if vr not in _LONG and length > 0xFFFF:
        vr = "UN"
    if vr in _LONG:
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode("latin-1"), 0, length)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode("latin-1"), length)


def rewritten_dataset(obj: StoredObject, target: TransferSyntax) -> Iterator[bytes]:
    """Stream the data set in a native little-endian syntax (implicit, explicit or deflated explicit)."""
    if target.is_encapsulated or not target.is_little_endian:
        raise CodecError("Objects are rewritten to native little-endian syntaxes only.", clause="PS3.5 Annex A")
    chunks = _native(obj, target.is_implicit)
    if not target.is_deflated:
        yield from chunks
        return
    engine, total = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS), 0
    for chunk in chunks:
        packed = engine.compress(chunk)
        total += len(packed)
        yield packed
    last = engine.flush()
    yield last + b"\0" * (total + len(last) & 1)


def _native(obj: StoredObject, implicit: bool) -> Iterator[bytes]:
    signed = bool(obj.head.get("PixelRepresentation", 0))
    source = _Notation(obj.syntax.is_implicit, "<" if obj.syntax.is_little_endian else ">", signed)
    overrides = _description(obj) if obj.is_encapsulated else {}
    end = obj.tail_start() if obj.pixel is None else obj.pixel.start
    obj.file.seek(obj.data_start)
    yield from _elements(obj.file, end, source, implicit, overrides)
    if obj.pixel is None:
        return
    yield from _pixels(obj, implicit)
    start = obj.tail_start()
    end = obj.file.seek(0, io.SEEK_END)
    obj.file.seek(start)
    yield from _elements(obj.file, end, source, implicit, {})


def _description(obj: StoredObject) -> dict[int, bytes | None]:
    """Say what the decoded frames are: colour by pixel, and RGB where the codec undid a transform."""
    _array, form = obj.frame(1)
    changed: dict[int, bytes | None] = {0x7FE00001: None, 0x7FE00002: None, 0x7FE00003: None}
    if form.samples > 1:
        changed[0x00280004] = _padded(form.photometric.encode("ascii"), "CS")
        changed[0x00280006] = b"\0\0"
    return changed


def _pixels(obj: StoredObject, implicit: bool) -> Iterator[bytes]:
    if obj.pixel is None:
        return
    if obj.pixel.length is not None:
        yield _element_header(obj.pixel.tag, obj.pixel.vr, obj.pixel.length, implicit=implicit)
        yield from _copied(obj, obj.pixel.offset, obj.pixel.length)
        return
    form = obj.form()
    bits = form.pixels * form.samples * form.bits_allocated
    size = (bits * form.frames + 7) // 8 if form.bits_allocated == 1 else bits // 8 * form.frames
    if size + (size & 1) >= _UNDEFINED:
        raise CodecError("The decoded pixel data would not fit a native element.", clause="PS3.5 §7.1")
    yield _element_header(0x7FE00010, "OW" if form.bits_allocated > 8 else "OB", size + (size & 1), implicit=implicit)
    yield from obj.native_frames()
    yield b"\0" * (size & 1)


def _copied(obj: StoredObject, offset: int, length: int) -> Iterator[bytes]:
    """Copy native pixel data, turning big-endian words (PS3.5 §7.3: the VR says the width)."""
    pixel = obj.pixel
    width = 1
    if pixel is not None and not obj.syntax.is_little_endian:
        width = sample_bytes(int(obj.head.get("BitsAllocated", 8) or 8), pixel.vr)
    obj.file.seek(offset)
    left = length
    while left:
        chunk = obj.file.read(min(left, 1 << 20))
        if not chunk:
            raise CodecError("Pixel Data ends before its length.", clause="PS3.5 §7.1")
        left -= len(chunk)
        yield _turned(chunk, width)


def _turned(value: bytes, width: int) -> bytes:
    if width == 1 or len(value) % width:
        return value
    return np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()


def _elements(
    file: BinaryIO, end: int, source: _Notation, implicit: bool, overrides: dict[int, bytes | None], depth: int = 0
) -> Iterator[bytes]:
    """Rewrite elements until `end` or a delimiter; sequences by recursion bounded by the depth limit."""
    if depth > DATASET_DEPTH_MAX:
        raise CodecError("Sequences are nested too deep.", clause="PS3.5 §7.5")
    while file.tell() < end:
        header = source.header(file)
        if header is None or header.tag in (_ITEM_END, _SEQUENCE_END):
            return
        if header.length == _UNDEFINED and (header.tag in _PIXELS or header.vr in ("OB", "OW")):
            yield from _kept_fragments(file, header, implicit)
        elif header.vr == "SQ" or header.length == _UNDEFINED:
            inner = _Notation(True, "<", source.is_signed) if header.vr == "UN" else source
            yield _element_header(header.tag, "SQ", _UNDEFINED, implicit=implicit)
            yield from _items(file, header.length, end, inner, implicit, depth)
            yield struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        else:
            yield from _value(file, header, source, implicit, overrides)


def _value(
    file: BinaryIO, header: _Header, source: _Notation, implicit: bool, overrides: dict[int, bytes | None]
) -> Iterator[bytes]:
    if header.length > DECODE_HEAD_BYTES_MAX:
        raise CodecError("A value outside pixel data is too long.")
    value = file.read(header.length)
    if len(value) < header.length:
        raise CodecError("A value ends before its length.", clause="PS3.5 §7.1")
    if header.tag & 0xFFFF == 0 and header.tag >> 16 > 2:
        return  # group lengths no longer hold (PS3.5 §7.2: retired)
    if header.tag in overrides:
        changed = overrides[header.tag]
        if changed is None:
            return
        value = changed
    elif source.order == ">":
        value = _turned(value, _WIDTH.get(header.vr, 1))
    yield _element_header(header.tag, header.vr, len(value), implicit=implicit) + value


def _items(file: BinaryIO, length: int, end: int, source: _Notation, implicit: bool, depth: int) -> Iterator[bytes]:
    stop = end if length == _UNDEFINED else file.tell() + length
    while file.tell() < stop:
        header = source.header(file)
        if header is None or header.tag == _SEQUENCE_END:
            return
        if header.tag != _ITEM:
            raise CodecError("A sequence holds something other than items.", clause="PS3.5 §7.5")
        yield struct.pack("<HHL", 0xFFFE, 0xE000, _UNDEFINED)
        inside = stop if header.length == _UNDEFINED else file.tell() + header.length
        if inside > file.tell():
            yield from _elements(file, inside, source, implicit, {}, depth + 1)
        yield struct.pack("<HHL", 0xFFFE, 0xE00D, 0)


def _kept_fragments(file: BinaryIO, header: _Header, implicit: bool) -> Iterator[bytes]:
    """Copy encapsulated pixel data inside an item (an icon image) as it is."""
    yield _element_header(header.tag, "OB", _UNDEFINED, implicit=implicit)
    while True:
        start = file.read(8)
        if len(start) < 8:
            raise CodecError("Encapsulated pixel data has no end.", clause="PS3.5 A.4")
        length = int.from_bytes(start[4:], "little")
        yield start + file.read(min(length, DECODE_HEAD_BYTES_MAX))
        if start[:4] == b"\xfe\xff\xdd\xe0":
            return
