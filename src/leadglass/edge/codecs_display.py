"""From stored values to the picture a person sees: PS3.3 C.11 and PS3.4 N.2 (modality, VOI, presentation).

Runs in the codec worker only. Colour is shown as RGB, 8 bits a channel; grey goes through modality and window.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from leadglass.edge.codecs import CodecError, PixelFormat, Pixels
from leadglass.edge.codecs_object import StoredObject

__all__ = ["Grey", "Rendering", "Window", "grey", "render", "rgb"]

_LINEAR, _EXACT, _SIGMOID = "LINEAR", "LINEAR_EXACT", "SIGMOID"
_SIDE_MAX = 8192


@dataclass(frozen=True, slots=True)
class Window:
    """A window: centre, width and function (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    centre: float
    width: float
    function: str = _LINEAR


@dataclass(frozen=True, slots=True)
class Rendering:
    """What PS3.18 §8.3.5 lets a client ask of a picture. `viewport`: width, height, then region x, y, w, h."""

    media_type: str = "image/jpeg"
    quality: int = 90
    window: Window | None = None
    viewport: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Grey:
    """One grey frame after the modality transform, with its window and whether low is bright."""

    values: NDArray[np.generic]
    slope: float
    intercept: float
    window: Window
    is_inverted: bool
    unit: str


def _item(data: Dataset, keyword: str) -> Dataset | None:
    sequence = data.get(keyword)
    return sequence[0] if sequence else None


def _group(obj: StoredObject, number: int, macro: str) -> Dataset:
    """Find a functional group macro for a frame, else the data set itself (PS3.3 C.7.6.16)."""
    per_frame = obj.head.get("PerFrameFunctionalGroupsSequence") or ()
    groups = [per_frame[number - 1]] if len(per_frame) >= number else []
    shared = _item(obj.head, "SharedFunctionalGroupsSequence")
    for group in [*groups, *([shared] if shared is not None else [])]:
        found = _item(group, macro)
        if found is not None:
            return found
    return obj.head


def _number(value: object, default: float) -> float:
    first = next(iter(value), "") if isinstance(value, (list, tuple, MultiValue)) else value
    try:
        number = float(str(first))
    except ValueError:
        return default
    return number if np.isfinite(number) else default


def _significant(array: Pixels, form: PixelFormat) -> Pixels:
    """Keep the stored bits and their sign; overlays of old objects lie above them (PS3.5 §8.1.1)."""
    if form.floating or form.bits_allocated in (1, 64) or form.bits_stored == form.bits_allocated:
        return array
    low = max(0, form.high_bit + 1 - form.bits_stored)
    bits = (array.astype(np.int64) >> low) & ((1 << form.bits_stored) - 1)
    if form.is_signed:
        sign = 1 << (form.bits_stored - 1)
        bits = (bits ^ sign) - sign
    return bits.astype(form.dtype)


def _table(lut: Dataset) -> tuple[NDArray[np.uint16], int]:
    """Read a modality or VOI LUT (PS3.3 C.11.1.1): its entries and the value its first entry stands for."""
    descriptor = [int(v) for v in lut.LUTDescriptor]
    entries = descriptor[0] or 65536
    data = lut.LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data, np.uint16)
    if table.size < entries and isinstance(data, bytes):
        table = np.frombuffer(data, np.uint8).astype(np.uint16)
    if not table.size:
        raise CodecError("A look-up table is empty.", clause="PS3.3 C.11.1.1")
    return table[:entries], descriptor[1]


def _looked_up(values: Pixels, table: NDArray[np.uint16], first: int) -> NDArray[np.uint16]:
    return table[np.clip(values.astype(np.int64) - first, 0, table.size - 1)]


