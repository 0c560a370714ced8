"""A catalogue in a folder, and objects for it: what the database tests share."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from leadglass.archive.catalogue import encode_description
from leadglass.archive.keys import Key
from leadglass.audit import AuditEvent, AuditKind
from leadglass.edge.database import SqlCatalogue
from leadglass.journeys.ports import Admission, AdmissionResult, Attributes, ObjectRecord, ObjectState

ROOT = Key(bytes(range(32)))
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
NAME, PATIENT_ID, ISSUER, STUDY, SERIES, SOP = 0x00100010, 0x00100020, 0x00100021, 0x0020000D, 0x0020000E, 0x00080018
DATE, ACCESSION, DESCRIPTION, MODALITY = 0x00080020, 0x00080050, 0x00081030, 0x00080060
SERIES_NUMBER, NUMBER, CLASS = 0x00200011, 0x00200013, 0x00080016


class Ticking:
    """A clock that moves one microsecond a look."""

    def __init__(self) -> None:
        self._ticks = itertools.count(1_700_000_000_000_000)

    def now_us(self) -> int:
        return next(self._ticks)


CLOCK = Ticking()


def opened(folder: Path, *, root: Key = ROOT) -> SqlCatalogue:
    """Open the folder's catalogue."""
    return SqlCatalogue(f"sqlite:///{folder / 'catalogue.db'}", root, clock=CLOCK, random=os.urandom)


def event(kind: AuditKind = AuditKind.QUERY, subject: bytes | None = None, **detail: str | int) -> AuditEvent:
    """Make an event."""
    return AuditEvent(kind, CLOCK.now_us(), "CT1", subject, "done", detail)


def record(
    number: int = 1,
    *,
    study: str = "1.2.3.100",
    series: str = "",
    patient: str = "PID-1",
    content: str = "",
    state: ObjectState = ObjectState.ARCHIVED,
    sop_class: str = CT,
    attributes: Attributes | None = None,
    length: int = 1000,
) -> ObjectRecord:
    """Make a record: object `number` of a series of a study of a patient."""
    series = series or f"{study}.1"
    sop = f"{series}.{number}"
    told = {
        NAME: "DOE^JOHN",
        PATIENT_ID: patient,
        0x00100030: "19700131",
        0x00100040: "M",
        STUDY: study,
        DATE: "20240115",
        0x00080030: "101112",
        ACCESSION: "ACC-77",
        DESCRIPTION: "ABDOMEN CT",
        0x00200010: "4711",
        SERIES: series,
        MODALITY: "CT" if sop_class == CT else "MR",
        SERIES_NUMBER: "2",
        SOP: sop,
        CLASS: sop_class,
        NUMBER: str(number),
        0x00280010: "512",
        **(attributes or {}),
    }
    return ObjectRecord(
        object_id=os.urandom(16),
        state=state,
        sop_instance_uid=sop,
        sop_class_uid=sop_class,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        study_instance_uid=study,
        series_instance_uid=series,
        source="CT1",
        received_at_us=CLOCK.now_us(),
        length_bytes=length,
        digest=hashlib.sha256((content or sop).encode()).digest(),
        attributes={tag: text for tag, text in told.items() if text},
        reason="held for a test" if state is ObjectState.HELD else "",
    )


def admission(of: ObjectRecord, deliver_to: Iterable[str] = ()) -> Admission:
    """Wrap a record with its event."""
    kind = AuditKind.OBJECT_HELD if of.state is ObjectState.HELD else AuditKind.OBJECT_RECEIVED
    return Admission(of, encode_description(of), event(kind, of.object_id, route="All"), tuple(deliver_to))


def admitted(catalogue: SqlCatalogue, of: ObjectRecord, deliver_to: Iterable[str] = ()) -> AdmissionResult:
    """Seal-and-admit, as a reception does it."""
    if of.state is ObjectState.ARCHIVED:
        attributes = of.attributes
        catalogue.scope(of.study_instance_uid, attributes.get(PATIENT_ID, ""), attributes.get(ISSUER, ""))
    return catalogue.admit(admission(of, deliver_to))
