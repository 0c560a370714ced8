"""Which of a caller's presentation contexts the hub accepts, in which syntax and roles (PS3.7 D.3, PS3.8 §7.1.1).

Storage is accepted for every storage SOP class and every registered transfer syntax: objects are kept as
they were sent. A context is offered only to a node whose permissions reach it.
"""

from __future__ import annotations

from leadglass import limits
from leadglass.dicom.pdu import AnsweredContext, AssociateAccept, AssociateRequest, ContextResult, ProposedContext
from leadglass.dicom.syntaxes import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STORAGE_SOP_CLASSES,
    transfer_syntax,
)
from leadglass.dicom.user_information import ExtendedNegotiation, OperationsWindow, RoleSelection, UserInformation
from leadglass.dicom.values import UID
from leadglass.gateway.node import Permission

IMPLEMENTATION_CLASS_UID = UID("2.25.187105206841906131930277463211893263021")
IMPLEMENTATION_VERSION_NAME = "LEADGLASS_0_1"

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
QUERY_CLASSES = frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND})
MOVE_CLASSES = frozenset({PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE})
GET_CLASSES = frozenset({PATIENT_ROOT_GET, STUDY_ROOT_GET})

UNCOMPRESSED = (EXPLICIT_LITTLE.uid, IMPLICIT_LITTLE.uid, EXPLICIT_BIG.uid)
_ARCHIVE = bytes([2, 0, 3, 0, 0, 0])
"""Storage level 2 (every attribute is kept), signature level 3 (bit by bit), no coercion (PS3.4 table B.3-2)."""
_QUERY = bytes([1, 0, 0, 0, 0, 0])
"""Relational queries, nothing else: no date-time matching, no fuzzy names (PS3.4 table C.5-1)."""
_RETRIEVAL = bytes([0, 0])
"""Neither relational nor enhanced retrieval (PS3.4 tables C.5-3, C.5-4)."""
_STANDARD_ROOT = "1.2.840.10008."


def is_storage_class(abstract_syntax: str) -> bool:
    """Tell whether objects of this class are kept: registered ones, and private ones outside the standard's root."""
    return abstract_syntax in STORAGE_SOP_CLASSES or not abstract_syntax.startswith(_STANDARD_ROOT)


def needed_permission(abstract_syntax: str) -> Permission | None:
    """Give the permission a context needs; None for Verification."""
    if abstract_syntax == VERIFICATION:
        return None
    if abstract_syntax in QUERY_CLASSES:
        return Permission.QUERY
    if abstract_syntax in MOVE_CLASSES or abstract_syntax in GET_CLASSES:
        return Permission.RETRIEVE
    return Permission.STORE


def negotiate(
    request: AssociateRequest,
    permissions: frozenset[Permission],
    *,
    maximum_length: int = limits.PDU_LENGTH_MAX,
) -> AssociateAccept:
    """Answer every proposed context, and the user information that changes what may be done."""
    roles = {role.sop_class_uid: role for role in request.user_information.role_selections}
    may_receive = Permission.RETRIEVE in permissions
    answered: list[AnsweredContext] = []
    answered_roles: dict[UID, RoleSelection] = {}
    for context in request.contexts:
        role = roles.get(context.abstract_syntax)
        answer = _answer(context, permissions, wants_scp=role is not None and role.is_scp and may_receive)
        answered.append(answer)
        if role is not None and answer.result is ContextResult.ACCEPTANCE:
            is_scu = role.is_scu and Permission.STORE in permissions
            answered_roles[context.abstract_syntax] = RoleSelection(
                context.abstract_syntax, is_scu, role.is_scp and may_receive
            )
    window = request.user_information.operations_window
    return AssociateAccept(
        contexts=tuple(answered),
        untrusted_called_ae_title=request.called_ae_title,
        untrusted_calling_ae_title=request.calling_ae_title,
        user_information=UserInformation(
            maximum_length=maximum_length,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            operations_window=None if window is None else _window(window, fetches=_fetches(request, answered)),
            role_selections=tuple(answered_roles.values()),
            extended_negotiations=_extended(request, answered),
        ),
    )


def _extended(request: AssociateRequest, answered: list[AnsweredContext]) -> tuple[ExtendedNegotiation, ...]:
    """Say what the hub does of what a caller asked for, where the service has words for it, in as many bytes."""
    ids = {answer.context_id for answer in answered if answer.result is ContextResult.ACCEPTANCE}
    accepted = {context.abstract_syntax for context in request.contexts if context.context_id in ids}
    given: dict[UID, ExtendedNegotiation] = {}
    for asked in request.user_information.extended_negotiations:
        uid, length = asked.sop_class_uid, len(asked.application_information)
        if uid in accepted and uid not in given and length:
            if uid in QUERY_CLASSES:
                ours = _QUERY
            elif uid in MOVE_CLASSES or uid in GET_CLASSES:
                ours = _RETRIEVAL
            elif is_storage_class(uid) and length >= len(_ARCHIVE):
                ours = _ARCHIVE
            else:
                continue
            given[uid] = ExtendedNegotiation(uid, ours[:length])
    return tuple(given.values())


def _fetches(request: AssociateRequest, answered: list[AnsweredContext]) -> bool:
    accepted = {answer.context_id for answer in answered if answer.result is ContextResult.ACCEPTANCE}
    return any(c.abstract_syntax in GET_CLASSES and c.context_id in accepted for c in request.contexts)


def _window(proposed: OperationsWindow, *, fetches: bool) -> OperationsWindow:
    """Agree to what the peer may have outstanding; we ourselves invoke one operation at a time (0 means unlimited).

    One where C-GET is accepted: its stores go the other way on the same association, and wait for their answers.
    """
    wanted = 1 if fetches else proposed.invoked or limits.OPERATIONS_WINDOW_MAX
    return OperationsWindow(invoked=min(wanted, limits.OPERATIONS_WINDOW_MAX), performed=1)


def _answer(context: ProposedContext, permissions: frozenset[Permission], *, wants_scp: bool) -> AnsweredContext:
    abstract = context.abstract_syntax
    is_service = abstract in (VERIFICATION, STORAGE_COMMITMENT)
    is_retrieval = abstract in QUERY_CLASSES or abstract in MOVE_CLASSES or abstract in GET_CLASSES
    if not (is_service or is_retrieval or is_storage_class(abstract)):
        return AnsweredContext(context.context_id, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
    permission = needed_permission(abstract)
    if permission is not None and permission not in permissions and not wants_scp:
        return AnsweredContext(context.context_id, ContextResult.USER_REJECTION)
    chosen = _choose(context.transfer_syntaxes, only_uncompressed=is_service or is_retrieval)
    if chosen is None:
        return AnsweredContext(context.context_id, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)
    return AnsweredContext(context.context_id, ContextResult.ACCEPTANCE, chosen)


def _choose(proposed: tuple[UID, ...], *, only_uncompressed: bool) -> UID | None:
    """Take the caller's first choice; among the uncompressed ones, explicit little endian where it is offered."""
    usable = [
        uid for uid in proposed if uid in UNCOMPRESSED or (not only_uncompressed and transfer_syntax(uid).is_known)
    ]
    if not usable:
        return None
    if usable[0] in UNCOMPRESSED:
        return next(uid for best in UNCOMPRESSED for uid in usable if uid == best)
    return usable[0]
