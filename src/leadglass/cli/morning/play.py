"""What happens in which order, and what was promised of each step.

Nothing here reaches into the hub to make a step succeed: the other parties use the doors, and the ledger, the
quarantine and the files on the disk are looked at afterwards.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from leadglass.cli.enrolment import Enrolled, enrol, put
from leadglass.cli.morning.archive import SecondArchive
from leadglass.cli.morning.modality import Modality
from leadglass.cli.morning.objects import CT_SERIES_LENGTH, Sample, climbing, polyglot, real_objects
from leadglass.cli.morning.viewer import Viewer
from leadglass.dicom.association import WireLimits
from leadglass.edge.accounts import AccountFile, Role
from leadglass.edge.media import walk_media
from leadglass.edge.media_sort import MediaFile
from leadglass.edge.sender import Sender
from leadglass.edge.tls import client_context, server_context
from leadglass.errors import LeadglassError, RemoteError
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys.import_media import Importer
from leadglass.journeys.ports import ObjectState, Timeouts

if TYPE_CHECKING:
    from leadglass.wiring import Hub, Running

ACTOR = "demo"
COLOUR_PARTS = 100
"""What the colour scanner's work is of the bar (`scanner.PARTS`)."""
CT_PATIENT, CT_PATIENT_ID = "CompressedSamples^CT1", "1CT1"
_READABLE = (b"CompressedSamples", b"Lestrade", b"CQ500-CT-310", b"1.3.6.1.4.1.5962.1", b"JANCT000", b"PHANTOM-HAND")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the table: what was tried, whether it went as promised, and the numbers to tell it with."""

    name: str
    is_as_promised: bool
    numbers: dict[str, object] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldObject:
    """One held object, as the table tells it."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part, enrolled."""

    modality: Enrolled
    scanner: Enrolled
    archive: Enrolled
    hub: Node


