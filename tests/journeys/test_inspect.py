"""What is thought of a file, whoever thinks it; and a detector that fails ends in the quarantine, in any process."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from leadglass.edge.sandbox import Sandbox
from leadglass.errors import PeerError
from leadglass.finding import Assessed, Finding, Inspection, NotAssessed, Severity
from leadglass.journeys.identity import Claim
from leadglass.journeys.inspect import InProcess, Judged, joined, judge, told_of_archive, with_members
from leadglass.journeys.ports import ObjectState
from leadglass.journeys.receive import KEEP, Held
from leadglass.malware import anatomy
from leadglass.malware.verdict import Verdict
from leadglass.malware.watch import Detector, Where
from leadglass.malware.watching import Watchlist
from tests.journeys.images import image, uid_of
from tests.journeys.shelf import Shelf, shelf_in
from tests.peers.harness.objects import explicit
from tests.peers.harness.wire import CT, EXPLICIT

PLANTED = (sys.executable, str(Path(__file__).parents[1] / "edge/planted_worker.py"))
BAD = Finding("LG-XXX-001", "some_class", Severity.HIGH, "Something is bad.")
ODD = Finding("LG-XXX-002", "some_class", Severity.MEDIUM, "Something is odd.")


@dataclass
class File:
    """A candidate over pieces."""

    held: list[bytes]
    label: str = "file"

    def pieces(self) -> Iterable[bytes]:
        yield from self.held


@dataclass
class Answering:
    """An engine that says what it was told to."""

    inspection: Inspection
    fed: bytes = b""
    closed: int = 0

    def feed(self, data: bytes | memoryview) -> None:
        self.fed += bytes(data)

    def finish(self) -> Inspection:
        return self.inspection

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = shelf_in(tmp_path)
    yield opened
    opened.close()


def with_comments(number: int, comments: bytes) -> bytes:
    """Give an image whose Patient Comments tell a planted detector what to do wrong."""
    data = image(number)
    at = data.index(explicit(0x0020000D, b"UI", b"")[:4])
    return data[:at] + explicit(0x00104000, b"LT", comments + b" " * (len(comments) % 2)) + data[at:]


@pytest.mark.parametrize("comments", [b"CRASH", b"RAISE", b"EXIT", b"EAT", b"LIE"])
def test_a_detector_that_fails_in_a_worker_ends_in_hold(shelf: Shelf, comments: bytes) -> None:
    pool = Sandbox(KEEP, command=PLANTED, seconds=5)
    try:
        receiver = replace(shelf.receiver, inspectors=pool)
        reception = receiver.begin("CT1", Claim(CT, uid_of(1), EXPLICIT))
        reception.feed(with_comments(1, comments))
        outcome = reception.finish()
        assert isinstance(outcome, Held)
        assert shelf.catalogue.object(outcome.object_id).state is ObjectState.HELD
        good = receiver.begin("CT1", Claim(CT, uid_of(2), EXPLICIT))
        good.feed(with_comments(2, b"nothing"))
        assert not isinstance(good.finish(), Held)
    finally:
        pool.close()


def test_a_detector_that_fails_in_this_process_ends_in_hold(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    class Planted(Detector):
        def wants_value(self, tag: int, vr: bytes) -> bool:
            return tag == 0x00104000

        def look(self, where: Where, value: bytes) -> Iterable[Finding]:
            raise ZeroDivisionError

    monkeypatch.setattr(anatomy, "EVERY_OBJECT", Watchlist((Planted,)))
    reception = shelf.receiver.begin("CT1", Claim(CT, uid_of(1), EXPLICIT))
    reception.feed(with_comments(1, b"x"))
    outcome = reception.finish()
    assert isinstance(outcome, Held) and "ZeroDivisionError" in outcome.reason


def test_objects_through_workers_are_kept_as_those_through_this_process(shelf: Shelf) -> None:
    pool = Sandbox(KEEP)
    try:
        receiver = replace(shelf.receiver, inspectors=pool)
        records = []
        for number, using in ((1, shelf.receiver), (2, receiver)):
            reception = using.begin("CT1", Claim(CT, uid_of(number), EXPLICIT))
            reception.feed(image(number))
            outcome = reception.finish()
            opened = shelf.archive.open(outcome.object_id)  # type: ignore[union-attr]  # archived
            records.append(
                (list(opened.frames), opened.dataset_offset, sorted(opened.record.attributes), opened.record.state)
            )
        assert records[0] == records[1]
        assert records[0][0], "there is a frame table"
    finally:
        pool.close()


def test_an_inspector_in_this_process_gives_not_assessed_for_its_own_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    inspector = InProcess(KEEP).file()
    monkeypatch.setattr(anatomy.FileInspector, "finish", lambda self: 1 / 0)
    inspector.feed(b"x")
    assert inspector.finish() == NotAssessed("The inspection failed (ZeroDivisionError).")
    assert inspector.structure is None
    inspector.close()


def test_a_file_is_read_once_by_everyone() -> None:
    ours, theirs = Answering(Assessed((ODD,))), Answering(Assessed((BAD,)))
    judged = judge(File([b"ab", b"c"]), "a/b", ours, scans=[theirs], known=[])  # type: ignore[arg-type]
    assert ours.fed == theirs.fed == b"abc"
    assert judged.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert (judged.verdict, judged.reason, judged.length_bytes) == (Verdict.MALICIOUS, "Something is bad.", 3)


def test_a_file_that_cannot_be_read_is_not_assessed_and_lets_go() -> None:
    class Broken(File):
        def pieces(self) -> Iterable[bytes]:
            yield b"a"
            raise PeerError("The disc is scratched.", code="x")

    scan = Answering(Assessed())
    judged = judge(Broken([]), "a", InProcess(KEEP).file(), scans=[scan], known=[ODD])
    assert judged.inspection == NotAssessed("The disc is scratched.", (ODD,))
    assert (judged.sha256, judged.to_json()["sha256"], scan.closed) == ("", None, 1)


def test_the_json_shape_is_the_published_one() -> None:
    assert Judged("a", "00", NotAssessed("Why.", (ODD,))).to_json() == {
        "path": "a",
        "sha256": "00",
        "verdict": "not-assessed",
        "findings": [
            ODD.to_json(),
            {"id": "LG-INS-001", "class": "not-assessed", "severity": "info", "claim": "Why.", "offset": None,
             "length": None, "element": None, "control": "DCM-INSPECT"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("inspection", "reason"),
    [
        (Assessed(), ""),
        (Assessed((ODD, BAD)), "Something is bad."),
        (NotAssessed("Why.", (BAD,)), "Something is bad."),
        (NotAssessed("Why."), "Why."),
    ],
)
def test_the_first_reason_is_the_gravest(inspection: Inspection, reason: str) -> None:
    assert Judged("a", "", inspection).reason == reason


def test_what_one_engine_could_not_tell_is_not_told() -> None:
    assert joined(Assessed((ODD,)), [NotAssessed("Why.")]) == NotAssessed("Why.", (ODD,))
    assert joined(NotAssessed("First."), [NotAssessed("Second."), Assessed((ODD,))]) == NotAssessed("First.", (ODD,))
    assert joined(Assessed(), []) == Assessed()


def test_an_archive_is_as_bad_as_its_worst_member() -> None:
    clean, odd, bad, unknown = Verdict.CLEAN, Verdict.SUSPICIOUS, Verdict.MALICIOUS, Verdict.NOT_ASSESSED
    assert with_members(Assessed(), [clean]) == Assessed()
    (finding,) = with_members(Assessed(), [odd, bad, bad, unknown]).findings
    assert (finding.severity, finding.claim) == (Severity.HIGH, "The archive holds 2 file(s) that are malicious.")
    assert with_members(Assessed(), [odd, unknown]).findings[0].severity is Severity.MEDIUM
    assert isinstance(with_members(Assessed(), [clean, unknown]), NotAssessed)
    assert with_members(NotAssessed("Why."), [unknown]) == NotAssessed("Why.")


def test_a_viewer_beside_a_dicomdir_is_told_of_itself_alone() -> None:
    """A patient's disc in a zip file is no alarm; anything more, or no DICOMDIR, and each member counts."""
    program = Finding("LG-FIL-001", "program_file", Severity.MEDIUM, "The file is a program or a script.")
    viewer = Judged("a.zip!VIEWER/V.EXE", "", Assessed((program,)))
    directory, image = Judged("a.zip!DICOMDIR", "", Assessed()), Judged("a.zip!IM1", "", Assessed())
    odd, bad = Judged("a.zip!IM2", "", Assessed((ODD,))), Judged("a.zip!X", "", Assessed((program, BAD)))
    assert told_of_archive([directory, image, viewer]) == []
    assert Verdict.SUSPICIOUS in told_of_archive([image, viewer])
    assert Verdict.SUSPICIOUS in told_of_archive([replace(directory, inspection=Assessed((ODD,))), image, viewer])
    assert told_of_archive([directory, viewer, odd]) == [Verdict.CLEAN, Verdict.SUSPICIOUS, Verdict.SUSPICIOUS]
    assert Verdict.MALICIOUS in told_of_archive([directory, viewer, bad])
    assert Verdict.NOT_ASSESSED in told_of_archive([directory, viewer, replace(image, inspection=NotAssessed("Why."))])
