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
def _one(j: Floats, edge: float) -> tuple[float, float]:
    """Turn one material's gradient g into g / √(g² + e²); give the cost and the factor."""
    size = np.sqrt(j[0, 0] ** 2 + j[0, 1] ** 2 + j[0, 2] ** 2 + edge * edge)
    for axis in range(3):
        j[0, axis] /= size
    return size - edge, 1 / size


@compiled
def _two(j: Floats, edge: float) -> tuple[float, float]:
    """Turn two materials' gradients J into (J Jᵀ + e²)^(-1/2) J; give the cost and that matrix's norm."""
    a, b, c = edge * edge, 0.0, edge * edge
    for axis in range(3):
        a += j[0, axis] ** 2
        b += j[0, axis] * j[1, axis]
        c += j[1, axis] ** 2
    # the determinant as a sum of squares: the difference a c - b² would lose its digits at edges in common
    cross = (j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]) ** 2
    cross += (j[0, 1] * j[1, 2] - j[0, 2] * j[1, 1]) ** 2 + (j[0, 2] * j[1, 0] - j[0, 0] * j[1, 2]) ** 2
    square = edge * edge
    root = np.sqrt(cross + square * (a + c - square))
    trace = np.sqrt(a + c + 2 * root)
    least = 2 * root * root / (a + c + np.sqrt((a - c) ** 2 + 4 * b * b))
    for axis in range(3):
        one, two = j[0, axis], j[1, axis]
        j[0, axis] = ((c + root) * one - b * two) / (root * trace)
        j[1, axis] = ((a + root) * two - b * one) / (root * trace)
    return trace - 2 * edge, 1 / np.sqrt(least)


@compiled
def _roots(a: float, b: float, c: float, d: float, e: float, f: float, least: float) -> tuple[float, float, float]:
    """Give the roots of a symmetric matrix's eigenvalues [[a, d, e], [d, b, f], [e, f, c]], none below `least`."""
    mean = (a + b + c) / 3
    a, b, c = a - mean, b - mean, c - mean
    spread = np.sqrt((a * a + b * b + c * c + 2 * (d * d + e * e + f * f)) / 6)
    if spread <= 1e-12 * mean:
        root = np.sqrt(max(mean, least))
        return root, root, root
    half = (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / (2 * spread**3)
    turn = np.arccos(min(1.0, max(-1.0, half))) / 3
    high = mean + 2 * spread * np.cos(turn)
    low = mean + 2 * spread * np.cos(turn + 2 * np.pi / 3)
    middle = 3 * mean - high - low
    return np.sqrt(max(high, least)), np.sqrt(max(middle, least)), np.sqrt(max(low, least))


@compiled
def _more(j: Floats, edge: float) -> tuple[float, float]:
    """Turn three materials' gradients J or more into J (Jᵀ J + e²)^(-1/2), which is the same; give cost and norm.

    The inverse root of C is a quadratic in C (Hoger & Carlson 1984, Q. Appl. Math. 42:113-117).
    """
    square = edge * edge
    a, b, c, d, e, f = square, square, square, 0.0, 0.0, 0.0
    for m in range(j.shape[0]):
        x, y, z = j[m, 0], j[m, 1], j[m, 2]
        a, b, c = a + x * x, b + y * y, c + z * z
        d, e, f = d + x * y, e + x * z, f + y * z
    one, two, three = _roots(a, b, c, d, e, f, square)
    first, second, third = one + two + three, one * two + one * three + two * three, one * two * three
    under = first * second - third
    quadratic, linear = first / under, 1 - first * (first * first - second) / under
    constant = second - first * first * third / under
    for m in range(j.shape[0]):
        x, y, z = j[m, 0], j[m, 1], j[m, 2]
        once = (a * x + d * y + e * z, d * x + b * y + f * z, e * x + f * y + c * z)
        twice = (
            a * once[0] + d * once[1] + e * once[2],
            d * once[0] + b * once[1] + f * once[2],
            e * once[0] + f * once[1] + c * once[2],
        )
        j[m, 0] = (quadratic * twice[0] + linear * once[0] + constant * x) / third
        j[m, 1] = (quadratic * twice[1] + linear * once[1] + constant * y) / third
        j[m, 2] = (quadratic * twice[2] + linear * once[2] + constant * z) / third
    return first - 3 * edge, 1 / three if j.shape[0] == 3 else 1 / edge


@compiled
def _whiten(j: Floats, edge: float) -> tuple[float, float]:
    """Turn scaled gradients J [material, axis] into (J Jᵀ + e²)^(-1/2) J; give the cost and that matrix's norm."""
    if j.shape[0] == 1:
        return _one(j, edge)
    if j.shape[0] == 2:
        return _two(j, edge)
    return _more(j, edge)


@compiled
def _plane(
    volumes: Array, scales: Floats, per_mm: Floats, edge: float, x: int, flux: Array, norms: Array, gradients: Floats
) -> float:
    """Fill one plane's flux [material, axis, y, z] and norms [y, z]; give its cost."""
    count, planes, width, height = volumes.shape
    total = 0.0
    for y in range(width):
        for z in range(height):
            for m in range(count):
                here = volumes[m, x, y, z]
                scale = scales[m]
                gradients[m, 0] = (volumes[m, x + 1, y, z] - here) * per_mm[0] * scale if x + 1 < planes else 0.0
                gradients[m, 1] = (volumes[m, x, y + 1, z] - here) * per_mm[1] * scale if y + 1 < width else 0.0
                gradients[m, 2] = (volumes[m, x, y, z + 1] - here) * per_mm[2] * scale if z + 1 < height else 0.0
            cost, norm = _whiten(gradients, edge)
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
        gradients = np.zeros((count, 3))
        begin = turn * PLANES
        if begin > 0 and gradient.shape[0] > 0:
            _plane(volumes, scales, per_mm, edge, begin - 1, flux, norms, gradients)
        for x in range(begin, min(begin + PLANES, planes)):
            flux, before = before, flux
            norms, norms_before = norms_before, norms
            sums[turn] += _plane(volumes, scales, per_mm, edge, x, flux, norms, gradients)
            if gradient.shape[0] > 0:
                _gather(flux, norms, before, norms_before, scales, per_mm, gradient[:, x], bound[:, x])
