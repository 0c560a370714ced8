"""Hand stored objects over on request: C-GET on the same association, C-MOVE on another (PS3.4 annex C.4.2, C.4.3)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from leadglass.archive.query import query_from_identifier
from leadglass.audit import AuditKind
from leadglass.dicom.dataset import decode, encode_attributes
from leadglass.dicom.dimse import encode
from leadglass.dicom.messages import CCancelRQ, CGetRQ, CGetRSP, CMoveRQ, CMoveRSP, CStoreRSP
from leadglass.dicom.status import Status
from leadglass.dicom.syntaxes import transfer_syntax
from leadglass.errors import LeadglassError, PeerError
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys.desk import Desk
from leadglass.journeys.find import is_cancelled
from leadglass.journeys.ports import ObjectRecord, Wire
from leadglass.journeys.send import Carried, Originator, StoreAssociation, carry, next_command, prepare, store

_FAILED_LIST = 0x00080058


@dataclass(slots=True)
class _Tally:
    """The counts of sub-operations (PS3.7 §9.1.3, §9.1.4)."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def count(self, record: ObjectRecord, status: int | None) -> None:
        """Note how one store ended; None when it could not be tried."""
        self.remaining -= 1
        if status == Status.SUCCESS:
            self.completed += 1
        elif status is not None and status >> 12 == 0xB:
            self.warning += 1
        else:
            self.failed += 1
            self.failed_uids.append(record.sop_instance_uid)

    @property
    def final_status(self) -> int:
        """Give the status of the last response (PS3.4 tables C.4-2, C.4-3)."""
        if self.failed and not self.completed and not self.warning:
            return Status.UNABLE_TO_PERFORM_SUBOPERATIONS
        return Status.SUBOPERATIONS_WITH_FAILURES if self.failed or self.warning else Status.SUCCESS


Respond = Callable[[int, _Tally | None, str], None]


def _responder(wire: Wire, context_id: int, command: CGetRQ | CMoveRQ, syntax_uid: str) -> Respond:
    def respond(status: int, tally: _Tally | None, comment: str = "") -> None:
        kind = CGetRSP if isinstance(command, CGetRQ) else CMoveRSP
        dataset = b""
        is_final = status != Status.PENDING
        if is_final and tally is not None and tally.failed_uids:
            dataset = encode_attributes({_FAILED_LIST: "\\".join(tally.failed_uids)}, transfer_syntax(syntax_uid))
        response = kind(
            command.message_id,
            command.sop_class_uid,
            status,
            remaining=None if tally is None or (is_final and status != Status.CANCEL) else tally.remaining,
            completed=None if tally is None else tally.completed,
            failed=None if tally is None else tally.failed,
            warning=None if tally is None else tally.warning,
            has_dataset=bool(dataset),
            error_comment=comment,
        )
        wire.send(wire.engine.send_command(context_id, encode(response)))
        if dataset:
            wire.send(wire.engine.send_data(context_id, dataset, is_last=True))

    return respond


def _selected(
    desk: Desk, node: Node, command: CGetRQ | CMoveRQ, identifier: bytes, syntax_uid: str, respond: Respond
) -> list[ObjectRecord] | None:
    """Find what is asked for; None when the answer was already given."""
    if Permission.RETRIEVE not in node.permissions:
        respond(Status.NOT_AUTHORIZED, None, "")
        return None
    try:
        return desk.archive.instances(
            query_from_identifier(decode(identifier, transfer_syntax(syntax_uid)), command.sop_class_uid)
        )
    except PeerError as error:
        respond(Status.IDENTIFIER_DOES_NOT_MATCH, None, error.message[:64])
    except LeadglassError as error:
        respond(Status.UNABLE_TO_CALCULATE_MATCHES, None, error.message[:64])
    return None


def get(
    desk: Desk, wire: Wire, node: Node, context_id: int, command: CGetRQ, identifier: bytes, syntax_uid: str
) -> None:
    """Answer C-GET: store what matches on this very association, then say how it went."""
    respond = _responder(wire, context_id, command, syntax_uid)
    records = _selected(desk, node, command, identifier, syntax_uid, respond)
    if records is None:
        return
    tally = _Tally(len(records))
    status: int | None = None
    for number, record in enumerate(records, start=1):
        if is_cancelled(wire, command.message_id):
            status = Status.CANCEL
            break
        tally.count(record, _store_back(desk, wire, record, number))
        if tally.remaining:
            respond(Status.PENDING, tally, "")
    _record(desk, node, "get", node.name, tally)
    respond(tally.final_status if status is None else status, tally, "")


def _store_back(desk: Desk, wire: Wire, record: ObjectRecord, number: int) -> int | None:
    """Store one object on the association that asked; None when it cannot be opened, rewritten or carried."""
    try:
        prepared = prepare(wire, desk.archive.open_record(record), desk.rewrite)
    except LeadglassError:
        return None
    if prepared is None:
        return None
    store(wire, prepared, message_id=number % 0xFFFF + 1)
    while True:
        _, answer = next_command(wire)
        if isinstance(answer, CStoreRSP):
            return answer.status
        if not isinstance(answer, CCancelRQ):
            raise PeerError("The peer answered a store with something else.", code="protocol", clause="PS3.7 §9.3.1")


def move(
    desk: Desk, wire: Wire, node: Node, context_id: int, command: CMoveRQ, identifier: bytes, syntax_uid: str
) -> None:
    """Answer C-MOVE: store what matches on associations with the destination, then say how it went."""
    respond = _responder(wire, context_id, command, syntax_uid)
    destination = desk.catalogue.node(command.move_destination)
    if destination is None or destination.state is not NodeState.APPROVED or not destination.host:
        respond(Status.MOVE_DESTINATION_UNKNOWN, None, "The destination is not an approved node.")
        return
    records = _selected(desk, node, command, identifier, syntax_uid, respond)
    if records is None:
        return
    tally = _Tally(len(records))
    is_cancelled_by_peer = False
    with closing(_carried(desk, node, destination, command, records)) as carried:
        for answer in carried:
            tally.count(answer.record, answer.status)
            if is_cancelled(wire, command.message_id):
                is_cancelled_by_peer = True
                break
            if tally.remaining:
                respond(Status.PENDING, tally, "")
    _record(desk, node, "move", destination.name, tally)
    respond(Status.CANCEL if is_cancelled_by_peer else tally.final_status, tally, "")


def _carried(
    desk: Desk, node: Node, destination: Node, command: CMoveRQ, records: list[ObjectRecord]
) -> Generator[Carried]:
    originator = Originator(node.name, command.message_id)

    def associate(part: Sequence[ObjectRecord]) -> StoreAssociation:
        return StoreAssociation(desk.connect, destination, desk.ae_title, part)

    def send(association: StoreAssociation, record: ObjectRecord) -> int:
        return association.store(desk.archive.open_record(record), desk.rewrite, originator)

    return carry(associate, records, send)


def _record(desk: Desk, node: Node, how: str, destination: str, tally: _Tally) -> None:
    desk.note(
        AuditKind.RETRIEVED,
        node.name,
        how,
        {"to": destination, "completed": tally.completed, "failed": tally.failed, "warning": tally.warning},
    )
