"""What the hub still owes others: deliveries and storage commitment reports, committed before they are tried."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, Table, func, insert, select, update
from sqlalchemy.engine import Connection

from leadglass.audit import AuditEvent
from leadglass.edge.database_ledger import Evidence
from leadglass.edge.database_objects import queue
from leadglass.edge.database_store import Store
from leadglass.edge.database_vault import Vault
from leadglass.edge.schema import COMMITMENTS, DELIVERIES
from leadglass.journeys.ports import Clock, Commitment, Delivery, DeliveryState

WAITING, DONE, GIVEN_UP = DeliveryState.WAITING.value, DeliveryState.DELIVERED.value, DeliveryState.FAILED.value
_ERROR_PLACE, _COMMITMENT_PLACE = b"delivery", b"commitment"


class Outbox:
    """Deliveries and commitments."""

    def __init__(self, store: Store, vault: Vault, evidence: Evidence, clock: Clock) -> None:
        self._store, self._vault, self._evidence, self._clock = store, vault, evidence, clock

    def due_deliveries(self, now_us: int, *, limit: int = 100) -> list[Delivery]:
        """List the deliveries to try now, the longest due first."""
        query = (
            select(DELIVERIES)
            .where(DELIVERIES.c.state == WAITING, DELIVERIES.c.due_at <= now_us)
            .order_by(DELIVERIES.c.due_at)
            .limit(limit)
        )
        with self._store.reading() as connection:
            return [self._delivery(row) for row in connection.execute(query)]

    def deliveries(self, object_id: bytes) -> list[Delivery]:
        """List an object's deliveries, done or not."""
        query = select(DELIVERIES).where(DELIVERIES.c.object_id == object_id).order_by(DELIVERIES.c.id)
        with self._store.reading() as connection:
            return [self._delivery(row) for row in connection.execute(query)]

    def _delivery(self, row: Row[tuple[object, ...]]) -> Delivery:
        error = "" if row.sealed is None else str(self._vault.open(_ERROR_PLACE, row.sealed)["error"])
        return Delivery(row.id, row.object_id, row.node, row.attempts, row.due_at, DeliveryState(row.state), error)

    def enqueue(self, object_ids: Sequence[bytes], node: str, event: AuditEvent) -> None:
        """Put objects on their way to a node."""
        sealed, now_us = self._evidence.sealed(event), self._clock.now_us()

        def add(connection: Connection) -> None:
            queue(connection, object_ids, node, now_us)
            self._evidence.append(connection, event, sealed)

        self._store.write(add)

    def delivered(self, delivery_id: int, event: AuditEvent) -> None:
        """Note that an object arrived."""
        self._settle(DELIVERIES, delivery_id, {"state": DONE, "sealed": None}, event)

    def delivery_failed(self, delivery_id: int, error: str, due_at_us: int | None, event: AuditEvent) -> None:
        """Plan the next try, or give up."""
        values: dict[str, object] = {
            "attempts": DELIVERIES.c.attempts + 1,
            "sealed": self._vault.seal(_ERROR_PLACE, {"error": error}),
        }
        values |= {"state": GIVEN_UP} if due_at_us is None else {"due_at": due_at_us}
        self._settle(DELIVERIES, delivery_id, values, event)

    def put_commitment(
        self, node: str, transaction_uid: str, references: Sequence[tuple[str, str]], event: AuditEvent
    ) -> None:
        """Keep a commitment request until its report was taken."""
        body = self._vault.seal(_COMMITMENT_PLACE, {"transaction": transaction_uid, "references": list(references)})
        row = {"node": node, "attempts": 0, "due_at": self._clock.now_us(), "state": WAITING, "sealed": body}
        sealed = self._evidence.sealed(event)

        def add(connection: Connection) -> None:
            connection.execute(insert(COMMITMENTS).values(row))
            self._evidence.append(connection, event, sealed)

        self._store.write(add)

    def due_commitments(self, now_us: int) -> list[Commitment]:
        """List the reports to send now."""
        query = select(COMMITMENTS).where(COMMITMENTS.c.state == WAITING, COMMITMENTS.c.due_at <= now_us).limit(100)
        with self._store.reading() as connection:
            return [self._commitment(row) for row in connection.execute(query)]

    def _commitment(self, row: Row[tuple[object, ...]]) -> Commitment:
        body = self._vault.open(_COMMITMENT_PLACE, row.sealed)
        listed = body["references"]
        references = tuple((str(a), str(b)) for a, b in listed) if isinstance(listed, list) else ()
        return Commitment(row.id, row.node, str(body["transaction"]), references, row.attempts, row.due_at)

    def commitment_done(self, commitment_id: int, event: AuditEvent) -> None:
        """Note that a report was taken."""
        self._settle(COMMITMENTS, commitment_id, {"state": DONE}, event)

    def commitment_failed(self, commitment_id: int, error: str, due_at_us: int | None, event: AuditEvent) -> None:
        """Plan the next try, or give up; the error is in the event."""
        values: dict[str, object] = {"attempts": COMMITMENTS.c.attempts + 1}
        values |= {"state": GIVEN_UP} if due_at_us is None else {"due_at": due_at_us}
        self._settle(COMMITMENTS, commitment_id, values, event)

    def _settle(self, table: Table, row_id: int, values: dict[str, object], event: AuditEvent) -> None:
        sealed = self._evidence.sealed(event)

        def change(connection: Connection) -> None:
            connection.execute(update(table).where(table.c.id == row_id).values(values))
            self._evidence.append(connection, event, sealed)

        self._store.write(change)

    def waiting_counts(self) -> dict[str, int]:
        """Count deliveries by state."""
        with self._store.reading() as connection:
            rows = connection.execute(select(DELIVERIES.c.state, func.count()).group_by(DELIVERIES.c.state)).all()
        return {f"deliveries {state}": count for state, count in rows}
