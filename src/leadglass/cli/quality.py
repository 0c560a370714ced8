"""`leadglass quality`: how good a scan's counts are, or how true its material maps, in tables and plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.voice import Json, Voice, verb
from leadglass.errors import UsageError

if TYPE_CHECKING:
    from leadglass.imaging.quality import Accuracy
    from leadglass.imaging.scan import Scan
    from leadglass.imaging.volume import MaterialVolume

_BINS = 96
"""Bars of a histogram."""


@verb(
    "quality",
    site=False,
    example="""\
leadglass quality hand.h5
leadglass quality hand --phantom hand --to plots
leadglass quality hand --json""",
)
@click.argument("what", metavar="SCAN|DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--phantom", metavar="NAME|FILE", help="What was scanned, to compare the maps of DIR with the truth.")
@click.option("--to", "target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
              help="A folder for the plots, as PNG.")  # fmt: skip
@click.pass_obj
def command(voice: Voice, what: Path, phantom: str | None, target: Path | None) -> None:
    """Judge a scan (HDF5), or a study that `leadglass recon` made into DIR.

    Of a scan: counts, gain spread and bad pixels of each bin. Of maps: range and noise of each material in air, and
    with --phantom bias and RMSE of each material that the phantom is mixed from, where it is and where it is not.
    """
    if what.is_dir():
        _volume(voice, what, phantom, target)
    elif phantom:
        raise UsageError("--phantom is for maps.", hint="Reconstruct first: `leadglass recon SCAN --to DIR`.")
    else:
        _scan(voice, what, target)


def _scan(voice: Voice, path: Path, target: Path | None) -> None:
    from leadglass.edge.rawdata import open_scan

    scan = open_scan(path)
    lines = _bins(scan)
    bad = int(scan.bad.sum())
    if voice.is_json:
        voice.json({"scan": scan.name, "views": scan.geometry.views, "bad_pixels": bad, "bins": lines})
    else:
        columns = ("Bin from keV", "Air, counts", "Gain spread", "Darkest", "Least counts", "Empty")
        rows = [tuple(str(value) for value in line.values()) for line in lines]
        voice.table(
            columns, rows, title=f"{scan.name}: {scan.geometry.views} views, {bad} of {scan.bad.size} pixels bad"
        )
    if target is not None:
        _plot(target, {f"bin-{at}": scan.counts[at][:, ~scan.bad] for at in range(scan.bins)}, "counts")


def _bins(scan: Scan) -> list[dict[str, float]]:
    """Give for each bin: air's counts, how they differ between pixels, and the least that came through."""
    import numpy as np

    good, made = ~scan.bad, []
    for at, threshold in enumerate(scan.thresholds_kev):
        flat = scan.flat[at][good].astype(np.float64)
        counts = scan.counts[at][:, good]
        made.append({
            "from_kev": float(threshold),
            "air_counts": round(float(flat.mean()), 1),
            "gain_spread": round(float(flat.std() / flat.mean()), 4),
            "least_transmission": round(float((counts / flat).min()), 4),
            "least_counts": float(counts.min()),
            "empty_share": round(float((counts == 0).mean()), 6),
        })  # fmt: skip
    return made


def _volume(voice: Voice, folder: Path, phantom: str | None, target: Path | None) -> None:
    from leadglass.edge.study_folder import read_volume

    volume = read_volume(folder)
    ranges = _ranges(volume)
    truths = [] if phantom is None else _against(volume, phantom)
    if voice.is_json:
        told: Json = {
            "materials": ranges,
            "truth": [{"where": where, **_of(one)} for where, one in truths],
        }
        voice.json(told)
    else:
        columns = ("Material", "Lowest", "Median", "99 %", "Highest", "Noise at the rim")
        rows = [(name, *(f"{value:.2f}" for value in numbers.values())) for name, numbers in ranges.items()]
        voice.table(columns, rows, title="mg/mL")
        if phantom is not None:
            heads = ("Material", "Where", "Truth", "Mean", "Spread", "Bias", "RMSE", "Voxels")
            voice.table(heads, [_row(where, one) for where, one in truths], title=f"Against {phantom}, mg/mL")
    if target is not None:
        _plot(target, {f"map-{name}": voxels for name, voxels in volume.items()}, "mg/mL")


