"""The archive is inspected again, after rules or detectors changed: what is new is recorded, and may be locked away.

Reads every object through an inspector as if it had just come in. Nothing changes but the ledger, unless whoever asks
wants what is malicious now in the quarantine: then the object is sealed again under the quarantine's key, and leaves
the archive in the moment the held one is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from leadglass.archive.catalogue import encode_description
from leadglass.archive.envelope import Sealer
from leadglass.audit import AuditEvent, AuditKind
from leadglass.dicom.frame_digests import FrameDigests
from leadglass.errors import IntegrityError, NotFound, StorageError
from leadglass.finding import Finding, Inspection, NotAssessed, Severity
from leadglass.journeys.inspection_ports import Inspectors
from leadglass.journeys.pixels import difference, pixel_detail
from leadglass.journeys.ports import Admission, Clock, ObjectRecord, ObjectState, Random
from leadglass.journeys.retrieve import Archive, OpenedObject
from leadglass.journeys.settle import Settling
from leadglass.malware.verdict import Verdict, verdict_of

_IDS_MAX = 16
_PIXELS_ALTERED = "LG-TMP-001"


@dataclass(frozen=True, slots=True)
class SweepLine:
    """What is thought of one archived object now. `held_as` is its id in the quarantine, where it was moved there."""

    object_id: bytes
    sop_instance_uid: str
    verdict: Verdict
    new: tuple[Finding, ...] = ()
    reason: str = ""
    held_as: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Inspect archived objects again."""

    archive: Archive
    clock: Clock
    random: Random
    settling: Settling
    inspectors: Inspectors
    actor: str
    quarantines: bool = False

    def sweep(self, records: Iterable[ObjectRecord]) -> Iterator[SweepLine]:
        """Inspect each object and tell what is thought of it; what is new of one is in the ledger when it is told.

        Raises StorageError when the ledger or the quarantine cannot be written.
        """
        for record in records:
            if record.state is not ObjectState.ARCHIVED:
                continue
            opened, inspection = self._inspected(record)
            line = self._line(record, inspection)
            if line.new or line.verdict is Verdict.NOT_ASSESSED:
                line = self._noted(record, opened, inspection, line)
            yield line

    def record(self, verdicts: Counter[Verdict], *, is_whole: bool) -> None:
        """Write down that the archive was swept, and how that ended."""
        grave = verdicts[Verdict.MALICIOUS] + verdicts[Verdict.SUSPICIOUS]
        outcome = "stopped" if not is_whole else "findings" if grave else "clean"
        detail = {verdict.value: count for verdict, count in verdicts.items()}
        self.archive.catalogue.record(
            AuditEvent(AuditKind.ARCHIVE_INSPECTED, self.clock.now_us(), self.actor, None, outcome, detail)
        )

    def _inspected(self, record: ObjectRecord) -> tuple[OpenedObject | None, Inspection]:
        inspector = self.inspectors.file()
        try:
            opened = self.archive.open_record(record)
            for piece in opened.stream():
                inspector.feed(piece)
        except (NotFound, IntegrityError, StorageError) as error:
            return None, NotAssessed(error.message)
        finally:
            inspection = inspector.finish()
        if inspector.structure is not None and (claim := self._altered(record, opened, inspector.frame_digests)):
            finding = Finding(_PIXELS_ALTERED, "pixels_altered", Severity.HIGH, claim, control="DCM-INSPECT")
            inspection = replace(inspection, findings=(finding, *inspection.findings))
        return opened, inspection

    def _altered(self, record: ObjectRecord, opened: OpenedObject, found: FrameDigests | None) -> str:
        """Say how the pixels differ from those received; empty where they do not."""
        return difference(self.archive.catalogue, record, found if opened.frames else None)

    def _line(self, record: ObjectRecord, inspection: Inspection) -> SweepLine:
        known = {(finding.id, finding.element) for finding in record.findings}
        new = tuple(finding for finding in inspection.findings if (finding.id, finding.element) not in known)
        reason = inspection.reason if isinstance(inspection, NotAssessed) else ""
        worst = max(new, key=lambda finding: finding.severity, default=None)
        return SweepLine(
            record.object_id,
            record.sop_instance_uid,
            verdict_of(inspection),
            new,
            reason if worst is None or reason else worst.claim,
        )

    def _noted(
        self, record: ObjectRecord, opened: OpenedObject | None, inspection: Inspection, line: SweepLine
    ) -> SweepLine:
        """Record what is new of an object, and move it to the quarantine where that is wanted and it is malicious."""
        event = self._event(AuditKind.OBJECT_INSPECTED, line.object_id, line)
        if not self.quarantines or line.verdict is not Verdict.MALICIOUS or opened is None:
            self.archive.catalogue.record(event)
            return line
        held = replace(record, state=ObjectState.HELD, reason=line.reason or "Malicious.", findings=inspection.findings)
        return replace(line, held_as=self._hold(held, opened, line))

    def _hold(self, record: ObjectRecord, opened: OpenedObject, line: SweepLine) -> bytes:
        """Seal an archived object again under the quarantine's key, and let the archived one go."""
        catalogue, blobs = self.archive.catalogue, self.archive.blobs
        staging = blobs.stage(expected_bytes=opened.length)
        held = replace(record, object_id=staging.object_id)
        try:
            sealer = Sealer(
                object_id=held.object_id, data_key=self.random(32), salt=self.random(32), write=staging.write
            )
            for piece in opened.stream(0, opened.dataset_offset):
                sealer.update(piece)
            sealer.begin_data_set()
            for piece in opened.stream_dataset():
                sealer.update(piece)
            description = encode_description(held)
            sealed = sealer.finish(scope=catalogue.quarantine_scope(), frames=opened.frames, description=description)
            staging.write_header(sealed.header)
            staging.sync()
            event = self._event(AuditKind.OBJECT_HELD, held.object_id, line, **pixel_detail(held.frames))
            catalogue.admit(Admission(held, description, event))
        except BaseException:
            staging.discard()
            raise
        self.settling.add(staging)
        self.settling.settle()
        gone = self._event(AuditKind.OBJECT_INSPECTED, record.object_id, line, held_as=held.object_id.hex())
        catalogue.change_state(record.object_id, ObjectState.DISCARDED, gone)
        blobs.delete(record.object_id)
        return held.object_id

    def _event(self, kind: AuditKind, subject: bytes, line: SweepLine, **more: str | int) -> AuditEvent:
        detail: dict[str, str | int] = dict(more)
        if line.reason:
            detail["reason"] = line.reason
        if line.new:
            detail["findings"] = ", ".join(sorted({finding.id for finding in line.new})[:_IDS_MAX])
        outcome = ObjectState.HELD.value if kind is AuditKind.OBJECT_HELD else line.verdict.value
        return AuditEvent(kind, self.clock.now_us(), self.actor, subject, outcome, detail)
