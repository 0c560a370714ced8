"""A scan comes back as it was written; a file that does not fit itself, or reaches elsewhere, is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import h5py
import numpy as np
import pytest

from leadglass.edge import rawdata
from leadglass.edge.rawdata import check_scan, open_scan, write_scan
from leadglass.errors import StorageError, UsageError
from leadglass.imaging.geometry import Beam, Panel, circle, helix
from leadglass.imaging.scan import Scan, Sensor, Tube

DETECTOR = "entry/instrument/detector"


def scan(counts: np.ndarray | None = None, *, is_helix: bool = False) -> Scan:
    """Make a small scan with a number of its own in every field."""
    panel = Panel(6, 4, 0.7, 0.9, 0.3, -0.2)
    geometry = helix(panel, 5, pitch_mm=3.0, turns=1.5) if is_helix else circle(panel, 5, first=0.3)
    random = np.random.default_rng(8)
    made = random.poisson(50, (3, 5, 6, 4)).astype(np.float32) if counts is None else counts
    bad = np.zeros((6, 4), bool)
    bad[2, 1] = True
    made[:, :, bad] = 0
    flat = random.poisson(5000, (3, 6, 4)).astype(np.float32)
    tube = Tube(118.0, 0.03, (("aluminium", 3.8), ("copper", 0.1)), 14.0, 80.0)
    sensor = Sensor("CZT", 1.7, 0.12, 1.1, 17.0, 120.0, 0.4, True)
    return Scan(made, flat, (20.0, 34.0, 65.0), geometry, tube, sensor, bad, "rod", "1.2.3", {"seed": "8"})


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    write_scan(scan(), tmp_path / "scan.h5")
    return tmp_path / "scan.h5"


def same(one: Scan, other: Scan) -> bool:
    arrays = [(one.counts, other.counts), (one.flat, other.flat), (one.bad, other.bad)]
    arrays += [(one.geometry.angles, other.geometry.angles), (one.geometry.z_mm, other.geometry.z_mm)]
    rest = [
        (s.thresholds_kev, s.tube, s.sensor, s.name, s.frame_of_reference_uid, s.made_by,
         s.geometry.panel, s.geometry.beam, s.geometry.source_axis_mm, s.geometry.source_panel_mm)
        for s in (one, other)
    ]  # fmt: skip
    return all(np.array_equal(a, b) for a, b in arrays) and rest[0] == rest[1]


@pytest.mark.parametrize("is_helix", [False, True])
@pytest.mark.parametrize("factor", [1, 2000, 0.37])
def test_a_scan_comes_back_as_it_was(tmp_path: Path, is_helix: bool, factor: float) -> None:
    made = scan(is_helix=is_helix)
    made = replace(made, counts=made.counts * np.float32(factor))
    write_scan(made, tmp_path / "scan.h5")
    told: list[tuple[int, int]] = []
    assert same(open_scan(tmp_path / "scan.h5", on_progress=lambda done, of: told.append((done, of))), made)
    assert told[-1] == (5, 5)
    with h5py.File(tmp_path / "scan.h5") as file:
        data = file[f"{DETECTOR}/data"]
        assert data.dtype == {1: np.uint16, 2000: np.uint32, 0.37: np.float32}[factor]
        assert data.shape == (3, 5, 4, 6)
        assert file["entry/data/data"] == data


def test_a_check_reads_everything_but_the_counts(kept: Path) -> None:
    checked = check_scan(kept)
    assert checked.counts.shape == (3, 5, 6, 4)
    assert same(replace(checked, counts=scan().counts), scan())


def drop(place: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[place]

    return change


def put(place: str, value: object, **options: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[place]
        file.create_dataset(place, data=value, **options)

    return change


def link(place: str, to: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[place]
        file[place] = to

    return change


def poke(place: str, value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        kept = np.array(file[place], dtype=np.float32)
        kept[(0,) * kept.ndim] = value
        put(place, kept)(file)

    return change


def elsewhere(file: h5py.File) -> None:
    del file[f"{DETECTOR}/data"]
    file.create_dataset(f"{DETECTOR}/data", (3, 5, 4, 6), np.uint16, external=[("/etc/hostname", 0, 720)])


def virtual(file: h5py.File) -> None:
    del file[f"{DETECTOR}/data"]
    layout = h5py.VirtualLayout((3, 5, 4, 6), np.uint16)
    layout[:] = h5py.VirtualSource("other.h5", "data", (3, 5, 4, 6))
    file.create_virtual_dataset(f"{DETECTOR}/data", layout)


def unfinished(file: h5py.File) -> None:
    del file[f"{DETECTOR}/data"]
    data = file.create_dataset(f"{DETECTOR}/data", (3, 5, 4, 6), np.uint16, chunks=(1, 1, 4, 6))
    data[:, :3] = 7


def huge(file: h5py.File) -> None:
    del file[f"{DETECTOR}/data"]
    file.create_dataset(f"{DETECTOR}/data", (3, 1 << 19, 1 << 10, 1 << 10), np.uint8, chunks=(3, 1 << 19, 1 << 10, 1))


def packed(file: h5py.File) -> None:
    put(f"{DETECTOR}/data", np.ones((3, 5, 4, 6), np.uint16), compression="lzf")(file)


DATA, ENTRY = f"{DETECTOR}/data", "entry/sample"
FAULTS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "a bin is missing": (put(DATA, np.ones((2, 5, 4, 6), np.uint16)), "2 bins and 3 thresholds"),
    "a view is missing": (put(DATA, np.ones((3, 4, 4, 6), np.uint16)), "4 views, 5 angles"),
    "another panel": (put(DATA, np.ones((3, 5, 6, 4), np.uint16)), "where the counts need"),
    "three dimensions": (put(DATA, np.ones((5, 4, 6), np.uint16)), "not 4 dimensions"),
    "no counts": (drop(DATA), "has no /entry/instrument/detector/data"),
    "no group": (drop("entry/instrument/source"), "has no /entry/instrument/source"),
    "a count is no number": (poke(DATA, np.nan), "no numbers in views 0 to"),
    "a count is negative": (poke(DATA, -1), "negative counts"),
    "an angle is no number": (poke(f"{ENTRY}/rotation_angle", np.nan), "no number at /entry/sample/rotation_angle"),
    "a flat field without counts": (poke(f"{DETECTOR}/flat_field", 0), "flat field"),
    "another flat field": (put(f"{DETECTOR}/flat_field", np.ones((3, 9, 9))), "where the counts need"),
    "thresholds that fall": (put(f"{DETECTOR}/thresholds_kev", [20.0, 65.0, 34.0]), "thresholds do not rise"),
    "a source behind the detector": (put("entry/instrument/source/distance_to_axis", 900.0), "behind the detector"),
    "a pixel without size": (put(f"{DETECTOR}/x_pixel_size", 0.0), "without a size"),
    "a tube without charge": (put("entry/instrument/source/charge_mas", 0.0), "has 0 at"),
    "another layout": (put("entry/definition", "NXtomo"), "not laid out"),
    "a later version": (put("entry/version", 2), "not laid out"),
    "text for a number": (put("entry/version", "one"), "no number"),
    "a number for text": (put("entry/definition", 1), "no text"),
    "a beam of light": (put("entry/instrument/beam", "light"), "beam"),
    "text without end": (put("entry/title", "a" * 70_000), "70000 bytes"),
    "filters without thickness": (put("entry/instrument/source/filter_mm", [1.0]), "2 filters and 1"),
    "a group for numbers": (lambda file: (drop(DATA)(file), file.create_group(DATA))[0], "a group at"),
    "a link to another file": (link(DATA, h5py.ExternalLink("/etc/passwd", "/x")), "points elsewhere"),
    "a group in another file": (link("entry/instrument", h5py.ExternalLink("other.h5", "/")), "points elsewhere"),
    "a soft link": (link(DATA, h5py.SoftLink("/entry/data/data")), "points elsewhere"),
    "numbers in another file": (elsewhere, "in other files"),
    "a virtual dataset": (virtual, "in other files"),
    "never finished": (unfinished, "never finished"),
    "chunks without end": (huge, "chunks"),
    "an unknown packing": (packed, "packs"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_does_not_hold_together_is_refused(kept: Path, fault: str) -> None:
    change, said = FAULTS[fault]
    with h5py.File(kept, "r+") as file:
        change(file)
    with pytest.raises(UsageError, match=said) as caught:
        open_scan(kept)
    assert caught.value.hint


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_refused(kept: Path, share: float) -> None:
    whole = kept.read_bytes()
    kept.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError):
        open_scan(kept)


def test_a_file_with_other_bytes_gives_a_scan_or_a_usage_error(kept: Path) -> None:
    """Hostile mutation: whatever single run of bytes changes, nothing else comes out."""
    whole, random = kept.read_bytes(), np.random.default_rng(2)
    for _ in range(150):
        changed = bytearray(whole)
        at, count = int(random.integers(len(whole))), int(random.integers(1, 9))
        changed[at : at + count] = random.bytes(count)
        kept.write_bytes(changed[: len(whole)])
        try:
            open_scan(kept)
        except UsageError as error:
            assert error.hint


def test_nothing_is_written_over_unless_asked(kept: Path) -> None:
    before = kept.read_bytes()
    with pytest.raises(UsageError, match="already there"):
        write_scan(scan(), kept)
    assert kept.read_bytes() == before
    write_scan(replace(scan(), name="new"), kept, is_replacing=True)
    assert open_scan(kept).name == "new"


def test_a_stopped_writer_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scan(scan(), tmp_path / "scan.h5", on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_or_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        write_scan(scan(), tmp_path / "none/scan.h5")
    with pytest.raises(UsageError, match="no file"):
        open_scan(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all, but long enough to be looked at" * 20)
    with pytest.raises(UsageError, match="no HDF5 file"):
        open_scan(tmp_path / "text.h5")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rawdata.os, "fsync", full)
    with pytest.raises(StorageError, match="No space"):
        write_scan(scan(), tmp_path / "scan.h5")
    assert list(tmp_path.iterdir()) == []


def read_by_plugin(path: Path) -> Scan:
    return replace(scan(), name=path.name)


def test_a_plug_in_reads_what_it_is_named_for(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("maker", f"{__name__}:read_by_plugin", rawdata.READERS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: read_by_plugin)
    monkeypatch.setattr(rawdata, "entry_points", lambda group: [point] if group == rawdata.READERS else [])
    assert open_scan(kept, reader="maker").name == "scan.h5"
    with pytest.raises(UsageError, match="No plug-in reads 'other'"):
        open_scan(kept, reader="other")
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda path: None)
    with pytest.raises(UsageError, match="gave no scan"):
        open_scan(kept, reader="maker")


def test_beams_without_a_point_source_come_back(tmp_path: Path) -> None:
    made = replace(scan(), geometry=circle(Panel(6, 4, 1, 1), 5, beam=Beam.PARALLEL))
    write_scan(made, tmp_path / "scan.h5")
    assert open_scan(tmp_path / "scan.h5").geometry.beam is Beam.PARALLEL
    shutil.rmtree(tmp_path)
