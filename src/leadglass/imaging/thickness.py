"""Compiled: how much of each substance lies on a ray through a phantom, exactly, with no voxels in between.

For each view the pieces' hulls are projected onto the panel; tiles of pixels keep a list of the pieces they may see,
and each ray is cut at every entry and exit, the piece of the highest rank counting on each stretch. A pixel is the mean
of `supersample`² rays to points spread evenly over it.
"""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from leadglass.imaging.compiled import compiled, compiled_parallel
from leadglass.imaging.geometry import Beam, Geometry
from leadglass.imaging.phantom import Phantom, Pieces, pieces
from leadglass.imaging.solids import crossings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TILE: Final = 8
"""Pixels along each side of a tile."""
_STRETCHES = 512
"""Stretches of one ray that are kept; a phantom with more on one ray would need some 500 pieces behind each other."""
_FAR = 1e9

PARALLEL, AXIS, PANEL, COLUMNS, ROWS, U_FIRST, V_FIRST, U_PITCH, V_PITCH = range(9)
"""What `described` says of a geometry."""


def described(geometry: Geometry) -> Floats:
    """Put a geometry into numbers for the compiled loops."""
    panel = geometry.panel
    return np.array(
        [
            1.0 if geometry.beam is Beam.PARALLEL else 0.0,
            geometry.source_axis_mm,
            geometry.source_panel_mm,
            panel.columns,
            panel.rows,
            panel.u_mm()[0],
            panel.v_mm()[0],
            panel.column_pitch_mm,
            panel.row_pitch_mm,
        ]
    )


def line_integrals(phantom: Phantom, geometry: Geometry, supersample: int = 1) -> NDArray[np.float32]:
    """Give g/cm² of each substance on each ray, [view, column, row, substance], in the order of `substances`."""
    cut: Pieces = pieces(phantom)
    found = np.zeros((*geometry.shape, len(cut.substances)), dtype=np.float32)
    _integrate(
        cut.kinds, cut.solids, cut.hulls, cut.densities, described(geometry), geometry.angles, geometry.z_mm,
        supersample, found,
    )  # fmt: skip
    return found


@compiled_parallel
def _integrate(
    kinds: Ints, solids: Floats, hulls: Floats, densities: Floats, scanner: Floats, angles: Floats, heights: Floats,
    supersample: int, found: NDArray[np.float32],
) -> None:  # fmt: skip
    columns, rows = found.shape[1], found.shape[2]
    for view in numba.prange(angles.size):
        windows = seen(hulls, scanner, angles[view], heights[view])
        near = np.empty(kinds.size, dtype=np.int64)
        masses = np.empty((densities.shape[1], TILE * TILE * supersample * supersample), dtype=np.float32)
        for first_column in range(0, columns, TILE):
            for first_row in range(0, rows, TILE):
                count = of_tile(windows, first_column, first_row, near)
                if count == 0:
                    continue
                trace(
                    kinds, solids, densities, windows, near, count, scanner, angles[view], heights[view],
                    first_column, first_row, supersample, masses,
                )  # fmt: skip
                rays = supersample * supersample
                for pixel in range(TILE * TILE):
                    column, row = first_column + pixel // TILE, first_row + pixel % TILE
                    if column < columns and row < rows:
                        for substance in range(densities.shape[1]):
                            total = 0.0
                            for ray in range(rays):
                                total += masses[substance, pixel * rays + ray]
                            found[view, column, row, substance] = total / rays


@compiled
def seen(hulls: Floats, scanner: Floats, angle: float, height: float) -> Ints:
    """Give the window of pixels that may see each piece: [piece, (first column, last, first row, last)]."""
    windows = np.empty((hulls.shape[0], 4), dtype=np.int64)
    cosine, sine = np.cos(angle), np.sin(angle)
    reach = np.empty(4)
    for piece in range(hulls.shape[0]):
        low_u, high_u, low_v, high_v = _FAR, -_FAR, _FAR, -_FAR
        for end in range(2):
            x, y, z, radius = hulls[piece, 4 * end : 4 * end + 4]
            across, up = y * cosine - x * sine, z - height
            if scanner[PARALLEL] > 0.0:
                reach[0], reach[1], reach[2], reach[3] = across - radius, across + radius, up - radius, up + radius
            else:
                depth = scanner[AXIS] - x * cosine - y * sine
                _shadow(across, depth, radius, scanner[PANEL], reach[0:2])
                _shadow(up, depth, radius, scanner[PANEL], reach[2:4])
            low_u, high_u = min(low_u, reach[0]), max(high_u, reach[1])
            low_v, high_v = min(low_v, reach[2]), max(high_v, reach[3])
        windows[piece, 0] = int(np.floor((low_u - scanner[U_FIRST]) / scanner[U_PITCH] - 0.5))
        windows[piece, 1] = int(np.ceil((high_u - scanner[U_FIRST]) / scanner[U_PITCH] + 0.5))
        windows[piece, 2] = int(np.floor((low_v - scanner[V_FIRST]) / scanner[V_PITCH] - 0.5))
        windows[piece, 3] = int(np.ceil((high_v - scanner[V_FIRST]) / scanner[V_PITCH] + 0.5))
    return windows


