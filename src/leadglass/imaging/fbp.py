"""Filtered back projection: from line integrals to a volume in one pass.

For cone beams this is the method of Feldkamp, Davis & Kress (1984, J. Opt. Soc. Am. A 1:612-619): exact in the plane
of the source's circle, and with errors that grow with the cone's angle away from it. Fan and parallel beams are the
same computation without the cone, and exact in the limit. A helix goes through `helical`.

The back projection reads each voxel's place on the panel (it is not the adjoint of `forward`). For a voxel column only
one interpolated detector column is needed a view, and along z the rows pass in a straight line. Projections are
filtered a block of views at a time, so that memory holds one scan, one volume and one block.

What it cannot do: bodies wider than the panel (rows are cut, so the rim is too bright), missing views, and noise
beyond what the window takes away; `iterative` can.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging import helical, redundancy
from leadglass.imaging.compiled import compiled, compiled_parallel
from leadglass.imaging.geometry import Beam, Floats, Geometry, Grid
from leadglass.imaging.progress import Report, tell
from leadglass.imaging.projector import ONE, PART, REST, TILE_VOXELS, WHOLE, Fixed, Z, fits
from leadglass.imaging.ramp import filtered, response

Array = NDArray[np.float32]

BLOCK_VALUES = 1 << 22
"""Projection values filtered at once: about 16 MiB, four times that with padding and spectrum."""


def fdk(
    projections: Array,
    grid: Grid,
    geometry: Geometry,
    *,
    window: str = "ram-lak",
    cutoff: float = 1.0,
    report: Report | None = None,
) -> Array:
    """Reconstruct the volume [x, y, z] in 1/mm from line integrals [view, column, row].

    `window` is one of `ramp.WINDOWS`, `cutoff` a part of the Nyquist frequency. Raises UsageError where arrays do not
    fit, a value is not finite, or lines through the grid were not measured; Cancelled when `report` says so.
    """
    fits("projections", projections, geometry.shape)
    if np.ptp(geometry.z_mm) > 1e-6:
        return helical.reconstruct(projections, grid, geometry, window=window, cutoff=cutoff, report=report)
    parts = redundancy.weights(grid, geometry) * redundancy.steps(geometry)[:, None]
    missing = redundancy.missing_columns(geometry)
    measured = geometry
    geometry = _widened(geometry, missing)
    pitch = geometry.panel.column_pitch_mm / geometry.magnification
    answer = response(geometry.panel.columns, pitch, window=window, cutoff=cutoff)
    slant = slants(measured)
    sight = _sight(grid, geometry)
    volume = np.zeros(grid.shape, dtype=np.float32)
    scanner, side = _scanner(grid, geometry), tile_side(grid)
    block = max(1, BLOCK_VALUES // (geometry.panel.columns * geometry.panel.rows))
    for begin in range(0, geometry.views, block):
        views = slice(begin, begin + block)
        weighted = projections[views] * slant
        weighted *= parts[views, :, None].astype(np.float32)
        if not np.isfinite(weighted).all():
            raise UsageError("The projections hold values that are no numbers.", hint="Repair bad pixels first.")
        if any(missing):
            weighted = np.pad(weighted, ((0, 0), missing, (0, 0)))
        _smear(filtered(weighted, answer), sight[views], scanner, volume, side)
        tell(report, min(begin + block, geometry.views), geometry.views)
    return volume


def _widened(geometry: Geometry, missing: tuple[int, int]) -> Geometry:
    """Give the geometry of a panel with columns added before its first and after its last."""
    panel = geometry.panel
    shift = (missing[1] - missing[0]) / 2 * panel.column_pitch_mm
    wider = replace(panel, columns=panel.columns + sum(missing), column_offset_mm=panel.column_offset_mm + shift)
    return replace(geometry, panel=wider)


def slants(geometry: Geometry) -> Array:
    """Give the cosine of each ray's angle from the central ray, shape (columns, rows); 1 for parallel beams."""
    panel = geometry.panel
    if geometry.beam is Beam.PARALLEL:
        return np.ones((panel.columns, panel.rows), dtype=np.float32)
    far = geometry.source_panel_mm
    made = far / np.sqrt(far**2 + panel.u_mm()[:, None] ** 2 + panel.v_mm()[None, :] ** 2)
    return made.astype(np.float32)


