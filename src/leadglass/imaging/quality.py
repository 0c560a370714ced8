"""How good volumes are: resolution, noise, contrast, accuracy of each material, and what can be told apart.

Measures follow their definitions: modulation transfer from an edge (ISO 12233's slanted edge; for rods as in
Richard et al. 2012, doi:10.1118/1.4725171), noise power spectrum from repeated or differenced volumes (ICRU Report 87,
chapter 5), detection limit after Currie 1968 (doi:10.1021/ac60259a007). Results are plain values with `to_json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.volume import Voxels

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Measured:
    """What every result can: be written as JSON, floats rounded to six digits."""

    __slots__ = ()

    def to_json(self) -> str:
        """Write the result with its field names."""
        return json.dumps(_plain(asdict(self)), sort_keys=True)  # type: ignore[call-overload]  # each is a dataclass


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


@dataclass(frozen=True, slots=True)
class Transfer(Measured):
    """Modulation transfer at each frequency, and the frequencies where it falls to a half and a tenth (1/mm)."""

    per_mm: tuple[float, ...]
    transfer: tuple[float, ...]
    half_per_mm: float
    tenth_per_mm: float


@dataclass(frozen=True, slots=True)
class NoisePower(Measured):
    """Noise power (unit² mm²) at each radial frequency of slices, its mean frequency, and the noise itself."""

    per_mm: tuple[float, ...]
    power: tuple[float, ...]
    mean_per_mm: float
    standard_deviation: float


@dataclass(frozen=True, slots=True)
class Accuracy(Measured):
    """How one region's concentration compares with the truth (mg/mL)."""

    material: str
    truth_mg_ml: float
    mean_mg_ml: float
    standard_deviation_mg_ml: float
    bias_mg_ml: float
    rmse_mg_ml: float
    voxels: int


@dataclass(frozen=True, slots=True)
class Linearity(Measured):
    """The straight line through measured against true concentrations; `r_squared` is 1 for a perfect line."""

    slope: float
    intercept: float
    r_squared: float


@dataclass(frozen=True, slots=True)
class Identification(Measured):
    """How often voxels of each class were named what they are.

    `confusion` has a row for each true class and a column for each named class, both in the order of `classes`.
    """

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    sensitivity: dict[str, float]
    specificity: dict[str, float]

    @property
    def accuracy(self) -> float:
        """Give the share of voxels named right."""
        table = np.array(self.confusion)
        return float(np.trace(table) / max(table.sum(), 1))


def modulation_transfer(volume: Voxels, grid: Grid, centre_mm: tuple[float, float], radius_mm: float) -> Transfer:
    """Measure the modulation transfer across the edge of a rod along z.

    Voxels within twice the radius are sorted by their distance from the rod's axis into an edge profile finer than the
    voxels; its derivative is the line spread, and its spectrum the transfer, corrected for the profile's own bins and
    difference. The curve goes to the voxels' Nyquist frequency. Raises UsageError where the rod is not in the volume,
    or has no contrast.
    """
    x, y = grid.centres_mm(0)[:, None] - centre_mm[0], grid.centres_mm(1)[None, :] - centre_mm[1]
    distance = np.hypot(x, y) - radius_mm
    near = np.abs(distance) < 0.85 * radius_mm
    bin_mm = min(grid.voxel_mm[:2]) / 8
    half = int(0.8 * radius_mm / bin_mm)
    index = np.rint(distance[near] / bin_mm).astype(np.int64) + half
    kept = (index >= 0) & (index <= 2 * half)
    flat = volume.mean(axis=2, dtype=np.float64)[near][kept]
    number = np.bincount(index[kept], minlength=2 * half + 1)
    if half < 16 or (number > 0).sum() < half:
        raise UsageError("The rod is too thin or outside the volume.", hint="Use a rod of eight voxels or more.")
    filled = number > 0
    mean = np.bincount(index[kept], flat, minlength=2 * half + 1)[filled] / number[filled]
    steps = np.arange(2 * half + 1, dtype=np.float64)
    edge = np.interp(steps, steps[filled], mean)
    spread = np.diff(edge) * np.hanning(2 * half)
    if abs(spread.sum()) < 1e-9 * max(abs(edge).max(), 1e-30):
        raise UsageError("The rod shows no contrast.", hint="Choose the material or energy that it is seen in.")
    padded = 8 * spread.size
    per_mm = np.asarray(np.fft.rfftfreq(padded, bin_mm), dtype=np.float64)
    transfer = np.abs(np.fft.rfft(spread, padded)) / abs(spread.sum())
    transfer /= np.sinc(per_mm * bin_mm) ** 2  # averaging in bins, and the difference of neighbours
    shown = per_mm <= 0.5 / min(grid.voxel_mm[:2])
    per_mm, transfer = per_mm[shown], transfer[shown]
    return Transfer(
        tuple(per_mm.tolist()), tuple(transfer.tolist()), _falls_to(per_mm, transfer, 0.5),
        _falls_to(per_mm, transfer, 0.1),
    )  # fmt: skip


