"""The association engine: conversations, chunking invariance, hostile peers, bounds."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import pytest
from fuzz import fuzz_pdu
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.dicom import dimse, pdu
from leadglass.dicom.association import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    Association,
    Buffer,
    CommandReceived,
    ConnectionClosed,
    DataFragment,
    Event,
    PeerFault,
    ReleaseReplied,
    ReleaseRequested,
    WireLimits,
)
from leadglass.dicom.states import State
from leadglass.dicom.user_information import OperationsWindow, RoleSelection, UserInformation
from leadglass.dicom.values import UID, AETitle
from leadglass.errors import LimitExceeded, RemoteError

DEFAULTS = WireLimits()
CT = UID("1.2.840.10008.5.1.4.1.1.2")
VERIFICATION = UID("1.2.840.10008.1.1")
IMPLICIT = UID("1.2.840.10008.1.2")
EXPLICIT = UID("1.2.840.10008.1.2.1")
STORE = dimse.encode(dimse.CStoreRQ(1, CT, "1.2.3"))
ECHO = dimse.encode(dimse.CEchoRQ(1, VERIFICATION))
REQUEST = pdu.AssociateRequest(
    AETitle("LEADGLASS"),
    AETitle("CT01"),
    (pdu.ProposedContext(1, CT, (EXPLICIT, IMPLICIT)), pdu.ProposedContext(3, VERIFICATION, (IMPLICIT,))),
)


def established(
    *, sends: WireLimits = DEFAULTS, receives: WireLimits = DEFAULTS, request: pdu.AssociateRequest = REQUEST
) -> tuple[Association, Association]:
    """Give a requestor and an acceptor that agreed on every context."""
    requestor = Association(is_requestor=True, limits=sends)
    acceptor = Association(is_requestor=False, limits=receives)
    (asked,) = acceptor.receive_bytes(requestor.request(request))
    assert isinstance(asked, AssociateRequested)
    (told,) = requestor.receive_bytes(acceptor.accept(fuzz_pdu.answer(asked.request)))
    assert isinstance(told, AssociateAccepted)
    return requestor, acceptor


def wire(buffers: list[Buffer]) -> bytes:
    """Put buffers together as the socket would."""
    return b"".join(buffers)


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    """Write a PDV item."""
    return (len(data) + 2).to_bytes(4, "big") + bytes((context_id, control)) + data


def data_tf(*values: bytes) -> bytes:
    """Write a P-DATA-TF."""
    body = b"".join(values)
    return b"\x04\x00" + len(body).to_bytes(4, "big") + body


def fault(events: list[Event]) -> str:
    """Give the code of the fault that ends the events."""
    assert isinstance(events[-1], PeerFault), events
    assert not any(isinstance(event, PeerFault) for event in events[:-1])
    assert events[-1].error.clause
    return events[-1].error.code


# --- conversations --------------------------------------------------------------------------------------


def test_two_engines_talk_from_request_to_release() -> None:
    """A whole association between two of our engines, with every state on the way."""
    requestor, acceptor = established(receives=WireLimits(pdu_length_max=4096))
    assert requestor.is_established
    assert acceptor.is_established
    assert requestor.contexts == acceptor.contexts
    assert requestor.contexts[1].transfer_syntax == EXPLICIT
    assert (requestor.peer_max_length, acceptor.peer_max_length) == (4096, 262_144)

    image = random.Random(1).randbytes(100_001)
    buffers = requestor.send_command(1, STORE) + requestor.send_data(1, image, is_last=True)
    events = acceptor.receive_bytes(wire(buffers))
    assert events[0] == CommandReceived(1, STORE, True)
    fragments = [event for event in events[1:] if isinstance(event, DataFragment)]
    assert len(fragments) == len(events) - 1
    assert b"".join(fragment.data for fragment in fragments) == image
    assert [fragment.is_last for fragment in fragments] == [False] * (len(fragments) - 1) + [True]

    reply = dimse.encode(dimse.CStoreRSP(1, CT, "1.2.3", 0))
    assert requestor.receive_bytes(wire(acceptor.send_command(1, reply))) == [CommandReceived(1, reply, False)]
    assert acceptor.receive_bytes(requestor.release()) == [ReleaseRequested()]
    assert (requestor.state, acceptor.state) == (State.STA7, State.STA8)
    assert requestor.receive_bytes(acceptor.release_reply()) == [ReleaseReplied()]
    assert (requestor.state, acceptor.state) == (State.STA1, State.STA13)
    assert requestor.receive_eof() == acceptor.receive_eof() == [ConnectionClosed()]
    assert requestor.receive_eof() == []


def test_release_collision_ends_on_both_sides() -> None:
    """Both ask for release at once; the table knows both paths (Sta9, 11 and Sta10, 12)."""
    requestor, acceptor = established()
    from_requestor, from_acceptor = requestor.release(), acceptor.release()
    assert requestor.receive_bytes(from_acceptor) == [ReleaseRequested()]
    assert acceptor.receive_bytes(from_requestor) == [ReleaseRequested()]
    assert (requestor.state, acceptor.state) == (State.STA9, State.STA10)
    assert acceptor.receive_bytes(requestor.release_reply()) == [ReleaseReplied()]
    assert (requestor.state, acceptor.state) == (State.STA11, State.STA12)
    assert requestor.receive_bytes(acceptor.release_reply()) == [ReleaseReplied()]
    assert requestor.is_over
    assert acceptor.is_over


def test_data_still_arrives_while_we_wait_for_release() -> None:
    """In Sta7 the peer may finish what it was sending (AR-6)."""
    requestor, acceptor = established()
    late = wire(acceptor.send_command(3, ECHO))
    requestor.release()
    assert requestor.receive_bytes(late) == [CommandReceived(3, ECHO, False)]


def test_rejection_reaches_the_requestor() -> None:
    """The numbers of a rejection arrive; both sides are over."""
    requestor, acceptor = Association(is_requestor=True), Association(is_requestor=False)
    acceptor.receive_bytes(requestor.request(REQUEST))
    assert requestor.receive_bytes(acceptor.reject(1, 1, 7)) == [AssociateRejected(1, 1, 7)]
    assert requestor.is_over
    assert acceptor.is_over
    with pytest.raises(RemoteError):
        requestor.release()


def test_abort_reaches_the_peer_once() -> None:
    """An abort ends both sides at once, also inside a message; a second one says nothing."""
    requestor, acceptor = established()
    acceptor.receive_bytes(wire(requestor.send_command(1, STORE)))
    assert acceptor.is_inside_message
    assert acceptor.receive_bytes(requestor.abort()) == [Aborted(0, 0)]
    assert requestor.abort() == b""
    assert acceptor.abort() == b""
    assert not acceptor.is_inside_message
    with pytest.raises(RemoteError):
        acceptor.send_command(3, ECHO)


def test_abort_before_anything_was_agreed() -> None:
    """A listener that wants no more may abort in Sta2; a requestor that never asked has nothing to say."""
    assert Association(is_requestor=False).abort(2, 0) == pdu.encode(pdu.Abort(2, 0))
    assert Association(is_requestor=True).abort() == b""


def test_peer_that_is_gone_is_not_sent_to() -> None:
    """After the end of the stream, calls say so instead of giving bytes."""
    requestor, _ = established()
    requestor.receive_eof()
    with pytest.raises(RemoteError):
        requestor.send_command(3, ECHO)


def test_roles_are_what_both_sides_said() -> None:
    """The requestor's roles are the proposed ones that were granted, and never more."""
    asked = UserInformation(role_selections=(RoleSelection(CT, True, True), RoleSelection(VERIFICATION, False, True)))
    request = pdu.AssociateRequest(AETitle("A"), AETitle("B"), REQUEST.contexts, asked)
    requestor, acceptor = Association(is_requestor=True), Association(is_requestor=False)
    acceptor.receive_bytes(requestor.request(request))
    roles = (RoleSelection(CT, False, True), RoleSelection(VERIFICATION, True, False))
    granted = UserInformation(role_selections=roles, operations_window=OperationsWindow(3, 1))
    answer = pdu.AssociateAccept(fuzz_pdu.answer(request).contexts, granted)
    requestor.receive_bytes(acceptor.accept(answer))
    for side in (requestor, acceptor):
        assert (side.contexts[1].requestor_is_scu, side.contexts[1].requestor_is_scp) == (False, True)
        assert (side.contexts[3].requestor_is_scu, side.contexts[3].requestor_is_scp) == (False, False)
        assert side.operations_window == OperationsWindow(3, 1)


