"""Storage commitment (PS3.4 annex J): say which objects this archive answers for, once they are durable.

The request is recorded before it is acknowledged and answered by N-EVENT-REPORT on an association of our
own, tried again until the requester takes it; a requester without an address gets it on its own association.
"""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.audit import AuditEvent, AuditKind
from leadglass.dicom.dataset import DataSet, Element, decode, encode, text_of
from leadglass.dicom.dimse import encode as encode_command
from leadglass.dicom.messages import NActionRQ, NActionRSP, NEventReportRQ, NEventReportRSP
from leadglass.dicom.pdu import ProposedContext
from leadglass.dicom.status import Status
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, transfer_syntax
from leadglass.dicom.user_information import RoleSelection
from leadglass.dicom.values import UID
from leadglass.errors import LeadglassError, NotFound, PeerError, RemoteError
from leadglass.gateway.negotiation import STORAGE_COMMITMENT
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys.desk import Desk
from leadglass.journeys.ports import Clock, Commitment, Wire
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.send import Connect, next_command, release, request_association

_TRANSACTION_UID = 0x00081195
_REFERENCED = 0x00081199
_FAILED = 0x00081198
_CLASS, _INSTANCE, _REASON = 0x00081150, 0x00081155, 0x00081197
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
_REQUEST, _SUCCESS_EVENT, _FAILURES_EVENT = 1, 1, 2
FIRST_WAIT_SECONDS = 5
ATTEMPTS_MAX = 30

References = tuple[tuple[str, str], ...]
"""(SOP Class UID, SOP Instance UID) of each object asked about."""


def answer(
    desk: Desk, wire: Wire, node: Node, context_id: int, command: NActionRQ, identifier: bytes, syntax_uid: str
) -> None:
    """Take a commitment request: durable first, then acknowledged."""
    status, transaction = Status.SUCCESS, ""
    references: References = ()
    if command.sop_class_uid != STORAGE_COMMITMENT or command.sop_instance_uid != WELL_KNOWN_INSTANCE:
        status = Status.NO_SUCH_SOP_INSTANCE
    elif command.action_type_id != _REQUEST:
        status = Status.NO_SUCH_ACTION
    elif Permission.STORE not in node.permissions:
        status = Status.NOT_AUTHORIZED
    else:
        try:
            transaction, references = _request(decode(identifier, transfer_syntax(syntax_uid)))
        except PeerError:
            status = Status.INVALID_ARGUMENT_VALUE
    if status == Status.SUCCESS and node.host:
        event = _event(desk.clock, node.name, "requested", {"objects": len(references)})
        desk.catalogue.put_commitment(node.name, transaction, references, event)
    response = NActionRSP(
        command.message_id,
        command.sop_class_uid,
        command.sop_instance_uid,
        status,
        action_type_id=command.action_type_id,
    )
    wire.send(wire.engine.send_command(context_id, encode_command(response)))
    if status == Status.SUCCESS and not node.host:
        report(desk.archive, wire, context_id, transaction, references)
        desk.note(AuditKind.STORAGE_COMMITMENT, node.name, "reported", {"objects": len(references)})


def _request(data_set: DataSet) -> tuple[str, References]:
    transaction = UID.parse(text_of(data_set, _TRANSACTION_UID))
    sequence = data_set.get(_REFERENCED)
    if sequence is None or not sequence.items:
        raise PeerError("A commitment request names at least one object.", code="identifier", clause="PS3.4 J.3.2")
    return transaction, tuple((text_of(item, _CLASS), text_of(item, _INSTANCE)) for item in sequence.items)


