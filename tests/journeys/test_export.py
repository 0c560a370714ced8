"""What leaves is what came in, recorded first, under names that tell nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from leadglass.errors import IntegrityError, StorageFull
from leadglass.journeys.export import Exporter
from leadglass.journeys.import_media import Importer
from leadglass.journeys.ports import ObjectRecord
from tests.journeys.shelf import Shelf, shelf_in
from tests.journeys.test_import_media import File

FILES = [Path(str(get_testdata_file(name))) for name in ("CT_small.dcm", "MR_small.dcm", "examples_palette.dcm")]


class Memory:
    """A sink that keeps what it is given, and may be full."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.files: dict[tuple[str, ...], bytes] = {}
        self.dropped = 0
        self._room = room
        self._name: tuple[str, ...] = ()
        self._data = b""

    def begin(self, name: tuple[str, ...], length_bytes: int) -> None:
        self._name, self._data = name, b""

    def write(self, data: bytes | memoryview) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise StorageFull("Full.")
        self._data += bytes(data)

    def end(self) -> None:
        self.files[self._name] = self._data

    def drop(self) -> None:
        self.dropped += 1


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = shelf_in(tmp_path)
    list(Importer(opened.receiver, "anna", opened.settling.settle).take(File(p.name, p.read_bytes()) for p in FILES))
    yield opened
    opened.close()


def records(shelf: Shelf) -> list[ObjectRecord]:
    from leadglass.journeys.ports import ObjectState

    return list(reversed(shelf.catalogue.objects(ObjectState.ARCHIVED)))


def test_every_byte_and_a_record_for_each(shelf: Shelf) -> None:
    sink = Memory()
    lines = list(Exporter(shelf.archive, shelf.clock, "anna").export(records(shelf), sink, target="stick"))
    assert list(sink.files.values()) == [path.read_bytes() for path in FILES]
    assert [line.length_bytes for line in lines] == [path.stat().st_size for path in FILES]
    for line in lines:
        event = shelf.catalogue.ledger(subject=line.record.object_id)[0]
        assert (event.kind, event.actor, event.detail["target"]) == ("exported", "anna", "stick")


def test_names_are_counted_and_safe(shelf: Shelf) -> None:
    sink = Memory()
    once = records(shelf)
    list(Exporter(shelf.archive, shelf.clock, "anna").export([*once, once[0]], sink, target="x"))
    assert list(sink.files) == [
        ("study-0001", "series-0001", "000001.dcm"),
        ("study-0002", "series-0001", "000001.dcm"),
        ("study-0003", "series-0001", "000001.dcm"),
        ("study-0001", "series-0001", "000002.dcm"),
    ]
    assert all(re.fullmatch(r"[a-z0-9.-]+", part) for name in sink.files for part in name)


def test_an_altered_object_is_not_given_out(shelf: Shelf) -> None:
    record = records(shelf)[0]
    path = next((shelf.folder / "objects").rglob(record.object_id.hex()))
    raw = bytearray(path.read_bytes())
    raw[300] ^= 1
    path.write_bytes(raw)
    sink = Memory()
    with pytest.raises(IntegrityError):
        list(Exporter(shelf.archive, shelf.clock, "anna").export([record], sink, target="x"))
    assert not sink.files


def test_a_full_target_drops_the_half_file(shelf: Shelf) -> None:
    sink = Memory(room=FILES[0].stat().st_size + 10)
    with pytest.raises(StorageFull):
        list(Exporter(shelf.archive, shelf.clock, "anna").export(records(shelf), sink, target="x"))
    assert len(sink.files) == 1
    assert sink.dropped == 1