def grey(obj: StoredObject, number: int) -> Grey:
    """Give one grey frame's values, the modality transform still to apply as slope and intercept."""
    array, form = obj.frame(number)
    values, head = _significant(array, form), obj.head
    transform = _group(obj, number, "PixelValueTransformationSequence")
    slope = _number(transform.get("RescaleSlope"), 1.0) or 1.0
    intercept = _number(transform.get("RescaleIntercept"), 0.0)
    modality = _item(head, "ModalityLUTSequence")
    if modality is not None:
        values, slope, intercept = _looked_up(values, *_table(modality)), 1.0, 0.0
    voi = _group(obj, number, "FrameVOILUTSequence")
    centre, width = voi.get("WindowCenter"), voi.get("WindowWidth")
    if centre not in (None, "") and width not in (None, ""):
        window = Window(_number(centre, 0.0), max(_number(width, 1.0), 1e-6), str(voi.get("VOILUTFunction", _LINEAR)))
    else:
        window = _whole_range(values, form, head, slope, intercept)
    inverted = form.photometric == "MONOCHROME1" or head.get("PresentationLUTShape") == "INVERSE"
    unit = str(transform.get("RescaleType", "") or "")
    if unit in ("", "US"):  # unspecified: what a real world value is mapped to has a unit (PS3.3 C.7.6.16.2.11)
        codes = _group(obj, number, "RealWorldValueMappingSequence").get("MeasurementUnitsCodeSequence")
        unit = str(codes[0].get("CodeValue", "") or "") if codes else unit
    if not unit and head.get("Modality") == "CT":
        unit = "HU"
    return Grey(values, slope, intercept, window, inverted, unit[:16])


def _whole_range(values: Pixels, form: PixelFormat, head: Dataset, slope: float, intercept: float) -> Window:
    shown = values[np.isfinite(values)] if form.floating else values.reshape(-1)
    padding = head.get("PixelPaddingValue")
    if isinstance(padding, int) and not form.floating:
        kept = shown[shown != padding]
        shown = kept if kept.size else shown
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    low, high = sorted((low * slope + intercept, high * slope + intercept))
    return Window((low + high) / 2, max(high - low, 1e-6), _EXACT)


