"""A and Aᵀ: adjoint to each other for every scanner, additive over slabs, and right for bodies of known integrals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Beam, Geometry, Grid, Panel, circle, cube, helix
from leadglass.imaging.projector import back, forward, only
from tests.imaging.analytic import ball, ball_integrals

GRID = Grid((20, 23, 17), (1.0, 1.2, 0.9), (1.0, -2.0, 0.5))
PANEL = Panel(40, 22, 1.5, 1.3, column_offset_mm=3.7, row_offset_mm=-1.4)
NEAR = {"source_axis_mm": 60.0, "source_panel_mm": 90.0}

SCANS = {
    "parallel": circle(PANEL, 13, beam=Beam.PARALLEL),
    "fan": circle(replace(PANEL, rows=1, row_offset_mm=0.0), 13, beam=Beam.FAN, **NEAR),
    "cone": circle(PANEL, 13, **NEAR),
    "short scan from an odd angle": circle(PANEL, 9, arc=3.9, first=0.3, **NEAR),
    "helix": helix(PANEL, 29, pitch_mm=9.0, turns=2.3, **NEAR),
    "rows finer than half a voxel": circle(Panel(40, 70, 1.5, 0.2), 7, **NEAR),
    "rows of many voxels": circle(Panel(40, 5, 1.5, 6.0), 7, **NEAR),
    "source inside the grid": circle(PANEL, 13, source_axis_mm=8.0, source_panel_mm=16.0),
}


def mismatch(grid: Grid, geometry: Geometry, seed: int = 1) -> float:
    """Give how far ⟨Ax, y⟩ is from ⟨x, Aᵀy⟩, of the sum of both without signs; sums are taken in double."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(grid.shape).astype(np.float32)
    y = rng.standard_normal(geometry.shape).astype(np.float32)
    left, right = forward(x, grid, geometry).astype(float) * y, back(y, grid, geometry).astype(float) * x
    assert np.abs(left).sum() > 0
    return abs(left.sum() - right.sum()) / (np.abs(left).sum() + np.abs(right).sum())


@pytest.mark.parametrize("name", SCANS)
def test_forward_and_back_are_adjoint(name: str) -> None:
    assert mismatch(GRID, SCANS[name]) < 1e-7


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 19)] * 3),
    voxel=st.tuples(*[st.floats(0.3, 2.5)] * 3),
    centre=st.tuples(*[st.floats(-6, 6)] * 3),
    offsets=st.tuples(st.floats(-9, 9), st.floats(-5, 5)),
    pitches=st.tuples(st.floats(0.4, 3), st.floats(0.2, 4)),
    first=st.floats(0, 6.3),
    turns=st.floats(-2, 2),
    beam=st.sampled_from([Beam.PARALLEL, Beam.CONE]),
)
def test_they_are_adjoint_for_any_scanner(
    shape: tuple[int, int, int],
    voxel: tuple[float, float, float],
    centre: tuple[float, float, float],
    offsets: tuple[float, float],
    pitches: tuple[float, float],
    first: float,
    turns: float,
    beam: Beam,
) -> None:
    panel = Panel(17, 9, *pitches, *offsets)
    angles = first + np.linspace(0, turns * 2 * np.pi, 5)
    geometry = Geometry(beam, panel, angles, np.linspace(-4, 4, 5), 60.0, 90.0)
    grid = Grid(shape, voxel, centre)
    rng = np.random.default_rng(3)
    x, y = rng.random(shape, dtype=np.float32), rng.random(geometry.shape, dtype=np.float32)
    left = np.vdot(forward(x, grid, geometry).astype(float), y)
    right = np.vdot(back(y, grid, geometry).astype(float), x)
    assert left == pytest.approx(right, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_add_up_to_the_whole(axis: int) -> None:
    geometry = SCANS["cone"]
    rng = np.random.default_rng(5)
    x, y = rng.random(GRID.shape, dtype=np.float32), rng.random(geometry.shape, dtype=np.float32)
    whole, adjoint = forward(x, GRID, geometry), back(y, GRID, geometry)
    total = np.zeros_like(whole)
    cut = GRID.shape[axis] // 3
    for part in (slice(0, cut), slice(cut, GRID.shape[axis])):
        place = tuple(part if k == axis else slice(None) for k in range(3))
        middle = GRID.centres_mm(axis)[part].mean()
        slab = Grid(
            x[place].shape,
            GRID.voxel_mm,
            tuple(middle if k == axis else c for k, c in enumerate(GRID.centre_mm)),
        )
        total += forward(x[place], slab, geometry)
        np.testing.assert_allclose(back(y, slab, geometry), adjoint[place], rtol=2e-5, atol=1e-4)
    np.testing.assert_allclose(total, whole, rtol=2e-5, atol=1e-4)


def test_many_views_are_the_same_as_few() -> None:
    """Views are taken in blocks; the blocks' borders show nowhere."""
    geometry = circle(PANEL, 130, **NEAR)
    rng = np.random.default_rng(6)
    x = rng.random(GRID.shape, dtype=np.float32)
    whole = forward(x, GRID, geometry)
    some = np.arange(1, 130, 9)
    np.testing.assert_array_equal(forward(x, GRID, only(geometry, some)), whole[some])
    parts = back(whole[:77], GRID, only(geometry, slice(0, 77))) + back(
        whole[77:], GRID, only(geometry, slice(77, 130))
    )
    np.testing.assert_allclose(back(whole, GRID, geometry), parts, rtol=1e-5)


@pytest.mark.parametrize("name", ["parallel", "cone", "helix"])
def test_line_integrals_converge_with_the_square_of_the_voxel(name: str) -> None:
    """A smooth body's integrals are exact but for the interpolation, whose error is of the second order or better."""
    geometry = replace(SCANS[name], panel=Panel(24, 18, 2.0, 2.0, 0.7, -0.3))
    centre, width = (2.0, -3.0, 1.0), 3.0
    exact = ball_integrals(geometry, centre, width)
    errors = []
    for side in (60, 120):
        grid = cube(side, 42.0 / side)
        errors.append(np.sqrt(np.mean((forward(ball(grid, centre, width), grid, geometry) - exact) ** 2)))
    assert errors[1] / exact.max() < 1e-3
    assert errors[0] / errors[1] > 3.5


def test_a_fan_sees_one_slice() -> None:
    """A fan through the middle of the only slice gives 2D integrals: voxels' height does not matter."""
    geometry = circle(Panel(30, 1, 1.5, 1.0), 12, beam=Beam.FAN, **NEAR)
    plane = ball(Grid((80, 80, 1), (0.5, 0.5, 5.0)), (2.0, -3.0, 0.0), 3.0)
    exact = ball_integrals(geometry, (2.0, -3.0, 0.0), 3.0)
    np.testing.assert_allclose(forward(plane, Grid((80, 80, 1), (0.5, 0.5, 5.0)), geometry), exact, atol=0.03)


def test_what_does_not_fit_is_said_before_any_work() -> None:
    with pytest.raises(UsageError, match="volume"):
        forward(np.zeros((3, 3, 3), np.float32), GRID, SCANS["cone"])
    with pytest.raises(UsageError, match="projections"):
        back(np.zeros((3, 3, 3), np.float32), GRID, SCANS["cone"])
