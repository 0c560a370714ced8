"""P-DATA-TF as a stream of messages: PDVs in, commands and pieces of data sets out (PS3.8 Annex E, PS3.7 §6.3).

A data set is handed on piece by piece as it arrives; only a command set is put together, and it is bounded.
A data set follows its command on the same context, and messages do not interleave. Rules that need a whole
header are checked when it is whole, so the outcome does not depend on how the bytes were split.
"""

from __future__ import annotations

from collections.abc import Container

from leadglass.dicom.command_set import has_data_set, read_elements
from leadglass.dicom.events import CommandReceived, DataFragment, Event
from leadglass.dicom.pdu import HEADER_LENGTH
from leadglass.errors import LimitExceeded, PeerError
from leadglass.limits import PDV_SLIM_BYTES


class MessageStream:
    """The receiving side of the messages of one association."""

    __slots__ = (
        "_command",
        "_command_length_max",
        "_context_id",
        "_is_in_data_set",
        "_is_last",
        "_slim_run",
        "_slim_run_max",
        "pdu_remaining",
        "pdv_remaining",
    )

    def __init__(self, *, command_length_max: int, slim_run_max: int) -> None:
        self._command_length_max = command_length_max
        self._slim_run_max = slim_run_max
        self._slim_run = 0
        self._context_id = 0
        """Context of the message being received; 0 between messages (context ids are odd)."""
        self._is_in_data_set = False
        self._is_last = False
        self._command = bytearray()
        self.pdu_remaining = 0
        """Bytes of the P-DATA-TF that no PDV header has claimed yet."""
        self.pdv_remaining = 0
        """Bytes the PDV still owes."""

    @property
    def is_inside_message(self) -> bool:
        """Tell whether a command set or a data set has begun, or is announced, and has not ended."""
        return bool(self._context_id)

    def begin_pdu(self, length: int) -> None:
        """Take the length of a P-DATA-TF."""
        if not length:
            self._count_slim()
        self._require_pdv_header(length)
        self.pdu_remaining = length

    def begin_pdv(self, length: int, context_id: int, control: int, contexts: Container[int]) -> None:
        """Take a PDV header; follow with `take_empty` where nothing is owed."""
        rest = self.pdu_remaining - 4 - length
        if length < 2 or rest < 0:
            raise PeerError("A PDV does not fit its P-DATA-TF.", code="pdv-length", clause="PS3.8 §9.3.5.1")
        self._require_pdv_header(rest)
        if context_id not in contexts:
            raise PeerError(
                f"Presentation context {context_id} was not accepted.", code="context-unknown", clause="PS3.8 §9.3.5.1"
            )
        is_command = bool(control & 1)
        if self._context_id:
            if context_id != self._context_id or is_command is self._is_in_data_set:
                raise PeerError(
                    "Another message begins before this one has ended.", code="message-order", clause="PS3.7 §6.3.1"
                )
        elif not is_command:
            raise PeerError("A data set comes without its command.", code="message-order", clause="PS3.7 §6.3.1")
        payload = length - 2
        if is_command and len(self._command) + payload > self._command_length_max:
            raise LimitExceeded("The command set is too long.", code="command-length", clause="PS3.7 §6.3.1")
        self._is_last = bool(control & 2)
        if self._is_last or payload >= PDV_SLIM_BYTES:
            self._slim_run = 0
        else:
            self._count_slim()
        self._context_id = context_id
        self.pdu_remaining = rest
        self.pdv_remaining = payload

    def take(self, piece: memoryview, events: list[Event]) -> None:
        """Take the next piece of the PDV, at most as long as it owes; empty only for an empty PDV."""
        self.pdv_remaining -= len(piece)
        is_last = self._is_last and not self.pdv_remaining
        if self._is_in_data_set:
            context_id = self._context_id
            if is_last:
                self._is_in_data_set = False
                self._context_id = 0
            elif not piece:
                return
            events.append(DataFragment(context_id, piece, is_last))
            return
        self._command += piece
        if is_last:
            self._end_command(events)

    def forget(self) -> None:
        """Drop what is held; nothing more will be taken."""
        self._command.clear()

    def _end_command(self, events: list[Event]) -> None:
        command = bytes(self._command)
        self._command.clear()
        context_id = self._context_id
        self._is_in_data_set = has_data_set(read_elements(command))
        if not self._is_in_data_set:
            self._context_id = 0
        events.append(CommandReceived(context_id, command, self._is_in_data_set))

    def _require_pdv_header(self, remaining: int) -> None:
        if 0 < remaining < HEADER_LENGTH:
            raise PeerError("P-DATA-TF ends inside a PDV header.", code="pdv-length", clause="PS3.8 §9.3.5.1")

    def _count_slim(self) -> None:
        self._slim_run += 1
        if self._slim_run > self._slim_run_max:
            raise LimitExceeded("Too many fragments carry next to nothing.", code="pdv-empty", clause="PS3.8 §9.3.5")
