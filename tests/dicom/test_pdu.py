"""PDUs: hand-written vectors, round trips, pynetdicom both ways, and damage of every kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom import pdu as peer
from pynetdicom import pdu_primitives as primitives
from pynetdicom.presentation import build_context

from leadglass.dicom import pdu
from leadglass.dicom.items import RawItem
from leadglass.dicom.user_information import (
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    OperationsWindow,
    RoleSelection,
    UserIdentityAccept,
    UserIdentityRequest,
    UserIdentityType,
    UserInformation,
)
from leadglass.dicom.values import UID, AETitle
from leadglass.errors import LimitExceeded, PeerError

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "pdu").glob("*.txt"))


def read_vector(path: Path) -> tuple[dict[str, str], bytes]:
    """Give the head of a vector and its bytes."""
    head: dict[str, str] = {}
    data = b""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+): (.+)", line):
            head[match[1]] = match[2]
        elif match := re.match(r'"([^"]*)"', line):
            data += match[1].encode("ascii")
        else:
            data += bytes.fromhex(line.partition("#")[0])
    return head, data


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector_has_its_outcome(path: Path) -> None:
    """A vector decodes and encodes to itself, or breaks the rule it names."""
    head, data = read_vector(path)
    if head["outcome"] == "ok":
        assert pdu.encode(pdu.decode(data)) == data
        return
    with pytest.raises(PeerError) as caught:
        pdu.decode(data)
    assert (caught.value.code, caught.value.clause) == (head["outcome"], head["clause"])


def test_vectors_are_there() -> None:
    """The vectors were found."""
    assert len(VECTORS) >= 17


def test_request_means_what_its_bytes_say() -> None:
    """Every field of a hand-written request arrives where it belongs."""
    _, data = read_vector(Path(__file__).parents[1] / "vectors/pdu/user-information.txt")
    assert pdu.decode(data) == pdu.AssociateRequest(
        AETitle("LEADGLASS"),
        AETitle("CT01"),
        (pdu.ProposedContext(255, UID("1.2.840.10008.1.1"), (UID("1.2.840.10008.1.2"),)),),
        UserInformation(
            maximum_length=131072,
            operations_window=OperationsWindow(4, 0),
            role_selections=(RoleSelection(UID("1.2"), True, False),),
            extended_negotiations=(ExtendedNegotiation(UID("1.2"), b"\x01\x00\x01"),),
            common_extended_negotiations=(
                CommonExtendedNegotiation(UID("1.2"), UID("1.2.3"), (UID("1.5"), UID("1.6"))),
            ),
            user_identity=UserIdentityRequest(UserIdentityType.USERNAME_PASSCODE, b"me", b"pw", True),
            unknown_items=(RawItem(0x5F, b"\xca\xfe"), RawItem(0x5A, b"\xca\xfe" * 10)),
        ),
    )


def test_secrets_do_not_print() -> None:
    """A user identity's fields stay out of its repr, and so out of logs."""
    identity = UserIdentityRequest(UserIdentityType.USERNAME_PASSCODE, b"mmurphy", b"hunter2")
    assert "mmurphy" not in repr(identity)
    assert "hunter2" not in repr(identity)
    assert "ticket" not in repr(UserIdentityAccept(b"ticket"))


# --- values ---------------------------------------------------------------------------------------------