class Morning:
    """One morning on a started hub. `play` gives each step as it ends."""

    def __init__(self, hub: Hub, running: Running, folder: Path, token: str) -> None:
        self._hub = hub
        self._running = running
        self._folder = folder
        self._token = token
        self._samples = real_objects()
        self.held: list[HeldObject] = []
        self.colour_study = ""

    @property
    def length(self) -> int:
        """Give how long the bar is: all objects in, the CT series out twice, and the colour scanner's work."""
        return len(self._samples) + 2 * CT_SERIES_LENGTH + COLOUR_PARTS

    def play(self, advance: Callable[[float], None]) -> Iterator[Step]:
        """Play it; `advance` is called for each object on its way."""
        samples = self._samples
        sent = {sample.sop_instance_uid: sha256(sample.dataset).hexdigest() for sample in samples}
        parties = self._enrol()
        modality = Modality(parties.modality.node.name, parties.hub, self._sender(parties.modality).connect)
        steps: tuple[tuple[str, Callable[[], Step]], ...] = (
            ("sent", lambda: self._send(modality, samples, advance)),
            ("sealed", lambda: self._sealed(samples)),
            ("colour", lambda: self._colour(parties, advance)),
            ("held", lambda: self._hostile(modality, samples[0])),
            ("stranger", lambda: self._stranger(parties, samples[0])),
            ("moved", lambda: self._move(parties, sent, advance)),
            ("web", lambda: self._web(sent, advance)),
            ("ledger", self._ledger),
            ("unreadable", self._unreadable),
        )
        for name, step in steps:
            try:
                yield step()
            except LeadglassError as error:
                yield Step(name, is_as_promised=False, problems=(error.message,))

    # --- who takes part ------------------------------------------------------------------------------

    def _enrol(self) -> Parties:
        approved = NodeState.APPROVED
        modality = Node("CT1", approved, permissions=frozenset({Permission.STORE}))
        scanner = Node("COLOURCT1", approved, permissions=frozenset({Permission.STORE}))
        archive = Node(
            "ARCHIVE2", approved, "127.0.0.1", permissions=frozenset({Permission.QUERY, Permission.RETRIEVE})
        )
        config = self._hub.site.config
        port = self._running.tls_port
        assert port is not None
        hub = Node(config.dicom.ae_title, approved, "127.0.0.1", port)
        return Parties(
            enrol(self._hub, modality, self._folder / "ct1", ACTOR),
            enrol(self._hub, scanner, self._folder / "colourct1", ACTOR),
            enrol(self._hub, archive, self._folder / "archive2", ACTOR),
            hub,
        )

    def _sender(self, party: Enrolled) -> Sender:
        context = client_context(party.files)
        return Sender(lambda: context, wire_limits=WireLimits(), timeouts=Timeouts())

    # --- the steps -----------------------------------------------------------------------------------

    def _send(self, modality: Modality, samples: list[Sample], advance: Callable[[float], None]) -> Step:
        refused = []
        began = time.perf_counter()
        for sample, status in modality.store(samples):
            if status != 0:
                refused.append(f"{sample.name}: {status:04X}")
            advance(1)
        seconds = time.perf_counter() - began
        length_bytes = sum(len(sample.dataset) for sample in samples)
        numbers: dict[str, object] = {
            "objects": len(samples),
            "series": CT_SERIES_LENGTH,
            "megabytes": length_bytes / 1e6,
            "megabytes_per_second": length_bytes / 1e6 / seconds,
            "objects_per_second": len(samples) / seconds,
        }
        return Step("sent", not refused, numbers, tuple(refused))

    def _colour(self, parties: Parties, advance: Callable[[float], None]) -> Step:
        """Count photons of a hand, make a study of the counts, send it, and have its turntable drawn."""
        from leadglass.cli.morning.scanner import TURNTABLE, scan_hand  # what computes is loaded when it is needed

        began = time.perf_counter()
        made = scan_hand(advance)
        seconds = time.perf_counter() - began
        scanner = Modality(parties.scanner.node.name, parties.hub, self._sender(parties.scanner).connect)
        refused = tuple(f"{one.name}: {status:04X}" for one, status in scanner.store(made.samples) if status != 0)
        turning = next(one for one in made.samples if one.name == TURNTABLE)
        drawn = self._viewer().frame(made.study_instance_uid, turning.sop_instance_uid, 2)
        self.colour_study = made.study_instance_uid
        numbers: dict[str, object] = {
            "views": made.views,
            "bins": made.bins,
            "voxels": " × ".join(map(str, made.shape)),
            "objects": len(made.samples),
            "seconds": seconds,
            **{f"{name}_mg_ml": most for name, most in made.most_mg_ml.items()},
        }
        is_right = not refused and drawn > 0 and made.most_mg_ml["gold"] > 20 and made.most_mg_ml["iodine"] > 3
        return Step("colour", is_right, numbers, refused)

    def _sealed(self, samples: list[Sample]) -> Step:
        """Open every object from the disk, and compare it with what the modality holds."""
        catalogue, archive = self._hub.catalogue, self._hub.archive
        identical = 0
        for sample in samples:
            try:
                opened = archive.open_record(catalogue.instance(sample.sop_instance_uid))
                identical += b"".join(opened.stream_dataset()) == sample.dataset
            except LeadglassError:
                continue
        return Step("sealed", identical == len(samples), {"identical": identical, "objects": len(samples)})

    def _hostile(self, modality: Modality, sample: Sample) -> Step:
        """Import a file that is a program and an image, and send an object whose name is a path."""
        file = self._folder / "holiday.dcm"
        file.write_bytes(polyglot())
        candidates = (entry for entry in walk_media([file]) if isinstance(entry, MediaFile))
        fates = [line.fate.value for line in Importer(self._hub.receiver, ACTOR).take(candidates)]
        statuses = [status for _, status in modality.store([climbing(sample)])]
        held = self._hub.catalogue.objects(ObjectState.HELD)
        self.held = [HeldObject(record.source, record.reason) for record in held]
        is_held = fates == ["held"] and len(held) == 2 and all(status != 0 for status in statuses)
        return Step("held", is_held, {"held": len(held)})

    def _stranger(self, parties: Parties, sample: Sample) -> Step:
        """Call with a good certificate under a name nobody knows, and with a good name over no certificate."""
        refused = 0
        unknown = Modality("SOMEBODY", parties.hub, self._sender(parties.modality).connect)
        other = Modality(parties.archive.node.name, parties.hub, self._sender(parties.modality).connect)
        for caller in (unknown, other):
            try:
                list(caller.store([sample]))
            except RemoteError:
                refused += 1
        return Step("stranger", refused == 2, {"refused": refused})

    def _move(self, parties: Parties, sent: dict[str, str], advance: Callable[[float], None]) -> Step:
        archive = SecondArchive(parties.archive.node.name, parties.hub, self._sender(parties.archive).connect)
        context = server_context(parties.archive.files)
        door = archive.open_door(lambda: context)
        try:
            put(self._hub, replace(parties.archive.node, port=door.port), ACTOR)
            studies = archive.find_studies(CT_PATIENT)
            done = failed = 0
            began = time.perf_counter()
            for study in studies:
                completed, failures = archive.move(study)
                done, failed = done + completed, failed + failures
                advance(completed)
            seconds = time.perf_counter() - began
        finally:
            door.close()
        identical = sum(sent.get(uid) == digest for uid, digest in archive.received.items())
        is_right = identical == done == len(archive.received) >= CT_SERIES_LENGTH and not failed
        numbers: dict[str, object] = {
            "studies": len(studies),
            "objects": done,
            "identical": identical,
            "seconds": seconds,
        }
        return Step("moved", is_right, numbers)

    def _web(self, sent: dict[str, str], advance: Callable[[float], None]) -> Step:
        viewer = self._viewer()
        studies = viewer.find_study(CT_PATIENT_ID)
        identical = objects = picture = 0
        for study in studies:
            fetched = viewer.fetch(study)
            objects += len(fetched)
            identical += sum(sent.get(uid) == digest for uid, digest in fetched.items())
            picture = viewer.picture(study)
            advance(len(fetched))
        is_right = identical == objects >= CT_SERIES_LENGTH and picture > 0
        return Step("web", is_right, {"studies": len(studies), "objects": objects, "identical": identical})

    def _viewer(self) -> Viewer:
        port = self._running.web_port
        assert port is not None
        return Viewer(port, self._hub.site.tls_files.authority, self._token)

    def _ledger(self) -> Step:
        entries = self._hub.catalogue.verify_ledger()
        return Step("ledger", entries > 0, {"entries": entries})

    def _unreadable(self) -> Step:
        """Search every byte of the site's folder for names, patient IDs and UIDs that were sent."""
        files = [path for path in sorted(self._hub.site.folder.rglob("*")) if path.is_file()]
        found = sorted({path.name for path in files if any(word in path.read_bytes() for word in _READABLE)})
        return Step("unreadable", not found, {"files": len(files), "found": found})


def viewer_token(accounts: Path) -> str:
    """Make an account for the viewer and give its token; nobody learns its password."""
    store = AccountFile(accounts)
    store.create("viewer", Role.READER)
    store.set_password("viewer", secrets.token_urlsafe(24))
    return store.issue_token("viewer")
