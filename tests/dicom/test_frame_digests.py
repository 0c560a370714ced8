"""Each frame's stored bytes have one digest, however the object is cut on its way, and the list names what differs."""

from __future__ import annotations

import random
import struct

import pytest
from blake3 import blake3

from leadglass.dicom.frame_digests import RUNS_MAX, FrameDigests, digests_of
from leadglass.dicom.part10 import encode_file_meta
from leadglass.dicom.pixels import frames, native_frames
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, transfer_syntax
from leadglass.journeys.receive import KEEP
from leadglass.malware.anatomy import FileInspector
from tests.dicom.made import element, real_files
from tests.dicom.made import encapsulated as pixel_items

JPEG = "1.2.840.10008.1.2.4.50"


def described(frame_count: int, rows: int, columns: int, bits: int) -> bytes:
    return b"".join(
        (
            element(0x00280002, "US", struct.pack("<H", 1)),
            element(0x00280008, "IS", str(frame_count).encode() + b" " * (len(str(frame_count)) % 2)),
            element(0x00280010, "US", struct.pack("<H", rows)),
            element(0x00280011, "US", struct.pack("<H", columns)),
            element(0x00280100, "US", struct.pack("<H", bits)),
        )
    )


def file_of(data_set: bytes, syntax: str = EXPLICIT_LITTLE.uid) -> bytes:
    head = encode_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid="2.25.1",
        transfer_syntax_uid=syntax,
        implementation_class_uid="2.25.1",
        implementation_version_name="TEST",
    )
    return head + data_set


def native(pixels: bytes, frame_count: int, rows: int, columns: int, bits: int) -> bytes:
    return file_of(described(frame_count, rows, columns, bits) + element(0x7FE00010, "OW", pixels))


def encapsulated(fragments: list[bytes], frame_count: int, table: bytes = b"") -> bytes:
    return file_of(described(frame_count, 8, 8, 8) + pixel_items(*fragments, table=table), JPEG)


def digests(data: bytes, cuts: int = 0) -> tuple[FrameDigests | None, FileInspector]:
    inspector = FileInspector(keep=KEEP, hashes_frames=True)
    random.seed(cuts)
    ends = sorted(random.sample(range(1, len(data)), cuts)) if cuts else []
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        inspector.feed(data[start:end])
    inspector.finish()
    return inspector.frame_digests, inspector


def again(data: bytes, inspector: FileInspector) -> FrameDigests | None:
    """Take them as whoever opens a sealed object does: from the table of frames alone."""
    assert inspector.structure is not None and inspector.structure.pixel_data is not None
    order = transfer_syntax(inspector.transfer_syntax_uid).is_little_endian
    table = frames(inspector.structure.pixel_data, *native_frames(inspector.values, is_little=order))
    start = inspector.dataset_offset or 0
    placed = [tuple((offset + start, length) for offset, length in ranges) for ranges in table]
    return digests_of(placed, (data[at : at + 4_096] for at in range(0, len(data), 4_096)))


def test_a_native_frame_is_hashed_by_its_exact_bytes() -> None:
    pixels = random.Random(1).randbytes(3 * 40_000)
    found, _ = digests(native(pixels, 3, 200, 200, 8))
    expected = b"".join(blake3(pixels[at : at + 40_000]).digest() for at in range(0, len(pixels), 40_000))
    assert found == FrameDigests.of(expected)
    assert found.count == 3 and len(found.runs) == 3 * 16


def test_an_encapsulated_frame_is_hashed_by_its_fragments() -> None:
    """One fragment by its bytes, several by their digests; the item headers and the table do not count."""
    parts = [random.Random(at).randbytes(500 + 2 * at) for at in range(3)]
    table = struct.pack("<II", 0, 2 * 8 + len(parts[0]) + len(parts[1]))
    hashed = [blake3(part).digest() for part in parts]
    found, _ = digests(encapsulated(parts, 2, table))
    assert found == FrameDigests.of(blake3(hashed[0] + hashed[1]).digest() + hashed[2])
    one, _ = digests(encapsulated([*parts, b""], 1))
    assert one == FrameDigests.of(blake3(b"".join([*hashed, blake3(b"").digest()])).digest())


