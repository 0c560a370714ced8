"""Code streams of PS3.5 §8 and §10 become arrays: one frame in, one array out.

Runs in the codec worker only (codec_worker.py): the codecs are C libraries over hostile bytes. What a code
stream claims of its size is held against the data set and `limits` before a codec runs. MPEG, HEVC and JPIP
are not decoded.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from leadglass.errors import PeerError
from leadglass.limits import FRAME_BYTES_MAX, FRAME_SIDE_MAX

__all__ = ["DECODABLE", "CodecError", "PixelFormat", "decode_frame", "frame_array"]

Pixels = NDArray[np.generic]

_RLE = "1.2.840.10008.1.2.5"
_JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
_JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
_JPEG_XL = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112))

_FRAME_DEFLATED = "1.2.840.10008.1.2.8.1"

DECODABLE = frozenset({_RLE, _FRAME_DEFLATED}) | _JPEG_LOSSY | _JPEG_LOSSLESS | _JPEG_LS | _JPEG_2000 | _JPEG_XL
"""Encapsulated transfer syntaxes whose frames can be decoded."""


class CodecError(PeerError):
    """The pixel data cannot become a picture."""

    def __init__(self, message: str, *, clause: str = "PS3.5 §8") -> None:
        super().__init__(message, code="pixel-data", clause=clause)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The image pixel description (PS3.3 C.7.6.3). `floating` is true for float and double pixel data."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    planar: int
    photometric: str
    frames: int
    floating: bool = False

    def __post_init__(self) -> None:
        """Refuse a description no picture can have, before anything is allocated for it."""
        if not (1 <= self.rows <= FRAME_SIDE_MAX and 1 <= self.columns <= FRAME_SIDE_MAX):
            raise CodecError("Rows and Columns must be 1 to 65535.", clause="PS3.3 C.7.6.3")
        if self.samples not in (1, 3, 4) or self.bits_allocated not in (1, 8, 16, 32, 64) or self.frames < 1:
            raise CodecError(
                "Samples per Pixel, Bits Allocated or Number of Frames is not one the standard knows.",
                clause="PS3.3 C.7.6.3",
            )
        if not 1 <= self.bits_stored <= self.bits_allocated:
            raise CodecError("Bits Stored exceeds Bits Allocated.", clause="PS3.5 §8.1.1")
        if self.pixels * self.samples * max(1, self.bits_allocated // 8) > FRAME_BYTES_MAX:
            raise CodecError("One frame would be larger than this hub decodes.")

    @property
    def pixels(self) -> int:
        """Pixels in one frame."""
        return self.rows * self.columns

    @property
    def is_subsampled(self) -> bool:
        """Tell whether native frames hold one chroma pair for two pixels (PS3.3 C.7.6.3.1.2)."""
        return self.photometric == "YBR_FULL_422" and self.samples == 3 and self.bits_allocated == 8

    @property
    def frame_bits(self) -> int:
        """Length of one native frame in bits; one-bit frames need not end on a byte (PS3.5 §8.1.1)."""
        samples = 2 if self.is_subsampled else self.samples
        return self.pixels * samples * self.bits_allocated

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Array type of one sample."""
        if self.floating:
            return np.dtype(f"<f{self.bits_allocated // 8}")
        return np.dtype(f"<{'i' if self.is_signed else 'u'}{max(1, self.bits_allocated // 8)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Array shape of one frame, colour by pixel."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)


def frame_array(native: bytes, form: PixelFormat, *, first_bit: int = 0) -> Pixels:
    """Arrange one native little-endian frame as an array, colour by pixel.

    `first_bit` is where a one-bit frame begins in its first byte. Subsampled chroma is repeated.
    """
    if form.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(native, np.uint8), bitorder="little")[first_bit:]
        return _shaped(bits[: form.pixels * form.samples], form)
    if form.is_subsampled:
        pairs = np.frombuffer(native, np.uint8)[: form.pixels * 2].reshape(-1, 4)
        out = np.empty((pairs.shape[0], 2, 3), np.uint8)
        out[:, 0, 0], out[:, 1, 0] = pairs[:, 0], pairs[:, 1]
        out[:, :, 1:] = pairs[:, None, 2:]
        return _shaped(out.reshape(-1), replace(form, planar=0))
    count = form.pixels * form.samples
    if len(native) < count * form.dtype.itemsize:
        raise CodecError("Pixel Data ends before the frame does.", clause="PS3.5 §8.1.1")
    return _shaped(np.frombuffer(native, form.dtype, count), form)


