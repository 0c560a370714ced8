"""Where the rays of a scan cross the planes of a grid: the table that the projector's loops walk along.

A ray is followed plane by plane along the in-plane axis on which it advances fastest (Joseph 1982, IEEE Trans. Med.
Imaging 1:192-196). All rows of one detector column share the same line seen from above, because the detector stands
parallel to the axis of rotation: so there is one line for each view and column, and along it height is linear in the
row. The table has `FIELDS` numbers a line; lengths in it are in voxels, counted from the centre of voxel 0.
"""

from __future__ import annotations

import numpy as np

from leadglass.imaging.geometry import Beam, Floats, Geometry, Grid

FIELDS = 10
ALONG_Y, SIDE, SIDE_STEP, FIRST, LAST, HEIGHT, HEIGHT_STEP, RISE, RISE_STEP, LENGTH = range(FIELDS)
"""What a line's numbers mean. Plane i (of x, or of y where ALONG_Y is 1) is crossed for FIRST <= i < LAST, sideways
at SIDE + i SIDE_STEP, by row r at height HEIGHT + i HEIGHT_STEP + r (RISE + i RISE_STEP). LENGTH times `chords` is
the way from plane to plane in mm."""


def lines(grid: Grid, geometry: Geometry) -> Floats:
    """Tabulate the lines of all views and columns, shape (views, columns, FIELDS)."""
    (start_x, start_y), (run_x, run_y), cone = _seen_from_above(geometry)
    (width_x, width_y, height), (count_x, count_y, _) = grid.voxel_mm, grid.shape
    first_x, first_y, first_z = (float(grid.centres_mm(axis)[0]) for axis in range(3))
    along_y = np.abs(run_y) * width_x > np.abs(run_x) * width_y

    def pick(y: Floats | float, x: Floats | float) -> Floats:
        return np.where(along_y, y, x)

    run = pick(run_y, run_x)
    at = (pick(first_y, first_x) - pick(start_y, start_x)) / run
    at_step = pick(width_y, width_x) / run
    side_width = pick(width_x, width_y)
    side = (pick(start_x, start_y) + at * pick(run_x, run_y) - pick(first_x, first_y)) / side_width
    side_step = at_step * pick(run_x, run_y) / side_width
    first, last = _crossed(side, side_step, pick(count_x, count_y), pick(count_y, count_x))
    if cone:  # between source and panel only
        lasting = np.maximum((0 - at) / at_step, (1 - at) / at_step)
        first = np.maximum(first, np.floor(np.minimum((0 - at) / at_step, (1 - at) / at_step)) + 1)
        last = np.minimum(last, np.floor(lasting) + 1)
    lowest, pitch = float(geometry.panel.v_mm()[0]), geometry.panel.row_pitch_mm
    reach, reach_step = (at, at_step) if cone else (np.ones_like(at), np.zeros_like(at))
    table = np.empty((*at.shape, FIELDS))
    table[..., ALONG_Y] = along_y
    table[..., SIDE], table[..., SIDE_STEP] = side, side_step
    table[..., FIRST], table[..., LAST] = first, np.maximum(last, first)
    table[..., HEIGHT] = (geometry.z_mm[:, None] + lowest * reach - first_z) / height
    table[..., HEIGHT_STEP] = lowest * reach_step / height
    table[..., RISE], table[..., RISE_STEP] = pitch * reach / height, pitch * reach_step / height
    table[..., LENGTH] = np.abs(at_step)
    return table


def chords(geometry: Geometry) -> Floats:
    """Give how long a ray is from source to panel in mm, shape (columns, rows); 1 for parallel beams."""
    panel = geometry.panel
    if geometry.beam is Beam.PARALLEL:
        return np.ones((panel.columns, panel.rows))
    return np.sqrt(geometry.source_panel_mm**2 + panel.u_mm()[:, None] ** 2 + panel.v_mm()[None, :] ** 2)


def _seen_from_above(geometry: Geometry) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats], bool]:
    """Give a point of each line and the way along it: from the source to the column, or 1 mm of a parallel ray."""
    cosine, sine = np.cos(geometry.angles)[:, None], np.sin(geometry.angles)[:, None]
    u = geometry.panel.u_mm()[None, :]
    if geometry.beam is Beam.PARALLEL:
        return (-u * sine, u * cosine), (-cosine + 0 * u, -sine + 0 * u), False
    from_axis, to_panel = geometry.source_axis_mm, geometry.source_panel_mm
    start = (from_axis * cosine + 0 * u, from_axis * sine + 0 * u)
    return start, (-to_panel * cosine - u * sine, -to_panel * sine + u * cosine), True


def _crossed(side: Floats, step: Floats, width: Floats, planes: Floats) -> tuple[Floats, Floats]:
    """Give the planes on which the line lies between sideways voxels -1 and `width`, where weights are not zero."""
    slope = np.where(np.abs(step) < 1e-12, 1e-12, step)
    enter, leave = (-1 - side) / slope, (width - side) / slope
    first = np.clip(np.floor(np.minimum(enter, leave)) + 1, 0, planes)
    last = np.clip(np.ceil(np.maximum(enter, leave)), 0, planes)
    return first, last