def test_packed_bits_share_a_byte() -> None:
    pixels = random.Random(2).randbytes(16)
    found, inspector = digests(native(pixels, 9, 3, 4, 1))  # 12 bits a frame
    expected = [pixels[at * 12 // 8 : -(-(at + 1) * 12 // 8)] for at in range(9)]
    assert found == FrameDigests.of(b"".join(blake3(frame).digest() for frame in expected))
    assert again(native(pixels, 9, 3, 4, 1), inspector) == found


@pytest.mark.parametrize("cuts", [1, 7, 60])
def test_any_split_of_the_bytes_gives_the_same(cuts: int) -> None:
    pixels = random.Random(3).randbytes(90_000)
    table = struct.pack("<III", 0, 40_008, 80_016)
    for data in (
        native(pixels, 9, 100, 100, 8),
        native(pixels, 8, 3, 7, 1),
        encapsulated([pixels[:40_000], pixels[40_000:80_000], pixels[80_000:]], 3, table),
    ):
        found, inspector = digests(data, cuts)
        assert found is not None
        assert found == digests(data)[0] == again(data, inspector)


def test_objects_without_frames_have_none() -> None:
    assert digests(file_of(described(1, 8, 8, 8)))[0] is None  # no pixels
    assert digests(native(bytes(64), 3, 8, 8, 8))[0] is None  # too few for three frames
    assert digests(encapsulated([b"ab"] * 3, 2))[0] is None  # no table tells which is whose
    assert digests(native(bytes(64), 1, 8, 8, 8)[:-8])[0] is None  # cut short


def test_the_list_names_the_frame_that_differs() -> None:
    pixels = bytearray(random.Random(4).randbytes(120 * 64))
    before = digests(native(bytes(pixels), 120, 8, 8, 8))[0]
    pixels[16 * 64 + 5] ^= 1
    pixels[119 * 64] ^= 1
    after = digests(native(bytes(pixels), 120, 8, 8, 8))[0]
    assert before is not None and after is not None
    assert before.root != after.root
    assert before.differing(after) == [(17, 17), (120, 120)]
    assert before.differing(before) == []


def test_a_list_of_many_is_of_runs() -> None:
    count = 2 * RUNS_MAX + 2
    known = FrameDigests.of(bytes(range(32)) * count)
    other = bytearray(bytes(range(32)) * count)
    other[32 * 4] ^= 1
    assert known.run_length == 3 and len(known.runs) <= RUNS_MAX * 16
    assert known.differing(FrameDigests.of(other)) == [(4, 6)]
    other[32 * 4] ^= 1
    other[-32] ^= 1
    assert known.differing(FrameDigests.of(other)) == [(2050, 2050)]


def test_what_is_written_reads_back_and_nothing_else_does() -> None:
    for count in (1, 2, RUNS_MAX + 1):
        known = FrameDigests.of(bytes(32) * count)
        assert FrameDigests.read(known.written()) == known
    good = FrameDigests.of(bytes(64)).written()
    bad: list[object] = [
        None,
        [],
        good[:3],
        [0, *good[1:]],
        [2, "00", 1, good[3]],
        [3, *good[1:]],
        [2, good[1], 2, good[3]],
    ]
    for written in bad:
        with pytest.raises(ValueError, match=r"frame digests|hex"):
            FrameDigests.read(written)


def test_real_objects_have_the_digests_of_their_table() -> None:
    """What the walk takes while the object comes is what whoever opens it takes later."""
    hashed = 0
    for path in real_files():
        data = path.read_bytes()
        found, inspector = digests(data, 3)
        if found is not None:
            hashed += 1
            assert again(data, inspector) == found, path.name
    assert hashed > 300
