"""The handshake between journeys and the world: what a journey asks for, and what the edge must give.

Everything here is a value or a Protocol. `edge/` implements the Protocols, `wiring.py` joins them,
tests of journeys pass real edges on temporary folders.

Attributes are text by tag: decoded to Unicode, multiple values joined by a backslash (PS3.5 §6.2).
Times are microseconds since 1970 UTC. Object, scope and key ids are 16 random bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from leadglass import limits
from leadglass.archive.query import Query
from leadglass.audit import AuditEvent
from leadglass.dicom.association import Association, Buffer
from leadglass.dicom.events import Event
from leadglass.dicom.frame_digests import FrameDigests
from leadglass.finding import Finding
from leadglass.gateway.node import Node as Node
from leadglass.gateway.node import NodeState as NodeState
from leadglass.gateway.node import Permission as Permission

Attributes = Mapping[int, str]


class ObjectState(StrEnum):
    """Where a sealed object stands."""

    ARCHIVED = "archived"
    """Visible to queries and retrieval."""
    HELD = "held"
    """Quarantined: sealed under the quarantine key, visible on the quarantine page alone."""
    CONFLICT = "conflict"
    """Same SOP Instance UID as an archived object, other content: kept and shown, never served in its place."""
    DISCARDED = "discarded"
    """Removed by a person; the row and the ledger remain."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The study key that seals an object, unwrapped."""

    scope_id: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """What the catalogue knows of one object. `attributes` holds all four levels (patient to image)."""

    object_id: bytes
    state: ObjectState
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    source: str
    received_at_us: int
    length_bytes: int
    digest: bytes
    attributes: Attributes
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    frames: FrameDigests | None = None
    """What the frames' stored pixels hashed to when the object came."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One inspected, sealed and durable object, asking to become visible; committed with its ledger entry."""

    record: ObjectRecord
    description: bytes
    """The record written down, as the sealed object holds it."""
    event: AuditEvent
    deliver_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Admitted:
    """The object is in the catalogue in the state its record asked for."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same instance with the same content is already there as `object_id`; the new copy may go."""

    object_id: bytes


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Another content already carries this SOP Instance UID; the new one is kept in state CONFLICT."""

    object_id: bytes


AdmissionResult = Admitted | Duplicate | Conflicted


class DeliveryState(StrEnum):
    """How far a delivery got."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up after a day of trying."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One object on its way to one node; survives a restart."""

    delivery_id: int
    object_id: bytes
    node: str
    attempts: int
    due_at_us: int
    state: DeliveryState
    error: str = ""


@dataclass(frozen=True, slots=True)
class Commitment:
    """A storage commitment request to answer (PS3.4 annex J); survives a restart."""

    commitment_id: int
    node: str
    transaction_uid: str
    references: tuple[tuple[str, str], ...]
    attempts: int
    due_at_us: int


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One opened ledger entry, for people."""

    seq: int
    at_us: int
    kind: str
    actor: str
    subject: bytes | None
    outcome: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One row of the studies list: study and patient attributes with the counts computed."""

    study_instance_uid: str
    attributes: Attributes
    instance_count: int
    held_count: int
    length_bytes: int
    received_at_us: int


class Staging(Protocol):
    """One object being written; nobody else sees it. Not thread-safe."""

    @property
    def object_id(self) -> bytes: ...
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises StorageFull or StorageError."""

    def write_header(self, header: bytes) -> None:
        """Overwrite the first bytes (the envelope's header is written last)."""

    def begin_sync(self) -> None:
        """Begin to make what is written so far durable, while the caller does something else; `sync` waits for it."""

    def sync(self) -> None:
        """Return when every byte would survive a power cut."""

    def promote(self) -> None:
        """Give it its place. Called once the catalogue's commit is durable; until then it is read where it lies."""

    def discard(self) -> None:
        """Remove it. Safe at any time before promote, and twice."""


class Blobs(Protocol):
    """Where sealed objects lie."""

    def stage(self, *, expected_bytes: int = 0) -> Staging:
        """Begin an object under a fresh object id; raises StorageFull when the reserve would be touched."""

    def size(self, object_id: bytes) -> int:
        """Give the sealed length; raises NotFound."""

    def read_at(self, object_id: bytes, offset: int, length: int) -> bytes:
        """Read sealed bytes; short only at the end. Raises NotFound or StorageError."""

    def delete(self, object_id: bytes) -> None:
        """Remove a blob; no error when it is gone."""

    def is_placed(self, object_id: bytes) -> bool:
        """Tell whether an object has its place: synced, committed and promoted."""

    def staged(self) -> Sequence[bytes]:
        """List what a crash left in staging (start-up only); what another process is writing is left out."""

    def resume(self, object_id: bytes) -> Staging:
        """Take up a staged object after a restart, to promote or discard it."""

    def free_bytes(self) -> int:
        """Tell the free space, less the reserve."""

    def close(self) -> None: ...


