"""DIMSE messages: round trips, hostile command sets, pynetdicom both ways, statuses."""

from __future__ import annotations

from io import BytesIO
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID as PeerUID
from pynetdicom import dimse_messages, dimse_primitives
from pynetdicom.dsutils import decode as peer_decode

from leadglass.dicom import command_set, dimse
from leadglass.dicom.status import Status, StatusClass, status_class
from leadglass.dicom.values import UID, AETitle, Tag
from leadglass.errors import PeerError

CT = UID("1.2.840.10008.5.1.4.1.1.2")
STORE = dimse.CStoreRQ(7, CT, "1.2.3.4", dimse.Priority.HIGH, "MOVER", 3)

short = st.integers(0, 65535)
uids = st.from_regex(r"[1-9][0-9]{0,3}(\.(0|[1-9][0-9]{0,5})){1,6}", fullmatch=True).map(UID)
titles = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=16)
comments = st.just("") | titles
tags = st.lists(st.integers(0, 2**32 - 1).map(Tag), max_size=3).map(tuple)
optional = st.none() | short
tail = {"error_comment": comments, "offending_elements": tags, "error_id": optional}
counts = dict.fromkeys(("remaining", "completed", "failed", "warning"), optional)


def on_instance(kind: type, **more: st.SearchStrategy[object]) -> st.SearchStrategy[dimse.Command]:
    """Draw a response about a SOP instance."""
    return st.builds(kind, short, st.none() | uids, st.none() | uids, short, has_dataset=st.booleans(), **tail, **more)


def response(kind: type, **more: st.SearchStrategy[object]) -> st.SearchStrategy[dimse.Command]:
    """Draw a response without an instance."""
    return st.builds(kind, short, st.none() | uids, short, has_dataset=st.booleans(), **tail, **more)


COMMANDS: dict[type, st.SearchStrategy[dimse.Command]] = {
    dimse.CEchoRQ: st.builds(dimse.CEchoRQ, short, uids),
    dimse.CEchoRSP: response(dimse.CEchoRSP),
    dimse.CStoreRQ: st.builds(dimse.CStoreRQ, short, uids, uids, short, st.none() | titles, optional),
    dimse.CStoreRSP: on_instance(dimse.CStoreRSP),
    dimse.CFindRQ: st.builds(dimse.CFindRQ, short, uids, short),
    dimse.CFindRSP: response(dimse.CFindRSP),
    dimse.CGetRQ: st.builds(dimse.CGetRQ, short, uids, short),
    dimse.CGetRSP: response(dimse.CGetRSP, **counts),
    dimse.CMoveRQ: st.builds(dimse.CMoveRQ, short, uids, titles.map(AETitle), short),
    dimse.CMoveRSP: response(dimse.CMoveRSP, **counts),
    dimse.CCancelRQ: st.builds(dimse.CCancelRQ, short),
    dimse.NEventReportRQ: st.builds(dimse.NEventReportRQ, short, uids, uids, short, st.booleans()),
    dimse.NEventReportRSP: on_instance(dimse.NEventReportRSP, event_type_id=optional),
    dimse.NGetRQ: st.builds(dimse.NGetRQ, short, uids, uids, tags),
    dimse.NGetRSP: on_instance(dimse.NGetRSP),
    dimse.NSetRQ: st.builds(dimse.NSetRQ, short, uids, uids),
    dimse.NSetRSP: on_instance(dimse.NSetRSP),
    dimse.NActionRQ: st.builds(dimse.NActionRQ, short, uids, uids, short, st.booleans()),
    dimse.NActionRSP: on_instance(dimse.NActionRSP, action_type_id=optional),
    dimse.NCreateRQ: st.builds(dimse.NCreateRQ, short, uids, st.none() | uids, st.booleans()),
    dimse.NCreateRSP: on_instance(dimse.NCreateRSP),
    dimse.NDeleteRQ: st.builds(dimse.NDeleteRQ, short, uids, uids),
    dimse.NDeleteRSP: on_instance(dimse.NDeleteRSP),
}


def test_every_message_is_tested() -> None:
    """The strategies name every member of the union."""
    assert set(COMMANDS) == set(get_args(dimse.Command))


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_round_trip(kind: type, data: st.DataObject) -> None:
    """A message encodes to even-length elements in order and decodes to itself; pydicom reads the same field."""
    command = data.draw(COMMANDS[kind])
    octets = dimse.encode(command)
    assert dimse.decode_command(octets) == command
    elements = command_set.read_elements(octets)
    assert all(len(value) % 2 == 0 for value in elements.values())
    theirs = peer_decode(BytesIO(octets), True, True)
    assert theirs.CommandGroupLength == len(octets) - 12
    assert theirs.CommandField == int.from_bytes(elements[command_set.COMMAND_FIELD], "little")
    assert (theirs.CommandDataSetType != 0x0101) == command.has_dataset


