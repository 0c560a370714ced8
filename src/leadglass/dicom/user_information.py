"""The user information item of A-ASSOCIATE: what both sides say beyond contexts (PS3.8 §9.3.2.3, PS3.7 D.3.3).

Sub-items nobody here knows are kept raw. A peer that leaves out its maximum length is taken to accept
16 KiB, the floor of every implementation; one that leaves out its implementation class UID passes,
because real devices do.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from leadglass.dicom.items import RawItem, Region, encode_counted, encode_item
from leadglass.dicom.values import UID
from leadglass.errors import LimitExceeded
from leadglass.limits import PDU_LENGTH_MAX, USER_ITEMS_MAX

MAXIMUM_LENGTH_UNSAID = 16_384

_MAXIMUM_LENGTH = 0x51
_IMPLEMENTATION_CLASS_UID = 0x52
_ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
_ROLE_SELECTION = 0x54
_IMPLEMENTATION_VERSION_NAME = 0x55
_EXTENDED_NEGOTIATION = 0x56
_COMMON_EXTENDED_NEGOTIATION = 0x57
_USER_IDENTITY_REQUEST = 0x58
_USER_IDENTITY_ACCEPT = 0x59
_ONCE = frozenset({0x51, 0x52, 0x53, 0x55, 0x58, 0x59})


@dataclass(frozen=True, slots=True)
class OperationsWindow:
    """How many operations may be outstanding; 0 is unlimited (PS3.7 D.3.3.3)."""

    invoked: int = 1
    performed: int = 1


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Which roles the association requestor proposes, or is granted, for a SOP class (PS3.7 D.3.3.4)."""

    sop_class_uid: UID
    is_scu: bool
    is_scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """Service class application information of a SOP class (PS3.7 D.3.3.5)."""

    sop_class_uid: UID
    application_information: bytes


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """The service class and related general SOP classes of a SOP class (PS3.7 D.3.3.6)."""

    sop_class_uid: UID
    service_class_uid: UID
    related_general_sop_class_uids: tuple[UID, ...] = ()
    version: int = 0


class UserIdentityType(IntEnum):
    """Forms of user identity (PS3.7 D.3.3.7, table D.3-14)."""

    USERNAME = 1
    USERNAME_PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JWT = 5


@dataclass(frozen=True, slots=True)
class UserIdentityRequest:
    """Who the requestor says the user is (PS3.7 D.3.3.7.1); the fields are secrets and never print."""

    identity_type: UserIdentityType
    primary_field: bytes = field(repr=False)
    secondary_field: bytes = field(default=b"", repr=False)
    is_response_requested: bool = False