@compiled
def _shadow(across: float, depth: float, radius: float, to_panel: float, reach: Floats) -> None:
    """Give where a ball's shadow begins and ends on the panel: the two tangents from the source."""
    far = np.sqrt(across * across + depth * depth)
    reach[0], reach[1] = -_FAR, _FAR
    if radius >= far:
        return
    middle, half = np.arctan2(across, depth), np.arcsin(radius / far)
    right_angle = 0.5 * np.pi - 1e-6
    if middle - half > right_angle or middle + half < -right_angle:
        reach[0], reach[1] = _FAR, _FAR  # beside or behind the source: on no pixel
        return
    if middle - half > -right_angle:
        reach[0] = to_panel * np.tan(middle - half)
    if middle + half < right_angle:
        reach[1] = to_panel * np.tan(middle + half)


@compiled
def of_tile(windows: Ints, first_column: int, first_row: int, near: Ints) -> int:
    """List the pieces a tile may see, in rising rank; give how many they are."""
    count = 0
    for piece in range(windows.shape[0]):
        if (
            windows[piece, 0] < first_column + TILE
            and windows[piece, 1] >= first_column
            and windows[piece, 2] < first_row + TILE
            and windows[piece, 3] >= first_row
        ):
            near[count] = piece
            count += 1
    return count


@compiled
def trace(
    kinds: Ints, solids: Floats, densities: Floats, windows: Ints, near: Ints, nearby: int, scanner: Floats,
    angle: float, height: float, first_column: int, first_row: int, supersample: int, masses: NDArray[np.float32],
) -> None:  # fmt: skip
    """Follow all rays of a tile: `masses` is [substance, pixel * supersample² + ray] in g/cm².

    Pieces are passed as whole arrays and an index: slices would cost a count of references at each call.
    """
    start, way, stretch = np.empty(3), np.empty(3), np.empty(4)
    bounds, ranks = np.empty((_STRETCHES, 2)), np.empty(_STRETCHES, dtype=np.int64)
    cuts, total = np.empty(2 * _STRETCHES), np.empty(densities.shape[1])
    seen_here = np.empty(nearby, dtype=np.int64)
    index = 0
    for pixel in range(TILE * TILE):
        visible = 0
        at_column, at_row = first_column + pixel // TILE, first_row + pixel % TILE
        for place in range(nearby):
            piece = near[place]
            if windows[piece, 0] <= at_column <= windows[piece, 1] and windows[piece, 2] <= at_row <= windows[piece, 3]:
                seen_here[visible] = piece
                visible += 1
        for ray in range(supersample * supersample):
            column = at_column + (ray // supersample + 0.5) / supersample - 0.5
            row = at_row + (ray % supersample + 0.5) / supersample - 0.5
            u = scanner[U_FIRST] + column * scanner[U_PITCH]
            v = scanner[V_FIRST] + row * scanner[V_PITCH]
            _aim(scanner, angle, height, u, v, start, way)
            count = 0
            for place in range(visible):
                piece = seen_here[place]
                parts = crossings(kinds[piece], solids, piece, start, way, stretch)
                for part in range(parts):
                    if count < _STRETCHES and stretch[2 * part + 1] - stretch[2 * part] > 1e-9:
                        bounds[count, 0], bounds[count, 1] = stretch[2 * part], stretch[2 * part + 1]
                        ranks[count] = piece
                        count += 1
            total[:] = 0.0
            _add_up(bounds, ranks, count, cuts, densities, total)
            for substance in range(total.size):
                masses[substance, index] = total[substance]
            index += 1


@compiled
def _aim(scanner: Floats, angle: float, height: float, u: float, v: float, start: Floats, way: Floats) -> None:
    """Point a ray from the source (or from beside it, in a parallel beam) to (u, v) on the panel."""
    cosine, sine = np.cos(angle), np.sin(angle)
    if scanner[PARALLEL] > 0.0:
        start[0], start[1], start[2] = -u * sine, u * cosine, height + v
        way[0], way[1], way[2] = -cosine, -sine, 0.0
        return
    start[0], start[1], start[2] = scanner[AXIS] * cosine, scanner[AXIS] * sine, height
    depth = scanner[PANEL]
    length = np.sqrt(depth * depth + u * u + v * v)
    way[0] = (-depth * cosine - u * sine) / length
    way[1] = (-depth * sine + u * cosine) / length
    way[2] = v / length


@compiled
def _add_up(bounds: Floats, ranks: Ints, count: int, cuts: Floats, densities: Floats, total: Floats) -> None:
    """Add density times length (mm to cm) over the stretches, the highest rank counting where several overlap."""
    for place in range(count):  # insertion sort: few stretches, mostly in order
        for side in range(2):
            value, spot = bounds[place, side], 2 * place + side
            while spot > 0 and cuts[spot - 1] > value:
                cuts[spot] = cuts[spot - 1]
                spot -= 1
            cuts[spot] = value
    for gap in range(2 * count - 1):
        width = cuts[gap + 1] - cuts[gap]
        if width <= 0.0:
            continue
        middle, top = 0.5 * (cuts[gap] + cuts[gap + 1]), -1
        for place in range(count - 1, -1, -1):  # stretches come in rising rank
            if bounds[place, 0] < middle < bounds[place, 1]:
                top = ranks[place]
                break
        if top >= 0:
            for substance in range(total.size):
                total[substance] += densities[top, substance] * width * 0.1
