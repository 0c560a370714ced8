"""Iterative reconstruction: the volumes that explain noisy line integrals best, without noise of their own.

Minimises sum over rays of w (Ax - y)² / 2, plus a total variation that couples all materials (`variation`), over
volumes not below `lowest`. Each step uses a part of the views and a separable quadratic surrogate, and is carried on
by Nesterov's momentum: OS-SQS with momentum (Kim, Ramani & Fessler 2015, IEEE Trans. Med. Imaging 34:167-178).

Views of a subset stand evenly around the body. With more than one subset the end is a small cycle around the minimum
instead of the minimum; so the last rounds take fewer and larger subsets, down to one. Momentum starts anew
when it leads uphill (O'Donoghue & Candès 2015, Found. Comput. Math. 15:715-732), which also holds the cycle small.

Nothing here assumes a circle: any views of any beam will do. Memory: seven volumes a material beside the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Geometry, Grid
from leadglass.imaging.progress import Report, tell
from leadglass.imaging.projector import back, fits, forward, only
from leadglass.imaging.variation import Variation

Array = NDArray[np.float32]
Look = Callable[[Array], None]
"""Called after each round with the volumes as they are, to show; they must not be changed."""

VIEWS_A_SUBSET = 12
"""Fewer views than this do not stand for the whole body, and momentum becomes unstable."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to iterate: `rounds` through all views, in `subsets` parts at first (0: as many as the views allow)."""

    rounds: int = 12
    subsets: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that make no plan."""
        if self.rounds < 1 or self.subsets < 0:
            raise UsageError("Iterating takes one round or more, and subsets are counted.", hint="Check --rounds.")

    def parts(self, views: int) -> list[int]:
        """Give the number of subsets in each round: constant for half of the rounds, then halved down to one."""
        first = min(self.subsets or max(1, views // VIEWS_A_SUBSET), views)
        halvings, last = first.bit_length() - 1, self.rounds // 2
        late = [first >> (1 + k * halvings // last) for k in range(last)] if halvings else [first] * last
        return [first] * (self.rounds - last) + late


def least_squares(
    projections: Array,
    grid: Grid,
    geometry: Geometry,
    *,
    weights: Array | None = None,
    variation: Variation | None = None,
    plan: Plan | None = None,
    start: Array | None = None,
    lowest: float = 0.0,
    report: Report | None = None,
    look: Look | None = None,
) -> Array:
    """Reconstruct volumes [material, x, y, z] from line integrals [material, view, column, row].

    One volume may go without its material axis. `weights` are inverse variances of the projections' shape, or inverse
    covariances [material, material, view, column, row]; a ray of weight 0 (a bad pixel) is ignored. Volumes come in
    the unit that makes `projections` with mm (1/mm, or mg/mL where they are mg/mL·mm). Raises UsageError where arrays
    do not fit or are not finite, and Cancelled when `report` says so.
    """
    several = projections.ndim == 4
    data = np.asarray(projections if several else projections[None], dtype=np.float32)
    heavy = _weights(weights, data, several)
    for material in data:
        fits("projections", material, geometry.shape)
    if not (np.isfinite(data).all() and np.isfinite(heavy).all()):
        raise UsageError("The projections or weights hold values that are no numbers.", hint="Repair bad pixels first.")
    begun = np.zeros((len(data), *grid.shape), np.float32) if start is None else np.array(start, np.float32)
    begun = begun.reshape(len(data), *begun.shape[-3:])
    for volume in begun:
        fits("start", volume, grid.shape)
    volumes = _descend(data, heavy, grid, geometry, variation, plan or Plan(), begun, lowest, report, look)
    return volumes if several else volumes[0]


def _weights(weights: Array | None, data: Array, several: bool) -> Array:
    """Give weights of the data's shape, or [material, material, view, column, row]."""
    if weights is None:
        return np.broadcast_to(np.float32(1), data.shape)
    made = np.asarray(weights if several else weights[None], dtype=np.float32)
    if made.shape not in (data.shape, (len(data), *data.shape)):
        raise UsageError(f"The weights are {made.shape}, the projections {data.shape}.", hint="Give one a value.")
    return made


def _curvature(heavy: Array, grid: Grid, geometry: Geometry) -> Array:
    """Bound the data's curvature for each voxel: Aᵀ W A 1, the separable quadratic surrogate's denominator."""
    through = forward(np.ones(grid.shape, np.float32), grid, geometry)
    made = np.stack([back(_row(heavy, m) * through, grid, geometry) for m in range(heavy.shape[0])])
    least = 1e-6 * made.max(axis=(1, 2, 3), keepdims=True) + np.float32(1e-30)
    return np.asarray(np.maximum(made, least))


def _row(heavy: Array, m: int) -> Array:
    """Give the weights that bound a material's part of each ray's quadratic form, whatever the others do.

    Of inverse covariances this is the sum of |W[m, n]| √(W[m, m] / W[n, n]) over n: a choice that no unit changes.
    """
    if heavy.ndim < 5:
        return np.asarray(heavy[m])
    made = np.zeros(heavy.shape[2:], np.float32)
    for n in range(heavy.shape[1]):
        other = np.where(heavy[n, n] > 0, heavy[n, n], np.float32(1))
        made += np.abs(heavy[m, n]) * np.sqrt(np.maximum(heavy[m, m], 0) / other)
    return made


def _turns(views: int, parts: int) -> Iterator[NDArray[np.intp]]:
    """Give the views of each subset, far apart ones one after the other (bits of their number reversed)."""
    bits = max(1, int(np.ceil(np.log2(parts))))
    for k in range(1 << bits):
        turned = int(f"{k:0{bits}b}"[::-1], 2)
        if turned < parts:
            yield np.arange(turned, views, parts)


def _pull(volumes: Array, data: Array, heavy: Array, grid: Grid, geometry: Geometry, views: NDArray[np.intp]) -> Array:
    """Give the data's gradient by some of the views, scaled up to all."""
    some = only(geometry, views)
    wrong = np.stack([forward(volume, grid, some) for volume in volumes])
    wrong -= data[:, views]
    if heavy.ndim == 5:
        wrong = np.einsum("mnvcr,nvcr->mvcr", heavy[:, :, views], wrong)
    else:
        wrong *= heavy[:, views]
    wrong *= np.float32(geometry.views / views.size)
    return np.stack([back(material, grid, some) for material in wrong])


def _descend(
    data: Array,
    heavy: Array,
    grid: Grid,
    geometry: Geometry,
    variation: Variation | None,
    plan: Plan,
    volumes: Array,
    lowest: float,
    report: Report | None,
    look: Look | None,
) -> Array:
    parts = plan.parts(geometry.views)
    done, total = 0, sum(parts)
    tell(report, done, total)
    curvature = _curvature(heavy, grid, geometry)
    ahead, momentum = volumes.copy(), 1.0
    for count in parts:
        for views in _turns(geometry.views, count):
            step = _pull(ahead, data, heavy, grid, geometry, views)
            if variation is None:
                step /= curvature
            else:
                slope, bound = variation.slope(ahead, grid)
                step += slope
                bound += curvature
                step /= bound
                del slope, bound
            reached = np.maximum(np.subtract(ahead, step, out=step), np.float32(lowest), out=step)
            move = reached - volumes
            ahead -= reached
            if np.einsum("mxyz,mxyz,mxyz", ahead, curvature, move) > 0:
                momentum = 1.0
            grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            move *= np.float32((momentum - 1) / grown)
            ahead = np.add(reached, move, out=move)
            volumes, momentum = reached, grown
            done += 1
            tell(report, done, total)
        if look is not None:
            look(volumes)
    return volumes
