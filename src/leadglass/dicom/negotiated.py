"""What an A-ASSOCIATE-RQ and its -AC agree on: accepted contexts and roles (PS3.8 §7.1.1.13; PS3.7 D.3.3.4)."""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.dicom.pdu import (
    APPLICATION_CONTEXT,
    HEADER_LENGTH,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
)
from leadglass.dicom.user_information import RoleSelection
from leadglass.dicom.values import UID
from leadglass.errors import LimitExceeded, PeerError

SEND_LENGTH_MAX = 131_072
"""Length of the P-DATA-TF we send: DCMTK's maximum, and what a peer without a limit gets."""


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """An accepted presentation context and the roles its association requestor may take on it.

    The acceptor may be SCP where the requestor may be SCU, and the other way round.
    """

    context_id: int
    abstract_syntax: UID
    transfer_syntax: UID
    requestor_is_scu: bool = True
    requestor_is_scp: bool = False


def contexts(request: AssociateRequest, accept: AssociateAccept) -> dict[int, AcceptedContext]:
    """Join both sides; an answer to what was never proposed raises PeerError."""
    proposed = {context.context_id: context for context in request.contexts}
    asked = {role.sop_class_uid: role for role in request.user_information.role_selections}
    granted = {role.sop_class_uid: role for role in accept.user_information.role_selections}
    accepted: dict[int, AcceptedContext] = {}
    for answer in accept.contexts:
        proposal = proposed.get(answer.context_id)
        if proposal is None:
            raise PeerError(
                "A context is answered that was not proposed.", code="context-unknown", clause="PS3.8 §9.3.3.2"
            )
        if answer.result is not ContextResult.ACCEPTANCE:
            continue
        if answer.transfer_syntax is None or answer.transfer_syntax not in proposal.transfer_syntaxes:
            raise PeerError(
                "A context is accepted in a transfer syntax that was not proposed.",
                code="context-syntax",
                clause="PS3.8 §9.3.3.2",
            )
        sop_class = proposal.abstract_syntax
        is_scu, is_scp = _roles(asked.get(sop_class), granted.get(sop_class))
        accepted[answer.context_id] = AcceptedContext(
            answer.context_id, sop_class, answer.transfer_syntax, is_scu, is_scp
        )
    return accepted


def _roles(asked: RoleSelection | None, granted: RoleSelection | None) -> tuple[bool, bool]:
    """Give the requestor's (SCU, SCP) roles; without both sub-items the defaults hold."""
    if asked is None or granted is None:
        return True, False
    return asked.is_scu and granted.is_scu, asked.is_scp and granted.is_scp


@dataclass(frozen=True, slots=True)
class ProviderRejection:
    """An A-ASSOCIATE-RQ no user can accept: what to answer and why."""

    answer: AssociateReject
    error: PeerError


def provider_rejection(request: AssociateRequest) -> ProviderRejection | None:
    """Refuse another protocol version or application context (PS3.8 table 9-21)."""
    if not request.protocol_version & 1:
        error = PeerError("The peer does not offer protocol version 1.", code="protocol-version", clause="PS3.8 §9.3.2")
        return ProviderRejection(AssociateReject(1, 2, 2), error)
    if request.application_context != APPLICATION_CONTEXT:
        error = PeerError(
            "The application context is not DICOM's.", code="application-context", clause="PS3.7 Annex A.2.1"
        )
        return ProviderRejection(AssociateReject(1, 1, 2), error)
    return None


def send_length(peer: AssociateRequest | AssociateAccept, peer_length_min: int) -> int:
    """Give the data bytes of the longest PDV to send to a peer; even, as PS3.8 Annex E asks of fragments."""
    length = peer.user_information.maximum_length
    if 0 < length < peer_length_min:
        raise LimitExceeded(
            "The peer's maximum length is too small to be useful.", code="maximum-length", clause="PS3.8 D.1"
        )
    return min(length or SEND_LENGTH_MAX, SEND_LENGTH_MAX) - HEADER_LENGTH & ~1
