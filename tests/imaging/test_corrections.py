"""Corrections: holes continue their surroundings, rings go and bodies stay, water becomes straight."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.corrections import remove_rings, repair_bad, water_hardening
from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Beam, Grid, Panel, circle
from tests.imaging.analytic import ellipsoid, ellipsoid_integrals


def test_a_linear_course_across_a_hole_is_restored() -> None:
    rng = np.random.default_rng(3)
    slopes = rng.standard_normal((5, 3))
    column, row = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
    seen = (slopes[:, :1, None] + slopes[:, 1:2, None] * column + slopes[:, 2:, None] * row).astype(np.float32)
    bad = np.zeros((40, 30), bool)
    bad[10:14, 12:15], bad[20, 1:-1], bad[30, 20] = True, True, True
    bad[20, 0] = bad[20, -1] = False
    spoiled = seen.copy()
    spoiled[:, bad] = np.nan
    np.testing.assert_allclose(repair_bad(spoiled, bad), seen, atol=2e-4)


def test_good_pixels_are_left_alone() -> None:
    rng = np.random.default_rng(4)
    seen = rng.random((3, 20, 20), dtype=np.float32)
    bad = rng.random((20, 20)) < 0.1
    bad[0, 0] = bad[19, 5] = True
    repaired = repair_bad(seen, bad)
    np.testing.assert_array_equal(repaired[:, ~bad], seen[:, ~bad])
    assert repaired[:, bad].min() >= seen.min()
    assert repaired[:, bad].max() <= seen.max()
    np.testing.assert_array_equal(repair_bad(seen, np.zeros_like(bad)), seen)


def test_a_broken_or_another_detector_is_refused() -> None:
    seen = np.zeros((2, 10, 10), np.float32)
    with pytest.raises(UsageError, match="100 %"):
        repair_bad(seen, np.ones((10, 10), bool))
    with pytest.raises(UsageError, match="map"):
        repair_bad(seen, np.zeros((9, 10), bool))


def test_rings_go_and_the_body_stays() -> None:
    geometry = circle(Panel(96, 1, 0.7, 0.7), 180, beam=Beam.PARALLEL)
    grid = Grid((64, 64, 1), (0.9, 0.9, 0.7))
    centre, radii = (3.0, -2.0, 0.0), (20.0, 15.0, 30.0)
    clean = ellipsoid_integrals(geometry, centre, radii)
    offsets = np.zeros((96, 1), np.float32)
    offsets[[30, 41, 60, 61], 0] = 0.6, -0.5, 0.4, 0.4
    right = fdk(clean, grid, geometry)
    ringed = fdk(clean + offsets, grid, geometry)
    repaired = fdk(remove_rings(clean + offsets), grid, geometry)
    inside = ellipsoid(grid, centre, (17.0, 12.0, 30.0)) > 0
    before, after = np.std((ringed - right)[inside]), np.std((repaired - right)[inside])
    assert after < 0.4 * before
    assert np.abs(fdk(remove_rings(clean), grid, geometry) - right)[inside].max() < 0.004


@pytest.mark.parametrize("width", [4, 3, 8])
def test_a_ring_filter_has_a_middle(width: int) -> None:
    with pytest.raises(UsageError, match="middle"):
        remove_rings(np.zeros((2, 9, 1), np.float32), width=width)


SPECTRUM = np.array([0.2, 0.5, 0.3])
WATER = np.array([0.037, 0.0227, 0.0184])


def test_water_becomes_straight() -> None:
    """What a polychromatic beam shows of water of any thickness becomes the thickness times the reference."""
    curve = water_hardening(SPECTRUM, WATER, reference=0.02, longest_mm=300.0)
    ways = np.linspace(0, 300, 777)
    seen = -np.log(np.exp(-np.outer(ways, WATER)) @ SPECTRUM)
    np.testing.assert_allclose(curve.straighten(seen.astype(np.float32)), 0.02 * ways, atol=2e-5 * 300)


def test_beyond_the_table_the_curve_goes_on() -> None:
    curve = water_hardening(SPECTRUM, WATER, reference=0.02, longest_mm=100.0)
    made = curve.straighten(np.linspace(-0.5, 6, 400).astype(np.float32))
    assert (np.diff(made) > 0).all()
    assert made[0] < 0


def test_cupping_goes() -> None:
    """A cylinder of water is as dense in its middle as at its rim once hardening is undone."""
    geometry = circle(Panel(96, 1, 1.0, 1.0), 180, beam=Beam.PARALLEL)
    grid = Grid((64, 64, 1), (1.2, 1.2, 1.0))
    ways = ellipsoid_integrals(geometry, (0.0, 0.0, 0.0), (33.0, 33.0, 1e4))
    seen = -np.log(np.exp(-ways[..., None] * WATER) @ SPECTRUM).astype(np.float32)
    curve = water_hardening(SPECTRUM, WATER, reference=0.02, longest_mm=80.0)
    radius = np.hypot(*np.meshgrid(grid.centres_mm(0), grid.centres_mm(1), indexing="ij"))[..., None]

    def cup(volume: np.ndarray) -> float:
        return float(volume[(radius > 24) & (radius < 28)].mean() / volume[radius < 8].mean() - 1)

    straight = fdk(curve.straighten(seen), grid, geometry)
    assert cup(fdk(seen, grid, geometry)) > 0.015
    assert abs(cup(straight)) < 0.002
    assert straight[radius < 8].mean() == pytest.approx(0.02, rel=2e-3)


def test_what_makes_no_curve_is_refused() -> None:
    for spectrum, water, reference, longest in (
        (SPECTRUM[:2], WATER, 0.02, 9.0),
        (0 * SPECTRUM, WATER, 0.02, 9.0),
        (SPECTRUM, 0 * WATER, 0.02, 9.0),
        (SPECTRUM, WATER, 0.02, 0.0),
    ):
        with pytest.raises(UsageError):
            water_hardening(spectrum, water, reference=reference, longest_mm=longest)
