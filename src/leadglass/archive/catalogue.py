"""What the catalogue remembers of an object, and how a record is written down and read back.

A record is one compact JSON object. The same bytes travel in the sealed object's footer, so that the
catalogue can be built anew from the objects alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from leadglass.archive.levels import KEPT, Level
from leadglass.errors import IntegrityError
from leadglass.finding import Finding, Severity

KEPT_TAGS = frozenset().union(*KEPT.values())
"""Every attribute a walk should keep for the catalogue."""

VALUE_CHARACTERS_MAX = 1024
"""Text kept of one attribute. LO, PN and LT beyond it are no search keys."""


class Describable(Protocol):
    """The parts of an object record that go into its description."""

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
    def reason(self) -> str: ...
    @property
    def attributes(self) -> Mapping[int, str]: ...
    @property
    def findings(self) -> tuple[Finding, ...]: ...


def encode_description(record: Describable) -> bytes:
    """Write down what the sealed object says of itself (UTF-8 JSON)."""
    value: dict[str, object] = {
        "uid": record.sop_instance_uid,
        "class": record.sop_class_uid,
        "syntax": record.transfer_syntax_uid,
        "study": record.study_instance_uid,
        "series": record.series_instance_uid,
        "source": record.source,
        "attributes": {f"{tag:08x}": text[:VALUE_CHARACTERS_MAX] for tag, text in record.attributes.items()},
    }
    if record.reason:
        value["reason"] = record.reason
    if record.findings:
        value["findings"] = [_finding(finding) for finding in record.findings]
    return _dumps(value)


def decode_description(data: bytes) -> dict[str, object]:
    """Read a description back; raises IntegrityError where it is none."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise IntegrityError("A record does not read back.") from error
    if not isinstance(value, dict):
        raise IntegrityError("A record does not read back.")
    return value


def attributes_of(value: object) -> dict[int, str]:
    """Take the attributes out of a decoded record."""
    return {int(tag, 16): text for tag, text in value.items()} if isinstance(value, dict) else {}


def findings_of(value: object) -> tuple[Finding, ...]:
    """Take the findings out of a decoded record."""
    if not isinstance(value, list):
        return ()
    return tuple(Finding(row[0], row[1], Severity(row[2]), *row[3:]) for row in value)


def encode_attributes(attributes: Mapping[int, str], level: Level) -> bytes:
    """Write down the attributes of one level."""
    kept = KEPT[level]
    return _dumps({f"{tag:08x}": text[:VALUE_CHARACTERS_MAX] for tag, text in attributes.items() if tag in kept})


def decode_attributes(data: bytes) -> dict[int, str]:
    """Read back the attributes of one level."""
    return attributes_of(decode_description(data))


def _finding(finding: Finding) -> list[object]:
    return [
        finding.id,
        finding.cls,
        int(finding.severity),
        finding.claim,
        finding.offset,
        finding.length,
        finding.element,
        finding.control,
    ]


def _dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
