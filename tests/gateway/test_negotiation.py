"""What the hub says of itself when it is asked (PS3.7 D.3.3.5, PS3.4 B.3.1, C.5)."""

from __future__ import annotations

import pytest

from leadglass.dicom.pdu import AssociateRequest, ProposedContext
from leadglass.dicom.user_information import ExtendedNegotiation, UserInformation
from leadglass.dicom.values import UID, AETitle
from leadglass.gateway.negotiation import PATIENT_ROOT_MOVE, STUDY_ROOT_FIND, VERIFICATION, negotiate
from leadglass.gateway.node import Permission

CT, EXPLICIT = UID("1.2.840.10008.5.1.4.1.1.2"), UID("1.2.840.10008.1.2.1")
FIND, MOVE = UID(STUDY_ROOT_FIND), UID(PATIENT_ROOT_MOVE)


def answers(
    asked: dict[UID, bytes], *, may: frozenset[Permission] = frozenset(Permission), proposed: tuple[UID, ...] = ()
) -> dict[str, bytes]:
    uids = proposed or tuple(asked)
    request = AssociateRequest(
        contexts=tuple(ProposedContext(2 * at + 1, uid, (EXPLICIT,)) for at, uid in enumerate(uids)),
        called_ae_title=AETitle("HUB"),
        calling_ae_title=AETitle("CT1"),
        user_information=UserInformation(
            maximum_length=16384,
            implementation_class_uid=UID("1.2.3"),
            extended_negotiations=tuple(ExtendedNegotiation(uid, data) for uid, data in asked.items()),
        ),
    )
    given = negotiate(request, may).user_information.extended_negotiations
    return {str(one.sop_class_uid): one.application_information for one in given}


def test_an_archive_keeps_everything_bit_by_bit_and_changes_nothing() -> None:
    assert answers({CT: bytes([2, 0, 0, 0, 1, 0])}) == {CT: bytes([2, 0, 3, 0, 0, 0])}


@pytest.mark.parametrize(("asked", "answer"), [(b"\1", b"\1"), (b"\1\1\1", b"\1\0\0"), (bytes(9), b"\1\0\0\0\0\0")])
def test_queries_are_relational_and_no_more(asked: bytes, answer: bytes) -> None:
    assert answers({FIND: asked}) == {FIND: answer}


def test_retrieval_is_not_relational() -> None:
    assert answers({MOVE: b"\1\1"}) == {MOVE: b"\0\0"}


def test_nothing_is_said_of_what_was_not_accepted_or_has_no_words() -> None:
    assert answers({FIND: b"\1"}, may=frozenset()) == {}
    assert answers({CT: b"\1"}, proposed=(FIND,)) == {}
    assert answers({UID(VERIFICATION): b"\1", CT: b"\2\0", FIND: b""}) == {}
