"""Helical reconstruction: pitches up to its limit, the ends it does not see, and scans it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Beam, Grid, Panel, helix
from tests.imaging.analytic import ball, ball_integrals, ellipsoid, ellipsoid_integrals

NEAR = {"source_axis_mm": 200.0, "source_panel_mm": 320.0}
PANEL = Panel(96, 33, 1.2, 1.2)
GRID = Grid((48, 48, 9), (1.0, 1.0, 1.5))
HEIGHT = 33 * 1.2 / 1.6
"""The panel's height at the axis, mm."""


@pytest.mark.parametrize(("pitch", "worst"), [(0.4, 0.006), (0.9, 0.006), (1.4, 0.008)])
def test_a_ball_comes_back_at_pitches_up_to_the_limit(pitch: float, worst: float) -> None:
    scan = helix(PANEL, 600, pitch_mm=pitch * HEIGHT, turns=5, **NEAR)
    centre = (6.0, -9.0, 2.0)
    made = fdk(ball_integrals(scan, centre, 4.0), GRID, scan)
    assert np.sqrt(np.mean((made - ball(GRID, centre, 4.0)) ** 2)) < worst


def test_a_long_body_keeps_its_height_in_each_slice() -> None:
    """A body that no view sees whole has the same density everywhere: turns are shared without seams."""
    scan = helix(PANEL, 480, pitch_mm=0.8 * HEIGHT, turns=4, **NEAR)
    seen = ellipsoid_integrals(scan, (0.0, 0.0, 0.0), (18.0, 14.0, 1e4))
    made = fdk(seen, GRID, scan)
    inside = ellipsoid(GRID, (0.0, 0.0, 0.0), (14.0, 10.0, 1e4)) > 0
    slices = [made[:, :, k][inside[:, :, k]].mean() for k in range(GRID.shape[2])]
    np.testing.assert_allclose(slices, 1, atol=3e-3)
    assert made[inside].std() < 0.01


def test_what_the_helix_does_not_see_is_empty() -> None:
    scan = helix(PANEL, 240, pitch_mm=0.8 * HEIGHT, turns=2, **NEAR)
    tall = replace(GRID, shape=(8, 8, 60))
    made = fdk(np.ones(scan.shape, np.float32), tall, scan)
    assert (made[:, :, [0, 1, -2, -1]] == 0).all()
    assert (made[:, :, 25:35] != 0).all()


def test_scans_it_cannot_do_are_said() -> None:
    scan = helix(PANEL, 240, pitch_mm=20.0, turns=2, **NEAR)
    zeros = np.zeros(scan.shape, np.float32)
    uneven = replace(scan, z_mm=scan.z_mm + np.sin(np.arange(240)))
    for bad, words in (
        (replace(scan, beam=Beam.PARALLEL), "cone"),
        (uneven, "evenly spaced"),
        (replace(scan, panel=replace(PANEL, column_offset_mm=30.0)), "set to one side"),
        (replace(scan, angles=scan.angles / 4), "shorter"),
    ):
        with pytest.raises(UsageError, match=words):
            fdk(zeros, GRID, bad)
    zeros[3, 4, 5] = np.nan
    with pytest.raises(UsageError, match="no numbers"):
        fdk(zeros, GRID, scan)
