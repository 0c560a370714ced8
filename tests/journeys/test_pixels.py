"""The pixels an object came with are in the ledger; later sweeps take them again and name the frame that differs.

The attacker here holds the site's keys: he seals another content in an object's place, and alters its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from sqlalchemy import update

from leadglass.archive.catalogue import encode_description
from leadglass.archive.envelope import Sealer
from leadglass.dicom.frame_digests import FrameDigests
from leadglass.edge.clock import system_random
from leadglass.edge.database_store import Store
from leadglass.edge.sandbox import Sandbox
from leadglass.edge.schema import INSTANCES
from leadglass.journeys.import_media import Importer
from leadglass.journeys.inspection_ports import Inspectors
from leadglass.journeys.pixels import difference
from leadglass.journeys.ports import ObjectRecord, ObjectState
from leadglass.journeys.quarantine import Quarantine
from leadglass.journeys.receive import IN_PROCESS, KEEP
from leadglass.journeys.sweep import Sweeper, SweepLine
from leadglass.journeys.verify import Fault, Verifier, VerifyLine
from leadglass.malware.verdict import Verdict
from tests.dicom.made import element
from tests.dicom.test_frame_digests import described, file_of
from tests.journeys.shelf import Shelf, shelf_in

CT = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
FRAMES, FRAME_BYTES = 20, 64 * 64
PIXELS = bytes(at % 251 for at in range(FRAMES * FRAME_BYTES))


@dataclass(frozen=True)
class File:
    label: str
    data: bytes

    def pieces(self) -> Iterator[bytes]:
        yield self.data


def cine(pixels: bytes = PIXELS, comment: bytes = b"AS SENT ") -> bytes:
    """A multi-frame secondary capture."""
    head = b"".join(
        (
            element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7.2\0"),
            element(0x00080018, "UI", b"2.25.1\0\0"[:6]),
            element(0x00080060, "CS", b"OT"),
            element(0x00100020, "LO", b"P1"),
            element(0x0020000D, "UI", b"2.25.2"),
            element(0x0020000E, "UI", b"2.25.3"),
            element(0x00204000, "LT", comment),
        )
    )
    return file_of(head + described(FRAMES, 64, 64, 8) + element(0x7FE00010, "OW", pixels))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = shelf_in(tmp_path)
    yield opened
    opened.close()


def taken(shelf: Shelf, data: bytes) -> ObjectRecord:
    (line,) = Importer(shelf.receiver, "anna", shelf.settling.settle).take([File("one", data)])
    assert line.object_id is not None
    shelf.settling.settle()
    return shelf.catalogue.object(line.object_id)


def sealed_again(shelf: Shelf, record: ObjectRecord, data: bytes) -> bytes:
    """Seal another content in the object's place with the site's own keys; gives its new content digest."""
    opened = shelf.archive.open_record(record)
    path = next((shelf.folder / "objects").rglob(record.object_id.hex()))
    attributes = record.attributes
    scope = shelf.catalogue.scope(record.study_instance_uid, attributes.get(0x00100020, ""), "")
    written = bytearray()
    sealer = Sealer(
        object_id=record.object_id, data_key=system_random(32), salt=system_random(32), write=written.extend
    )
    sealer.update(data[: opened.dataset_offset])
    sealer.begin_data_set()
    sealer.update(data[opened.dataset_offset :])
    sealed = sealer.finish(scope=scope, frames=opened.frames, description=encode_description(record))
    path.write_bytes(sealed.header + written[len(sealed.header) :])
    return sealed.digest


def row_written(shelf: Shelf, record: ObjectRecord) -> ObjectRecord:
    """Alter the object's row as whoever has the database and its keys can."""
    vault, store = shelf.catalogue._vault, shelf.catalogue._store
    assert isinstance(store, Store)
    filed = vault.filed(record.study_instance_uid, record.attributes.get(0x00100020, ""), "")
    sealed = filed.patient.record.seal(b"instance|" + record.object_id, encode_description(record))
    store.write(
        lambda connection: connection.execute(
            update(INSTANCES).where(INSTANCES.c.object_id == record.object_id).values(sealed=sealed)
        )
    )
    return shelf.catalogue.object(record.object_id)


def verified(shelf: Shelf, record: ObjectRecord) -> VerifyLine:
    (line,) = Verifier(shelf.archive, shelf.clock, "anna").check([record])
    return line


def swept(shelf: Shelf, record: ObjectRecord, inspectors: Inspectors = IN_PROCESS) -> SweepLine:
    sweeper = Sweeper(shelf.archive, shelf.clock, system_random, shelf.settling, inspectors, "anna")
    (line,) = sweeper.sweep([record])
    return line


def altered(*frames: int) -> bytes:
    pixels = bytearray(PIXELS)
    for frame in frames:
        pixels[(frame - 1) * FRAME_BYTES + 7] ^= 1
    return bytes(pixels)


