"""Verification tells every kind of fault apart, reads everything, and is itself recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from leadglass.errors import StorageError
from leadglass.journeys.import_media import Importer
from leadglass.journeys.ports import ObjectRecord, ObjectState
from leadglass.journeys.quarantine import Quarantine
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.verify import Fault, Verifier
from tests.journeys.shelf import Shelf, shelf_in
from tests.journeys.test_import_media import CT, POLYGLOT, File

MR = Path(str(get_testdata_file("MR_small.dcm"))).read_bytes()


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = shelf_in(tmp_path)
    list(Importer(opened.receiver, "anna", opened.settling.settle).take([File("ct", CT), File("mr", MR)]))
    yield opened
    opened.close()


def verifier(shelf: Shelf) -> Verifier:
    return Verifier(shelf.archive, shelf.clock, "anna")


def records(shelf: Shelf) -> list[ObjectRecord]:
    return shelf.catalogue.objects(ObjectState.ARCHIVED)


def path_of(shelf: Shelf, record: ObjectRecord) -> Path:
    return next((shelf.folder / "objects").rglob(record.object_id.hex()))


def test_sound_objects_have_no_fault(shelf: Shelf) -> None:
    lines = list(verifier(shelf).check(records(shelf)))
    assert [line.fault for line in lines] == [None, None]
    assert sum(line.length_bytes for line in lines) == len(CT) + len(MR)


def test_every_byte_counts(shelf: Shelf) -> None:
    """A flip anywhere in the file is a fault: header, each part of the content, footer, trailer."""
    record = records(shelf)[0]
    path = path_of(shelf, record)
    sound = path.read_bytes()
    for at in [*range(0, 164, 7), *range(164, len(sound), 613), len(sound) - 1]:
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x40]) + sound[at + 1 :])
        (line,) = verifier(shelf).check([record])
        is_scope = 24 <= at < 40  # which key seals it: another name finds no key
        assert line.fault is (Fault.NO_KEY if is_scope else Fault.ALTERED), at
    path.write_bytes(sound)
    assert next(verifier(shelf).check([record])).fault is None


def test_two_objects_swapped_are_two_faults(shelf: Shelf) -> None:
    first, second = (path_of(shelf, record) for record in records(shelf))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert [line.fault for line in verifier(shelf).check(records(shelf))] == [Fault.ALTERED, Fault.ALTERED]


def test_a_row_that_tells_of_another_content(shelf: Shelf) -> None:
    record = replace(records(shelf)[0], digest=bytes(32))
    (line,) = verifier(shelf).check([record])
    assert line.fault is Fault.OTHER_CONTENT


def test_missing_and_unknown(shelf: Shelf) -> None:
    first, second = records(shelf)
    path_of(shelf, first).unlink()
    assert [line.fault for line in verifier(shelf).check([first, second])] == [Fault.MISSING, None]
    stored = [second.object_id, b"\xab" * 16]
    assert [(line.object_id, line.fault) for line in verifier(shelf).unknown(stored)] == [(b"\xab" * 16, Fault.UNKNOWN)]


def test_a_disk_that_cannot_be_read_is_no_answer(shelf: Shelf) -> None:
    class Broken:
        def size(self, object_id: bytes) -> int:
            raise StorageError("The disk failed.")

    broken = Archive(shelf.catalogue, Broken())  # type: ignore[arg-type]
    (line, _) = Verifier(broken, shelf.clock, "anna").check(records(shelf))
    assert line.fault is Fault.UNREADABLE


def test_a_discarded_object_is_no_fault_unless_its_bytes_stayed(shelf: Shelf) -> None:
    (line,) = Importer(shelf.receiver, "anna", shelf.settling.settle).take([File("program", POLYGLOT)])
    assert line.object_id is not None
    held = shelf.catalogue.object(line.object_id)
    path = next((shelf.folder / "objects").rglob(line.object_id.hex()))
    sealed = path.read_bytes()
    Quarantine(shelf.archive, shelf.clock, os.urandom, shelf.settling, shelf.receiver.policy).discard(
        line.object_id, "anna", "Not ours"
    )
    discarded = shelf.catalogue.object(line.object_id)
    for record in (discarded, held):  # looked up after, or listed before somebody else discarded it
        (seen,) = verifier(shelf).check([record])
        assert (seen.fault, seen.is_discarded) == (None, True)
    assert list(verifier(shelf).unknown([line.object_id])) == []
    path.write_bytes(sealed)
    assert [found.fault for found in verifier(shelf).unknown([line.object_id])] == [Fault.UNKNOWN]
    assert [found.fault for found in verifier(shelf).check([discarded])] == [Fault.UNKNOWN]


def test_it_is_recorded(shelf: Shelf) -> None:
    verifier(shelf).record(checked=2, faults=1)
    newest = shelf.catalogue.ledger(limit=1)[0]
    assert (newest.kind, newest.outcome, newest.detail) == ("verified", "faults", {"checked": 2, "faults": 1})


def test_a_check_that_was_stopped_proves_nothing(shelf: Shelf) -> None:
    verifier(shelf).record(checked=2, faults=0, is_whole=False)
    assert shelf.catalogue.ledger(limit=1)[0].outcome == "stopped"
