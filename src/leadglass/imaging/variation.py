"""Total variation of one volume or of several together: what it costs to differ from one's neighbours.

For one volume it is the size of the gradient, summed over voxels. For several materials it is the sum of the singular
values of their gradients (total nuclear variation; Rigie & La Rivière 2015, Phys. Med. Biol. 60:1741-1762), which is
least where all materials change at the same places in the same direction, as organs do: an edge that is clear in one
material costs the others nothing.

Singular values s count as sqrt(s² + e²) - e, so that the cost has a gradient everywhere: below the edge size e it
smooths like a square, above it it lets edges stand. The smaller e, the more steps a minimum takes. Gradients are
forward differences in 1/mm of the volume's unit; nothing is charged at the grid's last plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.compiled import compiled, compiled_parallel
from leadglass.imaging.geometry import Floats, Grid

Array = NDArray[np.float32]

PLANES = 8
"""Planes of x that one thread does in a turn; the flux of one plane more is computed anew in each."""

SWEEPS = 6
"""Rounds of Jacobi's rotations; they converge with the square, and four materials need four."""


@dataclass(frozen=True, slots=True)
class Variation:
    """How much differing costs (`strength`), from which gradient on it is an edge (`edge_per_mm`, after scaling), and
    what each material is divided by first (`scales`, so that materials of different density count alike; all 1 if
    empty)."""

    strength: float
    edge_per_mm: float
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that make no cost."""
        if self.strength < 0 or self.edge_per_mm <= 0 or any(scale <= 0 for scale in self.scales):
            raise UsageError("A penalty needs a strength of 0 or more, and an edge and scales above 0.")

    def cost(self, volumes: Array, grid: Grid) -> float:
        """Give the cost of volumes [material, x, y, z]."""
        slope = np.zeros((0, *grid.shape), np.float32)
        sums = np.zeros((grid.shape[0] + PLANES - 1) // PLANES)
        _walk(volumes, self._inverse_scales(volumes), _per_mm(grid), self.edge_per_mm, slope, slope, sums)
        return self.strength * float(sums.sum())

    def slope(self, volumes: Array, grid: Grid) -> tuple[Array, Array]:
        """Give the cost's gradient, and a bound of its curvature, both [material, x, y, z].

        The bound is a separable quadratic surrogate's at these volumes: the cost of any others lies below the
        parabola that value, gradient and bound make.
        """
        gradient, bound = np.empty(volumes.shape, np.float32), np.empty(volumes.shape, np.float32)
        sums = np.zeros((grid.shape[0] + PLANES - 1) // PLANES)
        _walk(volumes, self._inverse_scales(volumes), _per_mm(grid), self.edge_per_mm, gradient, bound, sums)
        gradient *= np.float32(self.strength)
        bound *= np.float32(self.strength)
        return gradient, bound

    def _inverse_scales(self, volumes: Array) -> Floats:
        scales = self.scales or (1.0,) * len(volumes)
        if len(scales) != len(volumes):
            raise UsageError(f"There are {len(scales)} scales for {len(volumes)} materials.")
        return 1 / np.array(scales)


def _per_mm(grid: Grid) -> Floats:
    return 1 / np.array(grid.voxel_mm)


@compiled
def _rotate(matrix: Floats, vectors: Floats, p: int, q: int) -> None:
    """Turn the p, q plane of a symmetric matrix so that its entry there vanishes."""
    if abs(matrix[p, q]) < 1e-30:
        return
    half = (matrix[q, q] - matrix[p, p]) / (2 * matrix[p, q])
    tangent = 1 / (abs(half) + np.sqrt(half * half + 1))
    if half < 0:
        tangent = -tangent
    cosine = 1 / np.sqrt(tangent * tangent + 1)
    sine = tangent * cosine
    for k in range(matrix.shape[0]):
        one, two = matrix[k, p], matrix[k, q]
        matrix[k, p], matrix[k, q] = cosine * one - sine * two, sine * one + cosine * two
    for k in range(matrix.shape[0]):
        one, two = matrix[p, k], matrix[q, k]
        matrix[p, k], matrix[q, k] = cosine * one - sine * two, sine * one + cosine * two
        one, two = vectors[k, p], vectors[k, q]
        vectors[k, p], vectors[k, q] = cosine * one - sine * two, sine * one + cosine * two


@compiled
def _whiten(gradients: Floats, edge: float, work: Floats) -> tuple[float, float]:
    """Turn scaled gradients J [material, axis] into (J Jᵀ + e²)^(-1/2) J; give the cost and that matrix's norm."""
    count = gradients.shape[0]
    if count == 1:
        size = np.sqrt(gradients[0, 0] ** 2 + gradients[0, 1] ** 2 + gradients[0, 2] ** 2 + edge * edge)
        gradients /= size
        return size - edge, 1 / size
    matrix, vectors, old = work[0, :, :count], work[1, :, :count], work[2, :, :3]
    for p in range(count):
        for q in range(count):
            vectors[p, q] = 1.0 if p == q else 0.0
            matrix[p, q] = (
                gradients[p, 0] * gradients[q, 0]
                + gradients[p, 1] * gradients[q, 1]
                + gradients[p, 2] * gradients[q, 2]
            )
    for _ in range(SWEEPS if count > 2 else 1):
        for p in range(count - 1):
            for q in range(p + 1, count):
                _rotate(matrix, vectors, p, q)
    cost, norm = 0.0, 0.0
    old[:] = gradients
    gradients[:] = 0
    for k in range(count):
        size = np.sqrt(max(matrix[k, k], 0.0) + edge * edge)
        cost += size - edge
        norm = max(norm, 1 / size)
        for axis in range(3):
            along = 0.0
            for m in range(count):
                along += vectors[m, k] * old[m, axis]
            for m in range(count):
                gradients[m, axis] += vectors[m, k] * along / size
    return cost, norm