def report(archive: Archive, wire: Wire, context_id: int, transaction_uid: str, references: References) -> int:
    """Send N-EVENT-REPORT with what is committed and what is not; gives the number that failed."""
    committed: list[DataSet] = []
    failed: list[DataSet] = []
    for sop_class, sop_instance in references:
        item = {_CLASS: Element.of_text("UI", sop_class), _INSTANCE: Element.of_text("UI", sop_instance)}
        reason = _failure(archive, sop_class, sop_instance)
        if reason is None:
            committed.append(item)
        else:
            failed.append({**item, _REASON: Element.of_integers("US", reason)})
    data_set: DataSet = {_TRANSACTION_UID: Element.of_text("UI", transaction_uid)}
    if committed:
        data_set[_REFERENCED] = Element.of_items(*committed)
    if failed:
        data_set[_FAILED] = Element.of_items(*failed)
    syntax = transfer_syntax(wire.engine.contexts[context_id].transfer_syntax)
    command = NEventReportRQ(
        message_id=1,
        sop_class_uid=UID(STORAGE_COMMITMENT),
        sop_instance_uid=UID(WELL_KNOWN_INSTANCE),
        event_type_id=_FAILURES_EVENT if failed else _SUCCESS_EVENT,
    )
    wire.send(wire.engine.send_command(context_id, encode_command(command)))
    wire.send(wire.engine.send_data(context_id, encode(data_set, syntax), is_last=True))
    _, response = next_command(wire)
    if not isinstance(response, NEventReportRSP) or response.status != Status.SUCCESS:
        raise RemoteError("The peer did not take the storage commitment report.")
    return len(failed)


def _failure(archive: Archive, sop_class: str, sop_instance: str) -> int | None:
    """Give why an object is not committed (PS3.4 J.3.3), or None: it opens, so the archive answers for it."""
    try:
        record = archive.catalogue.instance(sop_instance)
        if record.sop_class_uid != sop_class:
            return Status.CLASS_INSTANCE_CONFLICT
        archive.open_record(record)
    except NotFound:
        return Status.NO_SUCH_SOP_INSTANCE
    except LeadglassError:
        return Status.PROCESSING_FAILURE
    return None


@dataclass(frozen=True, slots=True)
class Committer:
    """Report commitments on associations of our own, until each requester has taken its report."""

    archive: Archive
    connect: Connect
    clock: Clock
    ae_title: str

    def report_due(self) -> int:
        """Send the reports that are due; gives how many were taken."""
        due = self.archive.catalogue.due_commitments(self.clock.now_us())
        return sum(self._report(commitment) for commitment in due)

    def _report(self, commitment: Commitment) -> int:
        catalogue = self.archive.catalogue
        try:
            failures = self._call(commitment)
        except LeadglassError as error:
            attempts = commitment.attempts + 1
            wait_seconds = min(FIRST_WAIT_SECONDS << min(attempts, 20), 3600)
            due_at_us = None if attempts >= ATTEMPTS_MAX else self.clock.now_us() + wait_seconds * 1_000_000
            event = _event(
                self.clock, commitment.node, "will retry" if due_at_us else "given up", {"error": error.message}
            )
            catalogue.commitment_failed(commitment.commitment_id, error.message, due_at_us, event)
            return 0
        detail: dict[str, str | int] = {"objects": len(commitment.references), "failed": failures}
        catalogue.commitment_done(commitment.commitment_id, _event(self.clock, commitment.node, "reported", detail))
        return 1

    def _call(self, commitment: Commitment) -> int:
        node = self.archive.catalogue.node(commitment.node)
        if node is None or node.state is not NodeState.APPROVED or not node.host:
            raise RemoteError(f"{commitment.node} is not an approved node with an address.")
        wire = self.connect(node)
        uid = UID(STORAGE_COMMITMENT)
        context = ProposedContext(1, uid, (UID(EXPLICIT_LITTLE.uid), UID(IMPLICIT_LITTLE.uid)))
        role = RoleSelection(uid, is_scu=False, is_scp=True)
        try:
            request_association(wire, calling=self.ae_title, called=node.name, contexts=[context], roles=[role])
            if 1 not in wire.engine.contexts:
                raise RemoteError(f"{node.name} does not take storage commitment reports.")
            failures = report(self.archive, wire, 1, commitment.transaction_uid, commitment.references)
            release(wire)
        finally:
            wire.close()
        return failures


def _event(clock: Clock, node: str, outcome: str, detail: dict[str, str | int]) -> AuditEvent:
    return AuditEvent(AuditKind.STORAGE_COMMITMENT, clock.now_us(), node, None, outcome, detail)
