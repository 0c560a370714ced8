"""Total variation: its gradient is its cost's, its bound holds, and it couples materials as nuclear norms do."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.variation import Variation

GRID = Grid((11, 6, 5), (0.5, 0.7, 1.1))


def volumes(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *GRID.shape)).astype(np.float32)


def jacobians(given: np.ndarray) -> np.ndarray:
    """Give each voxel's gradients [x, y, z, material, axis], forward differences in 1/mm, 0 at the last plane."""
    made = np.zeros((*GRID.shape, len(given), 3))
    for axis in range(3):
        ahead = np.diff(given.astype(float), axis=axis + 1, append=given.take([-1], axis=axis + 1).astype(float))
        made[..., axis] = np.moveaxis(ahead / GRID.voxel_mm[axis], 0, -1)
    return made


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_cost_is_the_sum_of_smoothed_singular_values(count: int) -> None:
    given, scales = volumes(count), tuple(1.0 + k for k in range(count))
    penalty = Variation(3.0, 0.2, scales)
    singular = np.linalg.svd(jacobians(given) / np.array(scales)[:, None], compute_uv=False)
    expected = 3.0 * (np.sqrt(singular**2 + 0.2**2) - 0.2).sum()
    assert penalty.cost(given, GRID) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_gradient_is_the_costs(count: int) -> None:
    """Along any direction the cost's slope, by central differences, is the gradient's."""
    given, way = volumes(count), volumes(count, seed=2)
    penalty = Variation(2.0, 0.3, tuple(1.0 + k for k in range(count)))
    gradient, _ = penalty.slope(given, GRID)
    small = 1e-2
    ahead, behind = penalty.cost(given + small * way, GRID), penalty.cost(given - small * way, GRID)
    assert np.vdot(gradient.astype(float), way) == pytest.approx((ahead - behind) / (2 * small), rel=1e-3)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_cost_lies_below_its_parabola(count: int) -> None:
    given = volumes(count)
    penalty = Variation(2.0, 0.1, tuple(1.0 + k for k in range(count)))
    gradient, bound = penalty.slope(given, GRID)
    here = penalty.cost(given, GRID)
    for seed in range(20):
        move = volumes(count, seed=seed) * 10.0 ** ((seed % 5) - 3)
        above = here + np.vdot(gradient.astype(float), move) + np.sum(bound.astype(float) * move**2) / 2
        assert penalty.cost(given + move, GRID) <= above * (1 + 1e-6)


def test_edges_in_common_cost_less() -> None:
    """Two materials that change at the same place cost less than at two places."""
    one, other = np.zeros((2, *GRID.shape), np.float32)
    one[5:], other[8:] = 1, 1
    penalty = Variation(1.0, 1e-3)
    apart = penalty.cost(np.stack([one, other]), GRID)
    assert penalty.cost(np.stack([one, one]), GRID) == pytest.approx(apart / np.sqrt(2), rel=1e-2)


def test_numbers_that_make_no_cost_are_refused() -> None:
    for strength, edge, scales in ((-1.0, 1.0, ()), (1.0, 0.0, ()), (1.0, 1.0, (1.0, 0.0))):
        with pytest.raises(UsageError):
            Variation(strength, edge, scales)
    with pytest.raises(UsageError, match="scales"):
        Variation(1.0, 1.0, (1.0,)).cost(volumes(2), GRID)
