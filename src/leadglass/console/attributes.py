"""Attributes of the catalogue as DICOM JSON and as words for a page (PS3.18 Annex F)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from leadglass.dicom.dictionary import tag_of, vr_of

__all__ = ["Json", "date_words", "json_attributes", "person_words", "tag_named"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_INTEGER = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_REAL = frozenset({"DS", "FD", "FL"})
_SINGLE = frozenset({"LT", "ST", "UR", "UT"})


def json_attributes(attributes: Mapping[int, str]) -> dict[str, Json]:
    """Write attributes, text by tag, in the DICOM JSON model."""
    return {f"{tag:08X}": _element(vr_of(tag), text) for tag, text in sorted(attributes.items())}


def _element(vr: str, text: str) -> dict[str, Json]:
    if not text:
        return {"vr": vr}
    values = [text] if vr in _SINGLE else text.split("\\")
    return {"vr": vr, "Value": [_value(vr, value.strip()) for value in values]}


def _value(vr: str, text: str) -> Json:
    if not text:
        return None
    if vr == "PN":
        groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False))
        return {name: group for name, group in groups.items() if group} or None
    try:
        if vr in _INTEGER:
            return int(text)
        if vr in _REAL:
            number = float(text)
            return number if math.isfinite(number) else None
    except ValueError:
        return text if vr in ("DS", "IS") else None
    return text


def tag_named(untrusted_name: str) -> int | None:
    """Find a tag by keyword or by eight hexadecimal digits (PS3.18 §8.3.4.1); None where there is none."""
    if len(untrusted_name) == 8:
        try:
            return int(untrusted_name, 16)
        except ValueError:
            pass
    return tag_of(untrusted_name)


def person_words(text: str) -> str:
    """Write a person name for reading: family name, then given names, of the first component group that is there."""
    group = next((g for g in text.split("=") if g.strip("^ ")), "")
    parts = [part.strip() for part in group.split("^")]
    return " ".join(part for part in parts[:3] if part)


def date_words(text: str, language: str) -> str:
    """Write a DICOM date for reading; anything else comes back as it is."""
    if len(text) != 8 or not text.isdigit():
        return text
    return f"{text[6:]}/{text[4:6]}/{text[:4]}" if language == "fr" else f"{text[:4]}-{text[4:6]}-{text[6:]}"
