"""A house of paper for the console's tests: an archive, catalogue and quarantine in memory over real Part 10 files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from leadglass.archive.query import Query
from leadglass.audit import AuditEvent
from leadglass.console.services import Check, Services, SiteFacts
from leadglass.edge.accounts import AccountFile, Role
from leadglass.errors import NotFound, PeerError
from leadglass.finding import Finding, Severity
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys.ports import Attributes, Delivery, LedgerLine, ObjectRecord, ObjectState, StudyLine

PASSWORD = "a long sentence of glass"


@dataclass
class PaperObject:
    """An opened object over bytes."""

    record: ObjectRecord
    data: bytes
    frames: Sequence[Sequence[tuple[int, int]]] = ()

    @property
    def length(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def stream(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), 100_000):
            yield self.data[at : at + 100_000]


def attributes_of(data: Dataset) -> dict[int, str]:
    out = {}
    for element in data:
        if element.VR in ("SQ", "OB", "OW", "UN", "OF", "OD") or element.tag.is_private:
            continue
        value = element.value
        if value in (None, ""):
            out[int(element.tag)] = ""
        elif isinstance(value, (list, pydicom.multival.MultiValue)):
            out[int(element.tag)] = "\\".join(str(v) for v in value)
        else:
            out[int(element.tag)] = str(value)
    return out


@dataclass
class PaperHouse:
    """Archive, catalogue, receiver, quarantine and clock in one."""

    held_objects: dict[bytes, ObjectRecord] = field(default_factory=dict)
    records: dict[str, ObjectRecord] = field(default_factory=dict)
    files: dict[bytes, bytes] = field(default_factory=dict)
    events: list[AuditEvent] = field(default_factory=list)
    node_rows: dict[str, Node] = field(default_factory=dict)
    now: int = 1_790_000_000_000_000

    def now_us(self) -> int:
        self.now += 1000
        return self.now

    def add(self, data: bytes) -> ObjectRecord:
        ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        object_id = hashlib.sha256(data).digest()[:16]
        record = ObjectRecord(
            object_id=object_id,
            state=ObjectState.ARCHIVED,
            sop_instance_uid=ds.SOPInstanceUID,
            sop_class_uid=ds.SOPClassUID,
            transfer_syntax_uid=ds.file_meta.TransferSyntaxUID,
            study_instance_uid=ds.StudyInstanceUID,
            series_instance_uid=ds.SeriesInstanceUID,
            source="CT1",
            received_at_us=self.now_us(),
            length_bytes=len(data),
            digest=object_id,
            attributes=attributes_of(ds),
        )
        self.records[record.sop_instance_uid] = record
        self.files[object_id] = data
        return record

    def hold(self, data: bytes, reason: str, *findings: Finding) -> ObjectRecord:
        record = self.add(data)
        del self.records[record.sop_instance_uid]
        held = replace(record, state=ObjectState.HELD, reason=reason, findings=findings)
        self.held_objects[held.object_id] = held
        return held

    # archive
    def _matching(self, query: Query) -> list[ObjectRecord]:
        wanted = query.matchers()
        return [
            r for r in self.records.values() if all(match(r.attributes.get(tag, "")) for tag, match in wanted.items())
        ]

    def find(self, query: Query) -> Iterator[Attributes]:
        unique = {"STUDY": (0x0020000D,), "SERIES": (0x0020000D, 0x0020000E)}.get(str(query.level))
        seen = {}
        for record in self._matching(query):
            mark = tuple(record.attributes.get(t, "") for t in unique) if unique else record.object_id
            seen.setdefault(mark, record.attributes)
        end = None if query.limit is None else query.offset + query.limit
        yield from list(seen.values())[query.offset : end]

    def instances(self, query: Query) -> list[ObjectRecord]:
        return self._matching(query)

    def open(self, object_id: bytes) -> PaperObject:
        record = next(
            (r for r in [*self.records.values(), *self.held_objects.values()] if r.object_id == object_id), None
        )
        if record is None:
            raise NotFound("no such object")
        return PaperObject(record, self.files[object_id])

    # catalogue
    def record(self, event: AuditEvent) -> None:
        self.events.append(event)

    def instance(self, sop_instance_uid: str) -> ObjectRecord:
        if sop_instance_uid not in self.records:
            raise NotFound("There is no such instance.")
        return self.records[sop_instance_uid]

    def object(self, object_id: bytes) -> ObjectRecord:
        if object_id in self.held_objects:
            return self.held_objects[object_id]
        return self.open(object_id).record

    def studies(self, *, text: str = "", limit: int = 100, offset: int = 0) -> list[StudyLine]:
        groups: dict[str, list[ObjectRecord]] = {}
        for record in [*self.records.values(), *self.held_objects.values()]:
            groups.setdefault(record.study_instance_uid, []).append(record)
        lines = []
        for uid, members in groups.items():
            first = members[0].attributes
            if text.lower() in " ".join(first.get(t, "") for t in (0x00100010, 0x00100020, 0x00081030)).lower():
                held = sum(m.state is ObjectState.HELD for m in members)
                lines.append(
                    StudyLine(
                        uid,
                        {**first, 0x00080061: first.get(0x00080060, "")},
                        len(members) - held,
                        held,
                        sum(m.length_bytes for m in members),
                        max(m.received_at_us for m in members),
                    )
                )
        return sorted(lines, key=lambda line: -line.received_at_us)[offset : offset + limit]

    def objects(self, state: ObjectState, *, limit: int = 1000) -> list[ObjectRecord]:
        return [r for r in self.held_objects.values() if r.state is state]

    def deliveries(self, object_id: bytes) -> list[Delivery]:
        return []

    def ledger(self, *, subject: bytes | None = None, limit: int = 1000, newest_first: bool = True) -> list[LedgerLine]:
        lines = [
            LedgerLine(n, e.at_us, str(e.kind), e.actor, e.subject, e.outcome, e.detail)
            for n, e in enumerate(self.events)
        ]
        return [line for line in reversed(lines) if subject is None or line.subject == subject][:limit]

    def counts(self) -> Mapping[str, int]:
        return {"studies": len(self.studies()), "archived": len(self.records), "held": len(self.held_objects)}

    def nodes(self) -> list[Node]:
        return list(self.node_rows.values())

    def node(self, name: str) -> Node | None:
        return self.node_rows.get(name)

    def put_node(self, node: Node, event: AuditEvent) -> None:
        self.node_rows[node.name] = node
        self.events.append(event)

    def remove_node(self, name: str, event: AuditEvent) -> None:
        self.node_rows.pop(name, None)
        self.events.append(event)

    # quarantine
    def release(self, object_id: bytes, actor: str, reason: str) -> bytes:
        held = self.held_objects.pop(object_id)
        self.records[held.sop_instance_uid] = replace(held, state=ObjectState.ARCHIVED)
        self.decisions.append(("release", actor, reason))
        return object_id

    def discard(self, object_id: bytes, actor: str, reason: str) -> None:
        self.held_objects[object_id] = replace(self.held_objects[object_id], state=ObjectState.DISCARDED)
        self.decisions.append(("discard", actor, reason))

    decisions: list[tuple[str, str, str]] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)

    # receiver
    def begin_file(self, source: str) -> PaperArrival:
        return PaperArrival(self)


class PaperArrival:
    """One object on its way in."""

    def __init__(self, house: PaperHouse) -> None:
        self._house, self._data, self.largest = house, bytearray(), 0

    def feed(self, data: bytes | memoryview) -> None:
        self.largest = max(self.largest, len(data))
        self._data += data

    def finish(self) -> object:
        from leadglass.journeys.receive import Archived

        try:
            record = self._house.add(bytes(self._data))
        except Exception as error:
            raise PeerError("not DICOM", code="part10") from error
        return Archived(record.object_id, record.length_bytes)

    def abort(self, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        self._data.clear()
        self._house.aborted.append(reason)


def sample(name: str) -> bytes:
    """Read one of the files that come inside pydicom."""
    path = pydicom.data.get_testdata_file(name, download=False)
    assert path is not None, name
    return Path(str(path)).read_bytes()


def furnished() -> PaperHouse:
    """Make a house with a few studies, a held object and two nodes."""
    house = PaperHouse()
    for name in (
        "CT_small.dcm",
        "MR_small.dcm",
        "examples_palette.dcm",
        "examples_jpeg2k.dcm",
        "examples_overlay.dcm",
        "rtdose.dcm",
        "rtplan.dcm",
        "SC_rgb_rle_2frame.dcm",
        "JPEG2000.dcm",
        "MR_small_bigendian.dcm",
        "image_dfl.dcm",
        "JPGExtended.dcm",
        "waveform_ecg.dcm",
    ):
        house.add(sample(name))
    finding = Finding(
        "LG-PRE-001",
        "preamble",
        Severity.HIGH,
        "The file begins like a Windows program (MZ).",
        0,
        128,
        control="DCM-INSPECT",
    )
    house.hold(
        sample("MR_small_RLE.dcm"),
        'The file begins like a Windows program (MZ) (byte 0). Route "Everything" holds malicious objects.',
        finding,
    )
    house.node_rows["CT1"] = Node(
        "CT1",
        NodeState.APPROVED,
        "192.0.2.10",
        11112,
        "ab" * 32,
        ("192.0.2.10/32",),
        frozenset({Permission.STORE}),
        seen_at_us=house.now,
    )
    house.node_rows["ECHO<b>1"] = Node("ECHO<b>1", NodeState.PENDING, addresses=("192.0.2.77",), seen_at_us=house.now)
    return house


def services(house: PaperHouse, accounts: AccountFile, decoder: object) -> Services:
    """Join the house for `create_app`."""
    return Services(
        archive=house,
        catalogue=house,
        receiver=house,
        quarantine=house,
        accounts=accounts,
        decoder=decoder,
        clock=house,
        site=SiteFacts(name="Hôpital d’essai", language="en"),
        checks=lambda: [
            Check("database", "ok", "Sound: studies 3, archived 5."),
            Check("disk", "warn", "8.0 GiB free beyond the reserve.", "Free space on the site's disk."),
        ],
    )


def with_people(folder: Path) -> AccountFile:
    """Make accounts: ada decides, bob reads, both with their own passwords; eve has a one-time one."""
    accounts = AccountFile(folder / "accounts.json")
    for name, role in (("ada", Role.ADMIN), ("bob", Role.READER)):
        accounts.create(name, role)
        accounts.set_password(name, PASSWORD)
    return accounts
