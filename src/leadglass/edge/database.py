"""The catalogue of a site behind one object: what `journeys.ports.Catalogue` asks, on an SQLAlchemy database.

Read `database_objects.py` for the commit that makes an object exist, `database_queries.py` for answers,
`database_vault.py` for keys, `database_ledger.py` for evidence, `database_store.py` for group commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import func, select

from leadglass.archive.keys import Key
from leadglass.archive.query import Query
from leadglass.audit import AuditEvent
from leadglass.edge.database_ledger import Evidence
from leadglass.edge.database_nodes import Register
from leadglass.edge.database_objects import ObjectRows
from leadglass.edge.database_outbox import Outbox
from leadglass.edge.database_queries import Finder
from leadglass.edge.database_store import Store, require_existing
from leadglass.edge.database_vault import Vault
from leadglass.edge.schema import INSTANCES, NOT_ARCHIVED, STUDIES, upgrade
from leadglass.gateway.node import Node
from leadglass.journeys.ports import (
    Admission,
    AdmissionResult,
    Attributes,
    Clock,
    Commitment,
    Delivery,
    LedgerLine,
    ObjectRecord,
    ObjectState,
    Random,
    Scope,
    StudyLine,
)


class SqlCatalogue:
    """One open catalogue. Thread-safe; several processes may open the same site."""

    def __init__(self, url: str, root: Key, *, clock: Clock, random: Random, is_new: bool = True) -> None:
        """Open the catalogue at an SQLAlchemy URL; `root` opens its keys. A new one is created.

        One that is not new and holds nothing raises ConfigurationError: an empty catalogue in place of a lost one
        would look like an archive in order.
        """
        if not is_new:
            require_existing(url)
        self._store = store = Store(url)
        with store.translating():
            upgrade(store.writer_engine)
        self._vault = Vault(store, root, clock, random, is_new=is_new)
        self._evidence = Evidence(store, self._vault, root, clock)
        self._objects = ObjectRows(store, self._vault, self._evidence)
        self._finder = Finder(store, self._vault, self._objects)
        self._outbox = Outbox(store, self._vault, self._evidence, clock)
        self._register = Register(store, self._vault, self._evidence)

    # objects

    def admit(self, admission: Admission) -> AdmissionResult:
        """Commit the row, its deliveries and its ledger entry together; durable once `flush` was called."""
        return self._objects.admit(admission)

    def has_object(self, object_id: bytes) -> bool:
        """Tell whether the catalogue knows an object and means to keep it."""
        return self._objects.has_object(object_id)

    def object(self, object_id: bytes) -> ObjectRecord:
        """Give an object in any state; raises NotFound."""
        return self._objects.object(object_id)

    def instance(self, sop_instance_uid: str) -> ObjectRecord:
        """Give the archived object of a SOP Instance UID; raises NotFound."""
        return self._objects.instance(sop_instance_uid)

    def objects(self, state: ObjectState, *, limit: int = 1000) -> list[ObjectRecord]:
        """List objects in one state, newest first."""
        return self._objects.objects(state, limit=limit)

    def change_state(self, object_id: bytes, state: ObjectState, event: AuditEvent) -> None:
        """Move an object to another state together with its ledger entry."""
        self._objects.change_state(object_id, state, event)

    # keys

    def scope(self, study_instance_uid: str, patient_id: str, issuer: str) -> Scope:
        """Give the study's key, made durably at first sight."""
        return self._vault.filed(study_instance_uid, patient_id, issuer).scope

    def scope_key(self, scope_id: bytes) -> bytes:
        """Unwrap a scope or quarantine key by id."""
        return self._vault.scope_key(scope_id)

    def quarantine_scope(self) -> Scope:
        """Give the quarantine key."""
        return self._vault.quarantine_scope()

    # answers

    def find(self, query: Query) -> Iterator[Attributes]:
        """Answer a query at its level."""
        return self._finder.find(query)

    def instances(self, query: Query) -> list[ObjectRecord]:
        """List the archived objects a query selects, in series and instance order."""
        return self._finder.instances(query)

    def studies(self, *, text: str = "", limit: int = 100, offset: int = 0) -> list[StudyLine]:
        """List studies, newest arrival first."""
        return self._finder.studies(text=text, limit=limit, offset=offset)

    def counts(self) -> Mapping[str, int]:
        """Count objects by state, studies, deliveries and ledger entries."""
        with self._store.reading() as connection:
            unusual = select(INSTANCES.c.state, func.count()).where(NOT_ARCHIVED).group_by(INSTANCES.c.state)
            states = connection.execute(unusual).all()
            totals = select(func.count(), func.sum(STUDIES.c.archived)).where(STUDIES.c.archived > 0)
            studies, archived = connection.execute(totals).one()
        counts = {state.value: 0 for state in ObjectState} | dict(states)
        counts |= {ObjectState.ARCHIVED.value: int(archived or 0), "studies": studies}
        return counts | {"ledger": self._evidence.count()} | self._outbox.waiting_counts()

    # evidence

    def record(self, event: AuditEvent, *, is_durable: bool = True) -> None:
        """Append one event to the ledger; durable on return unless told that the next flush will do."""
        self._evidence.record(event, is_durable=is_durable)

    def ledger(self, *, subject: bytes | None = None, limit: int = 1000, newest_first: bool = True) -> list[LedgerLine]:
        """Read opened ledger entries."""
        return self._evidence.lines(subject=subject, limit=limit, newest_first=newest_first)

    def verify_ledger(self) -> int:
        """Check the whole chain against the signed heads; raises IntegrityError."""
        return self._evidence.verify()

    def sign_ledger(self) -> None:
        """Sign where the ledger stands now."""
        self._evidence.sign_head()

    # nodes

    def nodes(self) -> list[Node]:
        """List every node by name."""
        return self._register.nodes()

    def node(self, name: str) -> Node | None:
        """Give one node, or None."""
        return self._register.node(name)

    def put_node(self, node: Node, event: AuditEvent) -> None:
        """Add or replace a node."""
        self._register.put_node(node, event)

    def remove_node(self, name: str, event: AuditEvent) -> None:
        """Forget a node; raises NotFound."""
        self._register.remove_node(name, event)

    # outbox

    def due_deliveries(self, now_us: int, *, limit: int = 100) -> list[Delivery]:
        """List the deliveries to try now."""
        return self._outbox.due_deliveries(now_us, limit=limit)

    def deliveries(self, object_id: bytes) -> list[Delivery]:
        """List an object's deliveries."""
        return self._outbox.deliveries(object_id)

    def enqueue(self, object_ids: Sequence[bytes], node: str, event: AuditEvent) -> None:
        """Put objects on their way to a node."""
        self._outbox.enqueue(object_ids, node, event)

    def delivered(self, delivery_id: int, event: AuditEvent) -> None:
        """Note that an object arrived."""
        self._outbox.delivered(delivery_id, event)

    def delivery_failed(self, delivery_id: int, error: str, due_at_us: int | None, event: AuditEvent) -> None:
        """Plan the next try, or give up."""
        self._outbox.delivery_failed(delivery_id, error, due_at_us, event)

    def put_commitment(
        self, node: str, transaction_uid: str, references: Sequence[tuple[str, str]], event: AuditEvent
    ) -> None:
        """Keep a commitment request until its report was taken."""
        self._outbox.put_commitment(node, transaction_uid, references, event)

    def due_commitments(self, now_us: int) -> list[Commitment]:
        """List the reports to send now."""
        return self._outbox.due_commitments(now_us)

    def commitment_done(self, commitment_id: int, event: AuditEvent) -> None:
        """Note that a report was taken."""
        self._outbox.commitment_done(commitment_id, event)

    def commitment_failed(self, commitment_id: int, error: str, due_at_us: int | None, event: AuditEvent) -> None:
        """Plan the next try, or give up."""
        self._outbox.commitment_failed(commitment_id, error, due_at_us, event)

    # what a site keeps outside the database

    def seal_record(self, place: bytes, value: bytes) -> bytes:
        """Seal a value under the site's record key, to the place it is kept in."""
        return self._vault.record.seal(place, value)

    def open_record(self, place: bytes, sealed: bytes) -> bytes:
        """Open what `seal_record` sealed; raises IntegrityError."""
        return self._vault.record.open(place, sealed)

    def flush(self) -> None:
        """Make every admission so far durable."""
        self._store.flush()

    def checkpoint(self) -> None:
        """Keep the write-ahead log short."""
        self._store.checkpoint()

    def close(self) -> None:
        """Sign the ledger's head and close every connection."""
        try:
            self._evidence.sign_head()
        finally:
            self._store.close()
