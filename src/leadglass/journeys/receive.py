"""A study arrives: inspected and sealed while it comes, decided on, recorded, and only then acknowledged.

The order is the promise (see `Reception.finish`): sealed bytes durable in staging, catalogue and ledger
committed in one transaction, then success; `settle` gives the object its place a moment later. Plaintext
reaches no disk and an object is never held whole: fragments pass through the inspector and the sealer and are
gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from leadglass import limits
from leadglass.archive.catalogue import KEPT_TAGS, encode_description
from leadglass.archive.envelope import Sealer, Workspace
from leadglass.audit import AuditEvent, AuditKind
from leadglass.dicom.part10 import encode_file_meta
from leadglass.dicom.pixels import LAYOUT, Ranges, frames, native_frames
from leadglass.dicom.structure import DatasetError, Structure
from leadglass.dicom.syntaxes import transfer_syntax
from leadglass.dicom.text import Decoded, decode_values
from leadglass.errors import StorageError
from leadglass.finding import Finding, Inspection
from leadglass.gateway.decision import Forward, Hold, Reject, decide
from leadglass.gateway.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from leadglass.gateway.policy import Policy
from leadglass.journeys.identity import Claim, identity_findings
from leadglass.journeys.inspect import InProcess
from leadglass.journeys.inspection_ports import Inspectors, UnderInspection
from leadglass.journeys.pixels import pixel_detail
from leadglass.journeys.ports import (
    Admission,
    AdmissionResult,
    Attributes,
    Blobs,
    Catalogue,
    Clock,
    Conflicted,
    Duplicate,
    ObjectRecord,
    ObjectState,
    Random,
)
from leadglass.journeys.settle import Settling
from leadglass.malware.verdict import verdict_of

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_PATIENT_ID, _ISSUER, _MODALITY = 0x00100020, 0x00100021, 0x00080060
_CHARACTER_SET = 0x00080005

KEEP = KEPT_TAGS | LAYOUT | {_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE}

IN_PROCESS = InProcess(KEEP)

EARLY_SYNC_BYTES = 256 << 10
"""Objects from this length on are synced before they are judged, and their header once more after."""
HEAD_HELD_MAX = 1 << 20
"""Bytes of a file held until it is known where its data set begins; real heads are below 2 KB."""


@dataclass(frozen=True, slots=True)
class Archived:
    """The object is durable and in the catalogue; `is_duplicate` when it already was, with the same content."""

    object_id: bytes
    length_bytes: int
    is_duplicate: bool = False
    is_conflict: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The object is durable in the quarantine, and why."""

    object_id: bytes
    reason: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing was kept but the record of it; `status` is the DICOM status the route asks for."""

    reason: str
    status: int
    findings: tuple[Finding, ...]


Outcome = Archived | Held | Rejected


class Bench:
    """What the objects of one association share, in turn: the sealer's buffers, and what the last one said."""

    __slots__ = ("last", "workspace")

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.last: Decoded | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """Everything a reception needs; one for the whole hub."""

    catalogue: Catalogue
    blobs: Blobs
    clock: Clock
    random: Random
    policy: Callable[[], Policy]
    settling: Settling
    object_bytes_max: int = limits.OBJECT_BYTES_MAX
    inspectors: Inspectors = IN_PROCESS

    def begin(self, source: str, claim: Claim, bench: Bench | None = None) -> Reception:
        """Begin an object that comes as a data set over DIMSE; raises StorageFull before anything is written.

        A caller that receives many objects one after another passes the same bench each time.
        """
        meta = encode_file_meta(
            sop_class_uid=claim.sop_class_uid,
            sop_instance_uid="" if claim.fault else claim.sop_instance_uid,
            transfer_syntax_uid=claim.transfer_syntax_uid,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        )
        inspector = self.inspectors.data_set(claim.transfer_syntax_uid, len(meta))
        reception = Reception(self, source, inspector, claim, bench or Bench())
        reception.seal(meta)
        return reception

    def begin_file(self, source: str, known: tuple[Finding, ...] = ()) -> Reception:
        """Begin an object that comes as a whole Part 10 file (import, STOW-RS); `known` goes with what is found."""
        return Reception(self, source, self.inspectors.file(), None, Bench(), known)


