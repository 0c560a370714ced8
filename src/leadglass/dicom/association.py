"""One association as a sans-IO engine: bytes in, events out; calls in, bytes out (PS3.8 §7, §9; PS3.7 §6.3).

`receive_bytes` streams P-DATA-TF: a piece of a data set is an event as soon as it arrives, sliced from the
caller's buffer, so memory does not grow with an object. Only control PDUs, command sets and headers split
between two calls are held, all of them bounded.

A peer's fault never raises. It ends the list of events with `PeerFault`, leaves an A-ABORT (or, where the
provider cannot accept the request, an A-ASSOCIATE-RJ) in `data_to_send`, and further input is ignored.
Calls on an association that has ended raise RemoteError; calls that make no sense are our bug and assert.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from leadglass.dicom import negotiated
from leadglass.dicom.events import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    AssociateRequested,
    CommandReceived,
    ConnectionClosed,
    DataFragment,
    Event,
    PeerFault,
    ReleaseReplied,
    ReleaseRequested,
)
from leadglass.dicom.message_stream import MessageStream
from leadglass.dicom.negotiated import AcceptedContext
from leadglass.dicom.pdu import (
    HEADER_LENGTH,
    PDU_HEADER,
    PDV_HEADER,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    DataTransfer,
    PduType,
    ReleaseReply,
    ReleaseRequest,
    decode_body,
    encode,
    pdu_type,
)
from leadglass.dicom.states import TABLE, Action, Evt, State
from leadglass.dicom.user_information import OperationsWindow
from leadglass.errors import LimitExceeded, PeerError, RemoteError
from leadglass.limits import (
    COMMAND_LENGTH_MAX,
    PDU_CONTROL_LENGTH_MAX,
    PDU_LENGTH_MAX,
    PDV_SLIM_RUN_MAX,
    PEER_PDU_LENGTH_MIN,
)

__all__ = [
    "Aborted",
    "AcceptedContext",
    "AssociateAccepted",
    "AssociateRejected",
    "AssociateRequested",
    "Association",
    "Buffer",
    "CommandReceived",
    "ConnectionClosed",
    "DataFragment",
    "Event",
    "PeerFault",
    "ReleaseReplied",
    "ReleaseRequested",
    "WireLimits",
]

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of one association. `pdu_length_max` is also the maximum length the engine announces."""

    pdu_length_max: int = PDU_LENGTH_MAX
    control_length_max: int = PDU_CONTROL_LENGTH_MAX
    command_length_max: int = COMMAND_LENGTH_MAX
    slim_run_max: int = PDV_SLIM_RUN_MAX
    peer_length_min: int = PEER_PDU_LENGTH_MIN


_PDU_EVENT = {
    PduType.ASSOCIATE_RQ: Evt.ASSOCIATE_RQ_PDU,
    PduType.ASSOCIATE_AC: Evt.ASSOCIATE_AC_PDU,
    PduType.ASSOCIATE_RJ: Evt.ASSOCIATE_RJ_PDU,
    PduType.DATA_TF: Evt.DATA_TF_PDU,
    PduType.RELEASE_RQ: Evt.RELEASE_RQ_PDU,
    PduType.RELEASE_RP: Evt.RELEASE_RP_PDU,
    PduType.ABORT: Evt.ABORT_PDU,
}
_FAULTS = frozenset({Action.AA_1, Action.AA_7, Action.AA_8})
_ABORT_REASON = {"pdu-type": 1, "pdu-unexpected": 2, "message-order": 5, "context-unknown": 5}
_INVALID_PARAMETER_VALUE = 6


