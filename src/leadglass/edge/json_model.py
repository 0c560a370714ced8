"""The DICOM JSON model (PS3.18 Annex F) of a data set read by pydicom.

Runs in the codec worker only. A value JSON or its VR cannot hold is left out, never an error: one broken element
must not hide the rest. Long and binary values become a BulkDataURI whose path names the element.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

__all__ = ["element_at", "json_model"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_INTEGER = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_REAL = frozenset({"DS", "FD", "FL"})
_INLINE_BYTES_MAX = 64
_INLINE_TEXT_MAX = 8192
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


def json_model(data: Dataset, bulk_uri: str, path: str = "") -> dict[str, Json]:
    """Give the JSON model; `bulk_uri` is the absolute URI in front of bulk data paths."""
    out: dict[str, Json] = {}
    for tag in sorted(int(tag) for tag in data.keys()):  # noqa: SIM118  a Dataset iterates over elements
        if not tag & 0xFFFF or tag >> 16 == 2:
            continue
        name = f"{tag:08X}"
        try:
            out[name] = _element(data[tag], bulk_uri, f"{path}/{name}")
        except Exception:  # noqa: BLE001  pydicom raises anything on a broken value; the element stays, empty
            out[name] = {"vr": _fallback_vr(tag)}
    return out


def pixel_reference(vr: str, bulk_uri: str, tag: int) -> dict[str, Json]:
    """Point to pixel data."""
    return {"vr": vr, "BulkDataURI": f"{bulk_uri}/{tag:08X}"}


def element_at(data: Dataset, path: str) -> DataElement | None:
    """Find the element a bulk data path names: tags and item numbers in turn, as `json_model` writes them."""
    here, steps = data, [step for step in path.split("/") if step]
    for at in range(0, len(steps), 2):
        try:
            element = here[int(steps[at], 16)]
            if at + 1 == len(steps):
                return element
            here = element.value[int(steps[at + 1])]
        except (KeyError, ValueError, IndexError, TypeError):
            return None
    return None


def _fallback_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"


def _element(element: DataElement, bulk_uri: str, path: str) -> dict[str, Json]:
    vr = str(element.VR)[:2]
    if isinstance(element.value, Sequence) or vr == "SQ":
        items: list[Json] = [json_model(item, bulk_uri, f"{path}/{n}") for n, item in enumerate(element.value or ())]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if vr in _BINARY:
        return _binary(vr, element, bulk_uri, path)
    values = list(_values(element.value))
    if not values:
        return {"vr": vr}
    if vr == "PN":
        return {"vr": vr, "Value": [_person(v) for v in values]}
    if vr == "AT":
        return {"vr": vr, "Value": [f"{int(str(v)) if not isinstance(v, int) else v:08X}" for v in values]}
    if vr in _INTEGER or vr in _REAL:
        return {"vr": vr, "Value": [_number(v, vr) for v in values]}
    texts: list[Json] = [str(v) or None for v in values]
    if sum(len(str(t)) for t in texts) > _INLINE_TEXT_MAX and vr in ("UT", "UC", "LT", "ST", "UR"):
        return {"vr": vr, "BulkDataURI": bulk_uri + path}
    return {"vr": vr, "Value": texts}


def _binary(vr: str, element: DataElement, bulk_uri: str, path: str) -> dict[str, Json]:
    value = element.value
    if not isinstance(value, bytes) or not value:
        return {"vr": vr}
    if int(element.tag) in _PIXELS or len(value) > _INLINE_BYTES_MAX:
        return {"vr": vr, "BulkDataURI": bulk_uri + path}
    return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()}


def _values(value: object) -> Iterable[object]:
    if value is None or value == "":
        return ()
    if isinstance(value, (MultiValue, list, tuple)):
        return value
    return (value,)


def _person(value: object) -> Json:
    name = value if isinstance(value, PersonName) else PersonName(str(value))
    groups = {"Alphabetic": name.alphabetic, "Ideographic": name.ideographic, "Phonetic": name.phonetic}
    named: dict[str, Json] = {key: text for key, text in groups.items() if text}
    return named or None


def _number(value: object, vr: str) -> Json:
    """Give a number; DS and IS out of JSON's reach stay text, and NaN is null (PS3.18 F.2.3)."""
    text = str(value).strip()
    if not text:
        return None
    if vr in _INTEGER:
        return int(text)
    real = float(text)
    if not math.isfinite(real):
        return None
    return int(real) if real.is_integer() and abs(real) < 1 << 53 and vr == "DS" and "." not in text else real