def windowed(frame: Grey, window: Window) -> NDArray[np.uint8]:
    """Apply modality and window; 8-bit grey, inverted where low values are bright."""
    values = frame.values.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
    np.nan_to_num(values, copy=False)
    if window.function == _SIGMOID:
        scaled = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - window.centre) / window.width, -80, 80)))
    elif window.function == _EXACT:
        scaled = (values - window.centre) / window.width + 0.5
    else:
        scaled = (values - (window.centre - 0.5)) / max(window.width - 1.0, 1e-6) + 0.5
    out: NDArray[np.uint8] = (np.clip(scaled, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.invert(out) if frame.is_inverted else out


def rgb(obj: StoredObject, number: int) -> NDArray[np.uint8]:
    """Give one colour frame as RGB, 8 bits a channel."""
    array, form = obj.frame(number)
    if form.photometric == "PALETTE COLOR":
        return _palette(_significant(array, form), obj.head)
    if form.floating or array.ndim != 3:
        raise CodecError("The photometric interpretation does not fit the pixel data.", clause="PS3.3 C.7.6.3.1.2")
    shift = max(form.bits_stored - 8, 0)
    out = (_significant(array, form).astype(np.int64) >> shift).astype(np.uint8)[:, :, :3]
    if form.photometric in ("YBR_FULL", "YBR_FULL_422"):
        out = _from_ybr(out)
    return np.ascontiguousarray(out)


def _from_ybr(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the full-range transform of PS3.3 C.7.6.3.1.2."""
    y, cb, cr = (ybr[:, :, k].astype(np.float32) for k in range(3))
    cb, cr = cb - 128, cr - 128
    channels = (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)
    return np.clip(np.stack(channels, axis=2) + 0.5, 0, 255).astype(np.uint8)


def _palette(values: Pixels, head: Dataset) -> NDArray[np.uint8]:
    """Look indexes up in the three palettes, segmented ones included (PS3.3 C.7.6.3.1.5, C.7.9.2)."""
    channels = []
    for colour in ("Red", "Green", "Blue"):
        descriptor = head.get(f"{colour}PaletteColorLookupTableDescriptor")
        if not descriptor or len(descriptor) != 3:
            raise CodecError("A palette is missing.", clause="PS3.3 C.7.9")
        entries, first, bits = (int(v) for v in descriptor)
        data = head.get(f"{colour}PaletteColorLookupTableData")
        segmented = head.get(f"Segmented{colour}PaletteColorLookupTableData")
        if segmented is not None:
            table = _segments(_words(segmented, bits), entries or 65536)
        elif data is not None:
            table = _words(data, bits, entries or 65536)
        else:
            raise CodecError("A palette has no data.", clause="PS3.3 C.7.9.1")
        if not table.size:
            raise CodecError("A palette is empty.", clause="PS3.3 C.7.9.1")
        eight = table if bits <= 8 or int(table.max()) < 256 else table >> 8
        channels.append(eight.astype(np.uint8)[np.clip(values.astype(np.int64) - first, 0, table.size - 1)])
    return np.stack(channels, axis=2)


def _words(data: object, bits: int, entries: int = 0) -> NDArray[np.uint16]:
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.uint16))
    if bits == 8 and (not entries or len(data) < 2 * entries):
        return np.frombuffer(data, np.uint8).astype(np.uint16)
    return np.frombuffer(data[: len(data) // 2 * 2], "<u2")


def _segments(words: NDArray[np.uint16], entries: int) -> NDArray[np.uint16]:
    """Expand a segmented palette: discrete, linear and indirect segments (PS3.3 C.7.9.2)."""
    out: list[int] = []
    source = [int(w) for w in words]

    def expand(at: int, end: int, budget: int, nested: bool) -> None:
        while at + 1 < end and len(out) < entries and budget:
            budget -= 1
            code, length = source[at], source[at + 1]
            if code == 0:
                out.extend(source[at + 2 : at + 2 + length])
                at += 2 + length
            elif code == 1 and out and at + 2 < end:
                out.extend(round(v) for v in np.linspace(out[-1], source[at + 2], min(length, entries) + 1)[1:])
                at += 3
            elif code == 2 and not nested and at + 3 < end:
                start = source[at + 2] | source[at + 3] << 16
                expand(start, len(source), length, True)
                at += 4
            else:
                raise CodecError("A segmented palette is broken.", clause="PS3.3 C.7.9.2")

    expand(0, len(source), len(source), False)
    return np.asarray(out[:entries], np.uint16)


def _picture(obj: StoredObject, number: int, window: Window | None) -> Image.Image:
    form = obj.form()
    if form.samples == 1 and form.photometric != "PALETTE COLOR":
        frame = grey(obj, number)
        lut = _item(obj.head, "VOILUTSequence")
        if window is None and lut is not None and obj.head.get("WindowCenter") in (None, ""):
            table, first = _table(lut)
            modality = np.rint(frame.values.astype(np.float64) * frame.slope + frame.intercept)
            values = _looked_up(modality, table, first)
            peak = int(table.max()) or 1
            whole = Grey(values, 1.0, 0.0, Window(peak / 2, peak, _EXACT), frame.is_inverted, "")
            return Image.fromarray(windowed(whole, whole.window))
        return Image.fromarray(windowed(frame, window or frame.window))
    return Image.fromarray(rgb(obj, number))


def render(obj: StoredObject, number: int, wish: Rendering) -> bytes:
    """Give one frame as PNG or JPEG."""
    picture = _picture(obj, number, wish.window)
    if len(wish.viewport) == 6 and wish.viewport[4] and wish.viewport[5]:
        x, y, w, h = wish.viewport[2:]
        picture = picture.crop((max(0, x), max(0, y), min(picture.width, x + w), min(picture.height, y + h)))
    if wish.viewport:
        wide, high = min(wish.viewport[0], _SIDE_MAX), min(wish.viewport[1], _SIDE_MAX)
        scale = min(wide / picture.width, high / picture.height)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    out = io.BytesIO()
    if wish.media_type == "image/png":
        picture.save(out, "PNG", compress_level=3)
    else:
        picture.save(out, "JPEG", quality=wish.quality)
    return out.getvalue()