def _ranges(volume: MaterialVolume) -> dict[str, dict[str, float]]:
    import numpy as np

    made = {}
    for name, voxels in volume.items():
        low, median, high, highest = (float(v) for v in np.percentile(voxels, (0, 50, 99, 100)))
        rim = np.concatenate([voxels[0].ravel(), voxels[-1].ravel(), voxels[:, 0].ravel(), voxels[:, -1].ravel()])
        # The median deviation: where a body touches the rim it is no noise.
        noise = 1.4826 * float(np.median(np.abs(rim - np.median(rim))))
        made[name] = {"lowest": low, "median": median, "p99": high, "highest": highest, "rim_noise": noise}
    return made


def _against(volume: MaterialVolume, phantom: str) -> list[tuple[str, Accuracy]]:
    """Compare each material that the phantom itself is mixed from, a voxel away from where it changes."""
    import numpy as np
    from scipy.ndimage import maximum_filter, minimum_filter

    from leadglass.edge.phantoms import phantom_text
    from leadglass.imaging.phantom import voxelised
    from leadglass.imaging.phantom_text import parse_phantom
    from leadglass.imaging.quality import accuracy

    known, _ = parse_phantom(phantom_text(phantom))
    truth = voxelised(known, volume.grid)
    made = []
    for name in volume:
        if name not in truth:
            continue
        lowest, highest = minimum_filter(truth[name], size=3), maximum_filter(truth[name], size=3)
        steady = highest - lowest < 1e-3 * np.maximum(highest, 1.0)
        for value in np.unique(np.round(truth[name][steady], 3)):
            region = steady & (np.abs(truth[name] - value) < 1e-2)
            where = "without it" if value == 0 else "where it is"
            made.append((where, accuracy(name, volume[name], region, float(value))))
    if not made:
        raise UsageError(
            f"{phantom} is mixed from none of {', '.join(volume)}.",
            hint="Reconstruct with a basis that it is mixed from: " + ", ".join(truth) + ".",
        )
    return made


def _of(one: Accuracy) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(one)


def _row(where: str, one: Accuracy) -> tuple[str, ...]:
    numbers = [value for value in _of(one).values() if isinstance(value, float)]
    return one.material, where, *(f"{value:.2f}" for value in numbers), str(list(_of(one).values())[-1])


def _plot(target: Path, arrays: dict[str, object], unit: str) -> None:
    """Draw a histogram of each array, its number of values on a logarithmic scale."""
    import numpy as np

    from leadglass.edge.study_folder import write_png
    from leadglass.imaging.lettering import write

    target.mkdir(parents=True, exist_ok=True)
    for name, given in arrays.items():
        values = np.asarray(given)
        low, high = (float(value) for value in np.percentile(values, (0.01, 99.99)))
        number, _ = np.histogram(values, bins=_BINS, range=(low, max(high, low + 1e-6)))
        tall = np.log1p(number) / np.log1p(max(int(number.max()), 1))
        picture = np.full((260, _BINS * 5 + 40, 3), 16, dtype=np.uint8)
        for at, height in enumerate(tall):
            picture[220 - int(190 * height) : 220, 20 + at * 5 : 24 + at * 5] = (96, 176, 255)
        write(picture, f"{name}, {unit}, values on a log scale", 8, 20, (236, 236, 236))
        write(picture, f"{low:.4g}", 230, 20, (168, 168, 176), 2)
        right = f"{high:.4g}"
        write(picture, right, 230, picture.shape[1] - 20 - 12 * len(right), (168, 168, 176), 2)
        write_png(picture, target / f"{name}.png")
