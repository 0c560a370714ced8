"""The second archive: it asks for a study (C-FIND), has it sent (C-MOVE), and takes it in at a door of its own."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from leadglass import limits
from leadglass.dicom.association import WireLimits
from leadglass.dicom.dataset import decode, encode_attributes, text_of
from leadglass.dicom.dimse import (
    CFindRQ,
    CFindRSP,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
    decode_command,
    encode,
)
from leadglass.dicom.events import AssociateRequested, CommandReceived, DataFragment, ReleaseRequested
from leadglass.dicom.pdu import ProposedContext
from leadglass.dicom.status import Status
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, transfer_syntax
from leadglass.dicom.values import UID, AETitle
from leadglass.edge.listener import Listener, ListenerLimits
from leadglass.errors import RemoteError
from leadglass.gateway.negotiation import STUDY_ROOT_FIND, STUDY_ROOT_MOVE, negotiate
from leadglass.gateway.node import Node, Permission
from leadglass.journeys.ports import Caller, Timeouts, Wire
from leadglass.journeys.send import Connect, next_command, release, request_association

_LEVEL, _STUDY, _PATIENT, _COUNT = 0x00080052, 0x0020000D, 0x00100010, 0x00201208
_FIND_CONTEXT, _MOVE_CONTEXT = 1, 3


@dataclass
class SecondArchive:
    """Another archive of the house. `received` has the SHA-256 of each data set it took in, by SOP Instance UID."""

    ae_title: str
    hub: Node
    connect: Connect
    received: dict[str, str] = field(default_factory=dict)

    def open_door(self, tls: Callable[[], ssl.SSLContext]) -> Listener:
        """Start to listen on a free port of loopback."""
        listener = Listener(
            "127.0.0.1",
            0,
            serve=self._serve,
            turned_away=lambda caller, code, sentence: None,
            tls=tls,
            limits=ListenerLimits(8, 8, 8),
            wire_limits=WireLimits(),
            timeouts=Timeouts(),
        )
        listener.start()
        return listener

    def find_studies(self, patient: str) -> dict[str, int]:
        """Ask for the studies of a patient; gives the number of instances by Study Instance UID."""
        with _Asking(self) as wire:
            keys = {_LEVEL: "STUDY", _PATIENT: patient, _STUDY: "", _COUNT: ""}
            wire.send(wire.engine.send_command(_FIND_CONTEXT, encode(CFindRQ(1, UID(STUDY_ROOT_FIND)))))
            identifier = encode_attributes(keys, EXPLICIT_LITTLE)
            wire.send(wire.engine.send_data(_FIND_CONTEXT, identifier, is_last=True))
            found: dict[str, int] = {}
            while True:
                context_id, answer = next_command(wire)
                if not isinstance(answer, CFindRSP):
                    raise RemoteError("The hub answered a query with something else.")
                if answer.status != Status.PENDING:
                    return found
                syntax = transfer_syntax(wire.engine.contexts[context_id].transfer_syntax)
                match = decode(_data_set(wire), syntax)
                found[text_of(match, _STUDY)] = int(text_of(match, _COUNT, "0") or 0)

    def move(self, study_instance_uid: str) -> tuple[int, int]:
        """Have a study sent here; gives how many sub-operations were done and how many failed."""
        with _Asking(self) as wire:
            command = CMoveRQ(1, UID(STUDY_ROOT_MOVE), AETitle(self.ae_title))
            wire.send(wire.engine.send_command(_MOVE_CONTEXT, encode(command)))
            identifier = encode_attributes({_LEVEL: "STUDY", _STUDY: study_instance_uid}, EXPLICIT_LITTLE)
            wire.send(wire.engine.send_data(_MOVE_CONTEXT, identifier, is_last=True))
            while True:
                _, answer = next_command(wire)
                if not isinstance(answer, CMoveRSP):
                    raise RemoteError("The hub answered a retrieve request with something else.")
                if answer.has_dataset:
                    _data_set(wire)
                if answer.status != Status.PENDING:
                    return answer.completed or 0, answer.failed or 0

    def _serve(self, wire: Wire, caller: Caller) -> None:
        event = wire.next_event()
        if not isinstance(event, AssociateRequested):
            return
        wire.send(wire.engine.accept(negotiate(event.request, frozenset({Permission.STORE}))))
        command: CStoreRQ | None = None
        digest = sha256()
        while True:
            match wire.next_event():
                case CommandReceived(data=data):
                    received = decode_command(data)
                    if not isinstance(received, CStoreRQ):
                        return
                    command, digest = received, sha256()
                case DataFragment(context_id=context_id, data=piece, is_last=is_last) if command is not None:
                    digest.update(piece)
                    if is_last:
                        self.received[command.sop_instance_uid] = digest.hexdigest()
                        answer = CStoreRSP(
                            command.message_id, command.sop_class_uid, command.sop_instance_uid, Status.SUCCESS
                        )
                        wire.send(wire.engine.send_command(context_id, encode(answer)))
                case ReleaseRequested():
                    wire.send(wire.engine.release_reply())
                    return
                case _:
                    return


class _Asking:
    """An association for query and retrieve."""

    def __init__(self, archive: SecondArchive) -> None:
        self._wire = archive.connect(archive.hub)
        contexts = [
            ProposedContext(_FIND_CONTEXT, UID(STUDY_ROOT_FIND), (UID(EXPLICIT_LITTLE.uid),)),
            ProposedContext(_MOVE_CONTEXT, UID(STUDY_ROOT_MOVE), (UID(EXPLICIT_LITTLE.uid),)),
        ]
        try:
            request_association(self._wire, calling=archive.ae_title, called=archive.hub.name, contexts=contexts)
        except BaseException:
            self._wire.close()
            raise

    def __enter__(self) -> Wire:
        return self._wire

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            release(self._wire)
        else:
            self._wire.close()


def _data_set(wire: Wire) -> bytes:
    data = bytearray()
    while True:
        event = wire.next_event()
        if not isinstance(event, DataFragment):
            raise RemoteError("The hub ended the association inside a data set.")
        data += event.data
        if len(data) > limits.IDENTIFIER_LENGTH_MAX:
            raise RemoteError("The hub's answer is longer than any match.")
        if event.is_last:
            return bytes(data)
