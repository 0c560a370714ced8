"""How much rays count: all measurements of a line together once, whatever the scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging import redundancy
from leadglass.imaging.geometry import Beam, Geometry, Panel, circle, cube

NEAR = {"source_axis_mm": 200.0, "source_panel_mm": 320.0}
PANEL = Panel(128, 4, 1.0, 1.0)
GRID = cube(60, 1.0)


def both_ends(geometry: Geometry, column: int) -> np.ndarray:
    """Sum a column's weights and those of the same lines from the other end, over all turns, where both are inside."""
    made = redundancy.weights(GRID, geometry)
    fan = redundancy.fan_angles(geometry)[column]
    step = geometry.angles[1] - geometry.angles[0]
    at = geometry.angles + step / 2
    total = np.zeros(geometry.views)
    for turn in range(-3, 4):
        total += np.interp(at + 2 * np.pi * turn, at, made[:, column], left=0, right=0)
        other = at + np.pi - 2 * fan + 2 * np.pi * turn
        total += np.interp(other, at, made[:, -1 - column], left=0, right=0)
    return total


@pytest.mark.parametrize("arc", [3.8, 4.0, 5.5, 2 * np.pi, 4 * np.pi, 9.0, 14.0])
@pytest.mark.parametrize("column", [0, 31, 64, 127])
def test_each_line_counts_once(arc: float, column: int) -> None:
    total = both_ends(circle(PANEL, 2000, arc=arc, **NEAR), column)
    wrong = np.abs(total - 1) > 5e-3
    assert wrong.sum() < 30  # at the scan's ends interpolation finds no neighbour


def test_a_panel_set_aside_counts_its_outer_part_double() -> None:
    panel = Panel(100, 4, 1.0, 1.0, column_offset_mm=30.0)
    geometry = circle(panel, 360, **NEAR)
    made = redundancy.weights(GRID, geometry)[0]
    u = panel.u_mm()
    near = np.abs(u) < 20
    np.testing.assert_allclose(made[near] + made[near][::-1], 1, atol=1e-6)
    np.testing.assert_allclose(made[u > 20.5], 1)
    assert redundancy.missing_columns(geometry) == (60, 0)
    assert redundancy.missing_columns(circle(replace(panel, column_offset_mm=-30.0), 360, **NEAR)) == (0, 60)
    assert redundancy.missing_columns(circle(replace(panel, column_offset_mm=0.3), 360, **NEAR)) == (0, 0)


def test_views_stand_for_the_angles_around_them() -> None:
    geometry = circle(PANEL, 5, arc=1.0)
    uneven = replace(geometry, angles=np.array([0.0, 0.1, 0.25, 0.4, 0.5]))
    np.testing.assert_allclose(redundancy.steps(uneven), [0.1, 0.125, 0.15, 0.125, 0.1])
    np.testing.assert_allclose(redundancy.steps(replace(uneven, angles=-uneven.angles)), redundancy.steps(uneven))


def test_lines_not_measured_are_said() -> None:
    aside = Panel(100, 4, 1.0, 1.0, column_offset_mm=30.0)
    for geometry, words in (
        (circle(aside, 240, arc=4.0, **NEAR), "full turn"),
        (circle(replace(aside, column_offset_mm=60.0), 240, **NEAR), "axis of rotation"),
        (circle(PANEL, 240, arc=3.2, **NEAR), "needs"),
        (circle(PANEL, 240, arc=3.0, beam=Beam.PARALLEL), "needs 180°"),
        (circle(PANEL, 2, **NEAR), "one after the other"),
    ):
        with pytest.raises(UsageError, match=words):
            redundancy.weights(GRID, geometry)