# --- sending --------------------------------------------------------------------------------------------


@given(st.integers(1024, 5000), st.lists(st.integers(0, 9000), min_size=1, max_size=4))
def test_sent_pdus_respect_the_peer_s_maximum(maximum: int, sizes: list[int]) -> None:
    """No P-DATA-TF is longer than the peer's maximum length, and the pieces arrive as they were given."""
    requestor, acceptor = established(receives=WireLimits(pdu_length_max=maximum))
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    sent = wire(requestor.send_command(1, STORE))
    for number, piece in enumerate(pieces):
        sent += wire(requestor.send_data(1, piece, is_last=number == len(pieces) - 1))
    at = 0
    while at < len(sent):
        length = int.from_bytes(sent[at + 2 : at + 6], "big")
        assert length <= maximum
        at += 6 + length
    events = acceptor.receive_bytes(sent)
    data = [event for event in events if isinstance(event, DataFragment)]
    assert b"".join(event.data for event in data) == b"".join(pieces)
    assert data[-1].is_last
    assert not acceptor.is_inside_message


def test_sending_does_not_copy() -> None:
    """A data buffer is sent as views of itself."""
    requestor, _ = established()
    image = bytearray(300_000)
    views = [buffer for buffer in requestor.send_data(1, image, is_last=False) if isinstance(buffer, memoryview)]
    assert all(view.obj is image for view in views)
    assert sum(map(len, views)) == len(image)


