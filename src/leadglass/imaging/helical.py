"""Approximate filtered back projection of helical scans.

Weighted filtered back projection after Stierstorfer et al. (2004, Phys. Med. Biol. 49:2209-2218): rays of different
views are gathered into views whose rays are parallel seen from above, filtered along the columns, and back projected
with their slant kept. All measurements of a line's direction, half a turn apart, are averaged with weights that fall
off smoothly towards the first and last row.

Its limits: the filter ignores that rays are slanted, so artefacts grow with the cone's angle (a few degrees are fine);
every voxel must be seen over half a turn, which bounds the pitch to about one and a half heights of the panel at the
axis. Voxels at the ends of the helix that are seen for less are 0. It holds a second copy of the scan.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging import redundancy
from leadglass.imaging.compiled import compiled, compiled_parallel
from leadglass.imaging.geometry import Beam, Floats, Geometry, Grid
from leadglass.imaging.progress import Report, tell
from leadglass.imaging.ramp import filtered, response

Array = NDArray[np.float32]

FLAT = 0.6
"""Part of the panel's half height in which a row counts fully; beyond it weights fall to 0 at the rim (Stierstorfer's
q)."""

BLOCK_VALUES = 1 << 22
"""Projection values filtered at once."""


def reconstruct(
    projections: Array, grid: Grid, geometry: Geometry, *, window: str, cutoff: float, report: Report | None
) -> Array:
    """Reconstruct the volume [x, y, z] in 1/mm from a helix's line integrals [view, column, row].

    Raises UsageError for a beam that is no cone, uneven steps, less than a turn, or values that are not finite.
    """
    _check(geometry)
    if not np.isfinite(projections).all():
        raise UsageError("The projections hold values that are no numbers.", hint="Repair bad pixels first.")
    angles = _parallel_angles(geometry)
    gathered = _gathered(projections, geometry, angles)
    pitch = geometry.panel.column_pitch_mm / geometry.magnification
    answer = response(geometry.panel.columns, pitch, window=window, cutoff=cutoff)
    block = max(1, BLOCK_VALUES // (geometry.panel.columns * geometry.panel.rows))
    for begin in range(0, angles.size, block):
        views = slice(begin, begin + block)
        gathered[views] = filtered(gathered[views], answer)
        tell(report, min(begin + block, angles.size), 2 * angles.size)
    half_turn = round(np.pi / abs(angles[1] - angles[0]))
    volume = np.zeros(grid.shape, dtype=np.float32)
    slab = max(1, grid.shape[0] // 16)
    for begin in range(0, grid.shape[0], slab):
        end = min(begin + slab, grid.shape[0])
        _average(
            gathered, angles, half_turn, _scanner(geometry, grid), volume[begin:end], grid.centres_mm(0)[begin:end]
        )
        tell(report, angles.size * (grid.shape[0] + end), 2 * angles.size * grid.shape[0])
    volume *= np.float32(np.pi / half_turn)
    return volume


def _check(geometry: Geometry) -> None:
    if geometry.beam is not Beam.CONE:
        raise UsageError("A helix needs a cone beam.", hint="Reconstruct other scans that move along z iteratively.")
    width, rise = redundancy.steps(geometry), np.diff(geometry.z_mm)
    if (
        np.ptp(width) > 1e-3 * width.mean()
        or np.ptp(rise) > 1e-3 * abs(rise.mean())
        or redundancy.missing_columns(geometry) != (0, 0)
    ):
        raise UsageError(
            "The helix's views are not evenly spaced, or its panel is set to one side.", hint="Reconstruct iteratively."
        )
    if abs(geometry.angles[-1] - geometry.angles[0]) < np.pi + 2 * np.abs(redundancy.fan_angles(geometry)).max():
        raise UsageError("The helix is shorter than half a turn and the fan.", hint="Reconstruct iteratively.")


def _parallel_angles(geometry: Geometry) -> Floats:
    """Give the angles of parallel views, all of whose rays were measured; a whole number of them makes half a turn."""
    way = geometry.angles[-1] - geometry.angles[0]
    step = np.pi / round(np.pi / (abs(way) / (geometry.views - 1)))
    fan = np.abs(redundancy.fan_angles(geometry)).max()
    count = int(np.floor((abs(way) - 2 * fan) / step)) + 1
    spare = (abs(way) - 2 * fan - (count - 1) * step) / 2
    made: Floats = geometry.angles[0] + np.sign(way) * (fan + spare + np.arange(count) * step)
    return made


def _across_mm(geometry: Geometry) -> Floats:
    """Give the distances of parallel rays from the axis: as far apart as the panel's columns look at the axis."""
    return geometry.panel.u_mm() / geometry.magnification


def _gathered(projections: Array, geometry: Geometry, angles: Floats) -> Array:
    """Interpolate views whose rays are parallel seen from above; the ray of source b and fan g has the angle b - g."""
    panel, far = geometry.panel, geometry.source_panel_mm
    # the rim's ray would lie beyond the panel, because distances grow with the sine and columns with the tangent
    fan = np.arcsin(np.clip(_across_mm(geometry) / geometry.source_axis_mm, -1, 1))
    column = np.clip((far * np.tan(fan) - panel.u_mm()[0]) / panel.column_pitch_mm, 0, panel.columns - 1)
    step = (geometry.angles[-1] - geometry.angles[0]) / (geometry.views - 1)
    view = np.clip((angles[:, None] + fan[None, :] - geometry.angles[0]) / step, 0, geometry.views - 1)
    u = far * np.tan(fan)
    flat = np.sqrt(far**2 + u[:, None] ** 2)
    slant = flat / np.sqrt(flat**2 + panel.v_mm()[None, :] ** 2)
    made = np.empty((angles.size, panel.columns, panel.rows), dtype=np.float32)
    _gather(np.ascontiguousarray(projections, dtype=np.float32), view, column, slant.astype(np.float32), made)
    return made


