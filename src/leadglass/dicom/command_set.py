"""A command set as elements: group 0000, implicit VR little endian, ascending (PS3.7 §6.3.1).

Element numbers come from PS3.7 Annex E. A command set is at most `COMMAND_LENGTH_MAX` bytes by the time it
gets here; a length in it is checked against what is left and never trusted.
"""

from __future__ import annotations

import struct

from leadglass.dicom.values import UID, AETitle, Tag
from leadglass.errors import PeerError

GROUP_LENGTH = 0x0000
AFFECTED_SOP_CLASS_UID = 0x0002
REQUESTED_SOP_CLASS_UID = 0x0003
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
ERROR_COMMENT = 0x0902
ERROR_ID = 0x0903
AFFECTED_SOP_INSTANCE_UID = 0x1000
REQUESTED_SOP_INSTANCE_UID = 0x1001
EVENT_TYPE_ID = 0x1002
ATTRIBUTE_IDENTIFIER_LIST = 0x1005
ACTION_TYPE_ID = 0x1008
REMAINING_SUBOPERATIONS = 0x1020
COMPLETED_SUBOPERATIONS = 0x1021
FAILED_SUBOPERATIONS = 0x1022
WARNING_SUBOPERATIONS = 0x1023
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031

NO_DATA_SET = 0x0101
DATA_SET_PRESENT = 0x0001

_CLAUSE = "PS3.7 §6.3.1"
_ELEMENT = struct.Struct("<HHI")
_TAG = struct.Struct("<HH")
_GROUP_LENGTH_BYTES = _ELEMENT.size + 4

Elements = dict[int, bytes]
"""Values by element number."""


def read_elements(data: bytes) -> Elements:
    """Read a whole command set; a broken rule raises PeerError."""
    elements: Elements = {}
    position, end, previous = 0, len(data), -1
    unpack = _ELEMENT.unpack_from
    while position < end:
        if end - position < 8:
            raise PeerError("The command set ends inside an element.", code="command-length", clause=_CLAUSE)
        group, element, length = unpack(data, position)
        position += 8
        if group:
            raise PeerError("A command set holds only group 0000.", code="command-group", clause=_CLAUSE)
        if element <= previous:
            raise PeerError("The elements of a command set ascend.", code="command-order", clause=_CLAUSE)
        if length > end - position:
            raise PeerError(
                "An element claims more bytes than the command set has.", code="command-length", clause=_CLAUSE
            )
        elements[element] = data[position : position + length]
        position += length
        previous = element
    group_length = elements.get(GROUP_LENGTH)
    if group_length is not None and (
        len(group_length) != 4 or int.from_bytes(group_length, "little") != end - _GROUP_LENGTH_BYTES
    ):
        raise PeerError("The command group length is wrong.", code="command-length", clause=_CLAUSE)
    return elements


def write_elements(elements: Elements) -> bytes:
    """Give the bytes of a command set, its group length first; values are already padded to even length."""
    pack = _ELEMENT.pack
    body = b"".join([pack(0, element, len(elements[element])) + elements[element] for element in sorted(elements)])
    return pack(0, GROUP_LENGTH, 4) + len(body).to_bytes(4, "little") + body


def unsigned_short(elements: Elements, element: int) -> int:
    """Read a US value that must be there."""
    value = elements.get(element)
    if value is None or len(value) != 2:
        raise PeerError(
            f"Command element (0000,{element:04X}) is missing or not one unsigned short.",
            code="command-element",
            clause="PS3.7 Annex E",
        )
    return value[0] | value[1] << 8


def unsigned_short_if_any(elements: Elements, element: int) -> int | None:
    """Read a US value that may be absent or empty."""
    return unsigned_short(elements, element) if elements.get(element) else None


def has_data_set(elements: Elements) -> bool:
    """Tell whether a data set follows the command (PS3.7 §6.3.1, (0000,0800))."""
    return unsigned_short(elements, DATA_SET_TYPE) != NO_DATA_SET


def uid(elements: Elements, element: int) -> UID:
    """Read a UID that must be there."""
    value = elements.get(element)
    if not value:
        raise PeerError(
            f"Command element (0000,{element:04X}) is missing.", code="command-element", clause="PS3.7 Annex E"
        )
    return UID.parse(value)


def uid_if_any(elements: Elements, element: int) -> UID | None:
    """Read a UID that may be absent or empty."""
    return UID.parse(elements[element]) if elements.get(element) else None


def ae_title_if_any(elements: Elements, element: int) -> AETitle | None:
    """Read an AE title that may be absent or blank."""
    value = elements.get(element, b"").strip(b" \0")
    return AETitle.parse(value) if value else None


def text(elements: Elements, element: int, length_max: int) -> str:
    """Read untrusted text: padding dropped, cut to a length, and a question mark for what does not print."""
    decoded = elements.get(element, b"").decode("latin-1").strip(" \0")[:length_max]
    return decoded if decoded.isprintable() else "".join(c if c.isprintable() else "?" for c in decoded)


def tags(elements: Elements, element: int) -> tuple[Tag, ...]:
    """Read a list of attribute tags (VR AT) that may be absent."""
    value = elements.get(element, b"")
    if len(value) % 4:
        raise PeerError("A list of tags ends inside a tag.", code="command-element", clause="PS3.7 Annex E")
    return tuple(Tag(group << 16 | number) for group, number in _TAG.iter_unpack(value))


def encode_unsigned_short(value: int) -> bytes:
    """Give a US value."""
    return value.to_bytes(2, "little")


def encode_uid(value: str) -> bytes:
    """Give a UI value, padded with NUL to even length; text that is no UID is written as it is."""
    data = value.encode("latin-1", "replace")
    return data + b"\0" if len(data) % 2 else data


def encode_text(value: str) -> bytes:
    """Give an AE or LO value, padded with a space to even length."""
    data = value.encode("latin-1", "replace")
    return data + b" " if len(data) % 2 else data


def encode_tags(values: tuple[Tag, ...]) -> bytes:
    """Give an AT value."""
    return b"".join(_TAG.pack(tag >> 16, tag & 0xFFFF) for tag in values)