def tile_side(grid: Grid) -> int:
    """Give the side of a tile of voxel columns that stays in a core's cache while all views pass."""
    return int(np.clip(np.sqrt(TILE_VOXELS / grid.shape[2]), 4, 32))


def _sight(grid: Grid, geometry: Geometry) -> Floats:
    """Tabulate each view: cosine and sine of its angle, height of voxel 0 over its central ray; (views, 3)."""
    first_z = grid.centres_mm(2)[0]
    return np.stack([np.cos(geometry.angles), np.sin(geometry.angles), first_z - geometry.z_mm], axis=1)


def _scanner(grid: Grid, geometry: Geometry) -> Floats:
    """Give the numbers that all views share: distances (0 for parallel beams), panel, grid."""
    panel = geometry.panel
    cone = geometry.beam is not Beam.PARALLEL
    return np.array(
        [
            geometry.source_axis_mm if cone else 0.0,
            geometry.source_panel_mm if cone else 0.0,
            panel.u_mm()[0],
            panel.column_pitch_mm,
            panel.v_mm()[0],
            panel.row_pitch_mm,
            grid.centres_mm(0)[0],
            grid.voxel_mm[0],
            grid.centres_mm(1)[0],
            grid.voxel_mm[1],
            grid.voxel_mm[2],
        ]
    )


@compiled
def _between(column: Array, near: Array, near_weight: Z, far: Array, far_weight: Z) -> None:
    for r in range(near.size):
        column[r + 1] = near_weight * near[r] + far_weight * far[r]


@compiled
def _take(voxels: Array, column: Array, row: Fixed, rise: Fixed) -> None:
    """Add to each voxel the column at its row; column[k] stands at row k."""
    for k in range(voxels.size):
        below = row >> WHOLE
        low = column[below]
        voxels[k] += low + Z(np.int32(np.uint32(row) >> REST)) * PART * (column[below + Fixed(1)] - low)
        row = row + rise


@compiled
def _sweep(voxels: Array, view: Array, u: float, weight: float, row: float, rise: float, column: Array) -> None:
    """Add one view to one column of voxels, which sees detector column `u` and row `row` + k `rise` at voxel k."""
    columns, rows = view.shape
    if u < -0.5 or u > columns - 0.5:
        return
    near = int(np.floor(u))
    part = u - near
    one, two = max(near, 0), min(near + 1, columns - 1)
    first = max(0, int(np.ceil((-0.4999 - row) / rise)))
    last = min(voxels.size, int(np.floor((rows - 0.5001 - row) / rise)) + 1)
    if first >= last:
        return
    _between(column, view[one], Z((1 - part) * weight), view[two], Z(part * weight))
    column[0], column[rows + 1] = column[1], column[rows]
    _take(voxels[first:last], column, Fixed((row + rise * first + 1) * ONE), Fixed(rise * ONE))


@compiled_parallel
def _smear(projections: Array, sight: Floats, scanner: Floats, volume: Array, side: int) -> None:
    from_axis, to_panel, first_u, pitch_u, first_v, pitch_v, first_x, width_x, first_y, width_y, width_z = scanner
    views, _, rows = projections.shape
    along_x, along_y = (volume.shape[0] + side - 1) // side, (volume.shape[1] + side - 1) // side
    for turn in prange(along_x * along_y):
        begin_x, begin_y = turn // along_y * side, turn % along_y * side
        column = np.zeros(rows + 3, dtype=np.float32)
        for view in range(views):
            cosine, sine, height = sight[view]
            for i in range(begin_x, min(begin_x + side, volume.shape[0])):
                x = first_x + i * width_x
                for j in range(begin_y, min(begin_y + side, volume.shape[1])):
                    y = first_y + j * width_y
                    larger, weight = 1.0, 1.0
                    if to_panel > 0:
                        away = from_axis - x * cosine - y * sine
                        if away < 1e-3 * from_axis:
                            continue
                        larger, weight = to_panel / away, (from_axis / away) ** 2
                    u = ((y * cosine - x * sine) * larger - first_u) / pitch_u
                    row, rise = (height * larger - first_v) / pitch_v, width_z * larger / pitch_v
                    _sweep(volume[i, j], projections[view], u, weight, row, rise, column)
