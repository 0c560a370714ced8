"""How much each ray counts in filtered back projection, so that every line through the body counts once.

Over full turns each line is measured twice a turn, once from either end. A short scan measures some lines twice and
some once: Parker's weights (1982, Med. Phys. 9:254-257), widened to any arc below a turn (Silver 2000, Med. Phys.
27:773-774), pass smoothly from one to the other. A panel set to one side measures the middle twice and the outer part
once: Wang's weights (2002, Med. Phys. 29:1634-1636).
"""

from __future__ import annotations

import numpy as np

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Beam, Floats, Geometry, Grid

TURN = 2 * np.pi

ASIDE = 0.05
"""A panel whose centre is off by more than this part of its width is one set to one side. Smaller offsets (a quarter
of a pixel, a misplaced panel) leave all but the rim measured twice."""


def steps(geometry: Geometry) -> Floats:
    """Give the angle that each view stands for, shape (views,).

    Raises UsageError unless the angles go one way, with gaps of no more than twice the median step.
    """
    gaps = np.diff(geometry.angles)
    if gaps.size < 2 or not ((gaps > 0).all() or (gaps < 0).all()):
        raise UsageError(
            "Filtered back projection needs views one after the other around the axis.",
            hint="Order the views by angle, or reconstruct iteratively.",
        )
    gaps = np.abs(gaps)
    if gaps.max() > 2.01 * np.median(gaps):
        raise UsageError(
            f"Views are missing: a gap of {np.degrees(gaps.max()):.1f}°, steps of {np.degrees(np.median(gaps)):.1f}°.",
            hint="Reconstruct iteratively, which needs no even views.",
        )
    return np.concatenate([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])


def weights(grid: Grid, geometry: Geometry) -> Floats:
    """Give each ray's part of its line, shape (views, columns); a full turn has one half everywhere.

    Raises UsageError where lines through the grid were not measured at all.
    """
    width = steps(geometry)
    arc = float(abs(geometry.angles[-1] - geometry.angles[0]) + (width[0] + width[-1]) / 2)
    step = float(np.median(width))
    aside = _stands_aside(geometry)
    if arc > TURN - step / 2:
        seen = _turns(geometry, arc, step)[:, None]
        return seen * (_one_sided(geometry) if aside else np.ones((1, geometry.panel.columns)))
    if aside:
        raise UsageError(
            "A panel set to one side and less than a full turn leave lines unmeasured.",
            hint="Scan a full turn, or reconstruct iteratively.",
        )
    needed = np.pi + 2 * _half_fan(grid, geometry)
    if arc < needed - 1.5 * step:
        raise UsageError(
            f"The scan covers {np.degrees(arc):.0f}°, filtered back projection needs {np.degrees(needed):.0f}°.",
            hint="Make the volume smaller, or reconstruct iteratively.",
        )
    return _short(geometry, arc, step)


def missing_columns(geometry: Geometry) -> tuple[int, int]:
    """Give how many columns a panel set to one side lacks before its first and after its last to be even.

    Their weights are 0, but the filter reaches into them.
    """
    if not _stands_aside(geometry):
        return 0, 0
    u = geometry.panel.u_mm()
    lack = int(np.ceil(abs(u[0] + u[-1]) / geometry.panel.column_pitch_mm))
    return (lack, 0) if u.mean() > 0 else (0, lack)


def _stands_aside(geometry: Geometry) -> bool:
    panel = geometry.panel
    return bool(abs(panel.column_offset_mm) > ASIDE * panel.columns * panel.column_pitch_mm)


def fan_angles(geometry: Geometry) -> Floats:
    """Give each column's angle from the central ray, shape (columns,); 0 for parallel beams."""
    u = geometry.panel.u_mm()
    return np.zeros_like(u) if geometry.beam is Beam.PARALLEL else np.arctan(u / geometry.source_panel_mm)


def _half_fan(grid: Grid, geometry: Geometry) -> float:
    """Give the half fan that the grid's inner circle needs, at most the panel's."""
    if geometry.beam is Beam.PARALLEL:
        return 0.0
    reach = max(grid.shape[axis] * grid.voxel_mm[axis] / 2 + abs(grid.centre_mm[axis]) for axis in (0, 1))
    needed = np.arcsin(min(1.0, reach / geometry.source_axis_mm))
    return float(min(needed, np.abs(fan_angles(geometry)).max()))


def _turns(geometry: Geometry, arc: float, step: float) -> Floats:
    """Share a line among the turns that measured it; a last turn's part fades in as the first turn's fades out."""
    whole = int(np.floor((arc + step / 2) / TURN))
    extra = arc - whole * TURN
    at = np.abs(geometry.angles - geometry.angles[0]) + step / 2
    if extra < step / 2:
        return np.full(geometry.views, 0.5 / whole)
    return np.asarray(np.minimum(1, np.minimum(at, arc - at) / extra) * (0.5 / whole))


def _one_sided(geometry: Geometry) -> Floats:
    u = geometry.panel.u_mm()
    half = geometry.panel.column_pitch_mm / 2
    overlap = min(u.max() + half, half - u.min())
    if overlap <= 0:
        raise UsageError("The panel does not see the axis of rotation.", hint="Check /detector's column offset.")
    at = fan_angles(geometry) if geometry.beam is not Beam.PARALLEL else u
    edge = np.arctan(overlap / geometry.source_panel_mm) if geometry.beam is not Beam.PARALLEL else overlap
    rising = 1 + np.sin(np.pi / 2 * np.clip(at / edge, -1, 1)) * np.sign(u.mean())
    return np.asarray(rising)[None, :]


def _short(geometry: Geometry, arc: float, step: float) -> Floats:
    """Give Parker's weights with Silver's widened fan; the conjugate of (b, g) is (b + pi - 2g, -g)."""
    direction = np.sign(geometry.angles[1] - geometry.angles[0])
    at = (np.abs(geometry.angles - geometry.angles[0]) + step / 2)[:, None]
    fan = direction * fan_angles(geometry)[None, :]
    widened = (arc - np.pi) / 2
    fading_in, fading_out = np.maximum(widened + fan, 1e-9), np.maximum(widened - fan, 1e-9)
    rise = np.sin(np.pi / 4 * np.minimum(at / fading_in, 2)) ** 2
    fall = np.sin(np.pi / 4 * np.minimum((arc - at) / fading_out, 2)) ** 2
    return np.asarray(np.minimum(rise, fall))