# --- streaming ------------------------------------------------------------------------------------------


def test_data_is_streamed_from_the_caller_s_buffer() -> None:
    """A fragment is out as soon as it is in, as a slice of what was passed in, long before its PDV ends."""
    requestor, acceptor = established()
    acceptor.receive_bytes(wire(requestor.send_command(1, STORE)))
    sent = wire(requestor.send_data(1, bytes(100_000), is_last=True))
    first = acceptor.receive_bytes(memoryview(sent)[:50])
    assert [(len(event.data), event.is_last) for event in first if isinstance(event, DataFragment)] == [(38, False)]
    (fragment,) = acceptor.receive_bytes(memoryview(sent)[50:])
    assert isinstance(fragment, DataFragment)
    assert fragment.data.obj is sent
    assert fragment.is_last


@given(st.sampled_from(fuzz_pdu.seeds()), st.data())
def test_any_split_gives_the_same_events(seed: tuple[fuzz_pdu.Side, bytes], data: st.DataObject) -> None:
    """A conversation cut anywhere means the same."""
    side, octets = seed
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=20))
    assert fuzz_pdu.listen(side, octets, cuts) == fuzz_pdu.listen(side, octets, [])


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=12), st.data())
def test_any_split_of_a_data_set_gives_the_same_data(parts: list[tuple[int, bool]], data: st.DataObject) -> None:
    """However PDVs share PDUs and pieces cut them, the data set is whole and ends once."""
    values = [pdv(1, 2 if number == len(parts) - 1 else 0, bytes([number]) * size)
              for number, (size, _) in enumerate(parts)]  # fmt: skip
    octets, group = data_tf(pdv(1, 3, STORE)), []
    for value, (_, ends_pdu) in zip(values, parts, strict=True):
        group.append(value)
        if ends_pdu:
            octets += data_tf(*group)
            group = []
    octets += data_tf(*group) if group else b""
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=20))
    _, acceptor = established()
    events: list[Event] = []
    for start, end in pairwise(sorted({0, *cuts, len(octets)})):
        events += acceptor.receive_bytes(octets[start:end])
        assert acceptor.is_inside_message == (end < len(octets))
    expected = b"".join(bytes([number]) * size for number, (size, _) in enumerate(parts))
    assert fuzz_pdu.joined(events) == [(CommandReceived(1, STORE, True),), ("data", 1, expected)]


# --- hostile peers --------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_mutations_cause_events_or_a_peer_fault(seed: int) -> None:
    """Damaged conversations never raise, and mean the same however they are cut (see fuzz/fuzz_pdu.py)."""
    fuzz_pdu.run(5, seed)


