"""What every service of an association has at hand, and how it writes down what happens at the door."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from leadglass import limits
from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import StorageError
from leadglass.gateway.node import Node, NodeState
from leadglass.journeys.ports import Caller, Catalogue, Clock
from leadglass.journeys.receive import Receiver, Reception
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.send import Connect, Rewrite

_AT_THE_DOOR = frozenset({AuditKind.ASSOCIATION_ACCEPTED, AuditKind.ASSOCIATION_REFUSED, AuditKind.ASSOCIATION_ABORTED})

PENDING_NODES_MAX = 200
"""Strangers kept for approval; a scanner with random AE titles must not fill the list."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The services of the hub, as one association sees them."""

    ae_title: str
    ae_titles: frozenset[str]
    catalogue: Catalogue
    archive: Archive
    receiver: Receiver
    clock: Clock
    connect: Connect
    rewrite: Rewrite
    identifier_length_max: int = limits.IDENTIFIER_LENGTH_MAX

    def note(self, kind: AuditKind, actor: str, outcome: str, detail: Mapping[str, str | int]) -> None:
        """Record what a node did; raises StorageError when it cannot be recorded (no record, no action).

        Comings and goings at the door are durable a quarter of a second later; what touches data is at once.
        """
        event = AuditEvent(kind, self.clock.now_us(), actor, None, outcome, detail)
        self.catalogue.record(event, is_durable=kind not in _AT_THE_DOOR)

    def turned_away(self, caller: Caller, code: str, sentence: str, *, calling: str = "", called: str = "") -> None:
        """Record a caller that did not get in; the disk being full must not open or close the door."""
        detail: dict[str, str | int] = {"address": caller.address, "reason": sentence, "tls": caller.tls_version}
        if calling:
            detail |= {"calling": calling, "called": called}
        if caller.fingerprint:
            detail["certificate"] = caller.fingerprint
        with suppress(StorageError):
            self.note(AuditKind.ASSOCIATION_REFUSED, calling or caller.address, code, detail)

    def meet(self, caller: Caller, calling: str) -> None:
        """Keep a stranger for a person to approve."""
        nodes = self.catalogue.nodes()
        if sum(node.state is NodeState.PENDING for node in nodes) >= PENDING_NODES_MAX:
            return
        node = Node(
            name=calling,
            state=NodeState.PENDING,
            fingerprint=caller.fingerprint,
            addresses=(caller.address,),
            plaintext=not caller.is_tls,
            seen_at_us=self.clock.now_us(),
        )
        detail = {"address": caller.address}
        event = AuditEvent(AuditKind.NODE_PENDING, self.clock.now_us(), calling, None, "pending", detail)
        with suppress(StorageError):
            self.catalogue.put_node(node, event)

    def storage_failed(self, node: str, error: StorageError, reception: Reception | None) -> None:
        """Record, as well as a full disk allows, that an object was refused for lack of storage."""
        with suppress(StorageError):
            if reception is not None:
                reception.abort(error.message)
        with suppress(StorageError):
            self.note(AuditKind.OBJECT_REFUSED_FULL, node, "refused", {"reason": error.message})
