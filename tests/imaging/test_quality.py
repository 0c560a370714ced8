"""Measures measure: known blur, known noise, known errors come back as numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.quality import (
    accuracy,
    contrast_to_noise,
    detection_limit_mg_ml,
    identification,
    linearity,
    modulation_transfer,
    noise_power,
)

GRID = Grid((96, 96, 4), (0.5, 0.5, 1.0))


def rod(sigma_mm: float, fine: int = 5) -> np.ndarray:
    """Draw a rod of 10 mm radius, off the grid's centre, blurred by a Gaussian on a finer grid."""
    side = np.arange(96 * fine)
    mm = (side - (96 * fine - 1) / 2) * 0.5 / fine
    disc = (np.hypot(mm[:, None] - 1.13, mm[None, :] + 0.71) < 10).astype(float)
    blurred = gaussian_filter(disc, sigma_mm / 0.5 * fine)
    coarse = blurred.reshape(96, fine, 96, fine).mean(axis=(1, 3))
    return np.repeat(coarse[..., None], 4, axis=2).astype(np.float32) * 7 + 2


@pytest.mark.parametrize("sigma_mm", [0.4, 0.7])
def test_a_gaussian_blur_has_its_own_transfer(sigma_mm: float) -> None:
    """exp(-2 (pi f sigma)²) times the voxel's sinc, within 0.03; half and tenth where they must be."""
    measured = modulation_transfer(rod(sigma_mm), GRID, (1.13, -0.71), 10.0)
    f = np.array(measured.per_mm)
    expected = np.exp(-2 * (np.pi * f * sigma_mm) ** 2) * np.sinc(f * 0.5)
    assert np.abs(np.array(measured.transfer) - expected)[f < 0.9].max() < 0.03
    assert measured.half_per_mm == pytest.approx(f[np.argmax(expected < 0.5)], abs=0.02)
    assert measured.tenth_per_mm == pytest.approx(f[np.argmax(expected < 0.1)], abs=0.04)


def test_a_rod_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="contrast"):
        modulation_transfer(np.ones(GRID.shape, np.float32), GRID, (0.0, 0.0), 10.0)
    with pytest.raises(UsageError, match="too thin or outside"):
        modulation_transfer(rod(0.4), GRID, (500.0, 0.0), 10.0)


def test_white_noise_has_its_variance_at_every_frequency() -> None:
    noise = np.random.default_rng(1).normal(0, 3.0, (96, 96, 60)).astype(np.float32)
    measured = noise_power(noise, Grid((96, 96, 60), (0.5, 0.5, 1.0)), (slice(16, 80), slice(16, 80)))
    level = 9.0 * 0.5 * 0.5
    assert np.allclose(measured.power[2:32], level, rtol=0.1)
    assert measured.standard_deviation == pytest.approx(3.0, rel=0.02)


def test_smooth_noise_has_a_lower_mean_frequency() -> None:
    noise = np.random.default_rng(2).normal(0, 1, (64, 64, 20))
    smooth = gaussian_filter(noise, (1.5, 1.5, 0)).astype(np.float32)
    grid, region = Grid((64, 64, 20), (0.5, 0.5, 1.0)), (slice(0, 64), slice(0, 64))
    assert (
        noise_power(smooth, grid, region).mean_per_mm
        < 0.5 * noise_power(noise.astype(np.float32), grid, region).mean_per_mm
    )
    with pytest.raises(UsageError, match="eight voxels"):
        noise_power(smooth, grid, (slice(0, 4), slice(0, 64)))


def test_bias_and_scatter_make_the_error() -> None:
    values = np.random.default_rng(3).normal(10.5, 2.0, (50, 50, 10)).astype(np.float32)
    found = accuracy("iodine", values, np.ones(values.shape, bool), 10.0)
    assert found.bias_mg_ml == pytest.approx(0.5, abs=0.05)
    assert found.rmse_mg_ml == pytest.approx(np.hypot(0.5, 2.0), rel=0.02)
    assert json.loads(found.to_json())["voxels"] == 25000
    with pytest.raises(UsageError, match="no voxel"):
        accuracy("iodine", values, np.zeros(values.shape, bool), 10.0)


def test_a_line_is_straight_and_a_curve_is_not() -> None:
    x = [0.0, 2.0, 4.0, 8.0]
    assert linearity(x, [1 + 0.9 * v for v in x]).r_squared == pytest.approx(1.0)
    line = linearity(x, [1 + 0.9 * v for v in x])
    assert (line.slope, line.intercept) == (pytest.approx(0.9), pytest.approx(1.0))
    assert linearity(x, [v**3 for v in x]).r_squared < 0.95
    with pytest.raises(UsageError, match="three concentrations"):
        linearity([1.0, 2.0], [1.0, 2.0])


def test_contrast_is_measured_in_noise() -> None:
    values = np.random.default_rng(4).normal(0, 2.0, (40, 40, 10)).astype(np.float32)
    inside = np.zeros(values.shape, bool)
    inside[:10] = True
    values[inside] += 6
    assert contrast_to_noise(values, inside, ~inside) == pytest.approx(3.0, rel=0.05)


def test_the_detection_limit_is_missed_one_time_in_twenty() -> None:
    """At L_D, with the decision at half of it, both errors are 5 %."""
    chance = np.random.default_rng(5)
    limit = detection_limit_mg_ml(chance.normal(0, 0.4, 4000))
    assert (chance.normal(0, 0.4, 100_000) > limit / 2).mean() == pytest.approx(0.05, abs=0.005)
    assert (chance.normal(limit, 0.4, 100_000) < limit / 2).mean() == pytest.approx(0.05, abs=0.005)
    with pytest.raises(UsageError, match="five blank"):
        detection_limit_mg_ml(np.zeros(3))


def test_identification_counts_each_class() -> None:
    """4 of nothing, 10 of iodine (7 right, 2 named calcium), 6 of calcium (all right); -1 is left out."""
    truth = np.array([0] * 4 + [1] * 10 + [2] * 6 + [-1] * 5)
    named = np.array([0] * 3 + [1] + [1] * 7 + [2] * 2 + [0] + [2] * 6 + [1] * 5)
    found = identification(truth, named, ("none", "iodine", "calcium"))
    assert found.confusion == ((3, 1, 0), (1, 7, 2), (0, 0, 6))
    assert found.sensitivity["iodine"] == pytest.approx(0.7)
    assert found.specificity["iodine"] == pytest.approx(0.9)
    assert found.specificity["calcium"] == pytest.approx(12 / 14)
    assert found.accuracy == pytest.approx(0.8)
    assert json.loads(found.to_json())["confusion"][1] == [1, 7, 2]
    with pytest.raises(UsageError, match="no name"):
        identification(truth, named + 1, ("none", "iodine", "calcium"))