def _shaped(flat: Pixels, form: PixelFormat) -> Pixels:
    if flat.size < form.pixels * form.samples:
        raise CodecError("Pixel Data ends before the frame does.", clause="PS3.5 §8.1.1")
    if form.samples > 1 and form.planar == 1:
        planes = flat.reshape(form.samples, form.rows, form.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return flat.reshape(form.shape)


def decode_frame(syntax: str, code_stream: bytes, form: PixelFormat) -> tuple[Pixels, PixelFormat]:
    """Decode one frame; gives the array, colour by pixel, and the description that now fits it.

    JPEG colour becomes RGB (the codec undoes its own transform); RLE, JPEG-LS and lossless JPEG keep their colour
    space. Raises CodecError for a code stream that is broken or differs from the data set in size.
    """
    plain = replace(form, planar=0)
    try:
        if syntax in _JPEG_LOSSY:
            return _decode_jpeg(code_stream, plain)
        if syntax in _JPEG_LOSSLESS:
            _check_size(_jpeg_size(code_stream), form)
            return _fitted(_decode_sof3(code_stream), plain), plain
        if syntax in _JPEG_LS:
            _check_size(_jpeg_size(code_stream), form)
            return _fitted(imagecodecs.jpegls_decode(code_stream), plain), plain
        if syntax in _JPEG_2000:
            return _decode_jpeg2000(code_stream, plain)
        if syntax in _JPEG_XL:
            array = imagecodecs.jpegxl_decode(code_stream)
            return _fitted(array, plain), replace(plain, photometric="RGB" if form.samples == 3 else form.photometric)
        if syntax == _RLE:
            return _decode_rle(code_stream, form), plain
        if syntax == _FRAME_DEFLATED:
            return _decode_deflated(code_stream, form), plain
    except CodecError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, struct.error, MemoryError) as error:
        raise CodecError(f"The code stream cannot be decoded ({type(error).__name__}).") from error
    raise CodecError("Frames of this transfer syntax are not decoded here.", clause="PS3.5 §10")


@dataclass(frozen=True, slots=True)
class _Size:
    rows: int
    columns: int
    components: int
    precision: int
    is_signed: bool = False
    colour: str = ""


def _check_size(size: _Size, form: PixelFormat) -> None:
    if (size.rows, size.columns, size.components) != (form.rows, form.columns, form.samples):
        raise CodecError("The code stream's size differs from Rows, Columns or Samples per Pixel.", clause="PS3.5 §8.2")


