"""From counts straight to material volumes: the maps that make all counts most likely, in one step.

One-step spectral reconstruction after Mechlem et al. 2018 (IEEE Trans. Med. Imaging 37:68-80,
doi:10.1109/TMI.2017.2726687) and Weidinger et al. 2016 (doi:10.1155/2016/5871604): the Poisson log-likelihood of every
bin's count is maximised over the material volumes themselves, by separable quadratic surrogates with one small matrix a
voxel that knows how the materials are mistaken for each other, ordered subsets of views, and Nesterov's momentum. The
matrix here is the expected information (Fisher) at the present volumes instead of the paper's curvature of a surrogate.

Against decomposing rays first: noise is weighed where it is Poisson, neighbouring rays help each other, and a ray with
almost no counts does no harm. Penalty: total variation that couples the materials (`variation`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging._ray_fit import score_rays
from leadglass.imaging.compiled import compiled_parallel
from leadglass.imaging.decomposition import gradient_rows
from leadglass.imaging.geometry import Geometry, Grid
from leadglass.imaging.iterative import Plan
from leadglass.imaging.progress import Report, tell
from leadglass.imaging.projector import only
from leadglass.imaging.spectral_model import SpectralModel, condense
from leadglass.imaging.variation import Variation

Array = NDArray[np.float32]
Project = Callable[[Array, Grid, Geometry], Array]

G_CM2_PER_MG_ML_MM = np.float32(1e-4)
"""1 mg/mL along 1 mm is 0.0001 g/cm²."""


@dataclass(frozen=True, slots=True)
class Projector:
    """Line integrals in mm of a volume, and their adjoint; `projector.forward` and `projector.back`, or another's."""

    forward: Project
    back: Project


