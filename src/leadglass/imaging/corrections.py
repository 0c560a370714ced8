"""What detectors and beams do to line integrals, taken out again: bad pixels, rings, and water's beam hardening.

Each correction is a function from projections to projections [view, column, row], to be applied in this order before a
reconstruction. None of them invents more than it says: a bad pixel becomes a smooth continuation of its neighbours, a
ring's constant offset goes, a known curve is undone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, median_filter
from scipy.signal import savgol_filter
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Floats
from leadglass.imaging.projector import fits

Array = NDArray[np.float32]

BAD_PART_MAX = 0.2
"""A detector with more of its pixels bad than this is broken; continuing neighbours would be inventing a picture."""

RING_WIDTH = 7
"""Columns over which a pixel is compared with its neighbours: wider than rings, narrower than a body's curves."""

RING_ROUNDS = 4
"""Rounds of undoing what the comparison took from an offset's height; more only strengthens noise."""


def repair_bad(projections: Array, bad: NDArray[np.bool_]) -> Array:
    """Replace bad pixels [column, row] by the smooth (harmonic) continuation of the good ones around them.

    A linear course across a hole is restored exactly. Values of bad pixels are never read, so they may be NaN. Raises
    UsageError where the map is another detector's or a fifth of the pixels is bad.
    """
    fits("bad-pixel map", bad, projections.shape[1:])
    if bad.mean() > BAD_PART_MAX:
        raise UsageError(f"{100 * bad.mean():.0f} % of the pixels are bad.", hint="Recalibrate the detector.")
    repaired = np.array(projections, dtype=np.float32)
    if not bad.any():
        return repaired
    number = np.full(bad.shape, -1)
    number[bad] = np.arange(bad.sum())
    within, around, rim = _neighbours(bad, number)
    holes = splu(within.tocsc())
    good = repaired[:, rim].astype(np.float64)
    repaired[:, bad] = holes.solve(around @ good.T).T
    return repaired


def _neighbours(bad: NDArray[np.bool_], number: NDArray[np.intp]) -> tuple[coo_array, coo_array, NDArray[np.bool_]]:
    """Set up that each bad pixel is the mean of its neighbours: bad ones left, good ones right of the equation."""
    rim = binary_dilation(bad) & ~bad
    place = np.full(bad.shape, -1)
    place[rim] = np.arange(rim.sum())
    column, row = np.nonzero(bad)
    own, count = number[bad], np.zeros(int(bad.sum()))
    inner: list[NDArray[np.intp]] = []
    outer: list[NDArray[np.intp]] = []
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        there = column + shift[0], row + shift[1]
        inside = (there[0] >= 0) & (there[0] < bad.shape[0]) & (there[1] >= 0) & (there[1] < bad.shape[1])
        count += inside
        near = there[0][inside], there[1][inside]
        is_bad = bad[near]
        inner.append(np.stack([own[inside][is_bad], number[near][is_bad]]))
        outer.append(np.stack([own[inside][~is_bad], place[near][~is_bad]]))
    left, right = np.concatenate(inner, axis=1), np.concatenate(outer, axis=1)
    rows, columns = np.concatenate([left[0], own]), np.concatenate([left[1], own])
    values = np.concatenate([-np.ones(left.shape[1]), count])
    within = coo_array((values, (rows, columns)), shape=(own.size, own.size))
    around = coo_array((np.ones(right.shape[1]), (right[0], right[1])), shape=(own.size, int(rim.sum())))
    return within, around, rim


def remove_rings(projections: Array, *, width: int = RING_WIDTH) -> Array:
    """Take away a pixel's constant offset from its neighbours along the columns, which draws a ring.

    In each view a pixel is compared with a parabola through its neighbours (Savitzky & Golay), and its offset is the
    median over all views: an edge of the body passes a pixel in few views, an offset stays. What varies slowly from
    column to column is left to the body. Offsets of single and double columns fall to about a third; a ring whose
    strength changes with the ray (a wrong threshold) is only reduced, and the rim of a round body around the very axis
    is mistaken for one. Raises UsageError for a width that is even or below 5.
    """
    if width < 5 or width % 2 == 0:
        raise UsageError(f"A ring filter {width} columns wide has no middle.", hint="Give an odd width from 5 on.")
    if projections.shape[1] < 2 * width:
        raise UsageError(f"A detector of {projections.shape[1]} columns is too narrow to tell rings from the body.")
    made = np.empty(projections.shape, np.float32)
    for row in range(projections.shape[2]):
        seen = projections[:, :, row]
        apart = np.median(seen - savgol_filter(seen, width, 2, axis=1), axis=0)
        apart -= median_filter(apart, size=9, mode="nearest")
        offset = apart.copy()
        for _ in range(RING_ROUNDS):  # the parabola was drawn through the offsets too
            offset += apart - (offset - savgol_filter(offset, width, 2))
        made[:, :, row] = seen - offset
    return made


@dataclass(frozen=True, slots=True)
class Hardening:
    """What water of rising thickness shows in a polychromatic beam, and what it would in one of a single energy."""

    seen: Floats
    straight: Floats

    def straighten(self, projections: Array) -> Array:
        """Give line integrals as of one energy, for a body of water; beyond the last thickness the end goes on."""
        last = (self.straight[-1] - self.straight[-2]) / (self.seen[-1] - self.seen[-2])
        first = self.straight[1] / self.seen[1]
        made = np.interp(projections, self.seen, self.straight)
        made += np.maximum(projections - self.seen[-1], 0) * last + np.minimum(projections, 0) * first
        return made.astype(np.float32)


def water_hardening(
    spectrum: Floats, attenuation: Floats, *, reference: float, longest_mm: float, steps: int = 512
) -> Hardening:
    """Tabulate water's hardening: `spectrum` as detected without a body [energy], water's `attenuation` in 1/mm
    [energy], `reference` the attenuation that the result shall have.

    Exact for water, close for soft tissue, wrong behind bone or contrast agent (their hardening is another). Raises
    UsageError for spectra without photons and thicknesses without length.
    """
    if spectrum.shape != attenuation.shape or spectrum.sum() <= 0 or (spectrum < 0).any():
        raise UsageError("The spectrum holds no photons, or other energies than the attenuation.")
    if longest_mm <= 0 or reference <= 0 or (attenuation <= 0).any():
        raise UsageError("Hardening needs attenuations and a longest way above 0.")
    ways = np.linspace(0, longest_mm, steps)
    passed = np.exp(-np.outer(ways, attenuation)) @ (spectrum / spectrum.sum())
    return Hardening(-np.log(passed), reference * ways)