def _falls_to(per_mm: Floats, transfer: Floats, level: float) -> float:
    """Find the first frequency where a curve falls below a level; the last one where it never does."""
    below = np.flatnonzero(transfer < level)
    if not below.size or below[0] == 0:
        return float(per_mm[-1] if not below.size else per_mm[0])
    at = below[0]
    share = (transfer[at - 1] - level) / (transfer[at - 1] - transfer[at])
    return float(per_mm[at - 1] + share * (per_mm[at] - per_mm[at - 1]))


def noise_power(noise: Voxels, grid: Grid, region: tuple[slice, slice]) -> NoisePower:
    """Measure the radial noise power spectrum of slices of a volume of noise.

    `noise` holds noise alone: the difference of two scans divided by √2, or a volume less its mean over repeats.
    `region` cuts x and y. The integral of the power over the plane of frequencies is the variance.
    """
    part = noise[region].astype(np.float64)
    part = part - part.mean(axis=(0, 1), keepdims=True)
    sides, voxel = part.shape[:2], grid.voxel_mm
    if min(sides) < 8:
        raise UsageError("The region for noise is under eight voxels wide.", hint="Choose a larger one.")
    power = (np.abs(np.fft.fft2(part, axes=(0, 1))) ** 2).mean(axis=2) * voxel[0] * voxel[1] / (sides[0] * sides[1])
    frequency = np.hypot(np.fft.fftfreq(sides[0], voxel[0])[:, None], np.fft.fftfreq(sides[1], voxel[1])[None, :])
    step = 1 / (max(sides) * max(voxel[:2]))
    ring = np.rint(frequency / step).astype(np.int64).ravel()
    number = np.bincount(ring)
    radial = np.bincount(ring, power.ravel()) / np.maximum(number, 1)
    per_mm = np.arange(radial.size) * step
    mean = float((frequency * power).sum() / max(float(power.sum()), 1e-300))
    return NoisePower(tuple(per_mm.tolist()), tuple(radial.tolist()), mean, float(part.std()))


def contrast_to_noise(volume: Voxels, inside: Mask, around: Mask) -> float:
    """Give the difference of two regions' means over the noise of the second."""
    noise = float(volume[around].std(dtype=np.float64))
    difference = float(volume[inside].mean(dtype=np.float64) - volume[around].mean(dtype=np.float64))
    return abs(difference) / noise if noise > 0 else float("inf")


def accuracy(material: str, voxels: Voxels, region: Mask, truth_mg_ml: float) -> Accuracy:
    """Compare a region of a material's map with the concentration it has; UsageError for a region of no voxel."""
    values = voxels[region].astype(np.float64)
    if not values.size:
        raise UsageError(f"The region of {material} holds no voxel.", hint="Check the phantom's description.")
    return Accuracy(
        material, truth_mg_ml, float(values.mean()), float(values.std()), float(values.mean() - truth_mg_ml),
        float(np.sqrt(((values - truth_mg_ml) ** 2).mean())), int(values.size),
    )  # fmt: skip


def linearity(truth: Sequence[float], measured: Sequence[float]) -> Linearity:
    """Fit measured = slope · truth + intercept; UsageError for fewer than three points or a single concentration."""
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if x.size < 3 or x.shape != y.shape or float(np.ptp(x)) == 0:
        raise UsageError("A straight line needs three concentrations or more.", hint="Use a phantom with more rods.")
    slope, intercept = (float(value) for value in np.polyfit(x, y, 1))
    left, spread = float(((y - slope * x - intercept) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    return Linearity(slope, intercept, 1 - left / spread if spread > 0 else 0.0)


def detection_limit_mg_ml(background: Floats, slope: float = 1.0) -> float:
    """Give Currie's detection limit from blank measurements of one region size: missed, or invented, 5 % of times.

    `background` are measured concentrations (mg/mL) of as many regions without the material (each a mean over the
    region); `slope` is measured over true. L_D = 3.29 σ / slope for blanks whose mean is known from many.
    """
    if background.size < 5 or slope <= 0:
        raise UsageError("A detection limit needs five blank regions or more.", hint="Use a phantom with more water.")
    return float(3.29 * background.std(ddof=1) / slope)


def identification(truth: NDArray[np.integer], named: NDArray[np.integer], classes: Sequence[str]) -> Identification:
    """Compare true and named classes, numbers from 0 into `classes`; negative truth is left out.

    Sensitivity of a class: of its voxels, the share named so. Specificity: of all other voxels, the share not named so.
    """
    count, kept = len(classes), truth >= 0
    pairs = truth[kept].astype(np.int64) * count + named[kept].astype(np.int64)
    if pairs.size and (named[kept].min() < 0 or max(named[kept].max(), truth[kept].max()) >= count):
        raise UsageError("A class has a number that has no name.", hint="Give a name for each, 0 included.")
    table = np.bincount(pairs, minlength=count * count).reshape(count, count)
    hits, rows, columns, total = np.diag(table), table.sum(axis=1), table.sum(axis=0), table.sum()
    sensitivity = {n: float(h / r) if r else float("nan") for n, h, r in zip(classes, hits, rows, strict=True)}
    specificity = {
        n: float(1 - (c - h) / (total - r)) if total > r else float("nan")
        for n, h, r, c in zip(classes, hits, rows, columns, strict=True)
    }
    return Identification(tuple(classes), tuple(tuple(int(v) for v in row) for row in table), sensitivity, specificity)
