"""Send stored objects to another node: C-STORE as requestor (PS3.4 annex B).

Objects travel as they are stored where the peer takes that transfer syntax; otherwise they are rewritten
to one it accepted, pixel for pixel, by the decoder process. One association carries at most 128 contexts,
so many SOP classes are sent in several associations.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from leadglass import limits
from leadglass.dicom.association import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    CommandReceived,
    ConnectionClosed,
    PeerFault,
    ReleaseReplied,
)
from leadglass.dicom.dimse import decode_command, encode
from leadglass.dicom.messages import Command, CStoreRQ, CStoreRSP
from leadglass.dicom.negotiated import AcceptedContext
from leadglass.dicom.pdu import AssociateRequest, ProposedContext
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, transfer_syntax
from leadglass.dicom.user_information import RoleSelection, UserInformation
from leadglass.dicom.values import UID, AETitle
from leadglass.errors import LeadglassError, PeerError, RemoteError
from leadglass.gateway.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from leadglass.gateway.node import Node
from leadglass.journeys.ports import ObjectRecord, Wire
from leadglass.journeys.retrieve import OpenedObject

Connect = Callable[[Node], Wire]
"""Open a connection to a node, TLS as the node demands; raises RemoteError."""


ASSOCIATIONS_BROKEN_MAX = 3
"""Broken one after the other, without an object that arrived between them."""


class Rewrite(Protocol):
    """Give the data set of an object in another transfer syntax."""

    def __call__(self, source: OpenedObject, syntax: str) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for the move that this store belongs to (PS3.7 §9.3.1.1)."""

    ae_title: str
    message_id: int


_NEVER_FIRST = UID(IMPLICIT_LITTLE.uid)


def request_association(
    wire: Wire,
    *,
    calling: str,
    called: str,
    contexts: Sequence[ProposedContext],
    roles: Sequence[RoleSelection] = (),
) -> None:
    """Ask for an association and wait for the answer; raises RemoteError with what the peer said."""
    request = AssociateRequest(
        called_ae_title=AETitle.parse(called),
        calling_ae_title=AETitle.parse(calling),
        contexts=tuple(contexts),
        user_information=UserInformation(
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            role_selections=tuple(roles),
        ),
    )
    wire.send(wire.engine.request(request))
    event = wire.next_event()
    match event:
        case AssociateAccepted():
            return
        case AssociateRejected(result=result, source=source, reason=reason):
            raise RemoteError(
                f"{called} refused the association (result {result}, source {source}, reason {reason}).",
                hint="Check the AE titles on both sides, and that the peer knows this hub.",
            )
        case _:
            raise RemoteError(f"{called} ended the connection instead of answering the association request.")


def release(wire: Wire) -> None:
    """End an association politely; a peer that does not answer is left."""
    try:
        wire.send(wire.engine.release())
        while not isinstance(wire.next_event(), ReleaseReplied | ConnectionClosed | Aborted | PeerFault):
            pass
    except LeadglassError:
        pass
    finally:
        wire.close()


def next_command(wire: Wire) -> tuple[int, Command]:
    """Wait for a command on an association we asked for; raises RemoteError when it ends instead."""
    event = wire.next_event()
    match event:
        case CommandReceived(context_id=context_id, data=data):
            return context_id, decode_command(data)
        case PeerFault(error=error):
            raise error
        case _:
            raise RemoteError("The peer ended the association before it answered.")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An object, the context that will carry it, and its data set, of which the first piece is at hand."""

    record: ObjectRecord
    context: AcceptedContext
    pieces: Iterator[tuple[bytes | memoryview, bool]]


def prepare(wire: Wire, item: OpenedObject, rewrite: Rewrite) -> Prepared | None:
    """Choose a context for an object and begin to read it; None when no accepted context can carry it.

    What cannot be opened or rewritten fails here, before a word of it was said to the peer.
    """
    record = item.record
    contexts = [
        context
        for context in wire.engine.contexts.values()
        if context.abstract_syntax == record.sop_class_uid
        and (context.requestor_is_scu if wire.engine.is_requestor else context.requestor_is_scp)
    ]
    if not contexts:
        return None
    as_stored = next((c for c in contexts if c.transfer_syntax == record.transfer_syntax_uid), None)
    context = as_stored or min(contexts, key=lambda c: c.transfer_syntax != EXPLICIT_LITTLE.uid)
    whole = item.stream_dataset() if as_stored else rewrite(item, context.transfer_syntax)
    is_deflated = transfer_syntax(context.transfer_syntax).is_deflated
    pieces = _with_last(_even(whole) if is_deflated else whole)
    return Prepared(record, context, chain([next(pieces)], pieces))


def store(wire: Wire, prepared: Prepared, *, message_id: int, originator: Originator | None = None) -> None:
    """Put a prepared object on its association; does not wait. After any error the association is of no more use."""
    context = prepared.context
    command = CStoreRQ(
        message_id=message_id,
        sop_class_uid=context.abstract_syntax,
        sop_instance_uid=prepared.record.sop_instance_uid,
        priority=0,
        move_originator_ae_title=None if originator is None else originator.ae_title,
        move_originator_message_id=None if originator is None else originator.message_id,
    )
    wire.send(wire.engine.send_command(context.context_id, encode(command)))
    for piece, is_last in prepared.pieces:
        wire.send(wire.engine.send_data(context.context_id, piece, is_last=is_last))


def _even(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Pad a deflated data set that was sent to us odd with a NUL (PS3.5 §A.5); what it says does not change."""
    length = 0
    for piece in pieces:
        length += len(piece)
        yield piece
    if length & 1:
        yield b"\0"