@dataclass(frozen=True, slots=True)
class _Rays:
    """The counts, and the model as the compiled loops want it."""

    counts: Array
    flat: Array
    rows: Array
    attenuation: Array
    geometry: Geometry
    grid: Grid

    def score(self, volumes: Array, views: slice, projector: Projector, *, curved: bool) -> tuple[Array, Array]:
        """Give the log-likelihood's slope [material, view, column, row] by the area densities, and its information."""
        part = only(self.geometry, views)
        basis, rays = len(volumes), part.views * part.panel.columns * part.panel.rows
        paths = np.stack([projector.forward(one, self.grid, part) for one in volumes])
        paths = (paths * G_CM2_PER_MG_ML_MM).reshape(basis, rays)
        slope = np.empty((basis, rays), dtype=np.float32)
        information = np.empty((basis * (basis + 1) // 2, rays if curved else 0), dtype=np.float32)
        counts = np.ascontiguousarray(self.counts[:, views]).reshape(len(self.counts), rays)
        score_rays(counts, self.flat, 0, self.rows, self.attenuation, paths, slope, information)
        return slope.reshape(basis, *part.shape), information.reshape(-1, *part.shape) if curved else information


def one_step(
    counts: Array,
    flat: Array,
    model: SpectralModel,
    grid: Grid,
    geometry: Geometry,
    projector: Projector,
    *,
    plan: Plan | None = None,
    start: Array | None = None,
    bad: NDArray[np.bool_] | None = None,
    penalty: Variation | None = None,
    non_negative: bool = True,
    curvature_rounds: int = 4,
    report: Report | None = None,
) -> Array:
    """Reconstruct material volumes [material, x, y, z] in mg/mL from counts [bin, view, column, row].

    `flat` is [bin, column, row]; bins without a flat field and pixels marked `bad` say nothing. `start` saves rounds (a
    filtered back projection of decomposed rays); without it everything starts at zero. The curvature is worked out anew
    each `curvature_rounds` rounds. Raises UsageError where shapes do not fit, Cancelled when `report` says so. Memory:
    for M materials about M (M + 11) / 2 volumes.
    """
    basis = len(model.materials)
    if counts.shape != (model.bins, *geometry.shape) or flat.shape != (model.bins, *geometry.shape[1:]):
        raise UsageError(
            f"The counts {counts.shape} or flat field {flat.shape} do not fit {model.bins} bins of {geometry.shape}.",
            hint="Counts are [bin, view, column, row], the flat field [bin, column, row].",
        )
    if start is not None and start.shape != (basis, *grid.shape):
        raise UsageError(f"The start is {start.shape}, the volumes {(basis, *grid.shape)}.")
    usable = np.isfinite(flat) & (flat > 0) & ~(bad if bad is not None else np.zeros(flat.shape[1:], dtype=np.bool_))
    small, _ = condense(model)
    rays = _Rays(
        counts, np.where(usable, flat, 0).astype(np.float32).reshape(model.bins, -1), gradient_rows(small),
        small.attenuation.astype(np.float32), geometry, grid,
    )  # fmt: skip
    now = np.zeros((basis, *grid.shape), np.float32) if start is None else start.astype(np.float32)
    parts = (plan or Plan()).parts(geometry.views)
    ahead, pace, done = now, 1.0, 0
    for number, subsets in enumerate(parts):
        if number % curvature_rounds == 0:
            curvature = _curvature(ahead, rays, projector)
        for subset in _spread(subsets):
            slope, _ = rays.score(ahead, slice(subset, None, subsets), projector, curved=False)
            uphill = _gathered(slope, rays, slice(subset, None, subsets), projector)
            uphill *= np.float32(subsets)
            bound = np.zeros((0, *grid.shape), np.float32)
            if penalty is not None:
                away, bound = penalty.slope(ahead, grid)
                uphill -= away
            following = ahead + _newton(uphill, curvature, bound)
            if non_negative:
                np.maximum(following, 0, out=following)
            if ((ahead - following) * (following - now)).sum(dtype=np.float64) > 0:
                pace = 1.0  # momentum leads away from where the step goes
            quicker = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            ahead = following + np.float32((pace - 1) / quicker) * (following - now)
            now, pace = following, quicker
            done += 1
        tell(report, number + 1, len(parts))
    return now


def _gathered(slope: Array, rays: _Rays, views: slice, projector: Projector) -> Array:
    part = only(rays.geometry, views)
    return np.stack([projector.back(one, rays.grid, part) for one in slope]) * G_CM2_PER_MG_ML_MM


def _curvature(volumes: Array, rays: _Rays, projector: Projector) -> Array:
    """Give each voxel's separable curvature, the lower triangle of a matrix [material * (material + 1) / 2, x, y, z].

    De Pierro's trick: what a ray knows is shared by its voxels in proportion to their part of the ray, so a voxel's
    curvature is the back projection of (length of the ray in the volume) × (information of the ray).
    """
    pairs = len(volumes) * (len(volumes) + 1) // 2
    total = np.zeros((pairs, *rays.grid.shape), dtype=np.float32)
    full = np.ones(rays.grid.shape, dtype=np.float32)
    at_once = max(1, rays.geometry.views // 8)
    for first in range(0, rays.geometry.views, at_once):  # some views at a time: the information is large
        views = slice(first, min(first + at_once, rays.geometry.views))
        part = only(rays.geometry, views)
        length = projector.forward(full, rays.grid, part)
        _, information = rays.score(volumes, views, projector, curved=True)
        for pair in range(pairs):
            total[pair] += projector.back(information[pair] * length, rays.grid, part)
    return total * G_CM2_PER_MG_ML_MM**2


def _spread(subsets: int) -> list[int]:
    """Order subsets so that each is far from those before it: bits reversed."""
    bits = max(subsets - 1, 0).bit_length()
    return [k for k in (int(format(k, f"0{bits}b")[::-1], 2) if bits else 0 for k in range(1 << bits)) if k < subsets]


def _newton(uphill: Array, curvature: Array, bound: Array) -> Array:
    """Solve each voxel's small system; voxels no ray knows anything of stay."""
    step = np.zeros_like(uphill)
    basis = len(uphill)
    _solve_voxels(
        uphill.reshape(basis, -1), curvature.reshape(len(curvature), -1), bound.reshape(len(bound), uphill[0].size),
        step.reshape(basis, -1),
    )  # fmt: skip
    return step


@compiled_parallel
def _solve_voxels(uphill: Array, curvature: Array, bound: Array, step: Array) -> None:
    basis, voxels = uphill.shape
    for part in prange((voxels + 4095) // 4096):
        lower, x = np.empty((basis, basis)), np.empty(basis)
        for voxel in range(part * 4096, min((part + 1) * 4096, voxels)):
            place, known = 0, True
            for i in range(basis):
                for j in range(i + 1):
                    total = np.float64(curvature[place, voxel])
                    if i == j:
                        known = known and bool(total > 0)
                        total = total * 1.0001 + (bound[i, voxel] if bound.shape[0] > 0 else 0.0)
                    for k in range(j):
                        total -= lower[i, k] * lower[j, k]
                    lower[i, j] = np.sqrt(max(total, 1e-30)) if i == j else total / lower[j, j]
                    place += 1
            if not known:
                continue
            for i in range(basis):
                x[i] = uphill[i, voxel]
                for k in range(i):
                    x[i] -= lower[i, k] * x[k]
                x[i] /= lower[i, i]
            for i in range(basis - 1, -1, -1):
                for k in range(i + 1, basis):
                    x[i] -= lower[k, i] * x[k]
                x[i] /= lower[i, i]
                step[i, voxel] = x[i]
