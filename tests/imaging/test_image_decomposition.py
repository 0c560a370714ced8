"""Voxels are explained exactly, within constraints, and named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from leadglass.errors import UsageError
from leadglass.imaging.geometry import cube
from leadglass.imaging.image_decomposition import EffectiveAttenuation, decompose_image, identify
from leadglass.imaging.volume import MaterialVolume

PER_MG = np.array(
    [[2.9e-4, 3.6e-3, 9.0e-3], [2.4e-4, 1.7e-3, 1.5e-2], [2.1e-4, 9.0e-4, 7.0e-3], [1.9e-4, 6.0e-4, 4.0e-3]]
)
PURE = np.array([1000.0, 1550.0, 4930.0])
EFFECTIVE = EffectiveAttenuation(("water", "calcium", "iodine"), PER_MG, PURE, np.zeros(4))


def one(bins: np.ndarray, **how: int) -> np.ndarray:
    found = decompose_image(bins.reshape(4, 1, 1, 1).astype(np.float32), EFFECTIVE, **how)
    return np.array([found[name][0, 0, 0] for name in EFFECTIVE.materials])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_mixture_that_fits_its_voxel_comes_back(share: list[float]) -> None:
    filled = np.array(share) / max(sum(share), 1.0) * PURE
    assert np.allclose(one(PER_MG @ filled), filled, rtol=1e-3, atol=0.3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.3, 0.6), min_size=4, max_size=4))
@example([0.44, 0.36, 0.32, 0.29])  # one and a half voxels of water
def test_it_is_the_constrained_minimum(bins: list[float]) -> None:
    """No feasible mixture is better than the one given: checked against a general solver."""
    wanted = np.array(bins)
    scaled = PER_MG * PURE
    other = minimize(
        lambda f: ((scaled @ f - wanted) ** 2).sum(), np.full(3, 0.2), bounds=[(0, 1)] * 3, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda f: 1 - f.sum()}, options={"ftol": 1e-12},
    )  # fmt: skip
    found = one(wanted) / PURE
    assert (found >= 0).all() and found.sum() <= 1 + 1e-4
    assert ((scaled @ found - wanted) ** 2).sum() <= other.fun + 1e-5


def test_few_materials_together_leave_the_rest_at_zero() -> None:
    found = one(PER_MG @ np.array([900.0, 20.0, 3.0]), most_together=2)
    assert (found > 0).sum() == 2


def test_voxels_are_named_by_what_is_furthest_above_its_threshold() -> None:
    grid = cube(1, 1.0)
    maps = {"calcium": np.full(grid.shape, 150.0, np.float32), "iodine": np.full(grid.shape, 4.0, np.float32)}
    volume = MaterialVolume(maps, grid)
    assert identify(volume, {"calcium": 100.0, "iodine": 1.0})[0, 0, 0] == 2
    assert identify(volume, {"calcium": 100.0, "iodine": 3.5})[0, 0, 0] == 1
    assert identify(volume, {"calcium": 200.0, "iodine": 5.0})[0, 0, 0] == 0
    with pytest.raises(UsageError, match="no map of gold"):
        identify(volume, {"gold": 1.0})


def test_materials_the_bins_cannot_tell_apart_are_refused() -> None:
    twice = np.column_stack([PER_MG[:, 0], PER_MG[:, 0] * 2])
    with pytest.raises(UsageError, match="apart"):
        EffectiveAttenuation(("water", "fat"), twice, PURE[:2], np.zeros(4))
