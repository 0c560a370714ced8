"""DIMSE status codes by name, with the clause that defines each (PS3.7 Annex C; PS3.4 annexes B, C, J).

One code can mean different things in different services (A702, A900); members carry the service's wording.
`status_class` sorts any code, named here or not, and takes an unknown one for a failure.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class StatusClass(Enum):
    """How a status ends, or does not end, an operation (PS3.7 Annex C)."""

    SUCCESS = "success"
    PENDING = "pending"
    WARNING = "warning"
    CANCEL = "cancel"
    FAILURE = "failure"


class Status(IntEnum):
    """Status codes this house sends or expects."""

    SUCCESS = 0x0000
    """PS3.7 C.1.1."""
    PENDING = 0xFF00
    """Matches or sub-operations continue: PS3.4 C.4.1.1.4, C.4.2.1.5."""
    PENDING_OPTIONAL_KEYS_UNSUPPORTED = 0xFF01
    """Matches continue, an optional key was not supported: PS3.4 C.4.1.1.4."""
    CANCEL = 0xFE00
    """PS3.7 C.3.1; matching or sub-operations terminated."""

    # Warnings
    ATTRIBUTE_LIST_ERROR = 0x0107
    """PS3.7 C.4.2."""
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
    """PS3.7 C.4.3."""
    COERCION_OF_DATA_ELEMENTS = 0xB000
    """C-STORE: PS3.4 B.2.3."""
    SUBOPERATIONS_WITH_FAILURES = 0xB000
    """C-MOVE and C-GET, one or more sub-operations failed: PS3.4 C.4.2.1.5, C.4.3.1.4."""
    ELEMENTS_DISCARDED = 0xB006
    """C-STORE: PS3.4 B.2.3."""
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007
    """C-STORE: PS3.4 B.2.3."""

    # Failures of the general kind
    NO_SUCH_ATTRIBUTE = 0x0105
    """PS3.7 C.5.18."""
    INVALID_ATTRIBUTE_VALUE = 0x0106
    """PS3.7 C.5.11."""
    PROCESSING_FAILURE = 0x0110
    """PS3.7 C.5.20."""
    DUPLICATE_SOP_INSTANCE = 0x0111
    """PS3.7 C.5.6."""
    NO_SUCH_SOP_INSTANCE = 0x0112
    """PS3.7 C.5.16."""
    NO_SUCH_EVENT_TYPE = 0x0113
    """PS3.7 C.5.14."""
    NO_SUCH_ARGUMENT = 0x0114
    """PS3.7 C.5.13."""
    INVALID_ARGUMENT_VALUE = 0x0115
    """PS3.7 C.5.10."""
    INVALID_SOP_INSTANCE = 0x0117
    """The SOP Instance UID breaks the rules of UIDs: PS3.7 C.5.12."""
    NO_SUCH_SOP_CLASS = 0x0118
    """PS3.7 C.5.15."""
    CLASS_INSTANCE_CONFLICT = 0x0119
    """PS3.7 C.5.5."""
    MISSING_ATTRIBUTE = 0x0120
    """PS3.7 C.5.21."""
    MISSING_ATTRIBUTE_VALUE = 0x0121
    """PS3.7 C.5.22."""
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    """PS3.7 C.5.24; refused."""
    NO_SUCH_ACTION = 0x0123
    """PS3.7 C.5.17."""
    NOT_AUTHORIZED = 0x0124
    """PS3.7 C.5.25; refused."""
    DUPLICATE_INVOCATION = 0x0210
    """PS3.7 C.5.7."""
    UNRECOGNIZED_OPERATION = 0x0211
    """PS3.7 C.5.23."""
    MISTYPED_ARGUMENT = 0x0212
    """PS3.7 C.5.19."""
    RESOURCE_LIMITATION = 0x0213
    """PS3.7 C.5.26."""

    # Failures of a service
    OUT_OF_RESOURCES = 0xA700
    """C-STORE and C-FIND, refused: PS3.4 B.2.3, C.4.1.1.4."""
    UNABLE_TO_CALCULATE_MATCHES = 0xA701
    """C-MOVE and C-GET, refused, out of resources: PS3.4 C.4.2.1.5, C.4.3.1.4."""
    UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
    """C-MOVE and C-GET, refused, out of resources: PS3.4 C.4.2.1.5, C.4.3.1.4."""
    MOVE_DESTINATION_UNKNOWN = 0xA801
    """C-MOVE, refused: PS3.4 C.4.2.1.5."""
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    """C-STORE: PS3.4 B.2.3."""
    IDENTIFIER_DOES_NOT_MATCH = 0xA900
    """C-FIND, C-MOVE and C-GET, identifier does not match SOP class: PS3.4 C.4.1.1.4, C.4.2.1.5, C.4.3.1.4."""
    CANNOT_UNDERSTAND = 0xC000
    """C-STORE, any code Cxxx: PS3.4 B.2.3. Other services read it as unable to process."""


_WARNINGS = frozenset({0x0001, Status.ATTRIBUTE_LIST_ERROR, Status.ATTRIBUTE_VALUE_OUT_OF_RANGE})


def status_class(code: int) -> StatusClass:
    """Sort a status code (PS3.7 Annex C); whatever the standard has no place for is a failure."""
    if code == Status.SUCCESS:
        return StatusClass.SUCCESS
    if code in (Status.PENDING, Status.PENDING_OPTIONAL_KEYS_UNSUPPORTED):
        return StatusClass.PENDING
    if code == Status.CANCEL:
        return StatusClass.CANCEL
    if code in _WARNINGS or 0xB000 <= code <= 0xBFFF:
        return StatusClass.WARNING
    return StatusClass.FAILURE