class Reception:
    """One object on its way in. Call `feed` for each fragment, then `finish`; or `abort`."""

    def __init__(
        self,
        receiver: Receiver,
        source: str,
        inspector: UnderInspection,
        claim: Claim | None,
        bench: Bench,
        known: tuple[Finding, ...] = (),
    ) -> None:
        self._receiver = receiver
        self._known = known
        self._source = source
        self._inspector = inspector
        self._claim = claim
        self._bench = bench
        self._staging = receiver.blobs.stage()
        self._object_id = self._staging.object_id
        self._sealer = Sealer(
            object_id=self._object_id,
            data_key=receiver.random(32),
            salt=receiver.random(32),
            write=self._staging.write,
            workspace=bench.workspace,
            length_max=receiver.object_bytes_max,
        )
        self._length = 0
        self._is_in_data_set = False
        self._head = bytearray()
        self._attributes: Attributes = {}
        self._decoded_count = 0
        self._is_stuck = False
        """Its row could not be withdrawn, so its bytes stay beside it until a start settles both."""

    @property
    def object_id(self) -> bytes:
        """Give the id under which the object will be kept."""
        return self._object_id

    def seal(self, data: bytes) -> None:
        """Seal the file header we write ourselves; the data set follows."""
        self._sealer.update(data)
        self._sealer.begin_data_set()
        self._is_in_data_set = True
        self._length += len(data)

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next fragment, valid during the call only.

        Raises LimitExceeded when the object must not go on, StorageFull or StorageError when the disk fails.
        """
        self._length += len(data)
        self._inspector.feed(data)
        if self._inspector.limit_exceeded is not None:
            raise self._inspector.limit_exceeded
        if self._inspector.is_done_with_header and not self._attributes:
            self._decoded()  # while the sender is still busy with the pixels
        if self._is_in_data_set:
            self._sealer.update(data)
        else:
            self._seal_head(data)

    def _seal_head(self, data: bytes | memoryview) -> None:
        """Seal bytes of a file up to the point where its data set begins, once that is known."""
        self._head += data
        dataset_offset = self._inspector.dataset_offset
        if dataset_offset is None and len(self._head) <= HEAD_HELD_MAX:
            return  # where the data set begins is known a few bytes into it
        view, self._head = memoryview(self._head), bytearray()
        if dataset_offset is None:
            self._sealer.update(view)
            return
        cut = max(0, dataset_offset - (self._length - len(view)))
        self._sealer.update(view[:cut])
        self._sealer.begin_data_set()
        self._is_in_data_set = True
        self._sealer.update(view[cut:])

    def finish(self) -> Outcome:
        """Decide, make durable, commit; what is returned may be acknowledged. Raises as `feed` does.

        The sync runs beside the commit, and both are over before this returns. A power cut between them leaves a
        row without its bytes or bytes without their row, never acknowledged; `recover` settles either.
        """
        try:
            return self._finish()
        except BaseException:
            self._inspector.close()
            if not self._is_stuck:
                self._staging.discard()
            raise

    def abort(self, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        """Drop an object that did not arrive whole, and record that."""
        self._inspector.close()
        self._staging.discard()
        event = self._event(AuditKind.OBJECT_ABORTED, "aborted", reason, findings)
        self._receiver.catalogue.record(event)

    def _finish(self) -> Outcome:
        receiver = self._receiver
        self._sealer.update(self._head)
        if self._length >= EARLY_SYNC_BYTES:
            self._staging.begin_sync()  # beside the end of the inspection
        inspection = self._inspector.finish()
        if self._claim is not None and self._inspector.limit_exceeded is not None:
            raise self._inspector.limit_exceeded  # told only now, where another process inspects
        record = self._record(inspection)
        if extra := self._known + identity_findings(record, self._claim):
            inspection = replace(inspection, findings=inspection.findings + extra)
            record = replace(record, findings=inspection.findings)
        decision = decide(
            receiver.policy(),
            source_node=self._source,
            sop_class=record.sop_class_uid,
            modality=record.attributes.get(_MODALITY, ""),
            inspection=inspection,
            verdict=verdict_of(inspection),
            now_us=record.received_at_us,
        )
        match decision:
            case Reject(reason=reason, status=status):
                self._staging.discard()
                receiver.catalogue.record(self._event(AuditKind.OBJECT_REJECTED, "rejected", reason, record.findings))
                return Rejected(reason, status, record.findings)
            case Hold(reason=reason):
                return self._keep(replace(record, state=ObjectState.HELD, reason=reason), decision)
            case Forward():
                return self._keep(record, decision)

    def _keep(self, record: ObjectRecord, decision: Forward | Hold) -> Outcome:
        receiver = self._receiver
        if record.state is ObjectState.HELD:
            scope = receiver.catalogue.quarantine_scope()
        else:
            attributes = record.attributes
            scope = receiver.catalogue.scope(
                record.study_instance_uid, attributes.get(_PATIENT_ID, ""), attributes.get(_ISSUER, "")
            )
        table = self._frames()
        digests = self._inspector.frame_digests
        if digests is not None and digests.count == len(table):  # so that whoever opens the object can take them again
            record = replace(record, frames=digests)
        description = encode_description(record)
        sealed = self._sealer.finish(scope=scope, frames=table, description=description)
        self._staging.write_header(sealed.header)
        self._staging.begin_sync()
        kind = AuditKind.OBJECT_HELD if isinstance(decision, Hold) else AuditKind.OBJECT_RECEIVED
        pixels = pixel_detail(record.frames)
        event = self._event(kind, record.state.value, record.reason, record.findings, decision.route, pixels)
        deliver_to = decision.destinations if isinstance(decision, Forward) else ()
        admission = Admission(record, description, event, deliver_to)
        result = receiver.catalogue.admit(admission)
        try:
            self._staging.sync()
        except StorageError as error:
            self._withdraw(result, error)
            raise
        if isinstance(result, Duplicate):
            receiver.settling.add_copy(self._staging, admission, result.object_id)
        else:
            receiver.settling.add(self._staging)
        if record.state is ObjectState.HELD:
            return Held(record.object_id, record.reason, record.findings)
        is_duplicate = isinstance(result, Duplicate)
        return Archived(
            result.object_id if isinstance(result, Duplicate) else record.object_id,
            record.length_bytes,
            is_duplicate=is_duplicate,
            is_conflict=isinstance(result, Conflicted),
        )

    def _decoded(self) -> Attributes:
        """Decode what the walk has kept so far, once for each time it kept more."""
        values = self._inspector.values
        if len(values) != self._decoded_count:
            syntax = transfer_syntax(self._inspector.transfer_syntax_uid)
            order = syntax.is_little_endian
            self._attributes = decode_values(values, is_little_endian=order, like=self._bench.last)
            self._bench.last = Decoded(dict(values), self._attributes, order)
            self._decoded_count = len(values)
        return self._attributes

    def _withdraw(self, result: AdmissionResult, error: StorageError) -> None:
        """Take back a row whose bytes could not be made durable; a start would do the same."""
        if not isinstance(result, Duplicate):
            event = self._event(AuditKind.OBJECT_REFUSED_FULL, "withdrawn", error.message, ())
            try:
                self._receiver.catalogue.change_state(self._object_id, ObjectState.DISCARDED, event)
            except StorageError:
                self._is_stuck = True

    def _record(self, inspection: Inspection) -> ObjectRecord:
        attributes = self._decoded()
        claim = self._claim
        return ObjectRecord(
            object_id=self._object_id,
            state=ObjectState.ARCHIVED,
            sop_instance_uid=attributes.get(_SOP_INSTANCE, "") if claim is None else claim.sop_instance_uid,
            sop_class_uid=attributes.get(_SOP_CLASS, "") if claim is None else claim.sop_class_uid,
            transfer_syntax_uid=self._inspector.transfer_syntax_uid,
            study_instance_uid=attributes.get(_STUDY, ""),
            series_instance_uid=attributes.get(_SERIES, ""),
            source=self._source,
            received_at_us=self._receiver.clock.now_us(),
            length_bytes=self._length,
            digest=self._sealer.digest,
            attributes=attributes,
            findings=inspection.findings,
        )

    def _frames(self) -> tuple[Ranges, ...]:
        inspector = self._inspector
        order = transfer_syntax(inspector.transfer_syntax_uid).is_little_endian
        return _frame_table(inspector.structure, inspector.values, inspector.dataset_offset or 0, is_little=order)

    def _event(
        self,
        kind: AuditKind,
        outcome: str,
        reason: str,
        findings: tuple[Finding, ...],
        route: str = "",
        pixels: Mapping[str, str | int] = MappingProxyType({}),
    ) -> AuditEvent:
        detail: dict[str, str | int] = {"length": self._length, **pixels}
        if reason:
            detail["reason"] = reason
        if route:
            detail["route"] = route
        if findings:
            detail["findings"] = ", ".join(sorted({finding.id for finding in findings}))
        return AuditEvent(
            kind=kind,
            at_us=self._receiver.clock.now_us(),
            actor=self._source,
            subject=self._object_id,
            outcome=outcome,
            detail=detail,
        )


def _frame_table(
    structure: Structure | None, values: Mapping[int, bytes], dataset_offset: int, *, is_little: bool
) -> tuple[Ranges, ...]:
    """Lay the frames out as ranges of the file, or give none where the object has no pixels or does not say."""
    if structure is None or structure.pixel_data is None or structure.length_bytes != structure.wire_bytes:
        return ()
    try:
        table = frames(structure.pixel_data, *native_frames(values, is_little=is_little))
    except DatasetError:
        return ()  # an object whose frames cannot be told apart is still an object; it is served whole
    return tuple(tuple((offset + dataset_offset, length) for offset, length in ranges) for ranges in table)
