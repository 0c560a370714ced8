"""The seven PDUs of the upper layer, from and to bytes (PS3.8 §9.3).

`decode` takes one whole PDU that has already arrived; the association engine streams P-DATA-TF itself
and uses `decode_body` for the rest. Any broken rule raises PeerError and nothing else. Reserved fields
are not tested, as the standard asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import assert_never

from leadglass.dicom.items import RawItem, Region, encode_item
from leadglass.dicom.user_information import UserInformation, decode_user_information, encode_user_information
from leadglass.dicom.values import UID, AETitle
from leadglass.errors import LimitExceeded, PeerError
from leadglass.limits import PRESENTATION_CONTEXTS_MAX, TRANSFER_SYNTAXES_PER_CONTEXT_MAX, USER_ITEMS_MAX

APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")
PDU_HEADER = struct.Struct(">BxI")
PDV_HEADER = struct.Struct(">IBB")
HEADER_LENGTH = 6
_ASSOCIATE_FIXED = struct.Struct(">H2x16s16s32x")


class PduType(IntEnum):
    """First byte of a PDU."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class ContextResult(IntEnum):
    """Result of one presentation context (PS3.8 table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context of A-ASSOCIATE-RQ (PS3.8 §9.3.2.2)."""

    context_id: int
    abstract_syntax: UID
    transfer_syntaxes: tuple[UID, ...]


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """A presentation context of A-ASSOCIATE-AC (PS3.8 §9.3.3.2); only an accepted one has a transfer syntax."""

    context_id: int
    result: ContextResult
    transfer_syntax: UID | None = None


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    called_ae_title: AETitle
    calling_ae_title: AETitle
    contexts: tuple[ProposedContext, ...]
    user_information: UserInformation = field(default_factory=UserInformation)
    application_context: UID = APPLICATION_CONTEXT
    protocol_version: int = 1
    unknown_items: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3); the titles only echo the request and are not tested."""

    contexts: tuple[AnsweredContext, ...]
    user_information: UserInformation = field(default_factory=UserInformation)
    untrusted_called_ae_title: str = ""
    untrusted_calling_ae_title: str = ""
    application_context: UID = APPLICATION_CONTEXT
    protocol_version: int = 1
    unknown_items: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ; numbers as in PS3.8 table 9-21."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class PresentationDataValue:
    """One PDV item (PS3.8 §9.3.5.1) with its message control header (Annex E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class DataTransfer:
    """P-DATA-TF (PS3.8 §9.3.5)."""

    values: tuple[PresentationDataValue, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ (PS3.8 §9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """A-RELEASE-RP (PS3.8 §9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 §9.3.8): source 0 is the user, 2 the provider; the reason counts only for the provider."""

    source: int = 0
    reason: int = 0


Pdu = AssociateRequest | AssociateAccept | AssociateReject | DataTransfer | ReleaseRequest | ReleaseReply | Abort


def decode(data: bytes) -> Pdu:
    """Read exactly one whole PDU; anything else raises PeerError."""
    if len(data) < HEADER_LENGTH:
        raise PeerError("The PDU ends inside its header.", code="pdu-length", clause="PS3.8 §9.3.1")
    untrusted_type, length = PDU_HEADER.unpack_from(data)
    if length != len(data) - HEADER_LENGTH:
        raise PeerError(
            "The PDU's length is not the number of bytes that follow.", code="pdu-length", clause="PS3.8 §9.3.1"
        )
    return decode_body(pdu_type(untrusted_type), data[HEADER_LENGTH:])


def pdu_type(untrusted_type: int) -> PduType:
    """Take a PDU type off the wire."""
    if not 1 <= untrusted_type <= 7:
        raise PeerError(f"PDU type {untrusted_type:02X}H does not exist.", code="pdu-type", clause="PS3.8 §9.3.1")
    return PduType(untrusted_type)


def decode_body(kind: PduType, body: bytes) -> Pdu:
    """Read what follows the header of a PDU."""
    match kind:
        case PduType.ASSOCIATE_RQ:
            return _decode_request(body)
        case PduType.ASSOCIATE_AC:
            return _decode_accept(body)
        case PduType.DATA_TF:
            return _decode_data(body)
    if len(body) != 4:
        raise PeerError(f"{kind.name} is 4 bytes long.", code="pdu-length", clause="PS3.8 §9.3")
    match kind:
        case PduType.ASSOCIATE_RJ:
            if body[1] not in (1, 2) or body[2] not in (1, 2, 3):
                raise PeerError(
                    "The rejection's result or source does not exist.", code="reject-value", clause="PS3.8 §9.3.4"
                )
            return AssociateReject(body[1], body[2], body[3])
        case PduType.RELEASE_RQ:
            return ReleaseRequest()
        case PduType.RELEASE_RP:
            return ReleaseReply()
        case PduType.ABORT:
            return Abort(body[2], body[3])
        case _:
            assert_never(kind)


def encode(pdu: Pdu) -> bytes:
    """Give the bytes of a whole PDU."""
    match pdu:
        case AssociateRequest():
            return _encode_associate(
                PduType.ASSOCIATE_RQ,
                pdu,
                pdu.called_ae_title,
                pdu.calling_ae_title,
                map(_encode_proposed, pdu.contexts),
            )
        case AssociateAccept():
            called, calling = pdu.untrusted_called_ae_title, pdu.untrusted_calling_ae_title
            return _encode_associate(PduType.ASSOCIATE_AC, pdu, called, calling, map(_encode_answered, pdu.contexts))
        case AssociateReject():
            return PDU_HEADER.pack(PduType.ASSOCIATE_RJ, 4) + bytes((0, pdu.result, pdu.source, pdu.reason))
        case DataTransfer():
            body = b"".join(
                PDV_HEADER.pack(len(pdv.data) + 2, pdv.context_id, pdv.is_command | pdv.is_last << 1) + pdv.data
                for pdv in pdu.values
            )
            return PDU_HEADER.pack(PduType.DATA_TF, len(body)) + body
        case ReleaseRequest():
            return PDU_HEADER.pack(PduType.RELEASE_RQ, 4) + bytes(4)
        case ReleaseReply():
            return PDU_HEADER.pack(PduType.RELEASE_RP, 4) + bytes(4)
        case Abort():
            return PDU_HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, pdu.source, pdu.reason))
        case _:
            assert_never(pdu)


def _items(body: bytes, clause: str) -> tuple[UID, UserInformation, list[Region], tuple[RawItem, ...]]:
    """Sort the variable items of A-ASSOCIATE-RQ or -AC; context items come back undecoded."""
    application: UID | None = None
    user: UserInformation | None = None
    contexts: list[Region] = []
    unknown: list[RawItem] = []
    context_type = 0x20 if clause == "PS3.8 §9.3.2" else 0x21
    region = Region(body, _ASSOCIATE_FIXED.size, len(body), clause)
    for item_type, value in region.items():
        if item_type == context_type:
            if len(contexts) == PRESENTATION_CONTEXTS_MAX:
                raise LimitExceeded("There are more than 128 presentation contexts.", code="contexts", clause=clause)
            contexts.append(value)
        elif item_type == 0x10 and application is None:
            application = value.uid()
        elif item_type == 0x50 and user is None:
            user = decode_user_information(value.under("PS3.8 §9.3.2.3"))
        elif item_type in (0x10, 0x50):
            raise region.fault(f"Item {item_type:02X}H occurs twice.", code="item-repeated")
        else:
            unknown.append(RawItem(item_type, value.data))
            if len(unknown) > USER_ITEMS_MAX:
                raise LimitExceeded("There are too many unknown items.", code="items", clause=clause)
    if application is None or user is None:
        raise region.fault("The application context or user information item is missing.", code="item-missing")
    return application, user, contexts, tuple(unknown)


def _fixed(body: bytes, clause: str) -> tuple[int, bytes, bytes]:
    if len(body) < _ASSOCIATE_FIXED.size:
        raise PeerError("The PDU ends inside its fixed fields.", code="pdu-length", clause=clause)
    version, called, calling = _ASSOCIATE_FIXED.unpack_from(body)
    return version, called, calling


def _decode_request(body: bytes) -> AssociateRequest:
    version, called, calling = _fixed(body, "PS3.8 §9.3.2")
    application, user, regions, unknown = _items(body, "PS3.8 §9.3.2")
    contexts = tuple(_decode_proposed(region.under("PS3.8 §9.3.2.2")) for region in regions)
    if not contexts:
        raise PeerError("No presentation context is proposed.", code="item-missing", clause="PS3.8 §9.3.2")
    _refuse_repeats([context.context_id for context in contexts], "PS3.8 §9.3.2.2")
    called_ae_title, calling_ae_title = AETitle.parse(called), AETitle.parse(calling)
    return AssociateRequest(called_ae_title, calling_ae_title, contexts, user, application, version, unknown)


def _decode_accept(body: bytes) -> AssociateAccept:
    version, called, calling = _fixed(body, "PS3.8 §9.3.3")
    application, user, regions, unknown = _items(body, "PS3.8 §9.3.3")
    contexts = tuple(_decode_answered(region.under("PS3.8 §9.3.3.2")) for region in regions)
    _refuse_repeats([context.context_id for context in contexts], "PS3.8 §9.3.3.2")
    titles = called.decode("latin-1").strip(" \0"), calling.decode("latin-1").strip(" \0")
    return AssociateAccept(contexts, user, *titles, application, version, unknown)


def _refuse_repeats(context_ids: list[int], clause: str) -> None:
    if len(set(context_ids)) != len(context_ids):
        raise PeerError("A presentation context id is used twice.", code="context-repeated", clause=clause)


def _context_id(region: Region) -> int:
    region.skip(4)
    context_id = region.body[region.start]
    if context_id % 2 == 0:
        raise region.fault(f"Presentation context id {context_id} is not odd.", code="context-id")
    return context_id


def _decode_proposed(region: Region) -> ProposedContext:
    context_id = _context_id(region)
    abstract_syntax: UID | None = None
    transfer_syntaxes: list[UID] = []
    for count, (item_type, value) in enumerate(region.skip(4).items()):
        if count > 2 * TRANSFER_SYNTAXES_PER_CONTEXT_MAX or len(transfer_syntaxes) > TRANSFER_SYNTAXES_PER_CONTEXT_MAX:
            raise LimitExceeded("A context has too many sub-items.", code="transfer-syntaxes", clause=region.clause)
        if item_type == 0x30:
            if abstract_syntax is not None:
                raise region.fault("A context has two abstract syntaxes.", code="item-repeated")
            abstract_syntax = value.uid()
        elif item_type == 0x40:
            transfer_syntaxes.append(value.uid())
    if abstract_syntax is None or not transfer_syntaxes:
        raise region.fault("A context lacks its abstract or transfer syntax.", code="item-missing")
    return ProposedContext(context_id, abstract_syntax, tuple(transfer_syntaxes))


def _decode_answered(region: Region) -> AnsweredContext:
    context_id = _context_id(region)
    untrusted_result = region.body[region.start + 2]
    if untrusted_result > ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED:
        raise region.fault(f"Context result {untrusted_result} does not exist.", code="context-result")
    result = ContextResult(untrusted_result)
    syntaxes = [value for item_type, value in region.skip(4).items() if item_type == 0x40]
    if result is not ContextResult.ACCEPTANCE:
        # The transfer syntax of a rejected context is not significant and not tested (§9.3.3.2).
        return AnsweredContext(context_id, result)
    if len(syntaxes) != 1:
        raise region.fault("An accepted context has exactly one transfer syntax.", code="context-syntax")
    return AnsweredContext(context_id, result, syntaxes[0].uid())


def _decode_data(body: bytes) -> DataTransfer:
    values: list[PresentationDataValue] = []
    start = 0
    while start < len(body):
        if len(body) - start < HEADER_LENGTH:
            raise PeerError("The PDU ends inside a PDV header.", code="pdv-length", clause="PS3.8 §9.3.5.1")
        length, context_id, control = PDV_HEADER.unpack_from(body, start)
        end = start + 4 + length
        if length < 2 or end > len(body):
            raise PeerError("A PDV does not fit its PDU.", code="pdv-length", clause="PS3.8 §9.3.5.1")
        data = body[start + HEADER_LENGTH : end]
        values.append(PresentationDataValue(context_id, bool(control & 1), bool(control & 2), data))
        start = end
    return DataTransfer(tuple(values))


def _encode_proposed(context: ProposedContext) -> bytes:
    syntaxes = b"".join(encode_item(0x40, uid.encode("ascii")) for uid in context.transfer_syntaxes)
    abstract = encode_item(0x30, context.abstract_syntax.encode("ascii"))
    return encode_item(0x20, bytes((context.context_id, 0, 0, 0)) + abstract + syntaxes)


def _encode_answered(context: AnsweredContext) -> bytes:
    syntax = encode_item(0x40, (context.transfer_syntax or "").encode("ascii"))
    return encode_item(0x21, bytes((context.context_id, 0, context.result, 0)) + syntax)


def _encode_associate(
    kind: PduType, pdu: AssociateRequest | AssociateAccept, called: str, calling: str, contexts: Iterable[bytes]
) -> bytes:
    body = b"".join(
        (
            _ASSOCIATE_FIXED.pack(pdu.protocol_version, _ae_field(called), _ae_field(calling)),
            encode_item(0x10, pdu.application_context.encode("ascii")),
            *contexts,
            encode_item(0x50, encode_user_information(pdu.user_information)),
            *(encode_item(item.item_type, item.data) for item in pdu.unknown_items),
        )
    )
    return PDU_HEADER.pack(kind, len(body)) + body


def _ae_field(title: str) -> bytes:
    return title.encode("latin-1", "replace")[:16].ljust(16)