@compiled_parallel
def _gather(projections: Array, view: Floats, column: Floats, slant: Array, made: Array) -> None:
    views, columns, rows = projections.shape
    for turn in prange(made.shape[0]):
        for c in range(columns):
            v0, c0 = min(int(view[turn, c]), views - 2), min(int(column[c]), columns - 2)
            v, u = np.float32(view[turn, c] - v0), np.float32(column[c] - c0)
            one, two = projections[v0, c0], projections[v0, c0 + 1]
            three, four = projections[v0 + 1, c0], projections[v0 + 1, c0 + 1]
            out, weight = made[turn, c], slant[c]
            for r in range(rows):
                before = one[r] + u * (two[r] - one[r])
                after = three[r] + u * (four[r] - three[r])
                out[r] = weight[r] * (before + v * (after - before))


def _scanner(geometry: Geometry, grid: Grid) -> tuple[Floats, Floats, Floats]:
    """Give the scanner's numbers, and where voxels lie along y and z."""
    panel = geometry.panel
    rise = (geometry.z_mm[-1] - geometry.z_mm[0]) / (geometry.angles[-1] - geometry.angles[0])
    numbers = np.array(
        [
            geometry.source_axis_mm,
            geometry.source_panel_mm,
            _across_mm(geometry)[0],
            panel.column_pitch_mm / geometry.magnification,
            panel.v_mm()[0],
            panel.row_pitch_mm,
            geometry.z_mm[0] - rise * geometry.angles[0],
            rise,
        ]
    )
    return numbers, grid.centres_mm(1), grid.centres_mm(2)


@compiled
def _look(view: Array, column: float, row: float, rise: float, sums: Array) -> None:
    """Add one parallel view to one column of voxels: values times weights to sums[0], weights to sums[1]."""
    columns, rows = view.shape
    left = min(max(int(np.floor(column)), 0), columns - 2)
    part = np.float32(min(max(column - left, 0.0), 1.0))
    near, far = view[left], view[left + 1]
    first = max(0, int(np.ceil(-row / rise)))
    last = min(sums.shape[1], int(np.floor((rows - 1 - row) / rise)) + 1)
    half = np.float32((rows - 1) / 2)
    for k in range(first, last):
        at = np.float32(row + rise * k)
        below = min(max(int(at), 0), rows - 2)
        up = at - np.float32(below)
        low = near[below] + part * (far[below] - near[below])
        high = near[below + 1] + part * (far[below + 1] - near[below + 1])
        aside = (abs(at - half) / (half + np.float32(0.5)) - np.float32(FLAT)) / np.float32(1 - FLAT)
        weight = np.float32(1)
        if aside > 0:
            weight = np.cos(np.float32(np.pi / 2) * min(aside, np.float32(1))) ** 2
        sums[0, k] += weight * (low + up * (high - low))
        sums[1, k] += weight


@compiled
def _mix(voxels: Array, sums: Array, seen: Array) -> None:
    for k in range(voxels.size):
        if sums[1, k] > 1e-6:
            voxels[k] += sums[0, k] / sums[1, k]
            seen[k] += np.float32(1)
        sums[0, k] = 0
        sums[1, k] = 0


@compiled_parallel
def _average(
    gathered: Array, angles: Floats, half_turn: int, scanner: tuple[Floats, Floats, Floats], volume: Array, x_mm: Floats
) -> None:
    numbers, y_mm, z_mm = scanner
    from_axis, to_panel, first_across, pitch, first_v, pitch_v, start, rise = numbers
    for turn in prange(volume.shape[0] * volume.shape[1]):
        i, j = turn // volume.shape[1], turn % volume.shape[1]
        sums = np.zeros((2, volume.shape[2]), dtype=np.float32)
        seen = np.zeros(volume.shape[2], dtype=np.float32)
        for phase in range(half_turn):
            for view in range(phase, angles.size, half_turn):
                cosine, sine = np.cos(angles[view]), np.sin(angles[view])
                across, towards = y_mm[j] * cosine - x_mm[i] * sine, y_mm[j] * sine + x_mm[i] * cosine
                column = (across - first_across) / pitch
                if column < -0.5 or column > gathered.shape[1] - 0.5 or abs(across) >= from_axis:
                    continue
                fan = np.arcsin(across / from_axis)
                away = from_axis * np.cos(fan) - towards
                larger = to_panel / np.cos(fan) / away
                height = z_mm[0] - (start + rise * (angles[view] + fan))
                _look(gathered[view], column, (height * larger - first_v) / pitch_v,
                      (z_mm[1] - z_mm[0]) * larger / pitch_v if z_mm.size > 1 else 1.0, sums)  # fmt: skip
            _mix(volume[i, j], sums, seen)
        for k in range(volume.shape[2]):
            if seen[k] < half_turn:
                volume[i, j, k] = 0