def _jpeg_size(code_stream: bytes) -> _Size:
    """Read the frame header of a JPEG or JPEG-LS stream (ITU-T T.81 B.2.2) and which colour space it says it is."""
    view, at, jfif, adobe = memoryview(code_stream), 2, False, -1
    if bytes(view[:2]) != b"\xff\xd8":
        raise CodecError("A JPEG code stream does not begin with SOI.", clause="ITU-T T.81 B.2")
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            raise CodecError("A JPEG code stream has no marker where one must be.", clause="ITU-T T.81 B.1.1")
        marker = view[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = int.from_bytes(view[at + 2 : at + 4], "big")
        body = view[at + 4 : at + 2 + length]
        if marker == 0xE0 and bytes(body[:4]) == b"JFIF":
            jfif = True
        elif marker == 0xEE and bytes(body[:5]) == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            precision, rows, columns, components = struct.unpack_from(">BHHB", body)
            identifiers = bytes(body[6 : 6 + 3 * components : 3])
            return _Size(rows, columns, components, precision, colour=_jpeg_colour(identifiers, jfif, adobe))
        at += 2 + length
    raise CodecError("A JPEG code stream has no frame header.", clause="ITU-T T.81 B.2.2")


def _jpeg_colour(identifiers: bytes, jfif: bool, adobe: int) -> str:
    if identifiers == b"RGB" or adobe == 0:
        return "RGB"
    if jfif or adobe > 0:
        return "YBR"
    return ""


def _decode_jpeg(code_stream: bytes, form: PixelFormat) -> tuple[Pixels, PixelFormat]:
    size = _jpeg_size(code_stream)
    _check_size(size, form)
    if form.samples == 1:
        return _fitted(imagecodecs.jpeg8_decode(code_stream), form), form
    colour = size.colour or ("RGB" if form.photometric == "RGB" else "YBR")
    space = "rgb" if colour == "RGB" else "ycbcr"
    array = imagecodecs.jpeg8_decode(code_stream, colorspace=space, outcolorspace="rgb")
    return _fitted(array, form), replace(form, photometric="RGB")


def _decode_sof3(code_stream: bytes) -> Pixels:
    try:
        array: Pixels = imagecodecs.jpegsof3_decode(code_stream)
    except (RuntimeError, ValueError):
        array = imagecodecs.jpeg8_decode(code_stream)
    return array


def _decode_jpeg2000(code_stream: bytes, form: PixelFormat) -> tuple[Pixels, PixelFormat]:
    start = code_stream.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(code_stream) < start + 44:
        raise CodecError("A JPEG 2000 code stream has no SIZ marker.", clause="ITU-T T.800 A.5.1")
    right, down, left, top = struct.unpack_from(">4I", code_stream, start + 8)
    (components,) = struct.unpack_from(">H", code_stream, start + 40)
    depth = code_stream[start + 42]
    size = _Size(down - top, right - left, components, (depth & 0x7F) + 1, bool(depth & 0x80))
    _check_size(size, form)
    array = imagecodecs.jpeg2k_decode(code_stream, numthreads=1)
    if form.samples == 3 and array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3:
        array = array.transpose(1, 2, 0)
    if size.is_signed != form.is_signed and size.precision <= form.bits_allocated:
        array = _resigned(array, size.precision, form)
    photometric = "RGB" if form.photometric in ("YBR_RCT", "YBR_ICT") else form.photometric
    return _fitted(array, form), replace(form, photometric=photometric)


def _resigned(array: Pixels, precision: int, form: PixelFormat) -> Pixels:
    """Read the same bits with the data set's sign where the code stream declares the other one."""
    bits = array.astype(np.int64) & ((1 << precision) - 1)
    if form.is_signed:
        bits = np.where(bits >= 1 << (precision - 1), bits - (1 << precision), bits)
    return bits.astype(form.dtype)


def _decode_rle(code_stream: bytes, form: PixelFormat) -> Pixels:
    """Undo PS3.5 Annex G: one PackBits segment for each byte plane, most significant first."""
    planes = form.samples * max(1, form.bits_allocated // 8)
    if len(code_stream) < 64:
        raise CodecError("An RLE frame is shorter than its header.", clause="PS3.5 G.5")
    header = struct.unpack_from("<16I", code_stream)
    if header[0] != planes or header[0] > 15:
        raise CodecError("An RLE frame has not one segment for each byte of a pixel.", clause="PS3.5 G.2")
    edges = [*header[1 : planes + 1], len(code_stream)]
    if edges[0] < 64 or any(a > b for a, b in pairwise(edges)):
        raise CodecError("RLE segment offsets are not in order.", clause="PS3.5 G.5")
    size = (form.pixels + 7) // 8 if form.bits_allocated == 1 else form.pixels
    width = max(1, form.bits_allocated // 8)
    out = np.empty((form.samples, size, width), np.uint8)
    for plane in range(planes):
        segment = _unpack_bits(code_stream[edges[plane] : edges[plane + 1]], size)
        out[plane // width, :, width - 1 - plane % width] = segment
    if form.bits_allocated == 1:
        return frame_array(out.tobytes(), form)
    samples = out.reshape(form.samples, -1).view(form.dtype.newbyteorder("<"))
    return _shaped(samples.reshape(-1), replace(form, planar=1 if form.samples > 1 else 0))


def _unpack_bits(segment: bytes, size: int) -> NDArray[np.uint8]:
    """Undo PackBits (PS3.5 G.3.2); padding after the last run is allowed, a short segment is not."""
    try:
        decoded = imagecodecs.packbits_decode(segment, out=size)
    except imagecodecs.PackbitsError:
        decoded = _unpack_bits_padded(segment, size)
    if len(decoded) < size:
        raise CodecError("An RLE segment ends before the frame does.", clause="PS3.5 G.3")
    return np.frombuffer(decoded, np.uint8, size)


def _unpack_bits_padded(segment: bytes, size: int) -> bytes:
    out, at = bytearray(), 0
    while len(out) < size and at + 1 < len(segment):
        control = segment[at]
        if control < 128:
            out += segment[at + 1 : at + 2 + control]
            at += 2 + control
        elif control > 128:
            out += segment[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    return bytes(out[:size])


def _decode_deflated(code_stream: bytes, form: PixelFormat) -> Pixels:
    size = (form.frame_bits + 7) // 8
    native = zlib.decompressobj(-15).decompress(code_stream, size)
    return frame_array(native, form)


def _fitted(array: Pixels, form: PixelFormat) -> Pixels:
    """Hold a codec's answer against the data set and give it the data set's sample type."""
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.shape != form.shape:
        raise CodecError("The decoded frame differs from Rows, Columns or Samples per Pixel.", clause="PS3.5 §8.2")
    if array.dtype == form.dtype:
        return np.ascontiguousarray(array)
    if form.is_signed and array.dtype.kind == "u" and form.bits_stored < form.bits_allocated:
        return _resigned(array, form.bits_stored, form)
    return np.ascontiguousarray(array).astype(form.dtype)
