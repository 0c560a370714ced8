"""Compiled: where a straight line is inside a solid, and which solid a point is in.

A solid is `FIELDS` numbers and a kind. For all but the round cone, numbers 0-2 are its centre and 3-11 the matrix from
the scanner's frame to its own, in which an ellipsoid is the unit ball, a cylinder x²+y² ≤ 1, |z| ≤ 1 and a box the cube
|x|,|y|,|z| ≤ 1; 12 and 13 are a torus's two radii, 12 the share of a ring's radius that is hole. A round cone (the hull
of two balls) has its ends at 0-2 and 3-5 and their radii at 12 and 13, the direction from end to end at 6-8, its length
at 9 (0 where one ball holds the other), sine and cosine of how it narrows at 10 and 11.

A line is p + t d with |d| = 1, t in mm; each function answers with up to two stretches of t. Quadrics are solved in
closed form; the torus's quartic by bisection between the turning points of its derivatives, which is slower and never
loses a root.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from leadglass.imaging.compiled import compiled, compiled_parallel

Floats = NDArray[np.float64]

ELLIPSOID, CYLINDER, BOX, ROUND_CONE, TORUS, RING = range(6)
FIELDS = 14
HULL = 8
_FAR = 1e9
_TINY = 1e-12


@compiled
def crossings(kind: int, solids: Floats, piece: int, start: Floats, way: Floats, stretch: Floats) -> int:
    """Write the stretches [enter, leave, enter, leave] of a line inside a solid; give how many there are, 0 to 2."""
    if kind == ROUND_CONE:
        return _round_cone(solids, piece, start, way, stretch)
    px = start[0] - solids[piece, 0]
    py = start[1] - solids[piece, 1]
    pz = start[2] - solids[piece, 2]
    x = solids[piece, 3] * px + solids[piece, 4] * py + solids[piece, 5] * pz
    y = solids[piece, 6] * px + solids[piece, 7] * py + solids[piece, 8] * pz
    z = solids[piece, 9] * px + solids[piece, 10] * py + solids[piece, 11] * pz
    dx = solids[piece, 3] * way[0] + solids[piece, 4] * way[1] + solids[piece, 5] * way[2]
    dy = solids[piece, 6] * way[0] + solids[piece, 7] * way[1] + solids[piece, 8] * way[2]
    dz = solids[piece, 9] * way[0] + solids[piece, 10] * way[1] + solids[piece, 11] * way[2]
    if kind == ELLIPSOID:
        return _roots(dx * dx + dy * dy + dz * dz, x * dx + y * dy + z * dz, x * x + y * y + z * z - 1.0, stretch)
    if kind == TORUS:
        return _torus(x, y, z, dx, dy, dz, solids[piece, 12], solids[piece, 13], stretch)
    stretch[0], stretch[1] = -_FAR, _FAR
    _slab(z, dz, stretch)
    if kind == BOX:
        _slab(x, dx, stretch)
        _slab(y, dy, stretch)
        return 1 if stretch[0] < stretch[1] else 0
    return _round(x, y, dx, dy, solids[piece, 12] if kind == RING else 0.0, stretch)


@compiled
def _roots(a: float, b: float, c: float, stretch: Floats) -> int:
    """Solve a t² + 2 b t + c ≤ 0 for a > 0."""
    under = b * b - a * c
    if under <= 0.0 or a < _TINY * _TINY:
        return 0
    root = np.sqrt(under)
    stretch[0] = (-b - root) / a
    stretch[1] = (-b + root) / a
    return 1


@compiled
def _slab(x: float, dx: float, stretch: Floats) -> None:
    """Narrow a stretch to |x + t dx| ≤ 1."""
    if abs(dx) < _TINY:
        if abs(x) > 1.0:
            stretch[1] = stretch[0]
        return
    one, other = (-1.0 - x) / dx, (1.0 - x) / dx
    stretch[0] = max(stretch[0], min(one, other))
    stretch[1] = min(stretch[1], max(one, other))


@compiled
def _round(x: float, y: float, dx: float, dy: float, hole: float, stretch: Floats) -> int:
    """Narrow a stretch to the unit circle, and cut out the hole of a ring."""
    a, b, c = dx * dx + dy * dy, x * dx + y * dy, x * x + y * y
    enter, leave = stretch[0], stretch[1]
    if a < _TINY * _TINY:
        return 1 if hole * hole <= c <= 1.0 and enter < leave else 0
    if _roots(a, b, c - 1.0, stretch) == 0:
        return 0
    enter, leave = max(enter, stretch[0]), min(leave, stretch[1])
    if enter >= leave:
        return 0
    count = 0
    if hole > 0.0 and _roots(a, b, c - hole * hole, stretch) == 1:
        first, last = stretch[0], stretch[1]
        if enter < first:
            stretch[0], stretch[1] = enter, min(leave, first)
            count = 1
        if last < leave:
            stretch[2 * count], stretch[2 * count + 1] = max(enter, last), leave
            count += 1
        return count
    stretch[0], stretch[1] = enter, leave
    return 1


@compiled
def _ball(px: float, py: float, pz: float, radius: float, way: Floats, stretch: Floats) -> int:
    return _roots(1.0, px * way[0] + py * way[1] + pz * way[2], px * px + py * py + pz * pz - radius * radius, stretch)


@compiled
def _round_cone(solids: Floats, piece: int, start: Floats, way: Floats, stretch: Floats) -> int:
    """Two balls and the cone that touches both: their union is convex, so first entry and last exit tell all."""
    px, py, pz = start[0] - solids[piece, 0], start[1] - solids[piece, 1], start[2] - solids[piece, 2]
    wx, wy, wz = (
        solids[piece, 3] - solids[piece, 0],
        solids[piece, 4] - solids[piece, 1],
        solids[piece, 5] - solids[piece, 2],
    )
    first, last = solids[piece, 12], solids[piece, 13]
    enter, leave = _FAR, -_FAR
    if _ball(px, py, pz, first, way, stretch) == 1:
        enter, leave = stretch[0], stretch[1]
    if _ball(px - wx, py - wy, pz - wz, last, way, stretch) == 1:
        enter, leave = min(enter, stretch[0]), max(leave, stretch[1])
    length = solids[piece, 9]
    if length > 0.0:
        sine, cosine = solids[piece, 10], solids[piece, 11]
        ax, ay, az = solids[piece, 6], solids[piece, 7], solids[piece, 8]
        along = px * ax + py * ay + pz * az
        rise = way[0] * ax + way[1] * ay + way[2] * az
        across = px * px + py * py + pz * pz - along * along
        aslant = px * way[0] + py * way[1] + pz * way[2] - along * rise
        if _frustum(along, rise, across, aslant, first, last, length, sine, cosine, stretch) == 1:
            enter, leave = min(enter, stretch[0]), max(leave, stretch[1])
    if enter >= leave:
        return 0
    stretch[0], stretch[1] = enter, leave
    return 1


@compiled
def _frustum(
    along: float, rise: float, across: float, aslant: float, first: float, last: float, length: float,
    sine: float, cosine: float, stretch: Floats,
) -> int:  # fmt: skip
    """Find the stretch inside the cone between the circles where it touches the balls.

    The height over the first ball's centre is `along` + t `rise`; the square of the distance from the spine is
    `across` + 2 t `aslant` + t² (1 - `rise`²); the cone's radius at height h is (first - h sine) / cosine.
    """
    bottom, top = first * sine, length + last * sine
    enter, leave = -_FAR, _FAR
    if abs(rise) < _TINY:
        if along < bottom or along > top:
            return 0
    else:
        one, other = (bottom - along) / rise, (top - along) / rise
        enter, leave = min(one, other), max(one, other)
    radius, slope = (first - along * sine) / cosine, -rise * sine / cosine
    a = 1.0 - rise * rise - slope * slope
    b = aslant - radius * slope
    c = across - radius * radius
    if a > 1e-10:
        if _roots(a, b, c, stretch) == 0:
            return 0
        enter, leave = max(enter, stretch[0]), min(leave, stretch[1])
    elif a < -1e-10:  # steeper than the cone's side: inside before the one root or after the other
        under = b * b - a * c
        if under > 0.0:
            root = np.sqrt(under)
            low, high = (-b + root) / a, (-b - root) / a
            if leave > high and enter < high and enter >= low - _TINY:
                enter = high
            elif enter < low:
                leave = min(leave, low)
            elif enter < high:
                return 0
    elif abs(b) > _TINY:
        if b > 0.0:
            leave = min(leave, -c / (2.0 * b))
        else:
            enter = max(enter, -c / (2.0 * b))
    elif c > 0.0:
        return 0
    if enter >= leave:
        return 0
    stretch[0], stretch[1] = enter, leave
    return 1


@compiled
def _torus(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, radius: float, tube: float, stretch: Floats
) -> int:
    """Solve (|p|² + R² - r²)² = 4 R² (x² + y²) along the line: a quartic, whose roots come in pairs."""
    b = x * dx + y * dy + z * dz
    x, y, z = x - b * dx, y - b * dy, z - b * dz  # the point nearest to the centre: keeps the numbers small
    c = x * x + y * y + z * z
    reach = (radius + tube) * (radius + tube) - c
    if reach <= 0.0:
        return 0
    k = c + radius * radius - tube * tube
    four = 4.0 * radius * radius
    c2 = 2.0 * k - four * (dx * dx + dy * dy)
    c1 = -2.0 * four * (x * dx + y * dy)
    c0 = k * k - four * (x * x + y * y)
    edge = np.sqrt(reach) * 1.000001
    marks = np.empty(8)
    count = _turning_points(c2, c1, edge, marks)
    roots, found = stretch, 0
    for index in range(count - 1):
        low, high = marks[index], marks[index + 1]
        at_low = ((low * low + c2) * low + c1) * low + c0
        at_high = ((high * high + c2) * high + c1) * high + c0
        if at_low * at_high < 0.0 and found < 4:
            roots[found] = _bisected(1.0, c2, c1, c0, low, high, at_low)
            found += 1
    for index in range(found):
        stretch[index] -= b
    return found // 2


@compiled
def _turning_points(c2: float, c1: float, edge: float, marks: Floats) -> int:
    """List -edge, where 4 t³ + 2 c2 t + c1 changes sign inside, and edge."""
    marks[0], count = -edge, 1
    inner = np.empty(4)
    inner[0], parts = -edge, 1
    if c2 < 0.0:
        turn = np.sqrt(-c2 / 6.0)
        if turn < edge:
            inner[1], inner[2], parts = -turn, turn, 3
    inner[parts] = edge
    for index in range(parts):
        low, high = inner[index], inner[index + 1]
        at_low = 4.0 * low**3 + 2.0 * c2 * low + c1
        if at_low * (4.0 * high**3 + 2.0 * c2 * high + c1) < 0.0:
            marks[count] = _bisected(0.0, 4.0, 2.0 * c2, c1, low, high, at_low)
            count += 1
    marks[count] = edge
    return count + 1


@compiled
def _bisected(c4: float, c2: float, c1: float, c0: float, low: float, high: float, at_low: float) -> float:
    """Halve down on the root of c4 t⁴ + c2 t² + c1 t + c0, or for c4 = 0 of the cubic c2 t³ + c1 t + c0."""
    for _ in range(52):
        middle = 0.5 * (low + high)
        if c4 > 0.0:
            value = ((middle * middle + c2) * middle + c1) * middle + c0
        else:
            value = (c2 * middle * middle + c1) * middle + c0
        if value * at_low > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@compiled_parallel
def fill(
    kinds: NDArray[np.int64], solids: Floats, hulls: Floats, mg_per_ml: Floats,
    xs: Floats, ys: Floats, zs: Floats, truth: NDArray[np.float32],
) -> None:  # fmt: skip
    """Average over the points of each voxel what the last piece that holds the point is made of.

    `xs` is [x, point] in mm, `ys` and `zs` alike; `truth` is [substance, x, y, z].
    """
    points = xs.shape[1]
    share = 1.0 / points**3
    for i in numba.prange(xs.shape[0]):
        way = np.array([0.0, 0.0, 1.0])
        at = np.empty(3)
        stretch = np.empty(4)
        top = np.empty((zs.shape[0], points), dtype=np.int64)
        for a in range(points):
            for j in range(ys.shape[0]):
                for b in range(points):
                    at[0], at[1], at[2] = xs[i, a], ys[j, b], 0.0
                    top[:] = -1
                    for piece in range(kinds.size):
                        if _misses(hulls[piece], at[0], at[1]):
                            continue
                        count = crossings(kinds[piece], solids, piece, at, way, stretch)
                        for part in range(count):
                            _mark(top, zs, stretch[2 * part], stretch[2 * part + 1], piece)
                    for k in range(zs.shape[0]):
                        for c in range(points):
                            piece = top[k, c]
                            if piece >= 0:
                                for substance in range(mg_per_ml.shape[1]):
                                    truth[substance, i, j, k] += mg_per_ml[piece, substance] * share


@compiled
def _misses(hull: Floats, x: float, y: float) -> bool:
    """Tell that a vertical line passes outside the upright box around a hull."""
    outside_x = x < min(hull[0] - hull[3], hull[4] - hull[7]) or x > max(hull[0] + hull[3], hull[4] + hull[7])
    outside_y = y < min(hull[1] - hull[3], hull[5] - hull[7]) or y > max(hull[1] + hull[3], hull[5] + hull[7])
    return bool(outside_x or outside_y)


@compiled
def _mark(top: NDArray[np.int64], zs: Floats, enter: float, leave: float, piece: int) -> None:
    """Write a piece over the points of a column of voxels between two heights."""
    for k in range(zs.shape[0]):
        if zs[k, zs.shape[1] - 1] < enter:
            continue
        if zs[k, 0] >= leave:
            break
        for c in range(zs.shape[1]):
            if enter <= zs[k, c] < leave:
                top[k, c] = piece
