"""A finding is a claim with evidence; "could not tell" is a result of its own.

`Finding.control` names the measure that answers the finding: the one key that joins inspection,
exposure, evidence and lessons.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad it would be if the claim is true; ordered."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim about one object or device.

    `offset` and `length` are bytes of the Part 10 file (preamble = 0) where the evidence lies, or None.
    `element` is a tag path such as "(0008,0018)" or "(0040,0275)[0].(0040,0007)". `claim` never holds patient data.
    `id` is stable. `claim` is one English sentence whose shape is fixed and whose blanks are values: it is sealed with
    the object, and the console recognises the shape to say it in other languages (`console/messages/phrases.toml`).
    """

    id: str
    cls: str
    severity: Severity
    claim: str
    offset: int | None = None
    length: int | None = None
    element: str | None = None
    control: str | None = None

    def to_json(self) -> dict[str, str | int | None]:
        """Give the published JSON shape (the key is "class", severity in lower case)."""
        return {
            "id": self.id,
            "class": self.cls,
            "severity": self.severity.name.lower(),
            "claim": self.claim,
            "offset": self.offset,
            "length": self.length,
            "element": self.element,
            "control": self.control,
        }


@dataclass(frozen=True, slots=True)
class Assessed:
    """Inspection ran to the end and found this (possibly nothing)."""

    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAssessed:
    """Inspection could not tell, and why; routes fail closed on it unless the written policy says otherwise."""

    reason: str
    findings: tuple[Finding, ...] = ()


Inspection = Assessed | NotAssessed