class Association:
    """The engine. One per connection; not thread-safe."""

    def __init__(self, *, is_requestor: bool, limits: WireLimits = WireLimits()) -> None:
        self._is_requestor = is_requestor
        self._limits = limits
        self._state = State.STA1 if is_requestor else TABLE[State.STA1, Evt.TRANSPORT_ACCEPTED].state
        self._is_over = False
        self._may_receive_data = False
        self._is_connected = True
        self._request: AssociateRequest | None = None
        self._accept: AssociateAccept | None = None
        self._contexts: dict[int, AcceptedContext] = {}
        self._outgoing = b""
        self._send_length = 0
        self._header = bytearray()
        self._control_type = PduType.ABORT
        self._control_remaining = 0
        self._control = bytearray()
        self._stream = MessageStream(command_length_max=limits.command_length_max, slim_run_max=limits.slim_run_max)

    @property
    def state(self) -> State:
        """Give the state of PS3.8 Table 9-10."""
        return self._state

    @property
    def is_requestor(self) -> bool:
        """Tell whether this side asked for the association."""
        return self._is_requestor

    @property
    def is_established(self) -> bool:
        """Tell whether the association was accepted and has not ended."""
        return State.STA6 <= self._state <= State.STA12

    @property
    def is_over(self) -> bool:
        """Tell whether nothing but the end of the connection can follow."""
        return self._is_over

    @property
    def is_inside_message(self) -> bool:
        """Tell whether the peer owes bytes: of a PDU, a command set or an announced data set."""
        return not self._is_over and bool(
            self._stream.is_inside_message or self._stream.pdu_remaining or self._control_remaining or self._header
        )

    @property
    def contexts(self) -> dict[int, AcceptedContext]:
        """Give the accepted presentation contexts by id."""
        return self._contexts

    @property
    def associate_request(self) -> AssociateRequest | None:
        """Give the request, ours or the peer's."""
        return self._request

    @property
    def associate_accept(self) -> AssociateAccept | None:
        """Give the acceptance, ours or the peer's."""
        return self._accept

    @property
    def peer_max_length(self) -> int:
        """Give the maximum length the peer announced; 0 is unlimited."""
        peer = self._accept if self._is_requestor else self._request
        return peer.user_information.maximum_length if peer is not None else 0

    @property
    def operations_window(self) -> OperationsWindow:
        """Give the agreed asynchronous operations window, from the requestor's side."""
        window = self._accept.user_information.operations_window if self._accept is not None else None
        return window or OperationsWindow()

    # --- in ---------------------------------------------------------------------------------------------

    def receive_bytes(self, data: Buffer) -> list[Event]:
        """Take what arrived, in pieces of any size, and tell what it means. Never raises for a peer's fault."""
        events: list[Event] = []
        view = memoryview(data)
        position, end = 0, len(view)
        stream = self._stream
        try:
            while position < end and not self._is_over:
                if stream.pdv_remaining:
                    piece = view[position : position + stream.pdv_remaining]
                    position += len(piece)
                    stream.take(piece, events)
                elif self._control_remaining:
                    position = self._take_control(view, position, events)
                else:
                    position = self._take_header(view, position, events)
        except PeerError as error:
            self._end_with_fault(error, events)
        return events

    def receive_eof(self) -> list[Event]:
        """Take the end of the connection; a second call tells nothing."""
        if not self._is_connected:
            return []
        self._is_connected = False
        self._enter(State.STA1)
        return [ConnectionClosed()]

    def data_to_send(self) -> bytes:
        """Give, once, what the engine itself wants sent: the A-ABORT or A-ASSOCIATE-RJ of a fault."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def _take_header(self, view: memoryview, position: int, events: list[Event]) -> int:
        """Read a PDU or PDV header (both 6 bytes), which may have been split between calls."""
        stream = self._stream
        if not self._header and len(view) - position >= HEADER_LENGTH:
            source: Buffer = view
            start, position = position, position + HEADER_LENGTH
        else:
            missing = HEADER_LENGTH - len(self._header)
            self._header += view[position : position + missing]
            if len(self._header) < HEADER_LENGTH:
                return len(view)
            source, start, position = bytes(self._header), 0, position + missing
            self._header.clear()
        if stream.pdu_remaining:
            length, context_id, control = PDV_HEADER.unpack_from(source, start)
            stream.begin_pdv(length, context_id, control, self._contexts)
            if not stream.pdv_remaining:
                stream.take(memoryview(b""), events)
        else:
            untrusted_type, length = PDU_HEADER.unpack_from(source, start)
            self._begin_pdu(untrusted_type, length, events)
        return position

    def _begin_pdu(self, untrusted_type: int, length: int, events: list[Event]) -> None:
        if untrusted_type == PduType.DATA_TF and self._may_receive_data:
            if length > self._limits.pdu_length_max:
                raise LimitExceeded(
                    "P-DATA-TF is longer than the maximum length announced.", code="pdu-length", clause="PS3.8 D.1"
                )
            self._stream.begin_pdu(length)
            return
        kind = pdu_type(untrusted_type)
        transition = TABLE.get((self._state, _PDU_EVENT[kind]))
        if transition is None or transition.action in _FAULTS:
            raise PeerError(
                f"{kind.name} came in {self._state.name}.", code="pdu-unexpected", clause="PS3.8 Table 9-10"
            )
        if self._stream.is_inside_message and kind is not PduType.ABORT:
            raise PeerError(
                "The peer ends the association inside a message.", code="message-order", clause="PS3.7 §6.3"
            )
        if kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
            if length > self._limits.control_length_max:
                raise LimitExceeded(f"{kind.name} is too long.", code="pdu-length", clause="PS3.8 §9.3.1")
        elif length != 4:
            raise PeerError(f"{kind.name} is 4 bytes long.", code="pdu-length", clause="PS3.8 §9.3")
        self._control_type, self._control_remaining = kind, length
        if not length:
            self._finish_control(b"", events)

    def _take_control(self, view: memoryview, position: int, events: list[Event]) -> int:
        piece = view[position : position + self._control_remaining]
        self._control += piece
        self._control_remaining -= len(piece)
        if not self._control_remaining:
            body = bytes(self._control)
            self._control.clear()
            self._finish_control(body, events)
        return position + len(piece)

    def _finish_control(self, body: bytes, events: list[Event]) -> None:
        pdu = decode_body(self._control_type, body)
        transition = TABLE[self._state, _PDU_EVENT[self._control_type]]
        following = transition.state
        match pdu:
            case AssociateRequest():
                rejection = negotiated.provider_rejection(pdu)
                if rejection is not None:
                    self._outgoing = encode(rejection.answer)
                    raise rejection.error
                self._send_length = negotiated.send_length(pdu, self._limits.peer_length_min)
                self._request = pdu
                events.append(AssociateRequested(pdu))
            case AssociateAccept():
                assert self._request is not None
                self._contexts = negotiated.contexts(self._request, pdu)
                self._send_length = negotiated.send_length(pdu, self._limits.peer_length_min)
                self._accept = pdu
                events.append(AssociateAccepted(pdu))
            case AssociateReject():
                events.append(AssociateRejected(pdu.result, pdu.source, pdu.reason))
            case ReleaseRequest():
                if transition.other_state is not None and not self._is_requestor:
                    following = transition.other_state
                events.append(ReleaseRequested())
            case ReleaseReply():
                events.append(ReleaseReplied())
            case Abort():
                events.append(Aborted(pdu.source, pdu.reason))
            case DataTransfer():
                raise AssertionError("P-DATA-TF is streamed")
        self._enter(following)

    def _end_with_fault(self, error: PeerError, events: list[Event]) -> None:
        if not self._outgoing:
            self._outgoing = encode(Abort(2, _ABORT_REASON.get(error.code, _INVALID_PARAMETER_VALUE)))
        self._enter(State.STA13)
        self._stream.forget()
        self._control.clear()
        self._header.clear()
        events.append(PeerFault(error))

    # --- out --------------------------------------------------------------------------------------------

    def request(self, rq: AssociateRequest) -> bytes:
        """Ask for an association; the engine puts in the maximum length of its limits."""
        assert self._is_requestor, "only a requestor requests"
        self._act(Evt.ASSOCIATE_REQUEST)
        self._act(Evt.TRANSPORT_OPENED)
        user = replace(rq.user_information, maximum_length=self._limits.pdu_length_max)
        self._request = replace(rq, user_information=user)
        return encode(self._request)

    def accept(self, ac: AssociateAccept) -> bytes:
        """Accept the association; the engine puts in the maximum length of its limits and echoes the AE titles."""
        self._act(Evt.ASSOCIATE_ACCEPT)
        assert self._request is not None
        user = replace(ac.user_information, maximum_length=self._limits.pdu_length_max)
        self._accept = replace(
            ac,
            user_information=user,
            untrusted_called_ae_title=self._request.called_ae_title,
            untrusted_calling_ae_title=self._request.calling_ae_title,
        )
        self._contexts = negotiated.contexts(self._request, self._accept)
        return encode(self._accept)

    def reject(self, result: int, source: int, reason: int) -> bytes:
        """Reject the association, with the numbers of PS3.8 table 9-21."""
        self._act(Evt.ASSOCIATE_REJECT)
        return encode(AssociateReject(result, source, reason))

    def send_command(self, context_id: int, command: bytes) -> list[Buffer]:
        """Send a whole command set."""
        return self._send(context_id, memoryview(command), is_command=True, is_last=True)

    def send_data(self, context_id: int, fragment: Buffer, *, is_last: bool) -> list[Buffer]:
        """Send a piece of a data set without copying it; `is_last` ends the data set."""
        return self._send(context_id, memoryview(fragment).cast("B"), is_command=False, is_last=is_last)

    def _send(self, context_id: int, view: memoryview, *, is_command: bool, is_last: bool) -> list[Buffer]:
        self._act(Evt.DATA_REQUEST)
        assert context_id in self._contexts, "the context was accepted"
        buffers: list[Buffer] = []
        position, end = 0, len(view)
        while position < end or (is_last and position == end == 0):
            piece = view[position : position + self._send_length]
            position += len(piece)
            control = is_command | (is_last and position == end) << 1
            length = len(piece)
            header = PDU_HEADER.pack(PduType.DATA_TF, length + HEADER_LENGTH)
            buffers.append(header + PDV_HEADER.pack(length + 2, context_id, control))
            if not length:
                break
            buffers.append(piece)
        return buffers

    def release(self) -> bytes:
        """Ask for release."""
        self._act(Evt.RELEASE_REQUEST)
        return encode(ReleaseRequest())

    def release_reply(self) -> bytes:
        """Agree to the peer's release."""
        self._act(Evt.RELEASE_RESPONSE)
        return encode(ReleaseReply())

    def abort(self, source: int = 0, reason: int = 0) -> bytes:
        """Abort, whatever the state; nothing to send where the association is already over."""
        is_idle = self._is_over or self._state is State.STA1
        # Sta2 has no cell for a local abort; AA-1 is what an invalid PDU would cause there.
        self._enter(State.STA13)
        return b"" if is_idle else encode(Abort(source, reason))

    def _act(self, event: Evt) -> None:
        if self._is_over:
            raise RemoteError("The association has already ended.")
        transition = TABLE.get((self._state, event))
        assert transition is not None, f"{event.name} has no cell in {self._state.name}"
        self._enter(transition.state)

    def _enter(self, state: State) -> None:
        self._state = state
        self._is_over = state in (State.STA1, State.STA13)
        data = TABLE.get((state, Evt.DATA_TF_PDU))
        self._may_receive_data = data is not None and data.action in (Action.DT_2, Action.AR_6)
