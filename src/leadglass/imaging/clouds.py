"""Compiled: where an absorbed photon's charge goes, and what pulses the pixels make of it.

The pixel under the photon is the middle one of a block of `SIDE`². A K photon that lands outside the block (two pixels
away and more) makes pulses of its own there. Charge sharing is the product of two error functions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from leadglass.imaging.compiled import compiled

Floats = NDArray[np.float64]

SIDE = 5
_LEAST_KEV = 0.5
"""A pixel with less is no pulse in any mode."""


@compiled
def deposit(
    points: Floats, energy_kev: float, line_kev: float, per_mm: float, flight_per_mm: float, thickness_mm: float,
    pitch_mm: float, cloud_mm: float, is_summing: bool, weight: float, step_kev: float, heights: Floats,
) -> None:  # fmt: skip
    """Add the pulses of one way a photon may go to a histogram of heights.

    `points` is [n, 6] in the unit cube: place in the pixel (2), depth, direction (2), way of the K photon. With a
    `line_kev` of 0 the whole energy stays in place.
    """
    block = np.empty((SIDE, SIDE))
    middle = (SIDE // 2) * pitch_mm
    stopped = 1.0 - math.exp(-per_mm * thickness_mm)
    for index in range(points.shape[0]):
        x, y = middle + points[index, 0] * pitch_mm, middle + points[index, 1] * pitch_mm
        block[:, :] = 0.0
        _share(block, x, y, energy_kev - line_kev, pitch_mm, cloud_mm)
        if line_kev > 0.0:
            depth = -math.log(1.0 - points[index, 2] * stopped) / per_mm
            way = -math.log(max(1.0 - points[index, 5], 1e-12)) / flight_per_mm
            along = 2.0 * points[index, 3] - 1.0
            across = way * math.sqrt(1.0 - along * along)
            turn = 2.0 * math.pi * points[index, 4]
            if 0.0 <= depth + way * along <= thickness_mm:
                x, y = x + across * math.cos(turn), y + across * math.sin(turn)
                if not (0.0 <= x < SIDE * pitch_mm and 0.0 <= y < SIDE * pitch_mm):
                    _count_block(block, is_summing, weight, step_kev, heights)
                    block[:, :] = 0.0
                    x, y = middle + x % pitch_mm, middle + y % pitch_mm
                _share(block, x, y, line_kev, pitch_mm, cloud_mm)
        _count_block(block, is_summing, weight, step_kev, heights)


@compiled
def _count_block(block: Floats, is_summing: bool, weight: float, step_kev: float, heights: Floats) -> None:
    if is_summing:
        _count_summed(block, weight, step_kev, heights)
        return
    for i in range(SIDE):
        for j in range(SIDE):
            _count(block[i, j], weight, step_kev, heights)


@compiled
def _share(block: Floats, x: float, y: float, kev: float, pitch_mm: float, cloud_mm: float) -> None:
    """Share one deposit out over the pixels of the block."""
    if cloud_mm <= 0.0:
        i, j = math.floor(x / pitch_mm), math.floor(y / pitch_mm)
        if 0 <= i < SIDE and 0 <= j < SIDE:
            block[i, j] += kev
        return
    scale = 1.0 / (cloud_mm * math.sqrt(2.0))
    for i in range(SIDE):
        in_x = 0.5 * (math.erf(((i + 1) * pitch_mm - x) * scale) - math.erf((i * pitch_mm - x) * scale))
        if in_x > 1e-9:
            for j in range(SIDE):
                in_y = 0.5 * (math.erf(((j + 1) * pitch_mm - y) * scale) - math.erf((j * pitch_mm - y) * scale))
                block[i, j] += kev * in_x * in_y


@compiled
def _count(kev: float, weight: float, step_kev: float, heights: Floats) -> None:
    """Add a pulse, divided between the two nearest heights so that its energy is kept."""
    if kev < 1e-6:
        return
    place = kev / step_kev
    low = int(place)
    if low + 1 < heights.size:
        heights[low] += weight * (low + 1 - place)
        heights[low + 1] += weight * (place - low)


@compiled
def _count_summed(block: Floats, weight: float, step_kev: float, heights: Floats) -> None:
    """Count each pixel that has more charge than its eight neighbours, with its largest 2 × 2 sum."""
    for i in range(SIDE):
        for j in range(SIDE):
            mine, is_largest = block[i, j], block[i, j] > _LEAST_KEV
            for a in range(max(0, i - 1), min(SIDE, i + 2)):
                for b in range(max(0, j - 1), min(SIDE, j + 2)):
                    before = a * SIDE + b < i * SIDE + j
                    if block[a, b] > mine or (before and block[a, b] == mine):
                        is_largest = False
            if is_largest:
                best = 0.0
                for a in range(i - 1, i + 1):
                    for b in range(j - 1, j + 1):
                        total = 0.0
                        for c in range(max(0, a), min(SIDE, a + 2)):
                            for d in range(max(0, b), min(SIDE, b + 2)):
                                total += block[c, d]
                        best = max(best, total)
                _count(best, weight, step_kev, heights)