uids = st.from_regex(r"[1-9][0-9]{0,3}(\.(0|[1-9][0-9]{0,5})){1,6}", fullmatch=True).map(UID)
titles = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=16)
ae_titles = titles.map(AETitle)
secrets = st.binary(max_size=40)
shared_items = {
    "maximum_length": st.integers(0, 2**32 - 1),
    "implementation_class_uid": st.none() | uids,
    "implementation_version_name": st.none() | titles,
    "operations_window": st.none() | st.builds(OperationsWindow, st.integers(0, 65535), st.integers(0, 65535)),
    "role_selections": st.lists(
        st.builds(RoleSelection, uids, st.booleans(), st.booleans()), max_size=3, unique_by=lambda r: r.sop_class_uid
    ).map(tuple),
    "extended_negotiations": st.lists(
        st.builds(ExtendedNegotiation, uids, st.binary(min_size=1, max_size=20)), max_size=3
    ).map(tuple),
}
common = st.builds(CommonExtendedNegotiation, uids, uids, st.lists(uids, max_size=3).map(tuple))
identities = st.builds(UserIdentityRequest, st.sampled_from(UserIdentityType), secrets, secrets, st.booleans())
users_asking = st.builds(
    UserInformation,
    **shared_items,
    common_extended_negotiations=st.lists(common, max_size=2).map(tuple),
    user_identity=st.none() | identities,
    unknown_items=st.lists(st.builds(RawItem, st.integers(0x60, 0xFF), secrets), max_size=2).map(tuple),
)
users_answering = st.builds(
    UserInformation, **shared_items, user_identity=st.none() | st.builds(UserIdentityAccept, secrets)
)
context_ids = st.lists(st.integers(0, 127).map(lambda n: 2 * n + 1), min_size=1, max_size=5, unique=True)
syntaxes = st.lists(uids, min_size=1, max_size=4).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> pdu.AssociateRequest:
    """Draw any valid A-ASSOCIATE-RQ."""
    contexts = tuple(pdu.ProposedContext(i, draw(uids), draw(syntaxes)) for i in draw(context_ids))
    return pdu.AssociateRequest(draw(ae_titles), draw(ae_titles), contexts, draw(users_asking))


@st.composite
def accepts(draw: st.DrawFn) -> pdu.AssociateAccept:
    """Draw any valid A-ASSOCIATE-AC."""
    contexts = []
    for context_id in draw(context_ids):
        result = draw(st.sampled_from(pdu.ContextResult))
        syntax = draw(uids) if result is pdu.ContextResult.ACCEPTANCE else None
        contexts.append(pdu.AnsweredContext(context_id, result, syntax))
    return pdu.AssociateAccept(tuple(contexts), draw(users_answering), draw(titles), draw(titles))


data_values = st.builds(
    pdu.PresentationDataValue, st.integers(0, 255), st.booleans(), st.booleans(), st.binary(max_size=50)
)
pdus = (
    requests()
    | accepts()
    | st.builds(pdu.AssociateReject, st.integers(1, 2), st.integers(1, 3), st.integers(0, 255))
    | st.builds(pdu.DataTransfer, st.lists(data_values, max_size=4).map(tuple))
    | st.just(pdu.ReleaseRequest())
    | st.just(pdu.ReleaseReply())
    | st.builds(pdu.Abort, st.integers(0, 255), st.integers(0, 255))
)


@given(pdus)
def test_round_trip(value: pdu.Pdu) -> None:
    """What is encoded decodes to the same value."""
    assert pdu.decode(pdu.encode(value)) == value


@given(pdus, st.data())
def test_damage_is_a_value_or_a_peer_error(value: pdu.Pdu, data: st.DataObject) -> None:
    """Damaged bytes decode, or raise PeerError with a code and a clause; nothing else."""
    damaged = bytearray(pdu.encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(at, min(at + 8, len(damaged))))
        damaged[at:end] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()):
        damaged[2:6] = max(0, len(damaged) - 6).to_bytes(4, "big")
    try:
        decoded = pdu.decode(bytes(damaged))
    except PeerError as error:
        assert error.code
        assert error.clause.startswith("PS3.")
    else:
        assert pdu.decode(pdu.encode(decoded)) == decoded


@given(requests() | accepts(), st.data())
def test_a_truncated_pdu_is_refused(value: pdu.AssociateRequest | pdu.AssociateAccept, data: st.DataObject) -> None:
    """No prefix of a PDU passes for the PDU."""
    whole = pdu.encode(value)
    with pytest.raises(PeerError):
        pdu.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


# --- limits ---------------------------------------------------------------------------------------------