def test_the_ledger_holds_one_digest_of_all_frames(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    assert record.frames is not None and record.frames.count == FRAMES
    entry = shelf.catalogue.ledger(subject=record.object_id)[0]
    assert (entry.detail["pixels"], entry.detail["frames"]) == (record.frames.root.hex(), FRAMES)
    assert record.frames.root.hex() not in str(taken(shelf, CT).frames)


def test_untouched_objects_are_sound(shelf: Shelf) -> None:
    for data in (cine(), CT):
        record = taken(shelf, data)
        assert verified(shelf, record).fault is None
        assert swept(shelf, record).verdict is Verdict.CLEAN


def test_the_frame_that_differs_is_named(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    sealed_again(shelf, record, cine(altered(17)))
    line = verified(shelf, record)
    assert line.fault is Fault.OTHER_CONTENT
    assert line.message.endswith("The pixels of frame 17 of 20 are not those that were received.")
    seen = swept(shelf, record)
    assert seen.verdict is Verdict.MALICIOUS
    assert [(finding.id, finding.cls) for finding in seen.new] == [("LG-TMP-001", "pixels_altered")]
    assert seen.reason == "The pixels of frame 17 of 20 are not those that were received."
    newest = shelf.catalogue.ledger(limit=1)[0]
    assert (newest.kind, newest.subject, newest.detail["reason"]) == (
        "object-inspected",
        record.object_id,
        seen.reason,
    )


def test_a_header_that_differs_has_its_pixels_still(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    sealed_again(shelf, record, cine(comment=b"ALTERED "))
    line = verified(shelf, record)
    assert (line.fault, "Every frame has the pixels" in line.message) == (Fault.OTHER_CONTENT, True)
    assert swept(shelf, record).new == ()


def test_a_row_altered_with_the_object_is_found_by_the_ledger(shelf: Shelf) -> None:
    """The row agrees with the altered object in everything; the ledger's entry of the arrival does not."""
    record = taken(shelf, cine())
    digest = sealed_again(shelf, record, cine(altered(2, 3)))
    other = taken(shelf_in(_fresh(shelf.folder)), cine(altered(2, 3)))
    lying = row_written(shelf, replace(record, digest=digest, frames=other.frames))
    assert lying.frames == other.frames != record.frames
    line = verified(shelf, lying)
    assert (line.fault, line.message) == (Fault.OTHER_PIXELS, "The pixels are not those that were received.")
    assert swept(shelf, lying).verdict is Verdict.MALICIOUS
    forgetful = row_written(shelf, replace(lying, frames=None))
    assert verified(shelf, forgetful).fault is Fault.OTHER_PIXELS


def _fresh(folder: Path) -> Path:
    fresh = folder / "elsewhere"
    fresh.mkdir()
    return fresh


def test_a_row_alone_that_differs_is_told(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    lying = replace(record, frames=FrameDigests.of(bytes(32 * FRAMES)))
    line = verified(shelf, lying)
    assert (line.fault, line.message) == (
        Fault.OTHER_PIXELS,
        "The catalogue's record of the pixels is not that of the ledger.",
    )


def test_bytes_altered_on_the_disk_name_their_frames(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    path = next((shelf.folder / "objects").rglob(record.object_id.hex()))
    data = bytearray(path.read_bytes())
    data[30_000] ^= 1  # the first chunk of 64 KiB, which ends in frame 16
    path.write_bytes(data)
    line = verified(shelf, record)
    assert line.fault is Fault.ALTERED
    assert "The pixels of frames 1-16 of 20 are not" in line.message


def test_an_object_from_before_there_were_digests_is_no_fault(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    old = replace(record, object_id=bytes(16), frames=None)
    assert difference(shelf.catalogue, old, record.frames) == ""


def test_other_counts_and_lists_that_cannot_tell(shelf: Shelf) -> None:
    record = taken(shelf, cine())
    fewer = FrameDigests.of(bytes(32 * 3))
    assert difference(shelf.catalogue, record, fewer) == "The object holds 3 frames, and 20 were received."
    assert difference(shelf.catalogue, record, None) == "The pixels are not those that were received."
    single = taken(shelf, CT)
    said = difference(shelf.catalogue, single, FrameDigests.of(bytes(32)))
    assert said == "The pixels of frame 1 of 1 are not those that were received."


def test_a_released_object_keeps_its_digests(tmp_path: Path) -> None:
    policy = '[[route]]\nname = "Everything"\nfrom = "*"\n[route.on]\nclean = "hold"\n'
    shelf = shelf_in(tmp_path, policy=policy)
    try:
        held = taken(shelf, cine())
        assert held.state is ObjectState.HELD and held.frames is not None
        quarantine = Quarantine(shelf.archive, shelf.clock, system_random, shelf.settling, shelf.receiver.policy)
        released = shelf.catalogue.object(quarantine.release(held.object_id, "anna", "Looked at."))
        assert released.frames == held.frames
        (entry,) = shelf.catalogue.ledger(subject=released.object_id)
        assert entry.detail["pixels"] == held.frames.root.hex()
        assert verified(shelf, released).fault is None
    finally:
        shelf.close()


def test_a_worker_that_inspects_gives_the_same_digests(shelf: Shelf) -> None:
    """Where inspection runs in a process of its own, the digests come in its answer."""
    record = taken(shelf, cine())
    sandbox = Sandbox(KEEP)
    try:
        assert swept(shelf, record, sandbox).verdict is Verdict.CLEAN
        sealed_again(shelf, record, cine(altered(5)))
        assert swept(shelf, record, sandbox).reason.startswith("The pixels of frame 5 of 20")
    finally:
        sandbox.close()
