"""Frames are found where the standard puts them, and nowhere where it does not say."""

from __future__ import annotations

import struct
import warnings

import pydicom
import pytest
from pydicom.encaps import generate_frames

from leadglass.dicom.elements import DatasetWalker
from leadglass.dicom.part10 import Part10Reader
from leadglass.dicom.pixels import frame_length_bits, frames
from leadglass.dicom.structure import DatasetError, PixelData
from leadglass.dicom.syntaxes import transfer_syntax
from tests.dicom.made import element, encapsulated, real_files

JPEG = transfer_syntax("1.2.840.10008.1.2.4.50")


def pixels(data: bytes) -> PixelData:
    walker = DatasetWalker(JPEG)
    walker.feed(data)
    found = walker.finish().pixel_data
    assert found is not None
    return found


def cut(data: bytes, number_of_frames: int, bits: int = 0) -> list[bytes]:
    ranges = frames(pixels(data), number_of_frames, bits)
    return [b"".join(data[at : at + length] for at, length in parts) for parts in ranges]


def test_native_frames_follow_each_other() -> None:
    data = element(0x7FE00010, "OW", bytes(range(12)))
    assert cut(data, 3, frame_length_bits(2, 1, 1, 16)) == [bytes(range(4)), bytes(range(4, 8)), bytes(range(8, 12))]
    assert cut(data, 2, frame_length_bits(3, 3, 1, 1)) == [b"\0\1", b"\1\2"]


def test_encapsulated_frames_follow_their_table() -> None:
    parts = (b"aa", b"bb", b"cccc")
    assert cut(encapsulated(*parts, table=struct.pack("<II", 0, 20)), 2) == [b"aabb", b"cccc"]
    assert cut(encapsulated(*parts), 3) == list(parts)
    assert cut(encapsulated(*parts), 1) == [b"aabbcccc"]


def test_the_extended_table_goes_first_and_cuts_padding() -> None:
    tables = element(0x7FE00001, "OV", struct.pack("<QQ", 0, 12)) + element(0x7FE00002, "OV", struct.pack("<QQ", 3, 2))
    assert cut(tables + encapsulated(b"aaa\0", b"bb"), 2) == [b"aaa", b"bb"]


@pytest.mark.parametrize(
    ("data", "number_of_frames", "bits"),
    [
        (element(0x7FE00010, "OW", bytes(12)), 4, 32),
        (element(0x7FE00010, "OW", bytes(12)), 2_000_000_000, 16),
        (element(0x7FE00010, "OW", bytes(12)), 1, 0),
        (element(0x7FE00010, "OW", bytes(12)), 0, 8),
        (encapsulated(b"aa", b"bb"), 3, 0),
        (encapsulated(b"aa", b"bb", table=struct.pack("<II", 0, 9)), 2, 0),
        (encapsulated(b"aa", b"bb", table=struct.pack("<II", 10, 0)), 2, 0),
        (encapsulated(b"aa", b"bb", table=struct.pack("<II", 10, 20)), 2, 0),
        (encapsulated(table=struct.pack("<II", 0, 8)), 2, 0),
    ],
)
def test_frames_that_do_not_fit_are_refused(data: bytes, number_of_frames: int, bits: int) -> None:
    with pytest.raises(DatasetError) as caught:
        frames(pixels(data), number_of_frames, bits)
    assert caught.value.code == "frames"


def test_frames_of_real_files_are_those_of_pydicom() -> None:
    compared = 0
    for path in real_files():
        data = path.read_bytes()
        reader = Part10Reader()
        try:
            reader.feed(data)
            structure = reader.finish().structure
        except DatasetError:
            continue
        found = structure.pixel_data
        if found is None or not found.is_encapsulated or reader.meta is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            count = int(dataset.get("NumberOfFrames", 1) or 1)
            try:
                theirs = list(generate_frames(dataset.PixelData, number_of_frames=count))
                ranges = frames(found, count)
            except (ValueError, DatasetError):
                continue
        base = reader.meta.dataset_offset
        assert [b"".join(data[base + a : base + a + n] for a, n in parts) for parts in ranges] == theirs, path.name
        compared += 1
    assert compared > 100