@given(st.sampled_from(list(COMMANDS)), st.data())
def test_damage_is_a_message_or_a_peer_error(kind: type, data: st.DataObject) -> None:
    """Damaged command sets decode or raise PeerError with code and clause; nothing else."""
    octets = bytearray(dimse.encode(data.draw(COMMANDS[kind])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(octets)))
        end = data.draw(st.integers(at, min(at + 6, len(octets))))
        octets[at:end] = data.draw(st.binary(max_size=6))
    octets[8:12] = max(0, len(octets) - 12).to_bytes(4, "little")
    try:
        command = dimse.decode_command(bytes(octets))
    except PeerError as error:
        assert error.code
        assert error.clause.startswith("PS3.")
    else:
        assert dimse.decode_command(dimse.encode(command)) == command


@pytest.mark.parametrize("untrusted_uid", ["../../etc/passwd", "", "1.2." + "3" * 61, "1.2.3\\1.2.4", "1.2\n3"])
def test_a_hostile_instance_uid_is_held_not_aborted(untrusted_uid: str) -> None:
    """A C-STORE-RQ with something else than a UID decodes, keeps the text and says what is wrong."""
    command = dimse.decode_command(dimse.encode(dimse.CStoreRQ(1, CT, untrusted_uid)))
    assert isinstance(command, dimse.CStoreRQ)
    assert command.sop_instance_uid == untrusted_uid
    assert command.uid_fault is not None
    assert command.uid_fault.code == "uid"


def elements_of(command: dimse.Command) -> command_set.Elements:
    """Give the elements of a command, without its group length."""
    elements = command_set.read_elements(dimse.encode(command))
    del elements[command_set.GROUP_LENGTH]
    return elements


def us(value: int) -> bytes:
    """Write a US value."""
    return value.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({command_set.COMMAND_FIELD: us(0x0666)}, "command-field"),
        ({command_set.COMMAND_FIELD: b"\x01"}, "command-element"),
        ({command_set.MESSAGE_ID: b""}, "command-element"),
        ({command_set.AFFECTED_SOP_CLASS_UID: b""}, "command-element"),
        ({command_set.AFFECTED_SOP_CLASS_UID: b"CT Image"}, "uid"),
        ({command_set.DATA_SET_TYPE: us(0x0101)}, "command-data-set"),
        ({command_set.MOVE_ORIGINATOR_AE_TITLE: b"A\\B "}, "ae-title"),
    ],
)
def test_a_wrong_element_is_named(change: dict[int, bytes], code: str) -> None:
    """Each element a C-STORE-RQ can get wrong has its code."""
    with pytest.raises(PeerError) as caught:
        dimse.decode_command(command_set.write_elements(elements_of(STORE) | change))
    assert caught.value.code == code


def test_structure_faults_are_named() -> None:
    """Order, group, length and group length of a command set are checked."""
    octets = dimse.encode(STORE)
    faults = {
        "command-order": octets[:12] + octets[-10:] + octets[12:-10],
        "command-group": octets[:12] + b"\x08" + octets[13:],
        "command-length": octets[:-1],
    }
    for code, damaged in faults.items():
        with pytest.raises(PeerError) as caught:
            dimse.decode_command(damaged)
        assert caught.value.code == code
    too_long = command_set.write_elements(elements_of(STORE))
    with pytest.raises(PeerError, match="claims more bytes"):
        dimse.decode_command(too_long[:-6] + b"\x10" + too_long[-5:])
    with pytest.raises(PeerError, match="group length"):
        dimse.decode_command(octets[:8] + b"\x00\x00\x00\x00" + octets[12:])


def test_a_comment_cannot_carry_control_characters() -> None:
    """Error comments are cut to 64 characters and print safely."""
    elements = elements_of(dimse.CEchoRSP(1, CT, 0x0110)) | {command_set.ERROR_COMMENT: b"\x1b[2J" + b"x" * 100}
    command = dimse.decode_command(command_set.write_elements(elements))
    assert isinstance(command, dimse.CEchoRSP)
    assert command.error_comment == "?[2J" + "x" * 60


# --- pynetdicom as a differential peer ------------------------------------------------------------------


def peer_encoded(message: dimse_messages.DIMSEMessage, primitive: object) -> bytes:
    """Let pynetdicom write a command set."""
    message.primitive_to_message(primitive)
    primitives = list(message.encode_msg(1, 16382))
    return b"".join(item[1][1:] for p in primitives for item in p.presentation_data_value_list if item[1][0] & 1)


def test_we_read_the_peer_s_store_request() -> None:
    """A C-STORE-RQ of pynetdicom means the same to us."""
    primitive = dimse_primitives.C_STORE()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = PeerUID(CT)
    primitive.AffectedSOPInstanceUID = PeerUID("1.2.3.4")
    primitive.Priority = 1
    primitive.MoveOriginatorApplicationEntityTitle = "MOVER"
    primitive.MoveOriginatorMessageID = 3
    primitive.DataSet = BytesIO(b"\x08\x00\x05\x00\x00\x00\x00\x00")
    octets = peer_encoded(dimse_messages.C_STORE_RQ(), primitive)
    assert dimse.decode_command(octets) == STORE
    # Any value but 0101H says that a data set follows; pynetdicom chooses 0001H as we do, so bytes compare.
    assert dimse.encode(STORE) == octets