def request_with(**user: object) -> bytes:
    """Encode a small request with this user information."""
    context = pdu.ProposedContext(1, UID("1.2"), (UID("1.3"),))
    information = UserInformation(**user)  # type: ignore[arg-type]
    return pdu.encode(pdu.AssociateRequest(AETitle("A"), AETitle("B"), (context,), information))


def test_user_items_are_bounded() -> None:
    """More sub-items than the limit are refused, and up to the limit accepted."""
    pdu.decode(request_with(unknown_items=(RawItem(0x60, b""),) * 1023))
    with pytest.raises(LimitExceeded, match="too many user"):
        pdu.decode(request_with(unknown_items=(RawItem(0x60, b""),) * 1024))


def test_contexts_are_bounded() -> None:
    """A 129th context is refused before its id is looked at."""
    contexts = tuple(pdu.ProposedContext(i % 256 | 1, UID("1.2"), (UID("1.3"),)) for i in range(0, 258, 2))
    with pytest.raises(LimitExceeded, match="128"):
        pdu.decode(pdu.encode(pdu.AssociateRequest(AETitle("A"), AETitle("B"), contexts)))


def test_transfer_syntaxes_are_bounded() -> None:
    """A context may name 128 transfer syntaxes and not 200."""

    def proposing(count: int) -> bytes:
        context = pdu.ProposedContext(1, UID("1.2"), (UID("1.3"),) * count)
        return pdu.encode(pdu.AssociateRequest(AETitle("A"), AETitle("B"), (context,)))

    pdu.decode(proposing(128))
    with pytest.raises(LimitExceeded, match="sub-items"):
        pdu.decode(proposing(200))


def test_an_item_may_not_occur_twice() -> None:
    """A second maximum length is refused: two answers to one question hide a parser difference."""
    with pytest.raises(PeerError) as caught:
        pdu.decode(request_with(unknown_items=(RawItem(0x51, bytes(4)),)))
    assert caught.value.code == "item-repeated"


def test_a_repeated_context_id_is_refused() -> None:
    """Two contexts never share an id."""
    context = pdu.ProposedContext(1, UID("1.2"), (UID("1.3"),))
    with pytest.raises(PeerError) as caught:
        pdu.decode(pdu.encode(pdu.AssociateRequest(AETitle("A"), AETitle("B"), (context, context))))
    assert caught.value.code == "context-repeated"


# --- pynetdicom as a differential peer ------------------------------------------------------------------

PEER_CLASSES = {
    pdu.AssociateRequest: peer.A_ASSOCIATE_RQ,
    pdu.AssociateAccept: peer.A_ASSOCIATE_AC,
    pdu.AssociateReject: peer.A_ASSOCIATE_RJ,
    pdu.DataTransfer: peer.P_DATA_TF,
    pdu.ReleaseRequest: peer.A_RELEASE_RQ,
    pdu.ReleaseReply: peer.A_RELEASE_RP,
    pdu.Abort: peer.A_ABORT_RQ,
}


@settings(max_examples=60)
@given(requests())
def test_peer_reads_our_request(value: pdu.AssociateRequest) -> None:
    """pynetdicom reads the same contexts and user information from our bytes."""
    user = value.user_information
    value = pdu.AssociateRequest(
        value.called_ae_title,
        value.calling_ae_title,
        value.contexts,
        UserInformation(user.maximum_length, user.implementation_class_uid, user.implementation_version_name),
    )
    theirs = peer.A_ASSOCIATE_RQ()
    theirs.decode(pdu.encode(value))
    assert theirs.called_ae_title == value.called_ae_title
    assert theirs.calling_ae_title == value.calling_ae_title
    contexts = [(c.context_id, c.abstract_syntax, tuple(c.transfer_syntax)) for c in theirs.presentation_context]
    assert contexts == [(c.context_id, c.abstract_syntax, c.transfer_syntaxes) for c in value.contexts]
    assert theirs.user_information is not None
    assert theirs.user_information.maximum_length == user.maximum_length
    assert theirs.encode() == pdu.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        pdu.AssociateReject(2, 3, 2),
        pdu.DataTransfer((pdu.PresentationDataValue(3, True, True, b"ab"),)),
        pdu.ReleaseRequest(),
        pdu.ReleaseReply(),
        pdu.Abort(2, 5),
    ],
)
def test_peer_rewrites_our_bytes(value: pdu.Pdu) -> None:
    """pynetdicom reads a small PDU and writes the same bytes."""
    theirs = PEER_CLASSES[type(value)]()
    theirs.decode(pdu.encode(value))
    assert theirs.encode() == pdu.encode(value)


