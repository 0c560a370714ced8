"""Answer C-FIND (PS3.4 annex C.4.1): match in the catalogue, one pending response for each match."""

from __future__ import annotations

from leadglass.archive.query import QUERY_LEVEL, query_from_identifier
from leadglass.audit import AuditKind
from leadglass.dicom.association import CommandReceived
from leadglass.dicom.dataset import decode, encode_attributes
from leadglass.dicom.dimse import decode_command, encode
from leadglass.dicom.messages import CCancelRQ, CFindRQ, CFindRSP
from leadglass.dicom.status import Status
from leadglass.dicom.syntaxes import transfer_syntax
from leadglass.errors import LeadglassError, PeerError
from leadglass.gateway.node import Node, Permission
from leadglass.journeys.desk import Desk
from leadglass.journeys.ports import Wire

RETRIEVE_AE_TITLE = 0x00080054


def is_cancelled(wire: Wire, message_id: int) -> bool:
    """Tell whether the peer has asked to stop the operation (PS3.7 §9.3.2.3)."""
    wire.poll_events()
    event = wire.peek()
    if not isinstance(event, CommandReceived):
        return event is not None  # released, aborted or broken: nobody waits for more
    command = decode_command(event.data)
    return isinstance(command, CCancelRQ) and command.message_id_responded_to == message_id


def answer(
    desk: Desk, wire: Wire, node: Node, context_id: int, command: CFindRQ, identifier: bytes, syntax_uid: str
) -> None:
    """Answer one query; raises only for what ends the association."""

    def respond(status: int, dataset: bytes = b"", comment: str = "") -> None:
        response = CFindRSP(
            command.message_id, command.sop_class_uid, status, has_dataset=bool(dataset), error_comment=comment
        )
        wire.send(wire.engine.send_command(context_id, encode(response)))
        if dataset:
            wire.send(wire.engine.send_data(context_id, dataset, is_last=True))

    if Permission.QUERY not in node.permissions:
        respond(Status.NOT_AUTHORIZED)
        return
    syntax = transfer_syntax(syntax_uid)
    count = 0
    try:
        query = query_from_identifier(decode(identifier, syntax), command.sop_class_uid)
        for match in desk.archive.find(query):
            if is_cancelled(wire, command.message_id):
                respond(Status.CANCEL)
                break
            count += 1
            told = {**match, QUERY_LEVEL: query.at.value, RETRIEVE_AE_TITLE: desk.ae_title}
            respond(Status.PENDING, encode_attributes(told, syntax))
        else:
            respond(Status.SUCCESS)
    except PeerError as error:
        respond(Status.IDENTIFIER_DOES_NOT_MATCH, comment=error.message[:64])
    except LeadglassError as error:
        respond(Status.PROCESSING_FAILURE, comment=error.message[:64])
    desk.note(AuditKind.QUERY, node.name, "answered", {"matches": count})
