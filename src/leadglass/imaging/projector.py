"""Line integrals through a volume, and the exact adjoint: A and Aᵀ of every iterative reconstruction.

Rays are followed by Joseph's method (1982, IEEE Trans. Med. Imaging 1:192-196): on each plane the volume is
interpolated linearly, sideways and in height. Sideways weights are the same for all rows of a detector column, so
`forward` blends two columns of voxels into one and reads all rows from it; `back` spreads all rows into one column and
adds it to two. Both innermost loops run along z. No two threads write to the same place.

A voxel weighs as a hat of two voxels' width and nothing lies outside the grid, so parts of a grid add up exactly:
forward of a whole is the sum of its slabs', and back of a slab is that slab of the whole. What a call needs beside
its argument and its result does not grow with the scan: one table of `VIEWS_AT_ONCE` views, and a strip a thread.

Volumes are [x, y, z] in 1/mm, projections [view, column, row] without a unit; both float32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.compiled import compiled, compiled_parallel
from leadglass.imaging.geometry import Floats, Geometry, Grid
from leadglass.imaging.rays import (
    ALONG_Y,
    FIRST,
    HEIGHT,
    HEIGHT_STEP,
    LAST,
    LENGTH,
    RISE,
    RISE_STEP,
    SIDE,
    SIDE_STEP,
    chords,
    lines,
)

Array = NDArray[np.float32]

VIEWS_AT_ONCE = 60
"""Views whose table of lines is held at once."""

PLANES = 32
"""Planes that neighbouring rays cross one after the other, so that the voxels of these planes stay in the cache."""

COLUMNS = 64
"""Detector columns of one turn of the parallel loop of `forward`."""

TILE_VOXELS = 65536
"""Voxels of a tile of `back`: 256 KiB, which stay in a core's cache while all rays pass."""

Z = np.float32
"""Weights in the loops; geometry outside them is float64."""

Fixed = np.uint64
ONE, WHOLE, REST, PART = 2.0**32, np.uint64(32), np.uint32(8), np.float32(2.0**-24)
"""Heights in the loops are fixed-point numbers, 32 bits before and 32 after the point: one addition a row, exact to
1e-7 of a voxel over any panel. The weight of the upper voxel is the first 24 bits after the point, times PART."""


def forward(volume: Array, grid: Grid, geometry: Geometry) -> Array:
    """Give the line integral along every ray: [view, column, row].

    Raises UsageError where the volume is not the grid's.
    """
    fits("volume", volume, grid.shape)
    voxels = np.ascontiguousarray(volume, dtype=np.float32)
    projections = np.empty(geometry.shape, dtype=np.float32)
    long = chords(geometry).astype(np.float32)
    for begin in range(0, geometry.views, VIEWS_AT_ONCE):
        part = slice(begin, begin + VIEWS_AT_ONCE)
        _forward(voxels, lines(grid, only(geometry, part)), long, projections[part])
    return projections


def back(projections: Array, grid: Grid, geometry: Geometry) -> Array:
    """Give each voxel what every ray through it says, weighted as `forward` weighs the voxel: [x, y, z].

    This is the adjoint, the gradient's ingredient; it is no reconstruction. Raises UsageError where the projections
    are not the geometry's.
    """
    fits("projections", projections, geometry.shape)
    volume = np.zeros(grid.shape, dtype=np.float32)
    long = chords(geometry).astype(np.float32)
    side = int(np.clip(np.sqrt(TILE_VOXELS / grid.shape[2]), 4, 32))
    for begin in range(0, geometry.views, VIEWS_AT_ONCE):
        part = slice(begin, begin + VIEWS_AT_ONCE)
        rows = np.ascontiguousarray(projections[part], dtype=np.float32)
        _back(rows, lines(grid, only(geometry, part)), long, volume, side)
    return volume


def only(geometry: Geometry, views: slice | NDArray[np.intp]) -> Geometry:
    """Give the geometry of some of the views."""
    return replace(geometry, angles=geometry.angles[views], z_mm=geometry.z_mm[views])