@dataclass(frozen=True, slots=True)
class UserIdentityAccept:
    """The acceptor's answer to a user identity (PS3.7 D.3.3.7.2)."""

    server_response: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UserInformation:
    """Everything in the user information item; `maximum_length` 0 is unlimited (PS3.8 D.1)."""

    maximum_length: int = PDU_LENGTH_MAX
    implementation_class_uid: UID | None = None
    implementation_version_name: str | None = None
    operations_window: OperationsWindow | None = None
    role_selections: tuple[RoleSelection, ...] = ()
    extended_negotiations: tuple[ExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentityRequest | UserIdentityAccept | None = None
    unknown_items: tuple[RawItem, ...] = ()


def decode_user_information(region: Region) -> UserInformation:
    """Read the value of a user information item; a broken rule raises PeerError."""
    once: dict[int, Region] = {}
    roles: list[RoleSelection] = []
    extended: list[ExtendedNegotiation] = []
    common: list[CommonExtendedNegotiation] = []
    unknown: list[RawItem] = []
    for count, (item_type, value) in enumerate(region.items()):
        if count == USER_ITEMS_MAX:
            raise LimitExceeded(
                "There are too many user information sub-items.", code="user-items", clause=region.clause
            )
        if item_type in _ONCE:
            if item_type in once:
                raise region.fault(f"User information sub-item {item_type:02X}H occurs twice.", code="item-repeated")
            once[item_type] = value
        elif item_type == _ROLE_SELECTION:
            roles.append(_role_selection(value))
        elif item_type == _EXTENDED_NEGOTIATION:
            sop_class, rest = value.under("PS3.7 D.3.3.5").take_counted()
            extended.append(ExtendedNegotiation(sop_class.uid(), rest.data))
        elif item_type == _COMMON_EXTENDED_NEGOTIATION:
            common.append(_common_extended_negotiation(value))
        else:
            unknown.append(RawItem(item_type, value.data))
    if _USER_IDENTITY_REQUEST in once and _USER_IDENTITY_ACCEPT in once:
        raise region.fault("A user identity is both requested and accepted.", code="item-repeated")
    return UserInformation(
        maximum_length=_maximum_length(once.get(_MAXIMUM_LENGTH)),
        implementation_class_uid=once[_IMPLEMENTATION_CLASS_UID].uid() if _IMPLEMENTATION_CLASS_UID in once else None,
        implementation_version_name=_version_name(once.get(_IMPLEMENTATION_VERSION_NAME)),
        operations_window=_operations_window(once.get(_ASYNCHRONOUS_OPERATIONS_WINDOW)),
        role_selections=tuple(roles),
        extended_negotiations=tuple(extended),
        common_extended_negotiations=tuple(common),
        user_identity=_identity_request(once.get(_USER_IDENTITY_REQUEST))
        or _identity_accept(once.get(_USER_IDENTITY_ACCEPT)),
        unknown_items=tuple(unknown),
    )


def encode_user_information(user: UserInformation) -> bytes:
    """Give the value of a user information item, sub-items in ascending order of type."""
    parts = [encode_item(_MAXIMUM_LENGTH, struct.pack(">I", user.maximum_length))]
    if user.implementation_class_uid is not None:
        parts.append(encode_item(_IMPLEMENTATION_CLASS_UID, user.implementation_class_uid.encode("ascii")))
    if (window := user.operations_window) is not None:
        value = struct.pack(">HH", window.invoked, window.performed)
        parts.append(encode_item(_ASYNCHRONOUS_OPERATIONS_WINDOW, value))
    for role in user.role_selections:
        value = encode_counted(role.sop_class_uid.encode("ascii")) + bytes((role.is_scu, role.is_scp))
        parts.append(encode_item(_ROLE_SELECTION, value))
    if user.implementation_version_name is not None:
        parts.append(encode_item(_IMPLEMENTATION_VERSION_NAME, user.implementation_version_name.encode("ascii")))
    for extended in user.extended_negotiations:
        value = encode_counted(extended.sop_class_uid.encode("ascii")) + extended.application_information
        parts.append(encode_item(_EXTENDED_NEGOTIATION, value))
    parts.extend(map(_encode_common_extended_negotiation, user.common_extended_negotiations))
    match user.user_identity:
        case UserIdentityRequest() as identity:
            value = bytes((identity.identity_type, identity.is_response_requested))
            value += encode_counted(identity.primary_field) + encode_counted(identity.secondary_field)
            parts.append(encode_item(_USER_IDENTITY_REQUEST, value))
        case UserIdentityAccept() as answer:
            parts.append(encode_item(_USER_IDENTITY_ACCEPT, encode_counted(answer.server_response)))
        case None:
            pass
    parts.extend(encode_item(item.item_type, item.data) for item in user.unknown_items)
    return b"".join(parts)


def _maximum_length(value: Region | None) -> int:
    if value is None:
        return MAXIMUM_LENGTH_UNSAID
    return int.from_bytes(value.under("PS3.8 D.1").exactly(4), "big")


def _version_name(value: Region | None) -> str | None:
    if value is None:
        return None
    text = value.data.decode("latin-1").strip(" \0")
    if len(text) > 16 or any(not " " <= c <= "~" for c in text):
        raise value.under("PS3.7 D.3.3.2").fault(
            "An implementation version name is at most 16 printable characters.", code="version-name"
        )
    return text or None


def _operations_window(value: Region | None) -> OperationsWindow | None:
    if value is None:
        return None
    return OperationsWindow(*struct.unpack(">HH", value.under("PS3.7 D.3.3.3").exactly(4)))


def _role_selection(value: Region) -> RoleSelection:
    sop_class, rest = value.under("PS3.7 D.3.3.4").take_counted()
    is_scu, is_scp = rest.exactly(2)
    if is_scu > 1 or is_scp > 1:
        raise rest.fault("A role is 0 or 1.", code="role-selection")
    return RoleSelection(sop_class.uid(), bool(is_scu), bool(is_scp))


def _common_extended_negotiation(value: Region) -> CommonExtendedNegotiation:
    # The item's second byte, reserved elsewhere, is a version here.
    version = value.body[value.start - 3]
    sop_class, rest = value.under("PS3.7 D.3.3.6").take_counted()
    service_class, rest = rest.take_counted()
    related, _reserved = rest.take_counted()
    uids: list[UID] = []
    while related.length:
        uid, related = related.take_counted()
        uids.append(uid.uid())
        if len(uids) > USER_ITEMS_MAX:
            raise LimitExceeded(
                "There are too many related general SOP classes.", code="user-items", clause=related.clause
            )
    return CommonExtendedNegotiation(sop_class.uid(), service_class.uid(), tuple(uids), version)


def _encode_common_extended_negotiation(common: CommonExtendedNegotiation) -> bytes:
    related = b"".join(encode_counted(uid.encode("ascii")) for uid in common.related_general_sop_class_uids)
    value = encode_counted(common.sop_class_uid.encode("ascii"))
    value += encode_counted(common.service_class_uid.encode("ascii")) + encode_counted(related)
    item = encode_item(_COMMON_EXTENDED_NEGOTIATION, value)
    return item[:1] + bytes((common.version,)) + item[2:]


def _identity_request(value: Region | None) -> UserIdentityRequest | None:
    if value is None:
        return None
    value = value.under("PS3.7 D.3.3.7.1")
    fields = value.skip(2)
    identity_type, response = value.body[value.start], value.body[value.start + 1]
    if identity_type not in UserIdentityType.__members__.values():
        raise value.fault(f"User identity type {identity_type} does not exist.", code="user-identity")
    if response > 1:
        raise value.fault("Positive response requested is 0 or 1.", code="user-identity")
    primary, rest = fields.take_counted()
    secondary, rest = rest.take_counted()
    rest.exactly(0)
    return UserIdentityRequest(UserIdentityType(identity_type), primary.data, secondary.data, bool(response))


def _identity_accept(value: Region | None) -> UserIdentityAccept | None:
    if value is None:
        return None
    response, rest = value.under("PS3.7 D.3.3.7.2").take_counted()
    rest.exactly(0)
    return UserIdentityAccept(response.data)