def peer_request() -> bytes:
    """Let pynetdicom write an A-ASSOCIATE-RQ with every user information sub-item."""
    primitive = primitives.A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = "CT01"
    primitive.called_ae_title = "LEADGLASS"
    context = build_context("1.2.840.10008.5.1.4.1.1.2", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
    context.context_id = 7
    primitive.presentation_context_definition_list = [context]
    length = primitives.MaximumLengthNotification()
    length.maximum_length_received = 16382
    implementation = primitives.ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.826.0.1.3680043.9.3811.3.0.4"
    version = primitives.ImplementationVersionNameNotification()
    version.implementation_version_name = "PYNETDICOM_304"
    window = primitives.AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 3
    role = primitives.SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = "1.2.840.10008.5.1.4.1.1.2", False, True
    extended = primitives.SOPClassExtendedNegotiation()
    extended.sop_class_uid = "1.2.840.10008.5.1.4.1.1.2"
    extended.service_class_application_information = b"\x02\x00\x03"
    related = primitives.SOPClassCommonExtendedNegotiation()
    related.sop_class_uid = "1.2.840.10008.5.1.4.1.1.2"
    related.service_class_uid = "1.2.840.10008.4.2"
    related.related_general_sop_class_identification = ["1.2.840.10008.5.1.4.1.1.88.22"]
    identity = primitives.UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field, identity.secondary_field = b"me", b"pw"
    identity.positive_response_requested = True
    primitive.user_information = [length, implementation, version, window, role, extended, related, identity]
    theirs = peer.A_ASSOCIATE_RQ()
    theirs.from_primitive(primitive)
    return theirs.encode()


def test_we_read_the_peer_s_request() -> None:
    """Every sub-item pynetdicom writes is read with its meaning."""
    ct = UID("1.2.840.10008.5.1.4.1.1.2")
    assert pdu.decode(peer_request()) == pdu.AssociateRequest(
        AETitle("LEADGLASS"),
        AETitle("CT01"),
        (pdu.ProposedContext(7, ct, (UID("1.2.840.10008.1.2"), UID("1.2.840.10008.1.2.1"))),),
        UserInformation(
            maximum_length=16382,
            implementation_class_uid=UID("1.2.826.0.1.3680043.9.3811.3.0.4"),
            implementation_version_name="PYNETDICOM_304",
            operations_window=OperationsWindow(5, 3),
            role_selections=(RoleSelection(ct, False, True),),
            extended_negotiations=(ExtendedNegotiation(ct, b"\x02\x00\x03"),),
            common_extended_negotiations=(
                CommonExtendedNegotiation(ct, UID("1.2.840.10008.4.2"), (UID("1.2.840.10008.5.1.4.1.1.88.22"),)),
            ),
            user_identity=UserIdentityRequest(UserIdentityType.USERNAME_PASSCODE, b"me", b"pw", True),
        ),
    )


def test_peer_reads_our_user_information() -> None:
    """pynetdicom reads every sub-item of our encoding of its own request, and writes it back unchanged."""
    ours = pdu.encode(pdu.decode(peer_request()))
    theirs = peer.A_ASSOCIATE_RQ()
    theirs.decode(ours)
    assert theirs.encode() == ours
    user = theirs.user_information
    assert user is not None
    assert user.user_identity is not None
    assert user.user_identity.secondary_field == b"pw"
    assert user.async_ops_window is not None
    assert user.async_ops_window.maximum_number_operations_performed == 3
