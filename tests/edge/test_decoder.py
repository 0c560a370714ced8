"""The codec workers answer from another process, and one that dies takes only its own request along."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from leadglass.dicom.syntaxes import transfer_syntax
from leadglass.edge.decoder import Decoder, DecoderError, Rendition
from leadglass.errors import PeerError
from leadglass.malware.anatomy import FileInspector, Inspector


class Source:
    """An opened object over bytes."""

    frames: Sequence[Sequence[tuple[int, int]]] = ()

    def __init__(self, data: bytes) -> None:
        self.data, self.length, self.asked = data, len(data), 0

    def read(self, offset: int, length: int) -> bytes:
        self.asked += length
        return self.data[offset : offset + length]


def source(name: str) -> Source:
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Source(Path(str(path)).read_bytes())


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    pool = Decoder(1, limit_s=20)
    yield pool
    pool.close()


def values(data: Dataset, skip: frozenset[int]) -> list[tuple[int, object]]:
    return [
        (int(e.tag), [values(item, skip) for item in e.value] if e.VR == "SQ" else repr(e.value))
        for e in data
        if int(e.tag) & 0xFFFF and int(e.tag) not in skip
    ]


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm", "waveform_ecg.dcm", "test-SR.dcm"]
)
def test_a_rewrite_to_explicit_keeps_every_element(decoder: Decoder, name: str) -> None:
    one = source(name)
    whole = b"".join(decoder.rewrite(one, "1.2.840.10008.1.2.1"))
    before, after = pydicom.dcmread(io.BytesIO(one.data)), pydicom.dcmread(io.BytesIO(whole))
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    skip = frozenset({0x7FE00010})
    assert values(before, skip) == values(after, skip)
    if "PixelData" in before:
        assert (before.pixel_array == after.pixel_array).all()


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "examples_jpeg2k.dcm"])
def test_a_rewrite_decodes_frames(decoder: Decoder, name: str) -> None:
    one = source(name)
    after = pydicom.dcmread(io.BytesIO(b"".join(decoder.rewrite(one, "1.2.840.10008.1.2.1"))))
    assert (pydicom.dcmread(io.BytesIO(one.data)).pixel_array == after.pixel_array).all()


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm",
                                  "image_dfl.dcm", "rtplan.dcm"])  # fmt: skip
def test_a_rewrite_is_what_the_hub_itself_would_take_in(decoder: Decoder, name: str, syntax: str) -> None:
    """Found with Orthanc: the pixel data came twice. pydicom reads the second over the first and says nothing."""
    one = source(name)
    original = FileInspector(keep=frozenset())
    original.feed(one.data)
    inspector = Inspector(transfer_syntax(syntax), dataset_offset=0, keep=frozenset())
    for chunk in decoder.rewrite(one, syntax, part10=False):
        inspector.feed(chunk)
    known = {finding.claim for finding in original.finish().findings}
    assert {finding.claim for finding in inspector.finish().findings} <= known


def test_frames_of_single_bits_follow_each_other_without_a_gap(decoder: Decoder) -> None:
    """Found with a real segmentation of 38 × 23 bits: each frame was padded to whole bytes."""
    ds = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    ds.Rows, ds.Columns, ds.NumberOfFrames, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 5, 5, 3, 1, 1, 0
    ds.PixelData = bytes([0b10110101, 0x0F, 0xF0, 0xAA, 0x55, 0xC3, 0x3C, 0x99, 0x66, 0x07])
    ds.PixelRepresentation = 0
    written = io.BytesIO()
    ds.save_as(written)
    assert b"".join(decoder.bulk(Source(written.getvalue()), "7FE00010")) == ds.PixelData


def test_metadata_agrees_with_pydicom(decoder: Decoder) -> None:
    one = source("CT_small.dcm")
    model = json.loads(decoder.metadata(one, "https://x/bulkdata"))
    theirs = pydicom.dcmread(io.BytesIO(one.data))
    again = Dataset.from_json(json.dumps(model), lambda *_: b"")
    for element in theirs:
        if element.VR not in ("OW", "OB", "SQ", "UN") and not element.tag.is_private and element.tag.element:
            ours, same = again[element.tag].value, element.value
            if element.VR == "DS" and element.VM:
                assert np.array_equal(np.asarray(ours, float), np.asarray(same, float)), element
            else:
                assert str(ours) == str(same), element
    assert model["7FE00010"] == {"vr": "OW", "BulkDataURI": "https://x/bulkdata/7FE00010"}


def test_rendered_pictures_have_the_size_asked_for(decoder: Decoder) -> None:
    one = source("CT_small.dcm")
    png = Image.open(io.BytesIO(decoder.render(one, 1, Rendition("image/png"))))
    small = Image.open(io.BytesIO(decoder.render(one, 1, Rendition("image/jpeg", viewport=(50, 40)))))
    assert (png.format, png.size, small.format, small.size) == ("PNG", (128, 128), "JPEG", (40, 40))


def test_metadata_does_not_read_the_pixels(decoder: Decoder) -> None:
    one = source("examples_ybr_color.dcm")
    decoder.metadata(one, "")
    assert one.asked < one.length


def test_a_worker_that_dies_is_replaced() -> None:
    pool = Decoder(1, limit_s=20)
    try:
        one = source("CT_small.dcm")
        pool.frame(one, 1)
        (worker,) = pool._all
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(DecoderError):
            pool.frame(one, 1)
        assert len(pool.frame(one, 1).data) == 128 * 128 * 2
    finally:
        pool.close()


def test_a_worker_that_is_silent_is_killed() -> None:
    pool = Decoder(1, limit_s=20)
    try:
        one = source("CT_small.dcm")
        pool.frame(one, 1)
        (worker,) = pool._all
        worker.link.settimeout(0.2)
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(DecoderError):
            pool.frame(one, 1)
        assert worker._process.returncode is not None
        assert pool.frame(one, 1).data
    finally:
        pool.close()


def test_an_object_that_is_none_is_refused_and_the_worker_stays(decoder: Decoder) -> None:
    before = set(decoder._all)
    with pytest.raises(PeerError):
        decoder.frame(Source(b"not DICOM at all" * 100), 1)
    with pytest.raises(PeerError, match="no pixel data"):
        decoder.frame(source("rtplan.dcm"), 1)
    assert decoder._all == before


def test_an_answer_nobody_reads_to_its_end_costs_one_worker_only(decoder: Decoder) -> None:
    chunks = decoder.rewrite(source("examples_ybr_color.dcm"), "1.2.840.10008.1.2.1")
    next(chunks)
    chunks.close()
    assert decoder.frame(source("CT_small.dcm"), 1).data


def test_a_known_frame_table_saves_the_search(decoder: Decoder) -> None:
    """Where the archive knows a frame's fragments, one frame costs its own bytes and the head."""
    one = source("SC_rgb_rle_2frame.dcm")
    searched = decoder.code_stream(one, 2)
    at = one.data.index(searched)
    one.frames = ((), ((at, len(searched)),))
    assert decoder.code_stream(one, 2) == searched
    one.frames = ((), ((at, 10),))
    assert decoder.code_stream(one, 2) == searched[:10]
