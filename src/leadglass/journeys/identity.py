"""Is the object the one its sender announced, and does it say enough to be filed and found (PS3.4 §B.2.2.1)?"""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.archive.levels import SOP_CLASS_UID, SOP_INSTANCE_UID
from leadglass.dicom.syntaxes import STORAGE_SOP_CLASSES
from leadglass.finding import Finding, Severity
from leadglass.journeys.ports import ObjectRecord

_WITHOUT_PATIENT = ("1.2.840.10008.5.1.4.39.", "1.2.840.10008.5.1.4.38.", "1.2.840.10008.5.1.4.43.",
                    "1.2.840.10008.5.1.4.44.", "1.2.840.10008.5.1.4.45.", "1.2.840.10008.5.1.4.1.1.200.",
                    "1.2.840.10008.5.1.4.1.1.201.")  # fmt: skip
"""Palettes, hanging protocols, implant templates, protocols, inventories: objects that have no study (PS3.4 GG)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sender says an object is, before a byte of it was read. Texts are untrusted until compared."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    fault: str = ""


def identity_findings(record: ObjectRecord, claim: Claim | None) -> tuple[Finding, ...]:
    """Hold the object against what its sender said, and against what filing needs (PS3.4 B.2.2.1)."""
    found: list[Finding] = []
    attributes = record.attributes

    def note(number: int, claim_text: str, element: str, severity: Severity = Severity.MEDIUM) -> None:
        found.append(
            Finding(f"LG-IDN-{number:03}", "identity", severity, claim_text, element=element, control="DCM-INSPECT")
        )

    if claim is not None:
        if claim.fault:
            note(1, f"The sender names the object by no UID: {claim.fault}", "(0000,1000)", Severity.HIGH)
        elif attributes.get(SOP_INSTANCE_UID, claim.sop_instance_uid) != claim.sop_instance_uid:
            note(2, "The object carries another SOP Instance UID than its sender announced.", "(0008,0018)")
        if attributes.get(SOP_CLASS_UID, claim.sop_class_uid) != claim.sop_class_uid:
            note(3, "The object carries another SOP Class UID than its sender announced.", "(0008,0016)")
    if not record.sop_instance_uid or not record.sop_class_uid:
        note(4, "The object does not say which SOP instance or class it is.", "(0008,0018)")
    is_of_patient = not record.sop_class_uid.startswith(_WITHOUT_PATIENT)
    needs_study = is_of_patient and record.sop_class_uid in STORAGE_SOP_CLASSES
    if needs_study and not (record.study_instance_uid and record.series_instance_uid):
        note(5, "The object belongs to no study or series, so nobody would find it.", "(0020,000D)")
    return tuple(found)
