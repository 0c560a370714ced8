"""What the console asks of the house, as Protocols: wiring joins them, tests pass fakes or the real thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from leadglass.archive.query import Query
from leadglass.audit import AuditEvent
from leadglass.edge.accounts import Account
from leadglass.edge.decoder import Decoded, Info, RangeSource, Rendition
from leadglass.finding import Finding
from leadglass.journeys.ports import (
    Attributes,
    Clock,
    Delivery,
    LedgerLine,
    Node,
    ObjectRecord,
    ObjectState,
    StudyLine,
)

__all__ = ["Check", "Services", "SiteFacts"]


class Opened(RangeSource, Protocol):
    """One opened object."""

    @property
    def record(self) -> ObjectRecord: ...
    def stream(self) -> Iterator[bytes | memoryview]: ...


class ArchiveReader(Protocol):
    """The read side of the archive."""

    def find(self, query: Query) -> Iterator[Attributes]: ...
    def instances(self, query: Query) -> list[ObjectRecord]: ...
    def open(self, object_id: bytes) -> Opened: ...


class ConsoleCatalogue(Protocol):
    """The rows and the ledger, as far as pages show and change them."""

    def record(self, event: AuditEvent) -> None: ...
    def instance(self, sop_instance_uid: str) -> ObjectRecord: ...
    def object(self, object_id: bytes) -> ObjectRecord: ...
    def studies(self, *, text: str = "", limit: int = 100, offset: int = 0) -> list[StudyLine]: ...
    def objects(self, state: ObjectState, *, limit: int = 1000) -> list[ObjectRecord]: ...
    def deliveries(self, object_id: bytes) -> list[Delivery]: ...
    def ledger(
        self, *, subject: bytes | None = None, limit: int = 1000, newest_first: bool = True
    ) -> list[LedgerLine]: ...
    def counts(self) -> Mapping[str, int]: ...
    def nodes(self) -> list[Node]: ...
    def node(self, name: str) -> Node | None: ...
    def put_node(self, node: Node, event: AuditEvent) -> None: ...
    def remove_node(self, name: str, event: AuditEvent) -> None: ...


class Arriving(Protocol):
    """One object on its way in."""

    def feed(self, data: bytes | memoryview) -> None: ...
    def finish(self) -> object: ...
    def abort(self, reason: str, findings: tuple[Finding, ...] = ()) -> None: ...


class FileReceiver(Protocol):
    """The door for whole Part 10 files (STOW-RS)."""

    def begin_file(self, source: str) -> Arriving: ...


class QuarantineDesk(Protocol):
    """What a person decides of a held object."""

    def release(self, object_id: bytes, actor: str, reason: str) -> bytes: ...
    def discard(self, object_id: bytes, actor: str, reason: str) -> None: ...


class AccountStore(Protocol):
    """Who may log in."""

    def check(self, name: str, password: str) -> Account | None: ...
    def bearer(self, token: str) -> Account | None: ...
    def set_password(self, name: str, password: str) -> None: ...
    def issue_token(self, name: str) -> str: ...


class PictureMaker(Protocol):
    """The codec workers."""

    def metadata(self, source: RangeSource, bulk_uri: str) -> bytes: ...
    def describe(self, source: RangeSource) -> Info: ...
    def frame(self, source: RangeSource, number: int) -> Decoded: ...
    def code_stream(self, source: RangeSource, number: int) -> bytes: ...
    def pixels(self, source: RangeSource, number: int) -> Decoded: ...
    def render(self, source: RangeSource, number: int, wish: Rendition) -> bytes: ...
    def bulk(self, source: RangeSource, path: str) -> Iterator[bytes]: ...
    def rewrite(self, source: RangeSource, syntax: str, *, part10: bool = True) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What pages tell of the site. A port of None is a closed door."""

    name: str = "Leadglass"
    ae_title: str = "LEADGLASS"
    host: str = "127.0.0.1"
    tls_port: int | None = 2762
    plain_port: int | None = None
    language: str = "en"
    folder: str = "SITE"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the system page, as `leadglass doctor` says it. `state` is ok, warn, fail or unknown."""

    name: str
    state: str
    detail: str
    step: str = ""
    """What to do, empty where there is nothing."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the console needs."""

    archive: ArchiveReader
    catalogue: ConsoleCatalogue
    receiver: FileReceiver
    quarantine: QuarantineDesk
    accounts: AccountStore
    decoder: PictureMaker
    clock: Clock
    site: SiteFacts = SiteFacts()
    checks: Callable[[], Sequence[Check]] = tuple
