"""Each file of a medium ends in one outcome; a bad one stops nothing, a full disk stops everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from leadglass.errors import LimitExceeded, PeerError, StorageFull
from leadglass.finding import Inspection, Severity
from leadglass.journeys import import_media
from leadglass.journeys.import_media import Fate, Importer
from leadglass.journeys.ports import ObjectState
from tests.journeys.shelf import Shelf, shelf_in
from tests.malware.rebuild.objects import disarmer

CT = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
POLYGLOT = b"MZ" + CT[2:]


@dataclass(frozen=True)
class File:
    """A candidate of the test's own, in pieces of any length, that may break."""

    label: str
    data: bytes
    length: int = 1000
    error: Exception | None = field(default=None, compare=False)

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), self.length):
            yield self.data[at : at + self.length]
        if self.error is not None:
            raise self.error


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = shelf_in(tmp_path)
    yield opened
    opened.close()


def other(number: int) -> bytes:
    """The CT under another SOP Instance UID of the same length."""
    return CT.replace(b"12322", b"%05d" % (20_000 + number))


def test_each_file_ends_in_its_outcome(shelf: Shelf) -> None:
    files = [
        File("first", CT),
        File("again", CT, length=5000),
        File("changed", CT.replace(b"CompressedSamples", b"DecompressSamples")),
        File("program", POLYGLOT),
        File("cut", b"", error=PeerError("The disc is scratched.", code="media-file")),
        File("bomb", CT[:400], error=LimitExceeded("It inflates.", code="zip-ratio")),
        File("after", other(1)),
    ]
    lines = list(Importer(shelf.receiver, "anna").take(files))
    assert [(line.label, line.fate) for line in lines] == [
        ("first", Fate.IMPORTED),
        ("again", Fate.DUPLICATE),
        ("changed", Fate.CONFLICT),
        ("program", Fate.HELD),
        ("cut", Fate.UNREADABLE),
        ("bomb", Fate.REJECTED),
        ("after", Fate.IMPORTED),
    ]
    assert all(line.reason for line in lines[2:6])
    assert lines[3].findings
    assert shelf.catalogue.counts()["archived"] == 2


def test_what_was_imported_comes_back_byte_for_byte(shelf: Shelf) -> None:
    (line,) = Importer(shelf.receiver, "anna").take([File("ct", CT)])
    assert line.object_id is not None
    assert b"".join(bytes(piece) for piece in shelf.archive.open(line.object_id).stream()) == CT


def test_the_import_is_recorded_with_counts_and_no_names(shelf: Shelf) -> None:
    list(Importer(shelf.receiver, "anna").take([File("MARTIN^PAUL", CT), File("x", POLYGLOT)]))
    newest = shelf.catalogue.ledger(limit=1)[0]
    assert (newest.kind, newest.actor, newest.detail) == ("imported", "anna", {"imported": 1, "held": 1})
    assert not any("MARTIN" in str(line) for line in shelf.catalogue.ledger())


def test_a_full_disk_stops_the_import_and_leaves_nothing_half(shelf: Shelf) -> None:
    files = [File("one", CT), File("two", other(1)[:5000], error=StorageFull("No space.")), File("three", other(2))]
    seen = []
    with pytest.raises(StorageFull):
        for line in Importer(shelf.receiver, "anna").take(files):
            seen.append(line.label)
    assert seen == ["one"]
    shelf.settling.settle()
    assert shelf.catalogue.counts()["archived"] == 1
    assert [line.kind for line in shelf.catalogue.ledger(limit=2)] == ["imported", "object-aborted"]


def test_the_policy_speaks_about_imports(tmp_path: Path) -> None:
    shelf = shelf_in(
        tmp_path, policy='[[route]]\nname = "Discs"\nfrom = ["IMPORT"]\n[route.on]\nmalicious = "reject"\n'
    )
    (line,) = Importer(shelf.receiver, "anna").take([File("program", POLYGLOT)])
    assert line.fate is Fate.REJECTED
    assert shelf.catalogue.objects(ObjectState.HELD) == []
    shelf.close()


def test_an_object_larger_than_the_site_takes_is_rejected(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, object_bytes_max=10_000)
    lines = list(Importer(shelf.receiver, "anna").take([File("large", CT), File("small", CT[:200])]))
    assert [line.fate for line in lines] == [Fate.REJECTED, Fate.HELD]
    shelf.close()


def test_files_settle_on_the_way(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import holds a bounded number of files open, however many it takes in."""
    monkeypatch.setattr(import_media, "SETTLE_EVERY", 4)
    files = [File(str(number), other(number)) for number in range(10)]
    in_place = []
    for _ in Importer(shelf.receiver, "anna", shelf.settling.settle).take(files):
        in_place.append(sum(1 for path in (shelf.folder / "objects").rglob("*") if path.is_file()))
    assert in_place == [0, 0, 0, 4, 4, 4, 4, 8, 8, 8]
    assert sum(1 for path in (shelf.folder / "objects").rglob("*") if path.is_file()) == 10


def test_a_harmless_copy_of_what_is_held_is_archived_beside_it(shelf: Shelf) -> None:
    """The original stays held; the copy has its UID, its pixels, and no program in front."""
    program, cut = Importer(shelf.receiver, "anna", disarmer=disarmer()).take(
        [File("a", POLYGLOT), File("b", POLYGLOT[:2000])]
    )
    assert (program.fate, cut.fate) == (Fate.DISARMED, Fate.HELD)
    assert "Its copy is held too" in cut.copy, "it belongs to no study"
    assert program.object_id is not None
    copy = shelf.catalogue.object(program.object_id)
    held = shelf.catalogue.objects(ObjectState.HELD)
    assert copy.state is ObjectState.ARCHIVED
    assert {finding.cls for finding in copy.findings} == {"disarmed"}
    preamble = next(finding for finding in copy.findings if finding.element == "preamble")
    assert (preamble.id, preamble.severity, preamble.length) == ("LG-DIS-004", Severity.INFO, 128)
    assert {one.sop_instance_uid for one in held} == {copy.sop_instance_uid}
    told = {line.subject: line for line in shelf.catalogue.ledger() if line.kind == "object-disarmed"}
    original = bytes.fromhex(str(told[program.object_id].detail["held"]))
    assert original in {one.object_id for one in held}
    assert told[original].detail["copy"] == program.object_id.hex()


def test_a_fault_of_ours_refuses_one_copy_and_stops_nothing(shelf: Shelf) -> None:
    """Whatever breaks while a copy is made, the object stays held and the next file comes in."""

    def broken(_: object) -> Inspection:
        raise OSError("a pipe broke")

    importer = Importer(shelf.receiver, "anna", disarmer=disarmer(broken))
    held, imported = importer.take([File("a", POLYGLOT), File("b", other(7))])
    assert (held.fate, imported.fate) == (Fate.HELD, Fate.IMPORTED)
    assert "nothing is proved" in held.copy
    assert held.object_id is not None
    told = [line for line in shelf.catalogue.ledger(subject=held.object_id) if line.kind == "object-disarmed"]
    assert [(line.outcome, "nothing is proved" in str(line.detail["reason"])) for line in told] == [("refused", True)]