OUT_OF_ORDER = {
    "data before any command": ([data_tf(pdv(1, 2, b"x"))], "message-order", 5),
    "a command inside a data set": ([data_tf(pdv(1, 3, STORE), pdv(1, 3, STORE))], "message-order", 5),
    "data on another context": ([data_tf(pdv(1, 3, STORE), pdv(3, 2, b"x"))], "message-order", 5),
    "commands on two contexts interleaved": ([data_tf(pdv(1, 1, STORE[:30]), pdv(3, 1, ECHO))], "message-order", 5),
    "data inside a command": ([data_tf(pdv(1, 1, STORE[:30]), pdv(1, 2, b"x"))], "message-order", 5),
    "data after a message without any": ([data_tf(pdv(3, 3, ECHO), pdv(3, 2, b"x"))], "message-order", 5),
    "release inside a message": (
        [data_tf(pdv(1, 3, STORE)), pdu.encode(pdu.ReleaseRequest())], "message-order", 5
    ),
    "a context nobody accepted": ([data_tf(pdv(5, 3, ECHO))], "context-unknown", 5),
    "a command that is no command set": ([data_tf(pdv(1, 3, b"hello, world"))], "command-group", 6),
    "a PDV longer than its PDU": ([data_tf(pdv(1, 3, ECHO) + b"\xff\xff\xff\xff\x01\x03")], "pdv-length", 6),
    "a PDU that ends in a PDV header": ([data_tf(pdv(3, 3, ECHO) + b"\x00\x00")], "pdv-length", 6),
    "a PDU longer than we announced": ([b"\x04\x00\x00\x04\x00\x01"], "pdu-length", 6),
    "a second association request": ([pdu.encode(REQUEST)], "pdu-unexpected", 2),
    "a release reply to nothing": ([pdu.encode(pdu.ReleaseReply())], "pdu-unexpected", 2),
    "an unknown PDU": ([b"\x17\x00\x00\x00\x00\x00"], "pdu-type", 1),
    "HTTP": ([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], "pdu-type", 1),
    "an abort of five bytes": ([b"\x07\x00\x00\x00\x00\x05"], "pdu-length", 6),
    "a release of five bytes": ([b"\x05\x00\x00\x00\x00\x05"], "pdu-length", 6),
}  # fmt: skip


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_broken_rule_ends_the_association(name: str) -> None:
    """Each broken rule has its code and abort reason (PS3.8 §9.3.8); afterwards the engine is deaf."""
    octets, code, reason = OUT_OF_ORDER[name]
    _, acceptor = established()
    events: list[Event] = []
    for piece in octets:
        events += acceptor.receive_bytes(piece)
    assert fault(events) == code
    assert acceptor.data_to_send() == pdu.encode(pdu.Abort(2, reason))
    assert acceptor.data_to_send() == b""
    assert acceptor.receive_bytes(pdu.encode(pdu.ReleaseRequest())) == []
    assert acceptor.is_over


@pytest.mark.parametrize("octets", [data_tf(pdv(1, 3, ECHO)), pdu.encode(pdu.ReleaseRequest())])
def test_nothing_is_heard_before_the_association(octets: bytes) -> None:
    """P-DATA and release before A-ASSOCIATE-RQ, and before our answer to it, are faults."""
    acceptor = Association(is_requestor=False)
    assert fault(acceptor.receive_bytes(octets)) == "pdu-unexpected"
    acceptor = Association(is_requestor=False)
    acceptor.receive_bytes(pdu.encode(REQUEST))
    assert fault(acceptor.receive_bytes(octets)) == "pdu-unexpected"
    assert fault(Association(is_requestor=True).receive_bytes(octets)) == "pdu-unexpected"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (pdu.AssociateRequest(AETitle("A"), AETitle("B"), REQUEST.contexts, protocol_version=2), (1, 2, 2)),
        (pdu.AssociateRequest(AETitle("A"), AETitle("B"), REQUEST.contexts, application_context=UID("1.2")), (1, 1, 2)),
    ],
)
def test_another_protocol_is_rejected_not_aborted(request_: pdu.AssociateRequest, answer: tuple[int, int, int]) -> None:
    """An unknown protocol version or application context is answered with A-ASSOCIATE-RJ (AE-6)."""
    acceptor = Association(is_requestor=False)
    fault(acceptor.receive_bytes(pdu.encode(request_)))
    assert acceptor.data_to_send() == pdu.encode(pdu.AssociateReject(*answer))
    assert acceptor.is_over


@pytest.mark.parametrize(
    "contexts",
    [
        (pdu.AnsweredContext(9, pdu.ContextResult.ACCEPTANCE, EXPLICIT),),
        (pdu.AnsweredContext(3, pdu.ContextResult.ACCEPTANCE, EXPLICIT),),
    ],
    ids=["not proposed", "another transfer syntax"],
)
def test_an_acceptance_of_what_was_not_proposed_is_a_fault(contexts: tuple[pdu.AnsweredContext, ...]) -> None:
    """An acceptor cannot talk us into a context we never proposed."""
    requestor = Association(is_requestor=True)
    requestor.request(REQUEST)
    assert fault(requestor.receive_bytes(pdu.encode(pdu.AssociateAccept(contexts)))) in {
        "context-unknown",
        "context-syntax",
    }
    assert not requestor.is_established


