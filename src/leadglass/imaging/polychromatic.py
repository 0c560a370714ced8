"""Compiled: what a detector expects to count behind a phantom, ray by ray and energy by energy.

Rays are taken a tile of pixels at a time, so that the loops over rays are straight and vectorise. The exponential is a
polynomial of degree six on half a binade (relative error under 3e-7), because a library call for each ray and energy
would be the whole cost.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from leadglass.imaging.compiled import compiled, compiled_parallel
from leadglass.imaging.thickness import TILE, of_tile, seen, trace

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

_TO_BINARY = np.float32(-1.4426950408889634)
_FACTORS = tuple(np.float32(0.6931471805599453**n / f) for n, f in enumerate((1, 1, 2, 6, 24, 120, 720)))
_F0, _F1, _F2, _F3, _F4, _F5, _F6 = _FACTORS
_HALF, _LEAST = np.float32(0.5), np.float32(-125.0)


@compiled_parallel
def expected(
    kinds: Ints, solids: Floats, hulls: Floats, densities: Floats, scanner: Floats, angles: Floats, heights: Floats,
    supersample: int, attenuation: Singles, weights: Singles, found: Singles,
) -> None:  # fmt: skip
    """Write the mean over each pixel's rays of the sum over energies of weight times transmission.

    `attenuation` is [substance, energy] in cm²/g, `weights` [row, energy]; `found` is [row, view, column, row].
    """
    columns, rows = found.shape[2], found.shape[3]
    air = weights.sum(axis=1)
    for view in numba.prange(angles.size):
        windows = seen(hulls, scanner, angles[view], heights[view])
        near = np.empty(kinds.size, dtype=np.int64)
        rays = supersample * supersample
        masses = np.empty((densities.shape[1], TILE * TILE * rays), dtype=np.float32)
        sums = np.empty((weights.shape[0], TILE * TILE * rays), dtype=np.float32)
        exponent = np.empty(TILE * TILE * rays, dtype=np.int32)
        for first_column in range(0, columns, TILE):
            for first_row in range(0, rows, TILE):
                count = of_tile(windows, first_column, first_row, near)
                if count > 0:
                    trace(
                        kinds, solids, densities, windows, near, count, scanner, angles[view], heights[view],
                        first_column, first_row, supersample, masses,
                    )  # fmt: skip
                    _attenuate(masses, attenuation, weights, exponent, sums)
                for pixel in range(TILE * TILE):
                    column, row = first_column + pixel // TILE, first_row + pixel % TILE
                    if column < columns and row < rows:
                        for line in range(weights.shape[0]):
                            total = air[line] * rays
                            if count > 0:
                                total = np.float32(0.0)
                                for ray in range(rays):
                                    total += sums[line, pixel * rays + ray]
                            found[line, view, column, row] = total / rays


@compiled
def _attenuate(
    masses: Singles, attenuation: Singles, weights: Singles, exponent: NDArray[np.int32], sums: Singles
) -> None:
    """Add up weight times exp(-depth) over the energies, for all rays of a tile side by side."""
    size = masses.shape[1]
    depth, rest, power = np.empty(size, np.float32), np.empty(size, np.float32), exponent.view(np.float32)
    present = np.empty(masses.shape[0], dtype=np.int64)
    count = 0
    for substance in range(masses.shape[0]):
        if masses[substance].max() > 0.0:
            present[count] = substance
            count += 1
    sums[:, :] = 0.0
    for energy in range(weights.shape[1]):
        depth[:] = 0.0
        for place in range(count):
            mass, factor = masses[present[place]], attenuation[present[place], energy] * _TO_BINARY
            for ray in range(size):
                depth[ray] += mass[ray] * factor
        for ray in range(size):
            binary = max(depth[ray], _LEAST)
            whole = np.int32(binary - _HALF)  # depth is never positive, so this rounds to the nearest
            f = binary - np.float32(whole)
            exponent[ray] = (whole + np.int32(127)) << np.int32(23)
            rest[ray] = _F0 + f * (_F1 + f * (_F2 + f * (_F3 + f * (_F4 + f * (_F5 + f * _F6)))))
        for ray in range(size):
            rest[ray] *= power[ray]
        for line in range(weights.shape[0]):
            weight, total = weights[line, energy], sums[line]
            for ray in range(size):
                total[ray] += weight * rest[ray]
