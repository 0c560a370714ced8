"""Materials from reconstructed voxels: constrained least squares over every allowed mixture, and which one it is.

Image-domain decomposition as MARS scanners do it (Bateman et al. 2018, arXiv:1802.05366): each voxel's attenuation in
the bins is explained by a few non-negative concentrations. With a handful of materials every subset can be solved in
closed form, so the minimum is exact and needs no iteration; `most_together` limits how many materials one voxel may
hold (their sparsity rule), and the volume fractions may sum to at most one.

This needs bins already corrected for beam hardening, or a thin object; `decomposition` and `onestep` do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.compiled import compiled_parallel
from leadglass.imaging.volume import MaterialVolume, Voxels

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EffectiveAttenuation:
    """What one mg/mL of each material adds to each bin's reconstruction: `per_mg_ml` [bin, material] in 1/cm.

    `mg_per_ml_pure` is the concentration at which a material fills the voxel; infinite where it takes no room (a dye).
    `offset` [bin] is what an empty voxel shows.
    """

    materials: tuple[str, ...]
    per_mg_ml: Floats
    mg_per_ml_pure: Floats
    offset: Floats

    def __post_init__(self) -> None:
        """Raise UsageError where shapes do not fit or the bins cannot tell the materials apart."""
        bins, basis = self.per_mg_ml.shape
        if basis != len(self.materials) or self.mg_per_ml_pure.shape != (basis,) or self.offset.shape != (bins,):
            raise UsageError("The calibration's numbers do not fit its materials and bins.", hint="Calibrate again.")
        if basis > bins or np.linalg.matrix_rank(self.per_mg_ml / np.linalg.norm(self.per_mg_ml, axis=0)) < basis:
            raise UsageError(
                f"{bins} bins do not tell {', '.join(self.materials)} apart.", hint="Ask for fewer materials."
            )


def decompose_image(
    bins: Voxels, effective: EffectiveAttenuation, *, noise: Floats | None = None, most_together: int | None = None
) -> dict[str, Voxels]:
    """Explain each voxel of `bins` [bin, x, y, z] (1/cm) by concentrations in mg/mL, each [x, y, z].

    `noise` [bin] is the bins' standard deviation and weights them; `most_together` the number of materials a voxel may
    hold. Raises UsageError where shapes do not fit.
    """
    count = len(effective.materials)
    if bins.ndim != 4 or bins.shape[0] != effective.per_mg_ml.shape[0]:
        raise UsageError(f"Bins of shape {bins.shape} do not fit a calibration of {effective.per_mg_ml.shape[0]} bins.")
    weight = 1.0 / np.asarray(noise if noise is not None else np.ones(bins.shape[0]), dtype=np.float64)
    scaled = effective.per_mg_ml * weight[:, None]
    normal = scaled.T @ scaled
    room = 1.0 / effective.mg_per_ml_pure
    together = min(most_together or count, count)
    subsets = [s for size in range(1, together + 1) for s in combinations(range(count), size)]
    inverses = np.zeros((len(subsets), count, count))
    for which, subset in enumerate(subsets):
        inverses[which][np.ix_(subset, subset)] = np.linalg.inv(normal[np.ix_(subset, subset)])
    found = np.zeros((count, bins[0].size), dtype=np.float32)
    _explain(
        np.ascontiguousarray(bins, dtype=np.float32).reshape(bins.shape[0], -1),
        effective.offset, scaled.T * weight[None, :], normal, inverses, room, found,
    )  # fmt: skip
    return {name: found[m].reshape(bins.shape[1:]) for m, name in enumerate(effective.materials)}


@compiled_parallel
def _explain(
    bins: Voxels, offset: Floats, project: Floats, normal: Floats, inverses: Floats, room: Floats, found: Voxels
) -> None:
    """For each voxel try every subset, free and with the voxel exactly full, and keep the best feasible one."""
    count, voxels = found.shape
    slices = (voxels + 4095) // 4096
    for part in prange(slices):
        h, c, full, best = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
        for voxel in range(part * 4096, min((part + 1) * 4096, voxels)):
            for m in range(count):
                h[m] = 0.0
                for b in range(bins.shape[0]):
                    h[m] += project[m, b] * (bins[b, voxel] - offset[b])
                best[m] = 0.0
            least = 0.0
            for which in range(inverses.shape[0]):
                inverse = inverses[which]
                filled, spare = 0.0, 0.0
                for m in range(count):
                    c[m], full[m] = 0.0, 0.0
                    for k in range(count):
                        c[m] += inverse[m, k] * h[k]
                        full[m] += inverse[m, k] * room[k]
                    filled += room[m] * c[m]
                    spare += room[m] * full[m]
                if filled > 1.0 and spare > 0.0:
                    for m in range(count):
                        c[m] += full[m] * (1.0 - filled) / spare
                loss, feasible = 0.0, True
                for m in range(count):
                    feasible = feasible and c[m] >= 0.0
                    loss -= 2.0 * h[m] * c[m]
                    for k in range(count):
                        loss += c[m] * normal[m, k] * c[k]
                if feasible and loss < least:
                    least = loss
                    for m in range(count):
                        best[m] = c[m]
            for m in range(count):
                found[m, voxel] = best[m]


def identify(volume: MaterialVolume, thresholds_mg_ml: dict[str, float]) -> NDArray[np.int8]:
    """Say which material each voxel is: the one furthest above its threshold, counted from 1 in the order given.

    Voxels where none reaches its threshold are 0. Raises UsageError for a material the volume lacks.
    """
    label = np.zeros(volume.grid.shape, dtype=np.int8)
    strongest = np.ones(volume.grid.shape, dtype=np.float32)
    for number, (name, threshold) in enumerate(thresholds_mg_ml.items(), 1):
        if name not in volume or threshold <= 0:
            raise UsageError(
                f"There is no map of {name} with a threshold above 0.", hint="Known are " + ", ".join(volume) + "."
            )
        ratio = volume[name] / np.float32(threshold)
        above = ratio >= strongest
        label[above] = number
        strongest[above] = ratio[above]
    return label