@pytest.mark.parametrize(
    "endless",
    [data_tf(), data_tf(pdv(1, 0, b"")), data_tf(*[pdv(1, 0, b"x")] * 100)],
    ids=["PDUs", "PDVs", "bytes"],
)
def test_an_endless_stream_of_next_to_nothing_is_a_limit(endless: bytes) -> None:
    """Empty PDUs, empty PDVs and one-byte PDVs without end are cut off; as many events at most as the run allows."""
    _, acceptor = established()
    events = acceptor.receive_bytes(data_tf(pdv(1, 3, STORE)) + endless * 2000)
    assert fault(events) == "pdv-empty"
    assert isinstance(events[-1], PeerFault)
    assert isinstance(events[-1].error, LimitExceeded)
    assert len(events) <= 1026


def test_slim_fragments_now_and_then_are_fine() -> None:
    """A full fragment or an end of message starts the count again."""
    _, acceptor = established(receives=WireLimits(slim_run_max=3))
    for _ in range(5):
        octets = data_tf(pdv(1, 3, STORE), *[pdv(1, 0, b"x")] * 3, pdv(1, 0, bytes(64)), *[pdv(1, 0, b"")] * 3)
        events = acceptor.receive_bytes(octets + data_tf(pdv(1, 2, b"")))
        assert isinstance(events[-1], DataFragment)
        assert events[-1].is_last


def test_a_command_set_is_bounded() -> None:
    """A command that grows past its limit fragment by fragment is cut off at the limit."""
    _, acceptor = established()
    piece = data_tf(pdv(1, 1, bytes(60_000)))
    assert acceptor.receive_bytes(piece) == []
    assert fault(acceptor.receive_bytes(piece)) == "command-length"


def test_an_association_request_is_bounded() -> None:
    """A-ASSOCIATE-RQ may claim the limit, and not one byte more: it is refused before its body arrives."""
    limit = DEFAULTS.control_length_max
    assert Association(is_requestor=False).receive_bytes(b"\x01\x00" + limit.to_bytes(4, "big")) == []
    acceptor = Association(is_requestor=False)
    assert fault(acceptor.receive_bytes(b"\x01\x00" + (limit + 1).to_bytes(4, "big"))) == "pdu-length"


def test_a_peer_s_tiny_maximum_length_is_refused() -> None:
    """A maximum length that would make us send mostly headers is a fault; zero, unlimited, is not."""
    acceptor = Association(is_requestor=False)
    tiny = pdu.AssociateRequest(AETitle("A"), AETitle("B"), REQUEST.contexts, UserInformation(maximum_length=16))
    assert fault(acceptor.receive_bytes(pdu.encode(tiny))) == "maximum-length"
    unlimited = pdu.AssociateRequest(AETitle("A"), AETitle("B"), REQUEST.contexts, UserInformation(maximum_length=0))
    acceptor = Association(is_requestor=False)
    acceptor.receive_bytes(pdu.encode(unlimited))
    acceptor.accept(fuzz_pdu.answer(unlimited))
    header = bytes(acceptor.send_data(1, bytes(1 << 20), is_last=True)[0])
    assert int.from_bytes(header[2:6], "big") == 131_072


@pytest.mark.parametrize(
    "claim",
    [
        b"\x01\x00\x00\x10\x00\x00",
        b"\x01\x00\xff\xff\xff\xff",
        b"\x02\x00\x7f\xff\xff\xff",
        b"\x04\x00\xff\xff\xff\xff",
    ],
    ids=bytes.hex,
)
def test_a_claimed_length_allocates_nothing(claim: bytes) -> None:
    """A header that announces up to 4 GiB costs kilobytes."""
    acceptor = Association(is_requestor=False)
    tracemalloc.start()
    try:
        acceptor.receive_bytes(claim)
        acceptor.receive_bytes(bytes(100))
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_an_object() -> None:
    """A 64 MiB data set passes through an engine that holds next to nothing of it."""
    requestor, acceptor = established()
    acceptor.receive_bytes(wire(requestor.send_command(1, STORE)))
    piece = wire(requestor.send_data(1, bytes(1 << 20), is_last=False))
    tracemalloc.start()
    try:
        for _ in range(64):
            acceptor.receive_bytes(piece)
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()