def test_we_read_the_peer_s_move_response() -> None:
    """A C-MOVE-RSP of pynetdicom with sub-operation counts means the same to us."""
    primitive = dimse_primitives.C_MOVE()
    primitive.MessageIDBeingRespondedTo = 9
    primitive.AffectedSOPClassUID = PeerUID("1.2.840.10008.5.1.4.1.2.2.2")
    primitive.Status = 0xFF00
    primitive.NumberOfRemainingSuboperations = 4
    primitive.NumberOfCompletedSuboperations = 3
    primitive.NumberOfFailedSuboperations = 2
    primitive.NumberOfWarningSuboperations = 1
    octets = peer_encoded(dimse_messages.C_MOVE_RSP(), primitive)
    assert dimse.decode_command(octets) == dimse.CMoveRSP(
        9, UID("1.2.840.10008.5.1.4.1.2.2.2"), Status.PENDING, remaining=4, completed=3, failed=2, warning=1
    )


def test_we_read_the_peer_s_commitment() -> None:
    """N-ACTION-RQ and N-EVENT-REPORT-RQ of pynetdicom mean the same to us."""
    action = dimse_primitives.N_ACTION()
    action.MessageID = 2
    action.RequestedSOPClassUID = PeerUID("1.2.840.10008.1.20.1")
    action.RequestedSOPInstanceUID = PeerUID("1.2.840.10008.1.20.1.1")
    action.ActionTypeID = 1
    action.ActionInformation = BytesIO(b"\x08\x00\x05\x00\x00\x00\x00\x00")
    commitment, instance = UID("1.2.840.10008.1.20.1"), UID("1.2.840.10008.1.20.1.1")
    octets = peer_encoded(dimse_messages.N_ACTION_RQ(), action)
    assert dimse.decode_command(octets) == dimse.NActionRQ(2, commitment, instance, 1, True)
    event = dimse_primitives.N_EVENT_REPORT()
    event.MessageID = 3
    event.AffectedSOPClassUID = PeerUID(commitment)
    event.AffectedSOPInstanceUID = PeerUID(instance)
    event.EventTypeID = 2
    octets = peer_encoded(dimse_messages.N_EVENT_REPORT_RQ(), event)
    assert dimse.decode_command(octets) == dimse.NEventReportRQ(3, commitment, instance, 2, False)


def test_the_peer_reads_our_messages() -> None:
    """pynetdicom finds the values where the standard puts them, Affected and Requested apart."""
    instance = UID("1.2.3")
    ours = peer_decode(
        BytesIO(dimse.encode(dimse.NGetRQ(1, CT, instance, (Tag(0x00100010), Tag(0x00100020))))), True, True
    )
    assert ours.RequestedSOPClassUID == CT
    assert ours.RequestedSOPInstanceUID == instance
    assert list(ours.AttributeIdentifierList) == [0x00100010, 0x00100020]
    ours = peer_decode(BytesIO(dimse.encode(dimse.CMoveRQ(1, CT, AETitle("DEST")))), True, True)
    assert (ours.AffectedSOPClassUID, ours.MoveDestination, ours.Priority) == (CT, "DEST", 0)
    failed = dimse.CStoreRSP(1, CT, instance, 0xA900, error_comment="no", offending_elements=(Tag(0x00080016),))
    ours = peer_decode(BytesIO(dimse.encode(failed)), True, True)
    assert (ours.Status, ours.ErrorComment, ours.OffendingElement) == (0xA900, "no", 0x00080016)


# --- status ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x0000, StatusClass.SUCCESS), (0xFF00, StatusClass.PENDING), (0xFF01, StatusClass.PENDING),
        (0xFF02, StatusClass.FAILURE), (0xFE00, StatusClass.CANCEL), (0x0001, StatusClass.WARNING),
        (0x0107, StatusClass.WARNING), (0x0116, StatusClass.WARNING), (0xB000, StatusClass.WARNING),
        (0xBFFF, StatusClass.WARNING), (0xA700, StatusClass.FAILURE), (0xC123, StatusClass.FAILURE),
        (0x0122, StatusClass.FAILURE), (0x0211, StatusClass.FAILURE), (0x7777, StatusClass.FAILURE),
    ],
)  # fmt: skip
def test_status_class(code: int, expected: StatusClass) -> None:
    """Codes sort as PS3.7 Annex C sorts them; the unknown is a failure."""
    assert status_class(code) is expected


def test_statuses_agree_with_pynetdicom() -> None:
    """Every general status sorts as pynetdicom sorts it."""
    from pynetdicom.status import GENERAL_STATUS

    names = {"Success": StatusClass.SUCCESS, "Warning": StatusClass.WARNING, "Failure": StatusClass.FAILURE,
             "Cancel": StatusClass.CANCEL, "Pending": StatusClass.PENDING}  # fmt: skip
    for code, (category, _) in GENERAL_STATUS.items():
        assert status_class(code) is names[category], f"{code:04X}"
