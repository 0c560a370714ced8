"""Filtered back projection of bodies of known integrals: right for every scan, of the expected order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from leadglass.errors import Cancelled, UsageError
from leadglass.imaging import ramp, redundancy
from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Beam, Geometry, Grid, Panel, circle, helix
from tests.imaging.analytic import ball, ball_integrals, ellipsoid, ellipsoid_integrals

NEAR = {"source_axis_mm": 200.0, "source_panel_mm": 320.0}
PANEL = Panel(128, 41, 1.0, 1.0)
CENTRE, WIDTH = (5.0, -8.0, 1.0), 4.0
GRID = Grid((64, 64, 5), (0.8, 0.8, 1.0))


def mirrored(geometry: Geometry) -> Geometry:
    """Turn the other way round."""
    return replace(geometry, angles=-geometry.angles)


SCANS = {
    "parallel, a turn": (circle(PANEL, 180, beam=Beam.PARALLEL), 0.001),
    "parallel, half a turn": (circle(PANEL, 180, beam=Beam.PARALLEL, arc=np.pi), 0.001),
    "parallel, a bit more": (circle(PANEL, 180, beam=Beam.PARALLEL, arc=4.1, first=1.0), 0.001),
    "fan": (circle(replace(PANEL, rows=1), 240, beam=Beam.FAN, **NEAR), 0.001),
    "fan, short": (circle(replace(PANEL, rows=1), 240, beam=Beam.FAN, arc=3.7, **NEAR), 0.001),
    "cone": (circle(PANEL, 240, **NEAR), 0.001),
    "cone, two turns and a bit": (circle(PANEL, 480, arc=14.0, **NEAR), 0.001),
    "cone, off by a quarter": (circle(replace(PANEL, column_offset_mm=0.25, row_offset_mm=-2.0), 240, **NEAR), 0.001),
    "cone, set to the left": (circle(Panel(100, 41, 1.0, 1.0, column_offset_mm=-30.0), 360, **NEAR), 0.002),
    "cone, set to the right": (circle(Panel(100, 41, 1.0, 1.0, column_offset_mm=30.0), 360, **NEAR), 0.002),
    "cone, short": (circle(PANEL, 240, arc=4.0, **NEAR), 0.003),
    "cone, short, backwards": (circle(PANEL, 240, arc=-4.0, first=2.0, **NEAR), 0.003),
    "helix": (helix(PANEL, 480, pitch_mm=20.0, turns=3, **NEAR), 0.004),
    "helix, backwards": (mirrored(helix(PANEL, 480, pitch_mm=20.0, turns=3, **NEAR)), 0.004),
    "helix, steep": (helix(PANEL, 360, pitch_mm=34.0, turns=3, **NEAR), 0.006),
}


@pytest.mark.parametrize("name", SCANS)
def test_a_soft_ball_comes_back(name: str) -> None:
    geometry, worst = SCANS[name]
    flat = geometry.panel.rows == 1
    grid = replace(GRID, shape=(64, 64, 1)) if flat else GRID
    centre = (*CENTRE[:2], 0.0) if flat else CENTRE
    made = fdk(ball_integrals(geometry, centre, WIDTH), grid, geometry)
    assert np.sqrt(np.mean((made - ball(grid, centre, WIDTH)) ** 2)) < worst


def test_each_line_of_a_short_scan_counts_once() -> None:
    """The weights of a ray and of the same ray from the other end add up to one."""
    geometry = circle(PANEL, 400, arc=4.0, **NEAR)
    made = redundancy.weights(GRID, geometry)
    fans, at = redundancy.fan_angles(geometry), geometry.angles + 0.005
    for column in (0, 31, 64, 127):
        other = at + np.pi - 2 * fans[column]
        for way in (other, other - 2 * np.pi):
            inside = (way > at[0]) & (way < at[-1])
            both = made[inside, column] + np.interp(way[inside], at, made[:, -1 - column])
            np.testing.assert_allclose(both, 1, atol=2e-3)


@pytest.mark.parametrize("beam", [Beam.PARALLEL, Beam.CONE])
def test_it_converges_with_the_square_of_the_pixel(beam: Beam) -> None:
    """In the plane of the circle a smooth body is exact but for sampling: half the pixels, a quarter of the error."""
    errors = []
    for scale in (1, 2):
        panel = Panel(48 * scale, 3, 1.6 / scale, 1.6 / scale)
        geometry = circle(panel, 150 * scale, beam=beam, **NEAR)
        grid = Grid((32 * scale, 32 * scale, 1), (0.8 / scale, 0.8 / scale, 0.8 / scale))
        centre = (2.1, -3.3, 0.0)
        made = fdk(ball_integrals(geometry, centre, 3.0), grid, geometry)
        errors.append(np.sqrt(np.mean((made - ball(grid, centre, 3.0)) ** 2)))
    assert errors[1] < 2e-3
    assert 3.4 < errors[0] / errors[1] < 5


def test_a_sharp_body_converges_with_the_root_of_the_pixel() -> None:
    """Only voxels at its rim are wrong, and their share falls with the voxel: the error with its square root."""
    centre, radii = (2.0, -3.0, 0.0), (17.0, 12.0, 14.0)
    errors = []
    for scale in (1, 4):
        panel = Panel(48 * scale, 3, 1.6 / scale, 1.6 / scale)
        geometry = circle(panel, 150 * scale, **NEAR)
        grid = Grid((56 * scale, 56 * scale, 1), (0.8 / scale, 0.8 / scale, 0.8 / scale))
        made = fdk(ellipsoid_integrals(geometry, centre, radii), grid, geometry)
        errors.append(np.sqrt(np.mean((made - ellipsoid(grid, centre, radii)) ** 2)))
        inside = ellipsoid(grid, centre, (13.0, 8.0, 10.0)) > 0
        assert made[inside].mean() == pytest.approx(1, abs=2e-3 / scale)
    assert 1.6 < errors[0] / errors[1] < 2.6


@pytest.mark.parametrize("window", ["ram-lak", "hann"])
def test_noise_is_as_foretold(window: str) -> None:
    """White noise of variance 1 gives, at the axis, the squared sum of all weights it passes.

    At the axis of a parallel scan every view is read at the same place, half way between two columns: its variance is
    (step / 2)² Σ ((h[n] + h[n + 1]) / 2)² a view, h the windowed kernel times the pitch.
    """
    panel = Panel(64, 12, 0.7, 0.7)
    geometry = circle(panel, 90, beam=Beam.PARALLEL)
    grid = Grid((1, 1, 12), (0.1, 0.1, 0.7))
    answer = ramp.response(64, 0.7, window=window).astype(np.float64)
    taps = np.fft.irfft(answer, n=scipy.fft.next_fast_len(127, real=True))
    foretold = 90 * (2 * np.pi / 90 / 2) ** 2 * np.sum(((taps + np.roll(taps, 1)) / 2) ** 2)
    rng = np.random.default_rng(2)
    seen = [
        fdk(rng.standard_normal(geometry.shape).astype(np.float32), grid, geometry, window=window) for _ in range(80)
    ]
    assert np.var(np.array(seen)) == pytest.approx(foretold, rel=0.15)


def test_windows_leave_the_mean_alone() -> None:
    geometry, _ = SCANS["parallel, a turn"]
    seen = ellipsoid_integrals(geometry, (0.0, 0.0, 0.0), (15.0, 15.0, 15.0))
    inside = ellipsoid(GRID, (0.0, 0.0, 0.0), (10.0, 10.0, 10.0)) > 0
    for window in ramp.WINDOWS:
        made = fdk(seen, GRID, geometry, window=window, cutoff=0.8)
        assert made[inside].mean() == pytest.approx(1, abs=2e-3), window


def test_what_cannot_be_reconstructed_is_said_before_any_work() -> None:
    geometry, _ = SCANS["cone"]
    zeros = np.zeros(geometry.shape, np.float32)
    with pytest.raises(UsageError, match="projections"):
        fdk(zeros[1:], GRID, geometry)
    with pytest.raises(UsageError, match="window"):
        fdk(zeros, GRID, geometry, window="square")
    with pytest.raises(UsageError, match="cut-off"):
        fdk(zeros, GRID, geometry, cutoff=0.0)
    holed = zeros.copy()
    holed[0, 3, 3] = np.nan
    with pytest.raises(UsageError, match="no numbers"):
        fdk(holed, GRID, geometry)
    with pytest.raises(UsageError, match=r"covers 180°"):
        fdk(zeros, GRID, circle(PANEL, 240, arc=np.pi, **NEAR))
    gapped = replace(geometry, angles=np.delete(geometry.angles, slice(9, 14)), z_mm=geometry.z_mm[5:])
    with pytest.raises(UsageError, match="Views are missing"):
        fdk(zeros[5:], GRID, gapped)
    with pytest.raises(UsageError, match="one after the other"):
        fdk(zeros, GRID, replace(geometry, angles=geometry.angles[::-1] ** 2 % 6))
    with pytest.raises(UsageError, match="cone"):
        fdk(zeros, GRID, replace(geometry, beam=Beam.PARALLEL, z_mm=geometry.angles))


@pytest.mark.parametrize("name", ["cone", "helix"])
def test_a_person_may_stop_it(name: str) -> None:
    geometry, _ = SCANS[name]
    with pytest.raises(Cancelled):
        fdk(np.zeros(geometry.shape, np.float32), GRID, geometry, report=lambda done, total: False)


@pytest.mark.parametrize("name", ["cone", "helix"])
def test_progress_ends_at_the_end(name: str) -> None:
    geometry, _ = SCANS[name]
    told: list[tuple[int, int]] = []

    def report(done: int, total: int) -> bool:
        told.append((done, total))
        return True

    fdk(np.zeros(geometry.shape, np.float32), GRID, geometry, report=report)
    assert told[-1][0] == told[-1][1]
    parts = [done / total for done, total in told]
    assert parts == sorted(parts)