class Catalogue(Protocol):
    """Rows and ledger behind one transaction. Thread-safe, and safe beside other processes on the same site."""

    def admit(self, admission: Admission) -> AdmissionResult:
        """Commit the row, its deliveries and its ledger entry together. Group commit inside.

        Visible and safe from a crash of the hub on return; safe from a power cut once `flush` returned, or by
        `recover` from the object's own synced bytes.
        """

    def flush(self) -> None:
        """Make every admission so far durable."""

    def record(self, event: AuditEvent, *, is_durable: bool = True) -> None:
        """Append one event to the ledger; durable on return, or with the next `flush` where that is enough."""

    def scope(self, study_instance_uid: str, patient_id: str, issuer: str) -> Scope:
        """Give the study's key, made (durably) at first sight."""

    def scope_key(self, scope_id: bytes) -> bytes:
        """Unwrap a scope or quarantine key by id; raises NotFound (erased) or IntegrityError."""

    def quarantine_scope(self) -> Scope:
        """Give the quarantine key."""

    def has_object(self, object_id: bytes) -> bool: ...
    def find(self, query: Query) -> Iterator[Attributes]:
        """Answer a query at its level; computed attributes (counts, modalities) included where asked."""

    def instances(self, query: Query) -> list[ObjectRecord]:
        """List the archived objects under the unique keys and other keys of a query, in series and instance order."""

    def instance(self, sop_instance_uid: str) -> ObjectRecord:
        """Give the archived object of a SOP Instance UID; raises NotFound."""

    def object(self, object_id: bytes) -> ObjectRecord:
        """Give an object in any state; raises NotFound."""

    def studies(self, *, text: str = "", limit: int = 100, offset: int = 0) -> list[StudyLine]:
        """List studies, newest arrival first; `text` filters on name, patient id, accession, description."""

    def objects(self, state: ObjectState, *, limit: int = 1000) -> list[ObjectRecord]:
        """List objects in one state, newest first (the quarantine)."""

    def change_state(self, object_id: bytes, state: ObjectState, event: AuditEvent) -> None:
        """Move an object to another state together with its ledger entry."""

    def ledger(self, *, subject: bytes | None = None, limit: int = 1000, newest_first: bool = True) -> list[LedgerLine]:
        """Read opened ledger entries."""

    def verify_ledger(self) -> int:
        """Check the whole chain against the signed heads; gives the number of entries. Raises IntegrityError."""

    def counts(self) -> Mapping[str, int]:
        """Objects by state, studies, pending deliveries, ledger entries."""

    def nodes(self) -> list[Node]: ...
    def node(self, name: str) -> Node | None: ...
    def put_node(self, node: Node, event: AuditEvent) -> None: ...
    def remove_node(self, name: str, event: AuditEvent) -> None: ...

    def due_deliveries(self, now_us: int, *, limit: int = 100) -> list[Delivery]: ...
    def deliveries(self, object_id: bytes) -> list[Delivery]: ...
    def enqueue(self, object_ids: Sequence[bytes], node: str, event: AuditEvent) -> None: ...
    def delivered(self, delivery_id: int, event: AuditEvent) -> None: ...
    def delivery_failed(self, delivery_id: int, error: str, due_at_us: int | None, event: AuditEvent) -> None:
        """Plan the next try, or give up when `due_at_us` is None."""

    def put_commitment(
        self, node: str, transaction_uid: str, references: Sequence[tuple[str, str]], event: AuditEvent
    ) -> None: ...
    def due_commitments(self, now_us: int) -> list[Commitment]: ...
    def commitment_done(self, commitment_id: int, event: AuditEvent) -> None: ...
    def commitment_failed(self, commitment_id: int, error: str, due_at_us: int | None, event: AuditEvent) -> None: ...
    def close(self) -> None: ...


class Clock(Protocol):
    """Wall-clock time."""

    def now_us(self) -> int: ...


class Random(Protocol):
    """Fresh unpredictable bytes (ids, salts, data keys)."""

    def __call__(self, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a peer may take (see `limits.py` for the defaults and their reasons)."""

    artim_seconds: float = limits.ARTIM_SECONDS
    idle_seconds: float = limits.IDLE_SECONDS
    rate_window_seconds: float = limits.RATE_WINDOW_SECONDS
    rate_bytes_per_second_min: int = limits.RATE_BYTES_PER_SECOND_MIN


class Wire(Protocol):
    """One DICOM connection, with its association engine."""

    engine: Association
    is_busy: bool
    """Set while work is done for the peer, so that the connection is not evicted as idle."""

    @property
    def claim(self) -> Callable[[str], bool]:
        """Take one of a node's places; gives False when they are all at work."""

    def next_event(self, *, timeout_seconds: float | None = None) -> Event:
        """Wait for the next event. A data fragment is valid until the next call."""

    def poll_events(self) -> None:
        """Take in what has already arrived, without waiting."""

    def peek(self) -> Event | None:
        """Look at the next event that has already arrived."""

    def send(self, buffers: bytes | Iterable[Buffer]) -> None:
        """Send all of it."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a connection, as far as the transport can tell. `certificate` is DER."""

    address: str
    is_tls: bool
    certificate: bytes | None = None
    tls_version: str = ""

    @property
    def fingerprint(self) -> str | None:
        """Give the certificate's SHA-256 in lower-case hex."""
        return None if self.certificate is None else hashlib.sha256(self.certificate).hexdigest()
