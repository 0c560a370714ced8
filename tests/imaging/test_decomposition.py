"""Per-ray decomposition finds the truth without noise, is as good as can be with it, and survives broken bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.errors import UsageError
from leadglass.imaging.decomposition import decompose_projections
from leadglass.imaging.spectral_model import SpectralModel, condense, cramer_rao, spectral_model
from tests.imaging.five_bins import BASIS, PHOTONS, model

MODEL = model()
SMALL, SMALL_ERROR = condense(MODEL)


def counted(paths: np.ndarray, photons: np.ndarray = PHOTONS) -> tuple[np.ndarray, np.ndarray]:
    """Give expected counts [bin, view, 1, row] and flat field of rays [view, row, material]."""
    counts = np.moveaxis(MODEL.transmission(paths) * photons, -1, 0)[:, :, None, :]
    flat = np.broadcast_to(photons[:, None, None], (photons.size, 1, paths.shape[1]))
    return counts.astype(np.float32), flat.astype(np.float32)


def test_without_noise_the_paths_come_back() -> None:
    """To a thousandth of each material's reach, thin and thick rays alike, in single precision."""
    chance = np.random.default_rng(3)
    paths = chance.random((40, 50, 4)) * np.array([8.0, 0.5, 0.02, 0.05])
    paths[:5] = 0.0
    counts, flat = counted(paths)
    fit = decompose_projections(counts, flat, MODEL, tolerance=1e-6)
    error = np.abs(np.moveaxis(fit.paths[:, :, 0], 0, -1) - paths).max(axis=(0, 1)) / MODEL.reach_g_cm2
    assert (error < 1e-3).all(), error
    assert fit.unsettled == 0 and fit.energies <= 60 and fit.condensed_error < 1e-5


def test_noise_is_no_more_than_it_must_be() -> None:
    """The estimates' covariance is the Cramér–Rao bound to a few per cent, and their bias a small part of it."""
    truth = np.array([4.0, 0.2, 0.01, 0.01])
    expected, flat = counted(np.broadcast_to(truth, (100, 200, 4)))
    noisy = np.random.default_rng(4).poisson(expected).astype(np.float32)
    found = decompose_projections(noisy, flat, MODEL).paths.reshape(4, -1).astype(np.float64)
    bound = cramer_rao(MODEL, truth, PHOTONS)
    ratio = np.cov(found) / bound
    assert np.abs(np.diag(ratio) - 1).max() < 0.05, np.diag(ratio)
    assert (np.abs(found.mean(axis=1) - truth) < 0.1 * np.sqrt(np.diag(bound))).all()


def test_the_bound_is_what_the_likelihood_says() -> None:
    """Fisher information by its definition: the score's covariance, from drawn counts."""
    truth = np.array([3.0, 0.1, 0.01, 0.02])
    expected = PHOTONS * MODEL.transmission(truth)
    drawn = np.random.default_rng(5).poisson(expected, (40_000, 5))
    score = (drawn / expected - 1) @ (PHOTONS[:, None] * MODEL.slope(truth))
    assert np.allclose(np.linalg.inv(np.cov(score.T)) / cramer_rao(MODEL, truth, PHOTONS), 1, atol=0.15)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_few_energies_predict_what_all_do(share: list[float]) -> None:
    paths = np.array(share) ** 2 * MODEL.reach_g_cm2
    assert SMALL_ERROR < 1e-5
    assert np.allclose(SMALL.transmission(paths) / MODEL.transmission(paths), 1, atol=1e-4)


def test_the_slope_is_the_derivative() -> None:
    at, little = np.array([2.0, 0.1, 0.01, 0.01]), 1e-6
    numeric = np.stack(
        [(MODEL.transmission(at + little * e) - MODEL.transmission(at - little * e)) / (2 * little) for e in np.eye(4)],
        axis=-1,
    )
    assert np.allclose(numeric, MODEL.slope(at), rtol=1e-5)


def test_a_dead_bin_costs_precision_and_nothing_else() -> None:
    """One bin without a flat field in one pixel: the other four still give the four materials."""
    paths = np.full((3, 6, 4), [2.0, 0.1, 0.005, 0.01])
    counts, flat = counted(paths)
    flat[1, 0, 2], counts[1, :, 0, 2] = 0.0, 0.0
    found = decompose_projections(counts, flat, MODEL, tolerance=1e-6).paths
    assert np.allclose(np.moveaxis(found[:, :, 0], 0, -1), paths, rtol=0.02, atol=2e-4)


def test_no_counts_at_all_stay_finite() -> None:
    """Zero counts say 'thick': the estimate is bounded by the model's reach, and neighbours do not notice."""
    paths = np.full((2, 4, 4), [1.0, 0.1, 0.002, 0.01])
    counts, flat = counted(paths)
    counts[:, 0, 0, 1] = 0.0
    found = decompose_projections(counts, flat, MODEL, tolerance=1e-6).paths[:, :, 0]
    assert np.isfinite(found).all()
    assert (np.abs(found) <= 2.001 * MODEL.reach_g_cm2[:, None, None]).all()
    assert np.allclose(found[:, 1], paths[1].T, rtol=0.02, atol=2e-4)


def test_bad_pixels_take_their_neighbours_place() -> None:
    """A pixel marked bad is never read, and continues what its neighbours say."""
    paths = np.broadcast_to(np.linspace(1.0, 2.0, 11)[None, :, None] * [1.0, 0.1, 0.002, 0.01], (2, 11, 4))
    counts, flat = counted(paths)
    bad = np.zeros((1, 11), dtype=bool)
    bad[0, 3] = True
    counts[:, :, 0, 3] = 7.0
    found = decompose_projections(counts, flat, MODEL, bad=bad, tolerance=1e-6).paths[:, :, 0]
    assert np.allclose(np.moveaxis(found, 0, -1), paths, rtol=0.02, atol=2e-4)


def test_what_does_not_fit_is_said_before_any_work() -> None:
    counts, flat = counted(np.zeros((1, 2, 4)))
    with pytest.raises(UsageError, match="do not fit"):
        decompose_projections(counts[:4], flat[:4], MODEL)
    counts[0, 0, 0, 0] = np.nan
    with pytest.raises(UsageError, match="number that is none"):
        decompose_projections(counts, flat, MODEL)
    with pytest.raises(UsageError, match="cannot tell 4 materials"):
        SpectralModel(BASIS, MODEL.energies_kev, MODEL.effective[:3], MODEL.attenuation, MODEL.reach_g_cm2)
    with pytest.raises(UsageError, match="counts nothing"):
        spectral_model(("water",), np.array([30.0, 40.0]), np.array([1.0, 0.0]), np.eye(2), np.ones((1, 2)),
                       reach_g_cm2=np.ones(1))  # fmt: skip