def fits(what: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    """Raise UsageError unless an array has the shape that its geometry says."""
    if array.shape != shape:
        raise UsageError(f"The {what} are {array.shape}, the geometry says {shape}.", hint="Check the geometry.")


@compiled
def _blend(strip: Array, near: Array, near_weight: Z, far: Array, far_weight: Z) -> None:
    for k in range(strip.size):
        strip[k] = near_weight * near[k] + far_weight * far[k]


@compiled
def _read(rows: Array, strip: Array, height: Fixed, rise: Fixed) -> None:
    """Add to each row the strip at its height; strip[k] stands at height k."""
    for r in range(rows.size):
        k = height >> WHOLE
        below = strip[k]
        rows[r] += below + Z(np.int32(np.uint32(height) >> REST)) * PART * (strip[k + Fixed(1)] - below)
        height = height + rise


@compiled
def _spread(whole: Array, upper: Array, rows: Array, height: Fixed, rise: Fixed) -> None:
    """Collect what `_read` would take: all of it in `whole`, in `upper` the part that belongs one higher, over PART."""
    for r in range(rows.size):
        k = height >> WHOLE
        whole[k] += rows[r]
        upper[k] += rows[r] * Z(np.int32(np.uint32(height) >> REST))
        height = height + rise


@compiled
def _join(strip: Array, whole: Array, upper: Array) -> None:
    """Make one strip of `_spread`'s two, without the place below the grid."""
    for k in range(strip.size):
        strip[k] = whole[k + 1] + PART * (upper[k] - upper[k + 1])


@compiled
def _add(voxels: Array, strip: Array, weight: Z) -> None:
    for k in range(voxels.size):
        voxels[k] += weight * strip[k]


@compiled
def _scale(rows: Array, source: Array, long: Array, length: Z) -> None:
    for r in range(rows.size):
        rows[r] = source[r] * long[r] * length


@compiled
def _seeing(height: float, rise: float, voxels: int, rows: int) -> tuple[int, int]:
    """Give the rows whose heights lie between voxel 0 and voxels + 1, one voxel beyond either end of the grid."""
    first = max(0, int(np.floor(-height / rise)) + 1)
    last = min(rows, int(np.ceil((voxels + 1 - height) / rise)))
    return first, last


@compiled
def _follow(volume: Array, line: Floats, low: int, high: int, rows: Array, strip: Array) -> None:
    """Sum one line's planes from `low` to `high` into its rows."""
    along_y = line[ALONG_Y] != 0
    width = volume.shape[0] if along_y else volume.shape[1]
    voxels = volume.shape[2]
    for i in range(max(low, int(line[FIRST])), min(high, int(line[LAST]))):
        side = line[SIDE] + line[SIDE_STEP] * i
        near = int(np.floor(side))
        if near < -1 or near >= width:
            continue
        height, rise = line[HEIGHT] + line[HEIGHT_STEP] * i + 1, line[RISE] + line[RISE_STEP] * i
        first, last = _seeing(height, rise, voxels, rows.size)
        if first >= last:
            continue
        bottom = max(0, int(height + rise * first) - 2)
        top = min(voxels, int(height + rise * last) + 2)
        weight = Z(side - near)
        one, two = max(near, 0), min(near + 1, width - 1)
        below = volume[one, i] if along_y else volume[i, one]
        above = volume[two, i] if along_y else volume[i, two]
        _blend(
            strip[bottom + 1 : top + 1],
            below[bottom:top],
            Z(1) - weight if near >= 0 else Z(0),
            above[bottom:top],
            weight if near + 1 < width else Z(0),
        )
        _read(rows[first:last], strip, Fixed(max(0.0, height + rise * first) * ONE), Fixed(rise * ONE))


@compiled_parallel
def _forward(volume: Array, table: Floats, long: Array, projections: Array) -> None:
    views, columns, rows = projections.shape
    parts = (columns + COLUMNS - 1) // COLUMNS
    planes = max(volume.shape[0], volume.shape[1])
    for turn in prange(views * parts):
        view, begin = turn // parts, turn % parts * COLUMNS
        end = min(begin + COLUMNS, columns)
        strip = np.zeros(volume.shape[2] + 4, dtype=np.float32)
        sums = np.zeros((end - begin, rows), dtype=np.float32)
        for low in range(0, planes, PLANES):
            for column in range(begin, end):
                _follow(volume, table[view, column], low, low + PLANES, sums[column - begin], strip)
        for column in range(begin, end):
            _scale(projections[view, column], sums[column - begin], long[column], Z(table[view, column, LENGTH]))


@compiled
def _drop(tile: Array, line: Floats, corner: tuple[int, int], rows: Array, strips: Array) -> None:
    """Spread one line's rows into the voxels of a tile whose first column is `corner`."""
    along_y = line[ALONG_Y] != 0
    begin, aside = (corner[1], corner[0]) if along_y else (corner[0], corner[1])
    planes, width = (tile.shape[1], tile.shape[0]) if along_y else (tile.shape[0], tile.shape[1])
    voxels = tile.shape[2]
    for i in range(max(begin, int(line[FIRST])), min(begin + planes, int(line[LAST]))):
        side = line[SIDE] + line[SIDE_STEP] * i - aside
        near = int(np.floor(side))
        if near < -1 or near >= width:
            continue
        height, rise = line[HEIGHT] + line[HEIGHT_STEP] * i + 1, line[RISE] + line[RISE_STEP] * i
        first, last = _seeing(height, rise, voxels, rows.size)
        if first >= last:
            continue
        whole, upper, strip = strips[0], strips[1], strips[2]
        bottom = max(0, int(height + rise * first) - 2)
        top = min(voxels, int(height + rise * last) + 2)
        whole[bottom : top + 2] = 0
        upper[bottom : top + 2] = 0
        start = Fixed(max(0.0, height + rise * first) * ONE)
        _spread(whole, upper, rows[first:last], start, Fixed(rise * ONE))
        _join(strip[bottom:top], whole[bottom : top + 1], upper[bottom : top + 1])
        weight = Z(side - near)
        plane = i - begin
        if near >= 0:
            column = tile[near, plane] if along_y else tile[plane, near]
            _add(column[bottom:top], strip[bottom:top], Z(1) - weight)
        if near + 1 < width:
            column = tile[near + 1, plane] if along_y else tile[plane, near + 1]
            _add(column[bottom:top], strip[bottom:top], weight)


@compiled
def _meets(line: Floats, corner: tuple[int, int], side: int) -> bool:
    """Tell whether a line passes a tile, seen from above."""
    begin, aside = (corner[1], corner[0]) if line[ALONG_Y] != 0 else (corner[0], corner[1])
    first, last = max(begin, int(line[FIRST])), min(begin + side, int(line[LAST])) - 1
    if first > last:
        return False
    one, two = line[SIDE] + line[SIDE_STEP] * first - aside, line[SIDE] + line[SIDE_STEP] * last - aside
    return bool(max(one, two) > -1 and min(one, two) < side)


@compiled_parallel
def _back(projections: Array, table: Floats, long: Array, volume: Array, side: int) -> None:
    views, columns, rows = projections.shape
    along_x, along_y = (volume.shape[0] + side - 1) // side, (volume.shape[1] + side - 1) // side
    for turn in prange(along_x * along_y):
        corner = (turn // along_y * side, turn % along_y * side)
        part = volume[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        strips = np.zeros((3, volume.shape[2] + 4), dtype=np.float32)
        scaled = np.empty(rows, dtype=np.float32)
        tile = np.zeros(part.shape, dtype=np.float32)
        for view in range(views):
            for column in range(columns):
                line = table[view, column]
                if _meets(line, corner, side):
                    _scale(scaled, projections[view, column], long[column], Z(line[LENGTH]))
                    _drop(tile, line, corner, scaled, strips)
        part += tile
