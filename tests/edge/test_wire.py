"""A wire waits only as long as its limits say, and tells silence, trickle and the end apart."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from leadglass.dicom.association import Association
from leadglass.dicom.events import AssociateRequested, CommandReceived, ConnectionClosed, DataFragment, PeerFault
from leadglass.dicom.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    DataTransfer,
    PresentationDataValue,
    ProposedContext,
    encode,
)
from leadglass.dicom.values import UID, AETitle
from leadglass.edge.wire import SocketWire
from leadglass.errors import PeerError, RemoteError
from leadglass.journeys.ports import Timeouts

VERIFICATION, IMPLICIT = UID("1.2.840.10008.1.1"), UID("1.2.840.10008.1.2")
REQUEST = encode(AssociateRequest(AETitle("HUB"), AETitle("CT1"), (ProposedContext(1, VERIFICATION, (IMPLICIT,)),)))
QUICK = Timeouts(artim_seconds=0.05, idle_seconds=0.05, rate_window_seconds=0.05, rate_bytes_per_second_min=1 << 20)


@pytest.fixture
def pair() -> Iterator[tuple[SocketWire, socket.socket]]:
    listening = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(listening.getsockname())
    ours, _ = listening.accept()
    listening.close()
    yield SocketWire(ours, Association(is_requestor=False), QUICK), theirs
    ours.close()
    theirs.close()


def establish(wire: SocketWire, peer: socket.socket) -> None:
    peer.sendall(REQUEST)
    assert isinstance(wire.next_event(), AssociateRequested)
    wire.send(wire.engine.accept(AssociateAccept((AnsweredContext(1, ContextResult.ACCEPTANCE, IMPLICIT),))))
    peer.recv(4096)


def message(data: bytes, *, is_last: bool = True) -> bytes:
    command = (
        bytes.fromhex("00000200 12000000") + b"1.2.840.10008.1.1\0"
        + bytes.fromhex("00000001 02000000 0100 00001001 02000000 0100 00000008 02000000 0100")
    )  # fmt: skip
    command = bytes.fromhex("00000000 04000000") + len(command).to_bytes(4, "little") + command
    return encode(
        DataTransfer((PresentationDataValue(1, True, True, command), PresentationDataValue(1, False, is_last, data)))
    )


def test_a_silent_connection_runs_into_artim(pair: tuple[SocketWire, socket.socket]) -> None:
    with pytest.raises(PeerError) as caught:
        pair[0].next_event()
    assert caught.value.code == "artim"


def test_half_a_request_runs_into_artim_too(pair: tuple[SocketWire, socket.socket]) -> None:
    pair[1].sendall(REQUEST[:50])
    with pytest.raises(PeerError) as caught:
        pair[0].next_event()
    assert caught.value.code == "artim"


def test_a_quiet_association_is_idle_and_a_stalled_message_is_slow(pair: tuple[SocketWire, socket.socket]) -> None:
    wire, peer = pair
    establish(wire, peer)
    with pytest.raises(PeerError) as caught:
        wire.next_event()
    assert caught.value.code == "idle"
    peer.sendall(message(b"abcd", is_last=False))
    assert isinstance(wire.next_event(), CommandReceived)
    assert isinstance(wire.next_event(), DataFragment)
    with pytest.raises(PeerError) as caught:
        wire.next_event()
    assert caught.value.code == "rate"


def test_fragments_arrive_and_the_end_is_told_once(pair: tuple[SocketWire, socket.socket]) -> None:
    wire, peer = pair
    establish(wire, peer)
    peer.sendall(message(b"abcd"))
    assert isinstance(wire.next_event(), CommandReceived)
    fragment = wire.next_event()
    assert isinstance(fragment, DataFragment) and bytes(fragment.data) == b"abcd" and fragment.is_last
    peer.close()
    assert isinstance(wire.next_event(), ConnectionClosed)
    with pytest.raises(RemoteError):
        wire.next_event()


def test_nonsense_is_a_fault_with_an_abort_to_send(pair: tuple[SocketWire, socket.socket]) -> None:
    wire, peer = pair
    peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(wire.next_event(), PeerFault)
    assert wire.engine.data_to_send()[:1] == b"\x07"


def test_a_peer_that_does_not_read_cannot_hold_us(pair: tuple[SocketWire, socket.socket]) -> None:
    wire, peer = pair
    establish(wire, peer)
    with pytest.raises(PeerError):
        for _ in range(64):
            wire.send([bytes(1 << 20)])


def test_what_is_sent_arrives_whole_and_in_order(pair: tuple[SocketWire, socket.socket]) -> None:
    wire, peer = pair
    establish(wire, peer)
    parts = [b"a" * 10, b"b" * 40_000, b"c" * 10, b"d" * 10]
    wire.send(parts)
    received = b""
    while len(received) < sum(map(len, parts)):
        received += peer.recv(1 << 16)
    assert received == b"".join(parts)
