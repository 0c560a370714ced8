"""Decoded frames equal what pydicom decodes; a broken code stream is a CodecError and nothing else."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.pixels import convert_color_space, iter_pixels

from leadglass.edge.codecs import CodecError, PixelFormat, frame_array
from leadglass.edge.codecs_display import grey, rgb
from leadglass.edge.codecs_object import StoredObject
from leadglass.errors import PeerError

CLEAN = Path(__file__).parents[2] / "../shared/data/dicom-clean"

EXACT = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm",
    "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm", "JPEG2000.dcm", "J2K_pixelrep_mismatch.dcm", "image_dfl.dcm", "liver_1frame.dcm",
    "liver_expb_1frame.dcm", "rtdose_rle.dcm", "rtdose_expb.dcm",
    "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_32bit_2frame.dcm",
    "SC_rgb_small_odd_big_endian.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_gdcm_KY.dcm", "examples_palette.dcm",
]  # fmt: skip


def stored(data: bytes) -> StoredObject:
    return StoredObject(io.BytesIO(data))


def packaged(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None
    return Path(str(path)).read_bytes()


def difference(data: bytes, frames_max: int = 1000) -> float:
    """Give the largest difference from pydicom over the frames, colour compared as RGB."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    mine = stored(data)
    count = min(mine.form().frames, frames_max)
    worst = 0.0
    for number, theirs in enumerate(iter_pixels(dataset, raw=False, indices=list(range(count))), 1):
        ours, form = mine.frame(number)
        if form.photometric in ("YBR_FULL", "YBR_FULL_422"):
            ours = convert_color_space(ours, "YBR_FULL", "RGB")
        assert ours.shape == theirs.shape
        worst = max(worst, float(np.nanmax(np.abs(ours.astype(float) - theirs.astype(float)))))
    return worst


@pytest.mark.parametrize("name", EXACT)
def test_lossless_frames_are_pixel_exact(name: str) -> None:
    assert difference(packaged(name)) == 0


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_jpeg_no_color_transform.dcm"])
def test_lossy_colour_is_within_rounding(name: str) -> None:
    assert difference(packaged(name)) <= 2


def test_twelve_bit_jpeg_decodes() -> None:
    """pydicom's plug-ins do not decode this one; the picture must fill its twelve bits."""
    frame, form = stored(packaged("JPEG-lossy.dcm")).frame(1)
    assert frame.shape == (form.rows, form.columns) and 255 < int(frame.max()) < 4096


def test_big_endian_rewrites_turn_pixels_and_palettes() -> None:
    array, _form = stored(packaged("MR_small_bigendian.dcm")).frame(1)
    theirs, _form = stored(packaged("MR_small.dcm")).frame(1)
    assert (array == theirs).all()


@pytest.mark.long
@pytest.mark.skipif(not CLEAN.is_dir(), reason="../shared/data/dicom-clean is not beside this checkout")
def test_every_decodable_clean_object_agrees() -> None:
    """Every object pydicom decodes, we decode to the same pixels (lossy ones within one step)."""
    agreed, lossy = 0, {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(CLEAN.glob("*.dcm")):
            data = path.read_bytes()
            try:
                dataset = pydicom.dcmread(io.BytesIO(data))
                form = stored(data).form()
                first = next(iter_pixels(dataset, raw=False, indices=[0]))
            except Exception:  # noqa: BLE001  the peer cannot read or decode it
                continue
            if form.is_signed and form.bits_stored < form.bits_allocated and not stored(data).is_encapsulated:
                continue  # pydicom extends the sign of native values, we give the bytes as stored
            assert first.size
            limit = 2 if str(dataset.file_meta.get("TransferSyntaxUID")) in lossy else 0
            assert difference(data, 2) <= limit, path.name
            agreed += 1
    assert agreed > 250


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_objects_decode_or_are_refused(data: st.DataObject) -> None:
    """A flipped or cut object gives a picture or a PeerError from the codec side, nothing else.

    Codecs are C: a crash here would be one of the worker's, so only the code that is ours is under test (RLE, native).
    """
    name = data.draw(st.sampled_from(["MR_small_RLE.dcm", "SC_rgb_rle_2frame.dcm", "MR_small.dcm"]))
    whole = bytearray(packaged(name))
    start = stored(bytes(whole)).pixel
    assert start is not None
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(start.offset, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(start.offset, len(whole)))
    try:
        frame, form = stored(bytes(whole[:cut])).frame(1)
        assert frame.shape == form.shape
    except PeerError:
        pass


def test_a_size_that_differs_is_refused_before_decoding() -> None:
    data = packaged("JPEG2000.dcm")
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.Rows += 1
    out = io.BytesIO()
    dataset.save_as(out)
    with pytest.raises(CodecError, match="differs"):
        stored(out.getvalue()).frame(1)


def test_a_frame_nobody_could_hold_is_refused() -> None:
    with pytest.raises(CodecError, match="larger"):
        PixelFormat(65535, 65535, 3, 16, 16, 15, False, 0, "RGB", 1)


def test_short_pixel_data_is_refused() -> None:
    form = PixelFormat(4, 4, 1, 16, 16, 15, False, 0, "MONOCHROME2", 1)
    with pytest.raises(CodecError, match="ends before"):
        frame_array(b"\0" * 31, form)


def test_segmented_and_plain_palettes_become_rgb() -> None:
    picture = rgb(stored(packaged("examples_palette.dcm")), 1)
    assert picture.ndim == 3 and picture.dtype == np.uint8 and picture.std() > 0


def test_modality_and_window_come_from_the_object() -> None:
    frame = grey(stored(packaged("CT_small.dcm")), 1)
    assert (frame.slope, frame.intercept, frame.unit) == (1.0, -1024.0, "HU")
