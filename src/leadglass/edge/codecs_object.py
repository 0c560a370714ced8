"""A stored Part 10 file seen from the codec worker: its data set, where its pixel data lies, one frame of it.

Runs in the codec worker only. pydicom reads the data set outside pixel data; pixel data is never read whole.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, TransferSyntax, transfer_syntax
from leadglass.edge.codecs import CodecError, PixelFormat, Pixels, decode_frame, frame_array
from leadglass.limits import DECODE_HEAD_BYTES_MAX, FRAME_BYTES_MAX, PIXEL_FRAGMENTS_MAX

__all__ = ["Fragments", "PixelLocation", "StoredObject", "sample_bytes"]

Fragments = Sequence[Sequence[tuple[int, int]]]
Known = Mapping[int, Sequence[tuple[int, int]]]

_FLOATING = {0x7FE00008: True, 0x7FE00009: True, 0x7FE00010: False}
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PixelLocation:
    """Where pixel data lies: its tag and VR, where its element and its value begin, its length (None: encapsulated)."""

    tag: int
    vr: str
    start: int
    offset: int
    length: int | None


class StoredObject:
    """One object over a seekable file. `known` may tell where a frame's fragments lie, by its number."""

    def __init__(self, file: BinaryIO, *, known: Known | None = None) -> None:
        """Read the meta information and the data set up to its pixel data."""
        self.meta, self.meta_end = _read_meta(file)
        self.stored_syntax = transfer_syntax(str(self.meta.get("TransferSyntaxUID", EXPLICIT_LITTLE.uid)))
        self.syntax: TransferSyntax = self.stored_syntax
        self.file = file
        self._known: Known = known or {}
        self._frames: Fragments = ()
        if self.stored_syntax.is_deflated:
            self.file = _inflated(file, self.meta_end)
            self.syntax = EXPLICIT_LITTLE
            self.data_start = 0
        else:
            self.data_start = self.meta_end
        self.file.seek(self.data_start)
        self.head = self._read(self.file, stop_at_pixels=True)
        after = self.file.tell()
        if not self.syntax.is_little_endian:
            self.head.walk(_turn_words)
        self.file.seek(after)
        self.pixel = self._locate()

    @property
    def is_encapsulated(self) -> bool:
        """Tell whether the pixel data is a sequence of fragments."""
        return self.pixel is not None and self.pixel.length is None

    def _read(self, file: BinaryIO, *, stop_at_pixels: bool) -> Dataset:
        def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
            return int(tag) in _FLOATING

        return read_dataset(
            file, self.syntax.is_implicit, self.syntax.is_little_endian, stop_when=at_pixels if stop_at_pixels else None
        )

    def _locate(self) -> PixelLocation | None:
        start = self.file.tell()
        header = self.file.read(12)
        if len(header) < 8:
            return None
        order = "<" if self.syntax.is_little_endian else ">"
        group, element = struct.unpack_from(order + "HH", header)
        tag = group << 16 | element
        if tag not in _FLOATING:
            return None
        if header[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN"):
            vr, size, (length,) = header[4:6].decode(), 12, struct.unpack_from(order + "L", header, 8)
        else:
            vr, size, (length,) = "OW", 8, struct.unpack_from(order + "L", header, 4)
        return PixelLocation(tag, vr, start, start + size, None if length == _UNDEFINED else length)

    def tail(self) -> Dataset:
        """Read what follows the pixel data."""
        if self.pixel is None:
            return Dataset()
        self.file.seek(self.tail_start())
        return self._read(self.file, stop_at_pixels=False)

    def tail_start(self) -> int:
        """Give the offset of the first element after the pixel data."""
        if self.pixel is None:
            return self.file.seek(0, io.SEEK_END)
        if self.pixel.length is not None:
            return self.pixel.offset + self.pixel.length
        return self._scan()[1]

    def form(self) -> PixelFormat:
        """Give the image pixel description; raises CodecError where the object has no picture."""
        if self.pixel is None:
            raise CodecError("The object has no pixel data.", clause="PS3.3 C.7.6.3")
        head, floating = self.head, _FLOATING[self.pixel.tag]
        try:
            allocated = int(head.BitsAllocated)
            stored = allocated if floating else int(head.get("BitsStored", allocated) or allocated)
            return PixelFormat(
                int(head.Rows),
                int(head.Columns),
                int(head.get("SamplesPerPixel", 1) or 1),
                allocated,
                stored,
                int(head.get("HighBit", stored - 1) or stored - 1),
                bool(head.get("PixelRepresentation", 0)),
                int(head.get("PlanarConfiguration", 0) or 0),
                str(head.get("PhotometricInterpretation", "MONOCHROME2")).strip(),
                int(head.get("NumberOfFrames", 1) or 1),
                floating,
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise CodecError("The image pixel description is not complete.", clause="PS3.3 C.7.6.3") from error

    def frame(self, number: int) -> tuple[Pixels, PixelFormat]:
        """Decode frame `number`, counted from 1; colour by pixel, little endian."""
        form = self.form()
        if not 1 <= number <= form.frames:
            raise CodecError(f"The object has {form.frames} frame(s).", clause="PS3.18 §10.4.1.1.4")
        if self.is_encapsulated:
            return decode_frame(self.syntax.uid, self.code_stream(number), form)
        return self._native_frame(number, form)

    def _native_frame(self, number: int, form: PixelFormat) -> tuple[Pixels, PixelFormat]:
        if self.pixel is None or self.pixel.length is None:
            raise CodecError("The pixel data is encapsulated.")
        if form.is_subsampled and self.pixel.length >= form.pixels * 3 * form.frames:
            form = _with(form, photometric="YBR_FULL")
        first = (number - 1) * form.frame_bits
        start, end = first // 8, (first + form.frame_bits + 7) // 8
        shift = 0
        if not self.syntax.is_little_endian and form.bits_allocated == 8 and self.pixel.vr == "OW":
            shift = start & 1
            start, end = start - shift, end + (end - start + shift & 1)
        if end > self.pixel.length + 1:
            raise CodecError("Pixel Data ends before the frame does.", clause="PS3.5 §8.1.1")
        self.file.seek(self.pixel.offset + start)
        native = self.file.read(end - start)
        if not self.syntax.is_little_endian:
            native = _swapped(native, form, self.pixel.vr)[shift:]
        array = frame_array(native, form, first_bit=first % 8)
        photometric = "YBR_FULL" if form.is_subsampled else form.photometric
        return array, _with(form, photometric=photometric, planar=0)

    def native_bytes(self, number: int) -> tuple[bytes, PixelFormat]:
        """Give one frame as it lies in native little-endian pixel data: one-bit frames are packed again."""
        array, form = self.frame(number)
        if form.bits_allocated == 1:
            return np.packbits(array.astype(np.uint8).reshape(-1), bitorder="little").tobytes(), form
        return array.astype(form.dtype, copy=False).tobytes(), form

    def native_frames(self) -> Iterator[bytes]:
        """Give the value of native little-endian pixel data, without its padding to even length.

        Frames of single bits follow each other without a gap (PS3.5 §8.1.1), so they are packed together.
        """
        form = self.form()
        if form.bits_allocated == 1:
            flat = np.concatenate([self.frame(n)[0].reshape(-1) for n in range(1, form.frames + 1)])
            yield np.packbits(flat.astype(np.uint8), bitorder="little").tobytes()
            return
        for number in range(1, form.frames + 1):
            yield self.native_bytes(number)[0]

    def code_stream(self, number: int) -> bytes:
        """Give one encapsulated frame as stored, its fragments joined."""
        ranges = self._known.get(number)
        if ranges is None:
            frames = self._frames or self.scan_frames()
            if not 1 <= number <= len(frames):
                raise CodecError("The pixel data has no such frame.", clause="PS3.5 A.4")
            ranges = frames[number - 1]
        if sum(length for _offset, length in ranges) > FRAME_BYTES_MAX:
            raise CodecError("One frame is larger than this hub decodes.")
        parts = []
        for offset, length in ranges:
            self.file.seek(offset)
            parts.append(self.file.read(length))
        return b"".join(parts)

    def scan_frames(self) -> Fragments:
        """Find each frame's fragments: by offset table, one for each frame, or where code streams begin."""
        fragments, _end, table = self._scan()
        count = self.form().frames
        if count == 1:
            self._frames = [fragments]
        elif len(fragments) == count:
            self._frames = [[fragment] for fragment in fragments]
        else:
            starts = self._starts(fragments, table, count)
            edges = [*starts, len(fragments)]
            self._frames = [fragments[a:b] for a, b in pairwise(edges)]
        return self._frames

    def _starts(self, fragments: list[tuple[int, int]], table: Sequence[int], count: int) -> list[int]:
        if not table:
            raw = self.head.get_item("ExtendedOffsetTable").value if "ExtendedOffsetTable" in self.head else b""
            value = raw if isinstance(raw, bytes) else b""
            table = struct.unpack(f"<{len(value) // 8}Q", value[: len(value) // 8 * 8])
        if len(table) >= count and fragments:
            base = fragments[0][0] - 8
            by_offset = {offset - 8 - base: index for index, (offset, _length) in enumerate(fragments)}
            starts = [by_offset[offset] for offset in table if offset in by_offset]
        else:
            starts = []
            for index, (offset, _length) in enumerate(fragments):
                self.file.seek(offset)
                if self.file.read(3) in (b"\xff\xd8\xff", b"\xff\x4f\xff"):
                    starts.append(index)
        if len(starts) != count:
            raise CodecError("Fragments cannot be assigned to frames.", clause="PS3.5 A.4")
        return starts

    def _scan(self) -> tuple[list[tuple[int, int]], int, tuple[int, ...]]:
        if self.pixel is None:
            raise CodecError("The object has no pixel data.")
        at, fragments, table = self.pixel.offset, list[tuple[int, int]](), b""
        for index in range(PIXEL_FRAGMENTS_MAX):
            self.file.seek(at)
            header = self.file.read(8)
            if len(header) < 8:
                raise CodecError("Encapsulated pixel data has no end.", clause="PS3.5 A.4")
            tag, length = header[:4], int.from_bytes(header[4:], "little")
            if tag == b"\xfe\xff\xdd\xe0":
                return fragments, at + 8, struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
            if tag != b"\xfe\xff\x00\xe0" or length == _UNDEFINED:
                raise CodecError("Encapsulated pixel data holds something other than items.", clause="PS3.5 A.4")
            if index == 0:
                table = self.file.read(min(length, 4 * PIXEL_FRAGMENTS_MAX))
            else:
                fragments.append((at + 8, length))
            at += 8 + length
        raise CodecError("Encapsulated pixel data has too many fragments.", clause="PS3.5 A.4")


def _turn_words(_data: Dataset, element: DataElement) -> None:
    """Turn OW values of a big-endian data set, which pydicom leaves as they lie (PS3.5 §7.3)."""
    if element.VR == "OW" and isinstance(element.value, bytes):
        element.value = np.frombuffer(element.value[: len(element.value) // 2 * 2], ">u2").astype("<u2").tobytes()


def _with(form: PixelFormat, *, photometric: str | None = None, planar: int | None = None) -> PixelFormat:
    return replace(
        form,
        photometric=form.photometric if photometric is None else photometric,
        planar=form.planar if planar is None else planar,
    )


def sample_bytes(bits_allocated: int, vr: str) -> int:
    """Give the unit whose bytes a big-endian object turns: a sample, or a word of OW that holds several."""
    return max(bits_allocated // 8, 2 if vr == "OW" else 1)


def _swapped(native: bytes, form: PixelFormat, vr: str) -> bytes:
    """Turn big-endian pixel data round: by word for OW, by sample where samples are wider (PS3.5 §7.3, §8.1.1)."""
    width = sample_bytes(form.bits_allocated, vr)
    if width == 1:
        return native
    whole = len(native) // width * width
    return np.frombuffer(native[:whole], f">u{width}").astype(f"<u{width}").tobytes() + native[whole:]


def _read_meta(file: BinaryIO) -> tuple[Dataset, int]:
    """Read group 0002 (PS3.10 §7.1); it ends where the group changes, whatever its length element says."""
    file.seek(0)
    if file.read(132)[128:] != b"DICM":
        raise CodecError("The object is not a Part 10 file.", clause="PS3.10 §7.1")
    end = 132
    while True:
        file.seek(end)
        header = file.read(12)
        if len(header) < 8 or header[:2] != b"\x02\x00" or end > 1 << 20:
            break
        long = header[4:6] in _LONG
        end += 12 + int.from_bytes(header[8:12], "little") if long else 8 + int.from_bytes(header[6:8], "little")
    file.seek(132)
    return read_dataset(io.BytesIO(file.read(end - 132)), False, True), end


def _inflated(file: BinaryIO, start: int) -> BinaryIO:
    """Inflate a deflated data set (PS3.5 A.5) within what a worker may hold."""
    file.seek(start)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    out = bytearray()
    while not engine.eof and (chunk := engine.unconsumed_tail or file.read(1 << 16)):
        out += engine.decompress(chunk, 1 << 20)
        if len(out) > DECODE_HEAD_BYTES_MAX:
            raise CodecError("The deflated data set is larger than this hub inflates here.", clause="PS3.5 A.5")
    return io.BytesIO(bytes(out))
