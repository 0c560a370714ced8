"""Rods teach the response of materials, known rays the errors of a spectrum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.calibration import Rod, bend_spectra, bend_to_scan, rod_response, scan_model
from leadglass.imaging.decomposition import decompose_projections
from leadglass.imaging.geometry import Panel, circle, cube
from leadglass.imaging.image_decomposition import decompose_image
from leadglass.imaging.material import MATERIALS
from leadglass.imaging.phantom import Body, Cylinder, Phantom
from leadglass.imaging.scan import Scan, Sensor, Tube
from leadglass.imaging.simulate import simulate
from leadglass.imaging.thickness import line_integrals
from tests.imaging.five_bins import PHOTONS, model

GRID = cube(40, 1.0)
PER_MG = {
    "water": np.array([2.9e-4, 2.2e-4, 1.9e-4]),
    "iodine": np.array([9e-3, 1.5e-2, 4e-3]),
    "calcium": np.array([3.6e-3, 1.4e-3, 6e-4]),
}
PURE = {"water": 1000.0, "iodine": 4930.0, "calcium": 1550.0}
RODS = (
    Rod("water", 1000.0, (-12.0, -12.0), 4.0),
    Rod("iodine", 2.0, (0.0, -12.0), 4.0),
    Rod("iodine", 8.0, (12.0, -12.0), 4.0),
    Rod("calcium", 50.0, (-12.0, 0.0), 4.0),
    Rod("calcium", 300.0, (12.0, 0.0), 4.0),
)


def drawn(noise: float = 0.0) -> np.ndarray:
    bins = np.zeros((3, *GRID.shape), np.float32)
    for rod in RODS:
        there = rod.inside(GRID, 1.0)
        water = 1000.0 if rod.material == "water" else 1000.0 * (1 - rod.mg_per_ml / PURE[rod.material])
        value = PER_MG["water"] * water
        if rod.material != "water":
            value = value + PER_MG[rod.material] * rod.mg_per_ml
        bins[:, there] = value[:, None, None]
    return bins + np.random.default_rng(1).normal(0, noise, bins.shape).astype(np.float32) if noise else bins


def test_rods_give_the_response_and_its_straightness() -> None:
    found = rod_response(drawn(1e-3), GRID, RODS)
    for column, name in enumerate(found.effective.materials):
        assert np.allclose(found.effective.per_mg_ml[:, column], PER_MG[name], rtol=0.02), name
    assert found.least_r_squared > 0.999


def test_what_was_calibrated_decomposes_its_own_rods() -> None:
    bins = drawn()
    maps = decompose_image(bins, rod_response(bins, GRID, RODS).effective)
    for rod in RODS:
        middle = maps[rod.material][rod.inside(GRID)]
        assert np.allclose(middle, rod.mg_per_ml, rtol=1e-3), rod


def test_a_curved_response_shows_in_r_squared() -> None:
    bins = drawn()
    bins[:, RODS[2].inside(GRID, 1.0)] *= 0.8
    assert rod_response(bins, GRID, RODS).least_r_squared < 0.99


def test_rods_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match="outside"), np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        rod_response(drawn(), GRID, (*RODS, Rod("gold", 2.0, (90.0, 0.0), 2.0)))
    with pytest.raises(UsageError, match="pure water"):
        rod_response(drawn(), GRID, RODS[1:])


def test_known_rays_correct_a_wrong_spectrum() -> None:
    """A spectrum 10 % too hard in every bin: two numbers a bin bring the misfit back to noise and the bias away."""
    truth = model()
    tilt = np.exp(0.35 * (truth.energies_kev - 60) / 20)
    wrong = truth.effective * tilt
    wrong = replace(truth, effective=wrong / wrong.sum(axis=1, keepdims=True))
    chance = np.random.default_rng(2)
    paths = chance.random((600, 4)) * np.array([6.0, 0.4, 0.02, 0.03])
    flat = np.broadcast_to(PHOTONS, (600, 5))
    counts = chance.poisson(flat * truth.transmission(paths)).astype(float)
    bent = bend_spectra(wrong, paths, counts, flat)
    assert bent.misfit_before > 50 and bent.misfit_after == pytest.approx(1.0, abs=0.1)
    ray = np.full((1, 400, 4), [4.0, 0.2, 0.01, 0.01])
    clean = np.moveaxis(truth.transmission(ray) * PHOTONS, -1, 0)[:, :, None, :].astype(np.float32)
    field = np.broadcast_to(PHOTONS[:, None, None], (5, 1, 400)).astype(np.float32)
    errors = [
        np.abs(decompose_projections(clean, field, one).paths.reshape(4, -1).mean(axis=1) - ray[0, 0])
        for one in (wrong, bent.model)
    ]
    assert (errors[1] < 0.15 * errors[0] + 1e-4).all(), errors
    with pytest.raises(UsageError, match="too few"):
        bend_spectra(wrong, paths[:2], counts[:2], flat[:2])


def test_a_scan_says_its_own_model() -> None:
    """Tube, sensor and thresholds become rows that sum to one; the reach covers the darkest ray and the noise."""
    geometry = circle(Panel(6, 4, 1.0, 1.0), 5)
    flat = np.full((3, 6, 4), 2e4, np.float32)
    counts = np.broadcast_to(flat[:, None], (3, 5, 6, 4)) * np.float32(np.exp(-2.0))
    scan = Scan(counts, flat, (25.0, 45.0, 70.0), geometry, Tube(120.0, 1.0), Sensor(), np.zeros((6, 4), bool))
    made = scan_model(scan, ("water", "iodine"))
    assert made.bins == 3 and np.allclose(made.effective.sum(axis=1), 1)
    alone = made.log_attenuation(np.array([made.reach_g_cm2[0], 0.0]))
    assert (alone > 2.0).all()


def test_a_scan_of_a_known_phantom_corrects_wrong_thresholds() -> None:
    """Thresholds 2 keV off: the misfit of the scan falls to its noise, and iodine is right again."""
    geometry = circle(Panel(24, 4, 2.0, 2.0), 40, source_axis_mm=200.0, source_panel_mm=250.0)
    cylinder = Cylinder((0.0, 0.0, 0.0), (15.0, 15.0), 60.0)
    rod = Cylinder((6.0, 0.0, 0.0), (4.0, 4.0), 60.0)
    water, iodine = MATERIALS["water"], MATERIALS["iodine"]
    phantom = Phantom("known", (Body(cylinder, water), Body(rod, water, iodine, 10.0, priority=1)))
    tube, thresholds = Tube(120.0, 0.05), (25.0, 40.0, 60.0)
    scan = simulate(phantom, geometry, tube, Sensor(noise_kev=1.9), thresholds, seed=3)
    wrong = scan_model(replace(scan, thresholds_kev=(27.0, 42.0, 62.0)), ("water", "iodine"))
    bent = bend_to_scan(wrong, scan, phantom, rays=2000)
    assert bent.misfit_before > 2 * bent.misfit_after
    assert bent.misfit_after < 1.3
    truth = line_integrals(phantom, geometry)[..., 1].astype(float)
    slopes = []
    for one in (wrong, bent.model):
        iodine = decompose_projections(scan.counts, scan.flat, one).paths[1].astype(float)
        slopes.append(abs((iodine * truth).sum() / (truth**2).sum() - 1))
    assert slopes[1] < 0.02 and slopes[1] < 0.5 * slopes[0], slopes
    with pytest.raises(UsageError, match="Hardly a ray"):
        bend_to_scan(wrong, replace(scan, bad=np.ones((24, 4), bool)), phantom)
