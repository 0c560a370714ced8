"""What an association engine tells its caller (the primitives of PS3.8 §7, and messages of PS3.7 §6.3)."""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.dicom.pdu import AssociateAccept, AssociateRequest
from leadglass.errors import PeerError


@dataclass(frozen=True, slots=True)
class AssociateRequested:
    """A peer asks for an association: answer with `accept` or `reject`."""

    request: AssociateRequest


@dataclass(frozen=True, slots=True)
class AssociateAccepted:
    """Our request was accepted; see `Association.contexts`."""

    accept: AssociateAccept


@dataclass(frozen=True, slots=True)
class AssociateRejected:
    """Our request was rejected; the association is over."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A whole command set; data fragments of the same context follow exactly if `has_data_set`."""

    context_id: int
    data: bytes
    has_data_set: bool


@dataclass(slots=True)
class DataFragment:
    """A piece of a data set, valid while the buffer it arrived in is; `is_last` ends the data set.

    Not frozen: a frozen dataclass costs three times as much to make, and this is the hot path.
    """

    context_id: int
    data: memoryview
    is_last: bool


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer asks for release: answer with `release_reply`."""


@dataclass(frozen=True, slots=True)
class ReleaseReplied:
    """The peer agrees to our release."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The peer, or its provider, aborted the association."""

    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class PeerFault:
    """The peer broke a rule; send `data_to_send` and close."""

    error: PeerError


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The transport connection has ended; nothing follows."""


Event = (
    AssociateRequested
    | AssociateAccepted
    | AssociateRejected
    | CommandReceived
    | DataFragment
    | ReleaseRequested
    | ReleaseReplied
    | Aborted
    | PeerFault
    | ConnectionClosed
)