@compiled
def _plane(
    volumes: Array, scales: Floats, per_mm: Floats, edge: float, x: int, flux: Array, norms: Array, work: Floats
) -> float:
    """Fill one plane's flux [material, axis, y, z] and norms [y, z]; give its cost."""
    count, planes, width, height = volumes.shape
    gradients = work[3, :, :3]
    total = 0.0
    for y in range(width):
        for z in range(height):
            for m in range(count):
                here = volumes[m, x, y, z]
                scale = scales[m]
                gradients[m, 0] = (volumes[m, x + 1, y, z] - here) * per_mm[0] * scale if x + 1 < planes else 0.0
                gradients[m, 1] = (volumes[m, x, y + 1, z] - here) * per_mm[1] * scale if y + 1 < width else 0.0
                gradients[m, 2] = (volumes[m, x, y, z + 1] - here) * per_mm[2] * scale if z + 1 < height else 0.0
            cost, norm = _whiten(gradients, edge, work)
            total += cost
            norms[y, z] = norm
            for m in range(count):
                for axis in range(3):
                    flux[m, axis, y, z] = gradients[m, axis] * per_mm[axis] * scales[m]
    return total


@compiled
def _gather(
    flux: Array, norms: Array, before: Array, norms_before: Array, scales: Floats, per_mm: Floats, gradient: Array,
    bound: Array,
) -> None:  # fmt: skip
    """Sum what flows out of each voxel of a plane [material, y, z], and bound how it changes."""
    count, _, width, height = flux.shape
    for y in range(width):
        for z in range(height):
            own = norms[y, z] * (per_mm[0] ** 2 + per_mm[1] ** 2 + per_mm[2] ** 2)
            near = norms_before[y, z] * per_mm[0] ** 2
            if y > 0:
                near += norms[y - 1, z] * per_mm[1] ** 2
            if z > 0:
                near += norms[y, z - 1] * per_mm[2] ** 2
            for m in range(count):
                out = before[m, 0, y, z] - flux[m, 0, y, z] - flux[m, 1, y, z] - flux[m, 2, y, z]
                if y > 0:
                    out += flux[m, 1, y - 1, z]
                if z > 0:
                    out += flux[m, 2, y, z - 1]
                gradient[m, y, z] = out
                bound[m, y, z] = 2 * (own + near) * scales[m] ** 2


@compiled_parallel
def _walk(
    volumes: Array, scales: Floats, per_mm: Floats, edge: float, gradient: Array, bound: Array, sums: Floats
) -> None:
    """Sum the cost of each turn's planes; fill gradient and bound unless they have no materials."""
    count, planes, width, height = volumes.shape
    for turn in prange(sums.size):
        flux, before = np.zeros((2, count, 3, width, height), dtype=np.float32)
        norms, norms_before = np.zeros((2, width, height), dtype=np.float32)
        work = np.zeros((4, count, max(count, 3)))
        begin = turn * PLANES
        if begin > 0 and gradient.shape[0] > 0:
            _plane(volumes, scales, per_mm, edge, begin - 1, flux, norms, work)
        for x in range(begin, min(begin + PLANES, planes)):
            flux, before = before, flux
            norms, norms_before = norms_before, norms
            sums[turn] += _plane(volumes, scales, per_mm, edge, x, flux, norms, work)
            if gradient.shape[0] > 0:
                _gather(flux, norms, before, norms_before, scales, per_mm, gradient[:, x], bound[:, x])
