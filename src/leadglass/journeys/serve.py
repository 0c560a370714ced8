"""One association from the first byte to the last: admit the caller, agree on contexts, answer its commands.

Read `serve_association` for who gets in and `Session` for what they may do. Services live in their own
journeys: `receive` (C-STORE), `find`, `hand_over` (C-GET, C-MOVE), `commit` (storage commitment).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from leadglass.audit import AuditKind
from leadglass.dicom.association import (
    Aborted,
    AssociateRequested,
    CommandReceived,
    ConnectionClosed,
    DataFragment,
    Event,
    PeerFault,
    ReleaseRequested,
)
from leadglass.dicom.dimse import decode_command, encode
from leadglass.dicom.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    Command,
    CStoreRQ,
    CStoreRSP,
    NActionRQ,
)
from leadglass.dicom.pdu import AssociateRequest
from leadglass.dicom.status import Status
from leadglass.errors import LeadglassError, LimitExceeded, PeerError, StorageError, StorageFull
from leadglass.gateway.admission import Refusal, Welcome, admit_association
from leadglass.gateway.negotiation import negotiate
from leadglass.gateway.node import Node, Permission
from leadglass.journeys import commit, find, hand_over
from leadglass.journeys.desk import Desk
from leadglass.journeys.identity import Claim
from leadglass.journeys.ports import Caller, Wire
from leadglass.journeys.receive import Archived, Bench, Held, Outcome, Reception, Rejected

_STATUS_HELD = 0xC1A0
"""Error: Cannot Understand (Cxxx), ours for "held": the hub keeps evidence, the sender keeps its object."""


_TRY_AGAIN = (2, 3, 1)
"""Rejected for now by the presentation provider: temporary congestion (PS3.8 table 9-21)."""


def serve_association(desk: Desk, wire: Wire, caller: Caller) -> None:
    """Serve one connection until it ends; every way it can end is recorded."""
    try:
        event = wire.next_event()
    except PeerError as late:
        desk.turned_away(caller, late.code, late.message)
        return
    match event:
        case AssociateRequested(request=request):
            node = _admit(desk, wire, caller, request)
            if node is not None:
                Session(desk, wire, caller, node).run()
        case PeerFault(error=error):
            wire.send(wire.engine.data_to_send())
            desk.turned_away(caller, "protocol", error.message)
        case _:
            return  # a port scan or a balancer's health check: connected, said nothing, left


def _admit(desk: Desk, wire: Wire, caller: Caller, request: AssociateRequest) -> Node | None:
    calling = request.calling_ae_title
    answer = admit_association(
        node=desk.catalogue.node(calling),
        calling=calling,
        called=request.called_ae_title,
        our_ae_titles=desk.ae_titles,
        address=caller.address,
        certificate_fingerprint=caller.fingerprint,
        is_tls=caller.is_tls,
    )
    match answer:
        case Welcome(node=node) if not wire.claim(node.name):
            sentence = "Every association this node may have is at work."
            wire.send(wire.engine.reject(*_TRY_AGAIN))
            desk.turned_away(caller, "pool-full", sentence, calling=calling, called=request.called_ae_title)
            return None
        case Welcome(node=node):
            wire.send(wire.engine.accept(negotiate(request, node.permissions)))
            desk.note(
                AuditKind.ASSOCIATION_ACCEPTED,
                node.name,
                "accepted",
                {"address": caller.address, "tls": caller.tls_version},
            )
            return node
        case Refusal() as refusal:
            wire.send(wire.engine.reject(refusal.result, refusal.source, refusal.reason))
            desk.turned_away(caller, refusal.code, refusal.sentence, calling=calling, called=request.called_ae_title)
            if refusal.code == "unknown-node":
                desk.meet(caller, calling)
            return None


@dataclass(slots=True)
class _Pending:
    """A command whose data set is still arriving."""

    command: Command
    context_id: int
    identifier: bytearray


class Session:
    """An established association."""

    def __init__(self, desk: Desk, wire: Wire, caller: Caller, node: Node) -> None:
        self._desk = desk
        self._wire = wire
        self._caller = caller
        self._node = node
        self._pending: _Pending | None = None
        self._reception: Reception | None = None
        self._bench: Bench | None = None
        self._refusal: int | None = None
        """Status owed to a store whose data set is being read to its end and thrown away."""

    def run(self) -> None:
        """Answer commands until the association ends."""
        try:
            while self._step(self._wire.next_event()):
                pass
        except LimitExceeded as error:
            self._end_early(error.code, error.message)
        except PeerError as error:
            self._end_early(error.code, error.message)
        except LeadglassError as error:
            self._drop(error.message)
            self._desk.note(AuditKind.ASSOCIATION_ABORTED, self._node.name, "broken", {"reason": error.message})

    def _step(self, event: Event) -> bool:
        match event:
            case DataFragment():
                self._take(event)
            case CommandReceived(context_id=context_id, data=data, has_data_set=has_data_set):
                self._wire.is_busy = True
                self._begin(context_id, decode_command(data), has_data_set=has_data_set)
            case ReleaseRequested():
                self._wire.send(self._wire.engine.release_reply())
                return False
            case PeerFault(error=error):
                self._wire.send(self._wire.engine.data_to_send())
                raise error
            case _:
                assert isinstance(event, Aborted | ConnectionClosed), event
                if self._reception is not None or self._pending is not None:
                    self._drop("The sender ended the association inside an object.")
                if isinstance(event, Aborted):
                    self._desk.note(AuditKind.ASSOCIATION_ABORTED, self._node.name, "aborted by peer", {})
                return False
        return True

    def _end_early(self, code: str, message: str) -> None:
        self._drop(message)
        with suppress(LeadglassError):  # the peer may be gone already
            self._wire.send(self._wire.engine.abort(2, 0))
        self._desk.note(
            AuditKind.ASSOCIATION_ABORTED, self._node.name, code, {"reason": message, "address": self._caller.address}
        )

    def _drop(self, reason: str) -> None:
        reception, self._reception = self._reception, None
        if reception is not None:
            reception.abort(reason)

    # --- commands ---------------------------------------------------------------------------------

    def _begin(self, context_id: int, command: Command, *, has_data_set: bool) -> None:
        if has_data_set:
            self._pending = _Pending(command, context_id, bytearray())
            if isinstance(command, CStoreRQ):
                self._begin_store(context_id, command)
        else:
            self._perform(context_id, command, b"")

    def _take(self, fragment: DataFragment) -> None:
        pending = self._pending
        if pending is None:
            raise PeerError("A data set arrived that no command announced.", code="protocol", clause="PS3.7 §6.3.1")
        if isinstance(pending.command, CStoreRQ):
            self._store(fragment)
            if fragment.is_last:
                self._pending = None
                self._finish_store(pending.context_id, pending.command)
                self._wire.is_busy = False
            return
        pending.identifier += fragment.data
        if len(pending.identifier) > self._desk.identifier_length_max:
            raise LimitExceeded(
                "The identifier is larger than any query.", code="identifier-size", clause="PS3.7 §9.1.2"
            )
        if fragment.is_last:
            self._pending = None
            self._perform(pending.context_id, pending.command, bytes(pending.identifier))

    def _perform(self, context_id: int, command: Command, identifier: bytes) -> None:
        wire, desk, node = self._wire, self._desk, self._node
        syntax = wire.engine.contexts[context_id].transfer_syntax
        match command:
            case CEchoRQ():
                self._reply(context_id, CEchoRSP(command.message_id, command.sop_class_uid, Status.SUCCESS))
            case CFindRQ():
                find.answer(desk, wire, node, context_id, command, identifier, syntax)
            case CGetRQ():
                hand_over.get(desk, wire, node, context_id, command, identifier, syntax)
            case CMoveRQ():
                hand_over.move(desk, wire, node, context_id, command, identifier, syntax)
            case NActionRQ():
                commit.answer(desk, wire, node, context_id, command, identifier, syntax)
            case CCancelRQ():
                pass  # what it cancels has just been answered to the end (PS3.7 §9.3.2.3)
            case _:
                raise PeerError(
                    f"{type(command).__name__} is not a service of this hub.", code="protocol", clause="PS3.7 §9"
                )
        wire.is_busy = False

    def _reply(self, context_id: int, command: Command) -> None:
        self._wire.send(self._wire.engine.send_command(context_id, encode(command)))

    # --- C-STORE (PS3.4 annex B) --------------------------------------------------------------------

    def _begin_store(self, context_id: int, command: CStoreRQ) -> None:
        context = self._wire.engine.contexts[context_id]
        self._refusal = None
        if Permission.STORE not in self._node.permissions:
            self._refusal = Status.NOT_AUTHORIZED
            self._desk.note(
                AuditKind.OBJECT_REJECTED, self._node.name, "not-authorized", {"reason": "The node may not store."}
            )
            return
        if context.abstract_syntax != command.sop_class_uid:
            self._refusal = Status.SOP_CLASS_NOT_SUPPORTED
            return
        claim = Claim(
            command.sop_class_uid,
            command.sop_instance_uid,
            context.transfer_syntax,
            "" if command.uid_fault is None else command.uid_fault.message,
        )
        if self._bench is None:
            self._bench = Bench()
        try:
            self._reception = self._desk.receiver.begin(self._node.name, claim, self._bench)
        except StorageError as error:
            self._refuse(error)

    def _store(self, fragment: DataFragment) -> None:
        if self._reception is None:
            return
        try:
            self._reception.feed(fragment.data)
        except StorageError as error:
            self._refuse(error)

    def _refuse(self, error: StorageError) -> None:
        self._refusal = Status.OUT_OF_RESOURCES if isinstance(error, StorageFull) else Status.PROCESSING_FAILURE
        reception, self._reception = self._reception, None
        self._desk.storage_failed(self._node.name, error, reception)

    def _finish_store(self, context_id: int, command: CStoreRQ) -> None:
        reception, self._reception = self._reception, None
        status, comment = self._refusal, ""
        if reception is not None:
            try:
                status, comment = _status_of(reception.finish())
            except StorageError as error:
                self._refuse(error)
                status = self._refusal
        assert status is not None
        self._reply(
            context_id,
            CStoreRSP(
                command.message_id, command.sop_class_uid, command.sop_instance_uid, status, error_comment=comment
            ),
        )


def _status_of(outcome: Outcome) -> tuple[int, str]:
    match outcome:
        case Archived():
            return Status.SUCCESS, ""
        case Held():
            return _STATUS_HELD, "Held for review by the receiving hub."
        case Rejected(status=status):
            return status, "Refused by the receiving hub's policy."
