"""What the catalogue remembers of an object, and how a record is written down and read back.

A record is one compact JSON object. The same bytes travel in the sealed object's footer, so that the
catalogue can be built anew from the objects alone. State is no part of it: it changes, sealed objects do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from leadglass.archive.levels import COMPUTED, KEPT, KEPT_ANYWHERE, Level
from leadglass.dicom.frame_digests import FrameDigests
from leadglass.errors import IntegrityError
from leadglass.finding import Finding, Severity

KEPT_TAGS = KEPT_ANYWHERE
"""Every attribute a walk should keep for the catalogue."""

VALUE_CHARACTERS_MAX = 512
"""Text kept of one attribute: LO and PN hold 64 a value, LT and UT beyond it are no search keys."""

FINDINGS_MAX = 200
"""Findings written down: with the bound above, a record stays below the 256 KiB that a sealed object holds."""

_FORMAT = 1


class Describable(Protocol):
    """The parts of an object record that are written down."""

    @property
    def object_id(self) -> bytes: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def study_instance_uid(self) -> str: ...
    @property
    def series_instance_uid(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def received_at_us(self) -> int: ...
    @property
    def length_bytes(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def attributes(self) -> Mapping[int, str]: ...
    @property
    def findings(self) -> tuple[Finding, ...]: ...
    @property
    def reason(self) -> str: ...
    @property
    def frames(self) -> FrameDigests | None: ...


@dataclass(frozen=True, slots=True)
class Description:
    """A record read back: an object record without its state."""

    object_id: bytes
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    source: str
    received_at_us: int
    length_bytes: int
    digest: bytes
    attributes: Mapping[int, str]
    findings: tuple[Finding, ...]
    reason: str
    frames: FrameDigests | None = None


def encode_description(record: Describable) -> bytes:
    """Write a record down (UTF-8 JSON)."""
    value: dict[str, object] = {
        "format": _FORMAT,
        "id": record.object_id.hex(),
        "uid": record.sop_instance_uid,
        "class": record.sop_class_uid,
        "syntax": record.transfer_syntax_uid,
        "study": record.study_instance_uid,
        "series": record.series_instance_uid,
        "source": record.source,
        "at": record.received_at_us,
        "length": record.length_bytes,
        "digest": record.digest.hex(),
        "attributes": _named(record.attributes),
    }
    if record.frames is not None:
        value["frames"] = record.frames.written()
    if record.reason:
        value["reason"] = record.reason
    if record.findings:
        value["findings"] = [
            [f.id, f.cls, int(f.severity), f.claim, f.offset, f.length, f.element, f.control]
            for f in record.findings[:FINDINGS_MAX]
        ]
    return _dumps(value)


def decode_description(data: bytes) -> Description:
    """Read a record back; raises IntegrityError where it is none."""
    try:
        value = _DECODE(data.decode("utf-8", "surrogatepass"))
        return Description(
            object_id=bytes.fromhex(value["id"]),
            sop_instance_uid=value["uid"],
            sop_class_uid=value["class"],
            transfer_syntax_uid=value["syntax"],
            study_instance_uid=value["study"],
            series_instance_uid=value["series"],
            source=value["source"],
            received_at_us=value["at"],
            length_bytes=value["length"],
            digest=bytes.fromhex(value["digest"]),
            attributes=_tagged(value["attributes"]),
            findings=tuple(Finding(row[0], row[1], Severity(row[2]), *row[3:]) for row in value.get("findings", ())),
            reason=value.get("reason", ""),
            frames=None if "frames" not in value else FrameDigests.read(value["frames"]),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise IntegrityError("A sealed record opens but does not read back.") from error


def encode_attributes(attributes: Mapping[int, str]) -> bytes:
    """Write attributes down (UTF-8 JSON)."""
    return _dumps(_named(attributes))


def decode_attributes(data: bytes) -> dict[int, str]:
    """Read attributes back; raises IntegrityError where they are none."""
    try:
        return _tagged(_DECODE(data.decode("utf-8", "surrogatepass")))
    except (ValueError, AttributeError) as error:
        raise IntegrityError("A sealed record opens but does not read back.") from error


def level_attributes(attributes: Mapping[int, str], level: Level) -> dict[int, str]:
    """Take out the attributes of one level that have a value."""
    kept = KEPT[level]
    return {tag: text for tag, text in attributes.items() if text and tag in kept}


def filled(known: Mapping[int, str], attributes: Mapping[int, str], level: Level) -> dict[int, str]:
    """Give a level's attributes with what another object adds; what is already known stays."""
    return {**level_attributes(attributes, level), **known}


def counted(known: Mapping[int, str], tag: int, values: Iterable[str]) -> str:
    """Give a computed list (Modalities in Study, SOP Classes in Study) with further values, sorted."""
    assert tag in COMPUTED[Level.STUDY]
    return "\\".join(sorted({*known.get(tag, "").split("\\"), *values} - {""}))


def _named(attributes: Mapping[int, str]) -> dict[str, str]:
    return {_NAMES[tag]: text[:VALUE_CHARACTERS_MAX] for tag, text in attributes.items()}


def _tagged(value: Mapping[str, str]) -> dict[int, str]:
    return {_TAGS[name]: text for name, text in value.items()}


class _Names(dict[int, str]):
    """Tags as 8 hexadecimal digits; those of the catalogue are ready, others made when asked."""

    def __missing__(self, tag: int) -> str:
        return f"{tag:08x}"


class _Tags(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return int(name, 16)


_NAMES = _Names((tag, f"{tag:08x}") for tags in (*KEPT.values(), *COMPUTED.values()) for tag in tags)
_TAGS = _Tags((name, tag) for tag, name in _NAMES.items())


_DECODE = json.JSONDecoder().decode


def _dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
