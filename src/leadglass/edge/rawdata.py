"""The door for photon counts: scans in HDF5 files, laid out as docs/spec/raw-data.md says.

A scan's file comes from elsewhere, so it is judged before anything large is read: only hard links inside the file, no
external or virtual storage, no filters but those of the HDF5 library itself, numbers and short text only, every size
within `limits` and fitting every other. What does not fit is a UsageError with the next step. A file is written beside
its place and renamed when whole, so a reader never sees half of one and a stopped writer leaves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from leadglass.edge.rawdata_fields import Fields, refusal
from leadglass.errors import StorageError, StorageFull, UsageError
from leadglass.imaging.geometry import Beam, Geometry, Panel
from leadglass.imaging.scan import Counts, Scan, Sensor, Tube
from leadglass.limits import SCAN_BINS_MAX, SCAN_COUNTS_MAX, SCAN_VIEWS_MAX

LAYOUT: Final = "leadglass-scan"
VERSION: Final = 1
READERS: Final = "leadglass.rawdata"
"""Entry point group of plug-ins that read other formats: each a function from a path to a `Scan`."""

_VIEWS_AT_ONCE: Final = 16
_DETECTOR: Final = "entry/instrument/detector"
_SOURCE: Final = "entry/instrument/source"
_SAMPLE: Final = "entry/sample"
Progress = Callable[[int, int], None]


def open_scan(path: Path, *, reader: str | None = None, on_progress: Progress | None = None) -> Scan:
    """Read a scan: from Leadglass's own layout, or through the plug-in that `reader` names.

    Raises UsageError where the file is no scan, is damaged, or does not fit itself, before its counts are read where
    that can be told; a count that is negative or not a number is found while reading.
    """
    if reader is not None:
        found = {one.name: one for one in entry_points(group=READERS)}
        if reader not in found:
            known = ", ".join(sorted(found)) or "none"
            raise UsageError(f"No plug-in reads {reader!r}.", hint=f"Installed are: {known} (group {READERS}).")
        scan = found[reader].load()(path)
        if not isinstance(scan, Scan):
            raise UsageError(f"The plug-in {reader!r} gave no scan of {path}.", hint="Ask its maker.")
        return scan
    with _opened(path) as file:
        fields = Fields(file, path)
        return _counts_of(_described(fields), fields, on_progress)


def check_scan(path: Path) -> Scan:
    """Judge everything but the counts, which stay unread: they are all zero in what is given back."""
    with _opened(path) as file:
        return _described(Fields(file, path))


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint="Check its name; `leadglass simulate` makes one.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        said = str(error)
        if "truncated" in said:
            raise UsageError(f"{path} is cut off: it is shorter than it says.", hint="Copy it again.") from error
        raise UsageError(f"{path} is no HDF5 file, or a damaged one.", hint="Check that it is a scan.") from error
    try:
        with file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, MemoryError) as error:  # what h5py makes of damaged insides
        raise UsageError(f"{path} is damaged inside: {type(error).__name__}.", hint="Copy it again.") from error


def _described(fields: Fields) -> Scan:
    """Read everything but the counts."""
    if fields.text("entry/definition") != LAYOUT or fields.whole("entry/version") != VERSION:
        raise refusal(fields.path, f"is not laid out as {LAYOUT} {VERSION}", "Name the reader for it: --reader NAME.")
    thresholds = tuple(float(one) for one in fields.numbers(f"{_DETECTOR}/thresholds_kev", 1, SCAN_BINS_MAX))
    shape = fields.shape(f"{_DETECTOR}/data", 4)
    bins, views, rows, columns = shape
    if bins != len(thresholds):
        raise refusal(
            fields.path,
            f"has counts of {bins} bins and {len(thresholds)} thresholds",
            "A bin is missing: export again.",
        )
    if views > SCAN_VIEWS_MAX or int(np.prod(shape, dtype=np.uint64)) > SCAN_COUNTS_MAX:
        raise refusal(fields.path, f"has {shape} counts, more than are read", "Split the scan.")
    angles = fields.numbers(f"{_SAMPLE}/rotation_angle", 1, SCAN_VIEWS_MAX)
    heights = fields.numbers(f"{_SAMPLE}/z_translation", 1, SCAN_VIEWS_MAX)
    if len(angles) != views or len(heights) != views:
        raise refusal(
            fields.path, f"has {views} views, {len(angles)} angles and {len(heights)} heights",
            "The geometry is another scan's: export it again.",
        )  # fmt: skip
    panel = Panel(
        columns, rows, fields.number(f"{_DETECTOR}/x_pixel_size"), fields.number(f"{_DETECTOR}/y_pixel_size"),
        fields.number(f"{_DETECTOR}/x_offset"), fields.number(f"{_DETECTOR}/y_offset"),
    )  # fmt: skip
    beam = fields.text("entry/instrument/beam")
    if beam not in {one.value for one in Beam}:
        raise refusal(fields.path, f"has a beam {beam!r}", "It is parallel, fan or cone.")
    geometry = Geometry(
        Beam(beam), panel, angles, heights, fields.number(f"{_SOURCE}/distance_to_axis"),
        fields.number(f"{_SOURCE}/distance_to_detector"),
    )  # fmt: skip
    flat = fields.array(f"{_DETECTOR}/flat_field", (bins, rows, columns)).transpose(0, 2, 1)
    bad = fields.array(f"{_DETECTOR}/pixel_mask", (rows, columns)).transpose() != 0
    empty = np.broadcast_to(np.float32(0), (bins, views, columns, rows))
    return Scan(
        empty, np.ascontiguousarray(flat, dtype=np.float32), thresholds, geometry, _tube(fields), _sensor(fields),
        np.ascontiguousarray(bad), fields.text("entry/title"), fields.text(f"{_SAMPLE}/frame_of_reference_uid"),
        fields.attributes("entry/made_by"),
    )  # fmt: skip


def _tube(fields: Fields) -> Tube:
    names = fields.texts(f"{_SOURCE}/filter_materials")
    widths = fields.numbers(f"{_SOURCE}/filter_mm", 1, 64)
    if len(names) != len(widths):
        raise refusal(fields.path, f"has {len(names)} filters and {len(widths)} thicknesses", "Export it again.")
    return Tube(
        fields.positive(f"{_SOURCE}/peak_kv"),
        fields.positive(f"{_SOURCE}/charge_mas"),
        tuple(zip(names, (float(width) for width in widths), strict=True)),
        fields.positive(f"{_SOURCE}/anode_deg"),
        fields.positive(f"{_SOURCE}/exposure_ms"),
    )


def _sensor(fields: Fields) -> Sensor:
    return Sensor(
        fields.text(f"{_DETECTOR}/sensor_material"),
        fields.positive(f"{_DETECTOR}/sensor_thickness"),
        fields.positive(f"{_DETECTOR}/sensor_pitch"),
        fields.number(f"{_DETECTOR}/noise_kev"),
        fields.number(f"{_DETECTOR}/cloud_um"),
        fields.number(f"{_DETECTOR}/dead_ns"),
        fields.number(f"{_DETECTOR}/threshold_spread_kev"),
        bool(fields.whole(f"{_DETECTOR}/charge_summing")),
    )


def _counts_of(scan: Scan, fields: Fields, on_progress: Progress | None) -> Scan:
    """Read the counts, some views at a time, turning [bin, view, row, column] into [bin, view, column, row]."""
    data = fields.dataset(f"{_DETECTOR}/data")
    counts: Counts = np.empty(scan.counts.shape, dtype=np.float32)
    views = scan.geometry.views
    for first in range(0, views, _VIEWS_AT_ONCE):
        some = slice(first, min(first + _VIEWS_AT_ONCE, views))
        read: NDArray[np.float32] = data[:, some].astype(np.float32)
        good = read.transpose(0, 1, 3, 2)[:, :, ~scan.bad]
        if not np.isfinite(good).all():
            raise refusal(fields.path, f"has counts that are no numbers in views {first} to {some.stop - 1}",
                          "Mark the pixels bad in pixel_mask, or export again.")  # fmt: skip
        if good.size and good.min() < 0:
            raise refusal(fields.path, f"has negative counts in views {first} to {some.stop - 1}",
                          "Export counts as they were, without corrections.")  # fmt: skip
        counts[:, some] = read.transpose(0, 1, 3, 2)
        if on_progress is not None:
            on_progress(some.stop, views)
    counts[:, :, scan.bad] = 0
    return replace(scan, counts=counts)


def write_scan(scan: Scan, path: Path, *, is_replacing: bool = False, on_progress: Progress | None = None) -> None:
    """Write a scan to a new file, whole or not at all.

    Raises UsageError where something is in the way and `is_replacing` is false, StorageError where the disk fails.
    """
    check_target(path, is_replacing=is_replacing)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(partial, "x") as file:
            _fill(file, scan, on_progress)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        if is_replacing:
            partial.replace(path)
        else:
            os.link(partial, path)  # refuses to cover a file that came meanwhile
    except FileExistsError:
        raise UsageError(f"{path} is already there.", hint="Choose another name, or add --force.") from None
    except OSError as error:
        kind = StorageFull if error.errno == 28 else StorageError
        raise kind(f"{path} cannot be written ({error.strerror or error}).", hint="Choose another place.") from error
    finally:
        partial.unlink(missing_ok=True)


def check_target(path: Path, *, is_replacing: bool) -> None:
    """Raise UsageError where a file cannot go, before any work is done for it."""
    if path.is_dir() or (path.exists() and not is_replacing):
        raise UsageError(f"{path} is already there.", hint="Choose another name, or add --force.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", hint="Make it first.")


def _fill(file: h5py.File, scan: Scan, on_progress: Progress | None) -> None:
    file.attrs["default"] = "entry"
    for place, kind in (("entry", "NXentry"), ("entry/instrument", "NXinstrument"), (_SOURCE, "NXsource"),
                        (_DETECTOR, "NXdetector"), (_SAMPLE, "NXsample"), ("entry/made_by", "NXcollection"),
                        ("entry/data", "NXdata")):  # fmt: skip
        file.create_group(place).attrs["NX_class"] = kind
    for key, note in scan.made_by.items():
        file["entry/made_by"].attrs[key] = note
    panel, tube, sensor, geometry = scan.geometry.panel, scan.tube, scan.sensor, scan.geometry
    fields: tuple[tuple[str, object, str], ...] = (
        ("entry/definition", LAYOUT, ""), ("entry/version", VERSION, ""), ("entry/title", scan.name, ""),
        ("entry/instrument/beam", geometry.beam.value, ""),
        (f"{_SAMPLE}/rotation_angle", geometry.angles, "rad"), (f"{_SAMPLE}/z_translation", geometry.z_mm, "mm"),
        (f"{_SAMPLE}/frame_of_reference_uid", scan.frame_of_reference_uid, ""),
        (f"{_SOURCE}/distance_to_axis", geometry.source_axis_mm, "mm"), (f"{_SOURCE}/probe", "x-ray", ""),
        (f"{_SOURCE}/distance_to_detector", geometry.source_panel_mm, "mm"), (f"{_SOURCE}/peak_kv", tube.peak_kv, "kV"),
        (f"{_SOURCE}/charge_mas", tube.charge_mas, "mAs"), (f"{_SOURCE}/anode_deg", tube.anode_deg, "deg"),
        (f"{_SOURCE}/exposure_ms", tube.exposure_ms, "ms"),
        (f"{_SOURCE}/filter_materials", [name for name, _ in tube.filters_mm], ""),
        (f"{_SOURCE}/filter_mm", np.array([width for _, width in tube.filters_mm], dtype=np.float64), "mm"),
        (f"{_DETECTOR}/thresholds_kev", np.array(scan.thresholds_kev), "keV"),
        (f"{_DETECTOR}/x_pixel_size", panel.column_pitch_mm, "mm"),
        (f"{_DETECTOR}/y_pixel_size", panel.row_pitch_mm, "mm"),
        (f"{_DETECTOR}/x_offset", panel.column_offset_mm, "mm"), (f"{_DETECTOR}/y_offset", panel.row_offset_mm, "mm"),
        (f"{_DETECTOR}/sensor_material", sensor.material, ""),
        (f"{_DETECTOR}/sensor_thickness", sensor.thickness_mm, "mm"),
        (f"{_DETECTOR}/sensor_pitch", sensor.pitch_mm, "mm"), (f"{_DETECTOR}/noise_kev", sensor.noise_kev, "keV"),
        (f"{_DETECTOR}/cloud_um", sensor.cloud_um, "um"), (f"{_DETECTOR}/dead_ns", sensor.dead_ns, "ns"),
        (f"{_DETECTOR}/threshold_spread_kev", sensor.threshold_spread_kev, "keV"),
        (f"{_DETECTOR}/charge_summing", int(sensor.is_charge_summing), ""),
        (f"{_DETECTOR}/flat_field", scan.flat.transpose(0, 2, 1), "counts"),
        (f"{_DETECTOR}/pixel_mask", scan.bad.transpose().astype(np.uint8), ""),
    )  # fmt: skip
    for place, value, units in fields:
        kept = file.create_dataset(
            place, data=value, dtype=h5py.string_dtype() if place.endswith("materials") else None
        )
        if units:
            kept.attrs["units"] = units
    _fill_counts(file, scan, on_progress)


def _fill_counts(file: h5py.File, scan: Scan, on_progress: Progress | None) -> None:
    """Write the counts as the smallest whole numbers that hold them, or as they are."""
    bins, views, columns, rows = scan.counts.shape
    largest = max((float(scan.counts[k].max()) for k in range(bins)), default=0.0)
    is_whole = all(bool((scan.counts[:, v] == np.round(scan.counts[:, v])).all()) for v in range(views))
    kind = np.float32 if not is_whole else np.uint16 if largest < 1 << 16 else np.uint32
    data = file.create_dataset(
        f"{_DETECTOR}/data", (bins, views, rows, columns), kind, chunks=(1, 1, rows, columns), shuffle=True,
        compression="gzip", compression_opts=1,
    )  # fmt: skip
    data.attrs["units"], data.attrs["long_name"] = "counts", "photons counted in each bin, view, row, column"
    file["entry/data/data"] = data
    file["entry/data"].attrs["signal"] = "data"
    for view in range(views):
        data[:, view] = scan.counts[:, view].transpose(0, 2, 1).astype(kind)
        if on_progress is not None:
            on_progress(view + 1, views)
