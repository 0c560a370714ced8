"""Area densities of materials from one ray's counts: maximum likelihood, each ray for itself, in parallel.

Projection-domain decomposition after Schlomka et al. 2008 (doi:10.1088/0031-9155/53/15/002): the area densities that
make the Poisson counts of a ray most likely under the `SpectralModel`, found by Newton steps with the expected second
derivative (Fisher scoring), Levenberg damping, a trust region in optical depth, and a step that is halved where it
overshot. The start is a polynomial of the log counts (Alvarez & Macovski 1976, doi:10.1088/0031-9155/21/5/002).

Estimates may be negative, down to minus the model's reach: a ray without iodine must be zero in the mean, and cutting
off its negative half would bias every voxel it crosses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging._ray_fit import fit_rays
from leadglass.imaging.corrections import repair_bad
from leadglass.imaging.spectral_model import Floats, SpectralModel, condense, drawn_paths

Counts = NDArray[np.float32]
Paths = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FittedPaths:
    """Area densities `paths` [material, view, column, row] in g/cm², and how many Newton steps rays took in the mean.

    `unsettled` is the share of rays that had not settled at the last step; `condensed_error` the largest relative
    error of a bin's transmission that came from using few energies.
    """

    paths: Paths
    mean_steps: float
    unsettled: float
    energies: int
    condensed_error: float


def decompose_projections(
    counts: Counts,
    flat: Counts,
    model: SpectralModel,
    *,
    bad: NDArray[np.bool_] | None = None,
    tolerance: float = 1e-3,
    steps: int = 24,
) -> FittedPaths:
    """Fit each ray of counts [bin, view, column, row] with flat field [bin, column, row].

    A ray has settled when its next step would gain less than `tolerance` in twice the log-likelihood: 0.001 is 3 % of
    a standard deviation before the last step, far less after it. Bins whose flat field is zero or not a number are left
    out of their pixel; pixels marked `bad`, or left with fewer bins than materials, continue the good
    ones around them. Raises UsageError where shapes do not fit or too few pixels are left.
    """
    if counts.ndim != 4 or flat.shape != (counts.shape[0], *counts.shape[2:]) or counts.shape[0] != model.bins:
        raise UsageError(
            f"The counts {counts.shape} and flat field {flat.shape} do not fit a model of {model.bins} bins.",
            hint="Counts are [bin, view, column, row], the flat field [bin, column, row].",
        )
    if not np.isfinite(counts.sum(dtype=np.float64)):
        raise UsageError("The counts hold a number that is none.", hint="Read the raw data again, or mark the pixel.")
    good = np.isfinite(flat) & (flat > 0)
    unusable = good.sum(axis=0) < len(model.materials)
    if bad is not None:
        unusable |= bad
    if unusable.all():
        raise UsageError("No pixel has as many good bins as there are materials.", hint="Recalibrate the detector.")
    usable_flat = np.where(good & ~unusable, flat, 0.0).astype(np.float32)
    small, error = condense(model)
    rows = gradient_rows(small)
    reach = model.reach_g_cm2
    bins, views, columns, height = counts.shape
    paths = np.zeros((len(model.materials), views * columns * height), dtype=np.float32)
    taken, unsettled = fit_rays(
        np.ascontiguousarray(counts, dtype=np.float32).reshape(bins, -1),
        usable_flat.reshape(bins, -1),
        rows,
        small.attenuation.astype(np.float32),
        starting_polynomial(small).astype(np.float32),
        (-reach).astype(np.float32),
        (2 * reach).astype(np.float32),
        np.float32(tolerance),
        steps,
        paths,
    )
    fitted = paths.reshape(len(model.materials), views, columns, height)
    if unusable.any():
        fitted = np.stack([repair_bad(one, unusable) for one in fitted])
    rays = max(paths.shape[1], 1)
    return FittedPaths(fitted, taken / rays, unsettled / rays, int(small.energies_kev.size), error)


def monomials(logs: Floats) -> Floats:
    """Give 1, each log, and each product of two, in the order the compiled fit uses; [..., bin] -> [..., term]."""
    bins = logs.shape[-1]
    terms = [np.ones(logs.shape[:-1])]
    terms += [logs[..., b] for b in range(bins)]
    terms += [logs[..., b] * logs[..., c] for b in range(bins) for c in range(b, bins)]
    return np.stack(terms, axis=-1)


def starting_polynomial(model: SpectralModel) -> Floats:
    """Fit area densities as a quadratic polynomial of −ln(transmission) over the model's reach; [material, term].

    Weighted towards thin rays, and damped so that bins' noise is not blown up. The constant term is zero: an empty ray
    starts, and settles, at zero.
    """
    paths = drawn_paths(model, 1500)
    terms = monomials(model.log_attenuation(paths))[:, 1:]
    weight = 1.0 / (0.05 + (paths / model.reach_g_cm2).sum(axis=1))
    scale = np.sqrt((terms**2).mean(axis=0)) + 1e-12
    damped = np.vstack([terms / scale * weight[:, None], 1e-3 * np.sqrt(len(paths)) * np.eye(terms.shape[1])])
    wanted = np.vstack([paths * weight[:, None], np.zeros((terms.shape[1], paths.shape[1]))])
    found = np.linalg.lstsq(damped, wanted, rcond=None)[0] / scale[:, None]
    return np.asarray(np.vstack([np.zeros((1, paths.shape[1])), found]).T)


def gradient_rows(model: SpectralModel) -> NDArray[np.float32]:
    """Lay out [bin * (1 + material), energy]: what sums to a bin's transmission, then to each of its derivatives."""
    rows = np.concatenate(
        [model.effective[:, None, :], -model.effective[:, None, :] * model.attenuation[None, :, :]], axis=1
    )
    return np.ascontiguousarray(rows.reshape(-1, model.energies_kev.size), dtype=np.float32)