def _with_last(pieces: Iterable[bytes | memoryview]) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Tell the last piece from the others; an empty data set is one empty piece."""
    held: bytes | memoryview | None = None
    for piece in pieces:
        if held is not None:
            yield held, False
        held = bytes(piece)
    yield (b"" if held is None else held), True


def contexts_for(records: Sequence[ObjectRecord]) -> list[ProposedContext]:
    """Propose each SOP class in its stored syntaxes, one context each, and uncompressed as a way out."""
    proposals: dict[tuple[str, str], None] = {}
    for record in records:
        proposals[record.sop_class_uid, record.transfer_syntax_uid] = None
    for record in records:
        proposals[record.sop_class_uid, ""] = None
    return [
        ProposedContext(
            2 * index + 1,
            UID(sop_class),
            (UID(syntax),) if syntax else (UID(EXPLICIT_LITTLE.uid), UID(IMPLICIT_LITTLE.uid)),
        )
        for index, (sop_class, syntax) in enumerate(proposals)
    ]


def batches(records: Sequence[ObjectRecord]) -> Iterator[list[ObjectRecord]]:
    """Cut a list of objects so that each part fits into the contexts of one association."""
    part: list[ObjectRecord] = []
    pairs: set[tuple[str, str]] = set()
    for record in records:
        new = {(record.sop_class_uid, record.transfer_syntax_uid), (record.sop_class_uid, "")}
        if len(pairs | new) > limits.PRESENTATION_CONTEXTS_MAX:
            yield part
            part, pairs = [], set()
        pairs |= new
        part.append(record)
    if part:
        yield part


class StoreAssociation:
    """An association for sending; use as a context manager. While it `is_whole` it can carry the next object."""

    def __init__(self, connect: Connect, node: Node, calling: str, records: Sequence[ObjectRecord]) -> None:
        self._wire = connect(node)
        self._node = node
        self._message_id = 0
        self.is_whole = True
        try:
            request_association(self._wire, calling=calling, called=node.name, contexts=contexts_for(records))
        except BaseException:
            self._wire.close()
            raise

    def __enter__(self) -> StoreAssociation:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_whole:
            release(self._wire)
        else:
            self._wire.close()

    def store(self, item: OpenedObject, rewrite: Rewrite, originator: Originator | None = None) -> int:
        """Send one object and give the peer's status; raises LeadglassError when it was not carried."""
        prepared = prepare(self._wire, item, rewrite)
        if prepared is None:
            raise RemoteError(
                f"{self._node.name} does not accept objects of class {item.record.sop_class_uid}.",
                hint="Enable that SOP class on the peer.",
            )
        self._message_id = self._message_id % 0xFFFF + 1
        self.is_whole = False
        try:
            store(self._wire, prepared, message_id=self._message_id, originator=originator)
            _, command = next_command(self._wire)
        except PeerError as error:
            raise RemoteError(f"{self._node.name} broke the protocol: {error.message}") from error
        if not isinstance(command, CStoreRSP):
            raise RemoteError(f"{self._node.name} answered a store with something else.")
        self.is_whole = True
        return command.status


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of an object: the peer's status, or None and why it was not carried."""

    record: ObjectRecord
    status: int | None
    reason: str = ""


def carry(
    associate: Callable[[Sequence[ObjectRecord]], StoreAssociation],
    records: Sequence[ObjectRecord],
    send: Callable[[StoreAssociation, ObjectRecord], int],
) -> Generator[Carried]:
    """Send objects to a node and tell of each what became of it, as it happens.

    Some peers end the association over an object they cannot take: that object has failed, and the next one goes on
    a new association, so that it keeps nothing else back. A node that does not answer, or ends
    `ASSOCIATIONS_BROKEN_MAX` of them in a row, is left alone.
    """
    broken, gone = 0, ""
    for part in batches(records):
        left = list(part)
        while left and not gone:
            try:
                association = associate(left)
            except LeadglassError as error:
                gone = error.message
                break
            with association:
                while left and association.is_whole:
                    record = left.pop(0)
                    try:
                        carried = Carried(record, send(association, record))
                        broken = 0
                    except LeadglassError as error:
                        carried = Carried(record, None, error.message)
                    yield carried
            broken += not association.is_whole
            if broken >= ASSOCIATIONS_BROKEN_MAX:
                gone = f"The peer ended {broken} associations in a row: {carried.reason}"
        yield from (Carried(record, None, gone) for record in left)
