"""The messages of DIMSE as values (PS3.7 §9 and §10).

Field order is the order a caller thinks in: message, SOP class, SOP instance, then status or what to do.
`has_dataset` tells whether a data set accompanies the message; it is fixed where the standard fixes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from leadglass.dicom.values import UID, AETitle, Tag
from leadglass.errors import PeerError


class Priority(IntEnum):
    """PS3.7 Annex E, (0000,0700)."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What every request on a SOP class carries."""

    message_id: int
    sop_class_uid: UID


@dataclass(frozen=True, slots=True)
class CEchoRQ(Request):
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""

    has_dataset: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class CStoreRQ(Request):
    """C-STORE-RQ (PS3.7 §9.3.1.1). `sop_instance_uid` is a UID only where `uid_fault` is None."""

    has_dataset: ClassVar[bool] = True

    sop_instance_uid: str
    priority: int = Priority.MEDIUM
    move_originator_ae_title: str | None = None
    move_originator_message_id: int | None = None
    uid_fault: PeerError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CFindRQ(Request):
    """C-FIND-RQ (PS3.7 §9.3.2.1); an identifier follows."""

    has_dataset: ClassVar[bool] = True

    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True)
class CGetRQ(Request):
    """C-GET-RQ (PS3.7 §9.3.3.1); an identifier follows."""

    has_dataset: ClassVar[bool] = True

    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True)
class CMoveRQ(Request):
    """C-MOVE-RQ (PS3.7 §9.3.4.1); an identifier follows."""

    has_dataset: ClassVar[bool] = True

    move_destination: AETitle
    priority: int = Priority.MEDIUM


@dataclass(frozen=True, slots=True)
class CCancelRQ:
    """C-CANCEL-RQ of C-FIND, C-GET and C-MOVE (PS3.7 §9.3.2.3)."""

    has_dataset: ClassVar[bool] = False

    message_id_responded_to: int


@dataclass(frozen=True, slots=True)
class NEventReportRQ(Request):
    """N-EVENT-REPORT-RQ (PS3.7 §10.3.1.1)."""

    sop_instance_uid: UID
    event_type_id: int
    has_dataset: bool = True


@dataclass(frozen=True, slots=True)
class NGetRQ(Request):
    """N-GET-RQ (PS3.7 §10.3.2.1); no attributes named means all."""

    has_dataset: ClassVar[bool] = False

    sop_instance_uid: UID
    attribute_identifiers: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class NSetRQ(Request):
    """N-SET-RQ (PS3.7 §10.3.3.1); a modification list follows."""

    has_dataset: ClassVar[bool] = True

    sop_instance_uid: UID


@dataclass(frozen=True, slots=True)
class NActionRQ(Request):
    """N-ACTION-RQ (PS3.7 §10.3.4.1)."""

    sop_instance_uid: UID
    action_type_id: int
    has_dataset: bool = True


@dataclass(frozen=True, slots=True)
class NCreateRQ(Request):
    """N-CREATE-RQ (PS3.7 §10.3.5.1); without a SOP instance UID the performer chooses one."""

    sop_instance_uid: UID | None = None
    has_dataset: bool = True


@dataclass(frozen=True, slots=True)
class NDeleteRQ(Request):
    """N-DELETE-RQ (PS3.7 §10.3.6.1)."""

    has_dataset: ClassVar[bool] = False

    sop_instance_uid: UID


@dataclass(frozen=True, slots=True)
class Response:
    """What every response carries. `error_comment` is untrusted text of at most 64 printable characters."""

    message_id_responded_to: int
    sop_class_uid: UID | None
    status: int
    has_dataset: bool = field(default=False, kw_only=True)
    error_comment: str = field(default="", kw_only=True)
    offending_elements: tuple[Tag, ...] = field(default=(), kw_only=True)
    error_id: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class CEchoRSP(Response):
    """C-ECHO-RSP (PS3.7 §9.3.5.2)."""


@dataclass(frozen=True, slots=True)
class CFindRSP(Response):
    """C-FIND-RSP (PS3.7 §9.3.2.2); a pending one carries an identifier."""


@dataclass(frozen=True, slots=True)
class SuboperationsRSP(Response):
    """What C-GET-RSP and C-MOVE-RSP share: the counts of sub-operations."""

    remaining: int | None = field(default=None, kw_only=True)
    completed: int | None = field(default=None, kw_only=True)
    failed: int | None = field(default=None, kw_only=True)
    warning: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class CGetRSP(SuboperationsRSP):
    """C-GET-RSP (PS3.7 §9.3.3.2)."""


@dataclass(frozen=True, slots=True)
class CMoveRSP(SuboperationsRSP):
    """C-MOVE-RSP (PS3.7 §9.3.4.2)."""


@dataclass(frozen=True, slots=True)
class InstanceResponse:
    """What every response about a SOP instance carries; the instance comes before the status."""

    message_id_responded_to: int
    sop_class_uid: UID | None
    sop_instance_uid: str | None
    status: int
    has_dataset: bool = field(default=False, kw_only=True)
    error_comment: str = field(default="", kw_only=True)
    offending_elements: tuple[Tag, ...] = field(default=(), kw_only=True)
    error_id: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class CStoreRSP(InstanceResponse):
    """C-STORE-RSP (PS3.7 §9.3.1.2). The SOP instance UID echoes the request, valid or not."""


@dataclass(frozen=True, slots=True)
class NEventReportRSP(InstanceResponse):
    """N-EVENT-REPORT-RSP (PS3.7 §10.3.1.2)."""

    event_type_id: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class NGetRSP(InstanceResponse):
    """N-GET-RSP (PS3.7 §10.3.2.2)."""


@dataclass(frozen=True, slots=True)
class NSetRSP(InstanceResponse):
    """N-SET-RSP (PS3.7 §10.3.3.2)."""


@dataclass(frozen=True, slots=True)
class NActionRSP(InstanceResponse):
    """N-ACTION-RSP (PS3.7 §10.3.4.2)."""

    action_type_id: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class NCreateRSP(InstanceResponse):
    """N-CREATE-RSP (PS3.7 §10.3.5.2)."""


@dataclass(frozen=True, slots=True)
class NDeleteRSP(InstanceResponse):
    """N-DELETE-RSP (PS3.7 §10.3.6.2)."""


Command = (
    CEchoRQ
    | CEchoRSP
    | CStoreRQ
    | CStoreRSP
    | CFindRQ
    | CFindRSP
    | CGetRQ
    | CGetRSP
    | CMoveRQ
    | CMoveRSP
    | CCancelRQ
    | NEventReportRQ
    | NEventReportRSP
    | NGetRQ
    | NGetRSP
    | NSetRQ
    | NSetRSP
    | NActionRQ
    | NActionRSP
    | NCreateRQ
    | NCreateRSP
    | NDeleteRQ
    | NDeleteRSP
)
