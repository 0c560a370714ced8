"""DIMSE messages from and to command sets (PS3.7 §9, §10, Annex E).

`decode_command` gives one of the classes of the union `Command` or raises PeerError; `encode` is its
inverse. One thing a peer can get wrong passes on purpose: the SOP Instance UID of C-STORE-RQ stays text,
with `uid_fault` saying what is wrong with it, so that an object with a hostile UID is held and looked at
instead of being answered with an abort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypedDict, TypeVar

from leadglass.dicom import command_set as cs
from leadglass.dicom.command_set import Elements
from leadglass.dicom.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CMoveRSP,
    Command,
    CStoreRQ,
    CStoreRSP,
    InstanceResponse,
    NActionRQ,
    NActionRSP,
    NCreateRQ,
    NCreateRSP,
    NDeleteRQ,
    NDeleteRSP,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NGetRSP,
    NSetRQ,
    NSetRSP,
    Priority,
    Request,
    Response,
    SuboperationsRSP,
)
from leadglass.dicom.values import UID, AETitle, Tag
from leadglass.errors import PeerError

__all__ = [
    "CCancelRQ",
    "CEchoRQ",
    "CEchoRSP",
    "CFindRQ",
    "CFindRSP",
    "CGetRQ",
    "CGetRSP",
    "CMoveRQ",
    "CMoveRSP",
    "CStoreRQ",
    "CStoreRSP",
    "Command",
    "NActionRQ",
    "NActionRSP",
    "NCreateRQ",
    "NCreateRSP",
    "NDeleteRQ",
    "NDeleteRSP",
    "NEventReportRQ",
    "NEventReportRSP",
    "NGetRQ",
    "NGetRSP",
    "NSetRQ",
    "NSetRSP",
    "Priority",
    "decode_command",
    "encode",
]

_FIELD: dict[type[Command], int] = {
    CStoreRQ: 0x0001,
    CGetRQ: 0x0010,
    CFindRQ: 0x0020,
    CMoveRQ: 0x0021,
    CEchoRQ: 0x0030,
    NEventReportRQ: 0x0100,
    NGetRQ: 0x0110,
    NSetRQ: 0x0120,
    NActionRQ: 0x0130,
    NCreateRQ: 0x0140,
    NDeleteRQ: 0x0150,
    CCancelRQ: 0x0FFF,
    CStoreRSP: 0x8001,
    CGetRSP: 0x8010,
    CFindRSP: 0x8020,
    CMoveRSP: 0x8021,
    CEchoRSP: 0x8030,
    NEventReportRSP: 0x8100,
    NGetRSP: 0x8110,
    NSetRSP: 0x8120,
    NActionRSP: 0x8130,
    NCreateRSP: 0x8140,
    NDeleteRSP: 0x8150,
}
"""Command field (0000,0100) by message (PS3.7 table E.1-1)."""

_ON_REQUESTED_INSTANCE = (NGetRQ, NSetRQ, NActionRQ, NDeleteRQ)
"""Requests that name (0000,0003) and (0000,1001) where the others name (0000,0002) and (0000,1000)."""

_ERROR_COMMENT_MAX = 64
"""An LO holds at most 64 characters (PS3.5 §6.2)."""


def decode_command(data: bytes) -> Command:
    """Read a command set as a message; a broken rule raises PeerError."""
    elements = cs.read_elements(data)
    field = cs.unsigned_short(elements, cs.COMMAND_FIELD)
    decoder = _DECODERS.get(field)
    if decoder is None:
        raise PeerError(f"Command field {field:04X} does not exist.", code="command-field", clause="PS3.7 Annex E")
    command = decoder(elements)
    if cs.has_data_set(elements) is not command.has_dataset:
        raise PeerError(
            f"{type(command).__name__} announces a data set where it has none, or has none where it needs one.",
            code="command-data-set",
            clause="PS3.7 §9.3, §10.3",
        )
    return command


def encode(command: Command) -> bytes:
    """Give the command set of a message, its group length first."""
    elements: Elements = {
        cs.COMMAND_FIELD: cs.encode_unsigned_short(_FIELD[type(command)]),
        cs.DATA_SET_TYPE: cs.encode_unsigned_short(cs.DATA_SET_PRESENT if command.has_dataset else cs.NO_DATA_SET),
    }
    match command:
        case CCancelRQ():
            _put_shorts(elements, {cs.MESSAGE_ID_RESPONDED_TO: command.message_id_responded_to})
        case Request():
            _put_shorts(elements, {cs.MESSAGE_ID: command.message_id})
            _put_request(elements, command)
        case _:
            _put_response(elements, command)
    return cs.write_elements(elements)


# --- requests -------------------------------------------------------------------------------------------


def _message(e: Elements) -> tuple[int, UID]:
    return cs.unsigned_short(e, cs.MESSAGE_ID), cs.uid(e, cs.AFFECTED_SOP_CLASS_UID)


def _requested(e: Elements) -> tuple[int, UID, UID]:
    return (
        cs.unsigned_short(e, cs.MESSAGE_ID),
        cs.uid(e, cs.REQUESTED_SOP_CLASS_UID),
        cs.uid(e, cs.REQUESTED_SOP_INSTANCE_UID),
    )


def _priority(e: Elements) -> int:
    """Read the priority; it is required, but a peer that leaves it out does no harm."""
    priority = cs.unsigned_short_if_any(e, cs.PRIORITY)
    return Priority.MEDIUM if priority is None else priority


def _c_store_rq(e: Elements) -> CStoreRQ:
    untrusted_uid = e.get(cs.AFFECTED_SOP_INSTANCE_UID, b"")
    text, fault = untrusted_uid.decode("latin-1").rstrip("\0 "), None
    try:
        text = UID.parse(untrusted_uid)
    except PeerError as error:
        fault = error
    return CStoreRQ(
        *_message(e),
        text,
        _priority(e),
        cs.ae_title_if_any(e, cs.MOVE_ORIGINATOR_AE_TITLE),
        cs.unsigned_short_if_any(e, cs.MOVE_ORIGINATOR_MESSAGE_ID),
        fault,
    )


def _c_move_rq(e: Elements) -> CMoveRQ:
    return CMoveRQ(*_message(e), AETitle.parse(e.get(cs.MOVE_DESTINATION, b"")), _priority(e))


def _n_event_report_rq(e: Elements) -> NEventReportRQ:
    instance, event = cs.uid(e, cs.AFFECTED_SOP_INSTANCE_UID), cs.unsigned_short(e, cs.EVENT_TYPE_ID)
    return NEventReportRQ(*_message(e), instance, event, cs.has_data_set(e))


def _n_action_rq(e: Elements) -> NActionRQ:
    return NActionRQ(*_requested(e), cs.unsigned_short(e, cs.ACTION_TYPE_ID), cs.has_data_set(e))


def _n_create_rq(e: Elements) -> NCreateRQ:
    return NCreateRQ(*_message(e), cs.uid_if_any(e, cs.AFFECTED_SOP_INSTANCE_UID), cs.has_data_set(e))


def _put_request(e: Elements, request: Request) -> None:
    is_requested = isinstance(request, _ON_REQUESTED_INSTANCE)
    class_element = cs.REQUESTED_SOP_CLASS_UID if is_requested else cs.AFFECTED_SOP_CLASS_UID
    instance_element = cs.REQUESTED_SOP_INSTANCE_UID if is_requested else cs.AFFECTED_SOP_INSTANCE_UID
    e[class_element] = cs.encode_uid(request.sop_class_uid)
    match request:
        case CStoreRQ():
            e[instance_element] = cs.encode_uid(request.sop_instance_uid)
            if request.move_originator_ae_title is not None:
                e[cs.MOVE_ORIGINATOR_AE_TITLE] = cs.encode_text(request.move_originator_ae_title)
            _put_shorts(e, {cs.MOVE_ORIGINATOR_MESSAGE_ID: request.move_originator_message_id})
        case NEventReportRQ() | NGetRQ() | NSetRQ() | NActionRQ() | NDeleteRQ():
            e[instance_element] = cs.encode_uid(request.sop_instance_uid)
        case NCreateRQ(sop_instance_uid=UID() as instance):
            e[instance_element] = cs.encode_uid(instance)
    match request:
        case CStoreRQ() | CFindRQ() | CGetRQ():
            _put_shorts(e, {cs.PRIORITY: request.priority})
        case CMoveRQ():
            _put_shorts(e, {cs.PRIORITY: request.priority})
            e[cs.MOVE_DESTINATION] = cs.encode_text(request.move_destination)
        case NEventReportRQ():
            _put_shorts(e, {cs.EVENT_TYPE_ID: request.event_type_id})
        case NActionRQ():
            _put_shorts(e, {cs.ACTION_TYPE_ID: request.action_type_id})
        case NGetRQ() if request.attribute_identifiers:
            e[cs.ATTRIBUTE_IDENTIFIER_LIST] = cs.encode_tags(request.attribute_identifiers)


# --- responses ------------------------------------------------------------------------------------------


class _Tail(TypedDict):
    has_dataset: bool
    error_comment: str
    offending_elements: tuple[Tag, ...]
    error_id: int | None


_R = TypeVar("_R", bound=Response)
_S = TypeVar("_S", bound=SuboperationsRSP)
_I = TypeVar("_I", bound=InstanceResponse)


def _tail(e: Elements) -> _Tail:
    return _Tail(
        has_dataset=cs.has_data_set(e),
        error_comment=cs.text(e, cs.ERROR_COMMENT, _ERROR_COMMENT_MAX),
        offending_elements=cs.tags(e, cs.OFFENDING_ELEMENT),
        error_id=cs.unsigned_short_if_any(e, cs.ERROR_ID),
    )


def _head(e: Elements) -> tuple[int, UID | None, int]:
    return (
        cs.unsigned_short(e, cs.MESSAGE_ID_RESPONDED_TO),
        cs.uid_if_any(e, cs.AFFECTED_SOP_CLASS_UID),
        cs.unsigned_short(e, cs.STATUS),
    )


def _response(kind: type[_R]) -> Callable[[Elements], _R]:
    return lambda e: kind(*_head(e), **_tail(e))


def _suboperations(kind: type[_S]) -> Callable[[Elements], _S]:
    def decode(e: Elements) -> _S:
        return kind(
            *_head(e),
            **_tail(e),
            remaining=cs.unsigned_short_if_any(e, cs.REMAINING_SUBOPERATIONS),
            completed=cs.unsigned_short_if_any(e, cs.COMPLETED_SUBOPERATIONS),
            failed=cs.unsigned_short_if_any(e, cs.FAILED_SUBOPERATIONS),
            warning=cs.unsigned_short_if_any(e, cs.WARNING_SUBOPERATIONS),
        )

    return decode


def _on_instance(kind: type[_I]) -> Callable[[Elements], _I]:
    def decode(e: Elements) -> _I:
        message_id, sop_class, status = _head(e)
        instance = cs.text(e, cs.AFFECTED_SOP_INSTANCE_UID, 64) or None
        return kind(message_id, sop_class, instance, status, **_tail(e))

    return decode


def _n_event_report_rsp(e: Elements) -> NEventReportRSP:
    return replace(_on_instance(NEventReportRSP)(e), event_type_id=cs.unsigned_short_if_any(e, cs.EVENT_TYPE_ID))


def _n_action_rsp(e: Elements) -> NActionRSP:
    return replace(_on_instance(NActionRSP)(e), action_type_id=cs.unsigned_short_if_any(e, cs.ACTION_TYPE_ID))


def _put_response(e: Elements, response: Response | InstanceResponse) -> None:
    _put_shorts(
        e,
        {
            cs.MESSAGE_ID_RESPONDED_TO: response.message_id_responded_to,
            cs.STATUS: response.status,
            cs.ERROR_ID: response.error_id,
        },
    )
    if response.sop_class_uid is not None:
        e[cs.AFFECTED_SOP_CLASS_UID] = cs.encode_uid(response.sop_class_uid)
    if response.error_comment:
        e[cs.ERROR_COMMENT] = cs.encode_text(response.error_comment[:_ERROR_COMMENT_MAX])
    if response.offending_elements:
        e[cs.OFFENDING_ELEMENT] = cs.encode_tags(response.offending_elements)
    if isinstance(response, InstanceResponse) and response.sop_instance_uid is not None:
        e[cs.AFFECTED_SOP_INSTANCE_UID] = cs.encode_uid(response.sop_instance_uid)
    match response:
        case SuboperationsRSP():
            _put_shorts(
                e,
                {
                    cs.REMAINING_SUBOPERATIONS: response.remaining,
                    cs.COMPLETED_SUBOPERATIONS: response.completed,
                    cs.FAILED_SUBOPERATIONS: response.failed,
                    cs.WARNING_SUBOPERATIONS: response.warning,
                },
            )
        case NEventReportRSP():
            _put_shorts(e, {cs.EVENT_TYPE_ID: response.event_type_id})
        case NActionRSP():
            _put_shorts(e, {cs.ACTION_TYPE_ID: response.action_type_id})


def _put_shorts(e: Elements, values: dict[int, int | None]) -> None:
    for element, value in values.items():
        if value is not None:
            e[element] = cs.encode_unsigned_short(value)


_DECODERS: dict[int, Callable[[Elements], Command]] = {
    _FIELD[CStoreRQ]: _c_store_rq,
    _FIELD[CGetRQ]: lambda e: CGetRQ(*_message(e), _priority(e)),
    _FIELD[CFindRQ]: lambda e: CFindRQ(*_message(e), _priority(e)),
    _FIELD[CMoveRQ]: _c_move_rq,
    _FIELD[CEchoRQ]: lambda e: CEchoRQ(*_message(e)),
    _FIELD[CCancelRQ]: lambda e: CCancelRQ(cs.unsigned_short(e, cs.MESSAGE_ID_RESPONDED_TO)),
    _FIELD[NEventReportRQ]: _n_event_report_rq,
    _FIELD[NGetRQ]: lambda e: NGetRQ(*_requested(e), cs.tags(e, cs.ATTRIBUTE_IDENTIFIER_LIST)),
    _FIELD[NSetRQ]: lambda e: NSetRQ(*_requested(e)),
    _FIELD[NActionRQ]: _n_action_rq,
    _FIELD[NCreateRQ]: _n_create_rq,
    _FIELD[NDeleteRQ]: lambda e: NDeleteRQ(*_requested(e)),
    _FIELD[CStoreRSP]: _on_instance(CStoreRSP),
    _FIELD[CGetRSP]: _suboperations(CGetRSP),
    _FIELD[CFindRSP]: _response(CFindRSP),
    _FIELD[CMoveRSP]: _suboperations(CMoveRSP),
    _FIELD[CEchoRSP]: _response(CEchoRSP),
    _FIELD[NEventReportRSP]: _n_event_report_rsp,
    _FIELD[NGetRSP]: _on_instance(NGetRSP),
    _FIELD[NSetRSP]: _on_instance(NSetRSP),
    _FIELD[NActionRSP]: _n_action_rsp,
    _FIELD[NCreateRSP]: _on_instance(NCreateRSP),
    _FIELD[NDeleteRSP]: _on_instance(NDeleteRSP),
}
