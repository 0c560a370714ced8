"""Forward archived objects to the nodes a route names, and try again until they have them.

The queue is in the catalogue, committed with the object, so a restart loses nothing. Each failure doubles
the wait, from five seconds to an hour; after a day of trying a delivery is given up and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import LeadglassError
from leadglass.gateway.node import Node, NodeState
from leadglass.journeys.ports import Clock, Delivery, ObjectRecord
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.send import Carried, Connect, Rewrite, StoreAssociation, carry

FIRST_WAIT_SECONDS = 5
LONGEST_WAIT_SECONDS = 3600
ATTEMPTS_MAX = 34
"""5 s doubling to an hour, then hourly: about a day."""


@dataclass(frozen=True, slots=True)
class Forwarder:
    """Everything a delivery needs."""

    archive: Archive
    connect: Connect
    rewrite: Rewrite
    clock: Clock
    ae_title: str

    def deliver_due(self, *, limit: int = 200, is_stopping: Callable[[], bool] = lambda: False) -> int:
        """Send what is due now, node by node; gives the number of objects that arrived."""
        due = sorted(self.archive.catalogue.due_deliveries(self.clock.now_us(), limit=limit), key=lambda d: d.node)
        arrived = 0
        for name, deliveries in groupby(due, key=lambda delivery: delivery.node):
            if is_stopping():
                break
            arrived += self._deliver(name, list(deliveries), is_stopping)
        return arrived

    def _deliver(self, name: str, deliveries: list[Delivery], is_stopping: Callable[[], bool]) -> int:
        catalogue = self.archive.catalogue
        node = catalogue.node(name)
        if node is None or node.state is not NodeState.APPROVED or not node.host:
            for delivery in deliveries:
                self._failed(delivery, f"{name} is not an approved node with an address.")
            return 0
        by_object = {delivery.object_id: delivery for delivery in deliveries}
        records = []
        for delivery in deliveries:
            try:
                records.append(catalogue.object(delivery.object_id))
            except LeadglassError as error:
                self._failed(delivery, error.message, is_final=True)
        arrived = 0
        with closing(self._carried(node, records)) as carried:
            for answer in carried:
                arrived += self._settled(by_object[answer.record.object_id], node, answer)
                if is_stopping():
                    break
        return arrived

    def _carried(self, node: Node, records: list[ObjectRecord]) -> Generator[Carried]:
        def associate(part: Sequence[ObjectRecord]) -> StoreAssociation:
            return StoreAssociation(self.connect, node, self.ae_title, part)

        def send(association: StoreAssociation, record: ObjectRecord) -> int:
            return association.store(self.archive.open_record(record), self.rewrite)

        return carry(associate, records, send)

    def _settled(self, delivery: Delivery, node: Node, answer: Carried) -> bool:
        """Record how a delivery ended; tells whether the object arrived."""
        status = answer.status
        if status is None:
            self._failed(delivery, answer.reason)
            return False
        if status != 0 and status >> 12 != 0xB:
            self._failed(delivery, f"{node.name} answered with status {status:04X}.")
            return False
        self.archive.catalogue.delivered(
            delivery.delivery_id, self._event(AuditKind.OBJECT_SENT, delivery, "sent", {"status": f"{status:04X}"})
        )
        return True

    def _failed(self, delivery: Delivery, error: str, *, is_final: bool = False) -> None:
        attempts = delivery.attempts + 1
        wait_seconds = min(FIRST_WAIT_SECONDS << min(delivery.attempts, 20), LONGEST_WAIT_SECONDS)
        gives_up = is_final or attempts >= ATTEMPTS_MAX
        due_at_us = None if gives_up else self.clock.now_us() + wait_seconds * 1_000_000
        detail: dict[str, str | int] = {"error": error, "attempt": attempts}
        event = self._event(AuditKind.SEND_FAILED, delivery, "given up" if gives_up else "will retry", detail)
        self.archive.catalogue.delivery_failed(delivery.delivery_id, error, due_at_us, event)

    def _event(self, kind: AuditKind, delivery: Delivery, outcome: str, detail: dict[str, str | int]) -> AuditEvent:
        return AuditEvent(
            kind=kind,
            at_us=self.clock.now_us(),
            actor=self.ae_title,
            subject=delivery.object_id,
            outcome=outcome,
            detail={"node": delivery.node, **detail},
        )
