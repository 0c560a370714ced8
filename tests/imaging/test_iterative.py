"""Iterative reconstruction: it finds the minimum, keeps edges, shares them among materials, and stops when told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from leadglass.errors import Cancelled, UsageError
from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Beam, Grid, Panel, circle
from leadglass.imaging.iterative import Plan, least_squares
from leadglass.imaging.projector import forward
from leadglass.imaging.variation import Variation
from tests.imaging.analytic import ellipsoid, ellipsoid_integrals

NEAR = {"source_axis_mm": 60.0, "source_panel_mm": 90.0}
SMALL = Grid((6, 7, 1), (1.5, 1.5, 1.5))
FEW = circle(Panel(14, 1, 1.5, 1.0), 24, beam=Beam.FAN, **NEAR)


def matrix(grid: Grid, geometry: object) -> np.ndarray:
    """Give the projector as a dense matrix."""
    units = np.eye(int(np.prod(grid.shape)), dtype=np.float32).reshape(-1, *grid.shape)
    return np.stack([forward(unit, grid, geometry).ravel() for unit in units], axis=1).astype(float)


@pytest.mark.parametrize("subsets", [1, 3])
def test_it_finds_the_weighted_minimum_above_zero(subsets: int) -> None:
    """A dense solver of the same problem (Lawson & Hanson's) gives the same volume."""
    rng = np.random.default_rng(4)
    truth = np.maximum(rng.standard_normal(SMALL.shape), 0).astype(np.float32)
    seen = forward(truth, SMALL, FEW)
    seen += rng.standard_normal(seen.shape).astype(np.float32)
    weights = rng.uniform(0.2, 2, seen.shape).astype(np.float32)
    roots = np.sqrt(weights.ravel().astype(float))
    expected, _ = nnls(matrix(SMALL, FEW) * roots[:, None], seen.ravel() * roots)
    assert (expected == 0).sum() > 5
    made = least_squares(seen, SMALL, FEW, weights=weights, plan=Plan(rounds=250, subsets=subsets))
    np.testing.assert_allclose(made.ravel(), expected, atol=5e-3)


def test_covariances_between_materials_count() -> None:
    """With inverse covariances of neighbouring materials, the minimum is the dense solver's."""
    rng = np.random.default_rng(5)
    truth = rng.uniform(1, 2, (2, *SMALL.shape)).astype(np.float32)
    seen = np.stack([forward(volume, SMALL, FEW) for volume in truth])
    seen += rng.standard_normal(seen.shape).astype(np.float32) * 0.3
    mixed = rng.uniform(-0.6, 0.6, FEW.shape)
    weights = np.stack([np.stack([np.ones(FEW.shape), mixed]), np.stack([mixed, np.ones(FEW.shape)])])
    dense, rays = matrix(SMALL, FEW), int(np.prod(FEW.shape))
    whole = np.block([[dense, np.zeros_like(dense)], [np.zeros_like(dense), dense]])
    heavy = np.block([[np.diag(weights[m, n].ravel()) for n in range(2)] for m in range(2)])
    expected = np.linalg.solve(whole.T @ heavy @ whole, whole.T @ heavy @ seen.reshape(2 * rays))
    made = least_squares(
        seen, SMALL, FEW, weights=weights.astype(np.float32), plan=Plan(rounds=300, subsets=2), lowest=-9.0
    )
    np.testing.assert_allclose(made.ravel(), expected, atol=5e-3)


def test_units_do_not_matter() -> None:
    """A material given in another unit, with weights and penalty to match, is reconstructed alike step by step."""
    rng = np.random.default_rng(6)
    seen = np.stack([forward(volume, SMALL, FEW) for volume in rng.uniform(1, 2, (2, *SMALL.shape)).astype(np.float32)])
    mixed = np.full(FEW.shape, -0.7)
    weights = np.stack([np.stack([np.ones(FEW.shape), mixed]), np.stack([mixed, np.ones(FEW.shape)])])
    unit = np.array([1.0, 0.01])
    factor = unit[:, None, None, None]
    plan = Plan(rounds=5, subsets=3)
    one = least_squares(seen, SMALL, FEW, weights=weights.astype(np.float32), variation=Variation(0.5, 0.1), plan=plan)
    two = least_squares(
        (seen * factor).astype(np.float32),
        SMALL,
        FEW,
        weights=(weights / factor / factor[:, None]).astype(np.float32),
        variation=Variation(0.5, 0.1, (1.0, 0.01)),
        plan=plan,
    )
    np.testing.assert_allclose(two / factor, one, rtol=2e-3)


GRID = Grid((40, 40, 10), (0.8, 0.8, 0.8))
SCAN = circle(Panel(64, 9, 1.0, 1.0), 96, **NEAR)
BODY = ((1.0, -2.0, 0.0), (11.0, 9.0, 30.0))
INSERT = ((4.0, 0.0, 0.0), (3.0, 3.0, 30.0))


def noisy(noise: float, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Give a body of 0.02/mm with an insert of 0.03/mm: exact integrals with noise, and the truth."""
    rng = np.random.default_rng(seed)
    seen = 0.02 * ellipsoid_integrals(SCAN, *BODY) + 0.01 * ellipsoid_integrals(SCAN, *INSERT)
    truth = 0.02 * ellipsoid(GRID, *BODY) + 0.01 * ellipsoid(GRID, *INSERT)
    return seen + rng.standard_normal(seen.shape).astype(np.float32) * noise, truth


def test_variation_takes_noise_and_leaves_edges() -> None:
    """Away from edges a third of filtered back projection's noise is left, and the insert keeps its height."""
    seen, _ = noisy(0.03)
    z = slice(3, 7)
    flat = ellipsoid(GRID, (-4.0, -2.0, 0.0), (4.0, 5.0, 30.0))[:, :, z] > 0
    insert = ellipsoid(GRID, INSERT[0], (2.0, 2.0, 30.0))[:, :, z] > 0
    plain = fdk(seen, GRID, SCAN, window="hann")[:, :, z]
    made = least_squares(seen, GRID, SCAN, variation=Variation(0.2, 5e-4), plan=Plan(rounds=10))[:, :, z]
    assert made[flat].std() < plain[flat].std() / 3
    assert made[flat].mean() == pytest.approx(0.02, rel=0.01)
    assert made[insert].mean() == pytest.approx(0.03, rel=0.03)


def cost(volume: np.ndarray, seen: np.ndarray, penalty: Variation) -> float:
    wrong = forward(volume, GRID, SCAN).astype(float) - seen
    return float((wrong**2).sum() / 2 + penalty.cost(volume[None], GRID))


def test_subsets_and_momentum_are_faster() -> None:
    """Four rounds with subsets and momentum come closer to the minimum than eight times as many steps without."""
    seen, _ = noisy(0.03)
    penalty = Variation(0.1, 1e-3)
    best = cost(least_squares(seen, GRID, SCAN, variation=penalty, plan=Plan(rounds=40)), seen, penalty)
    quick = cost(least_squares(seen, GRID, SCAN, variation=penalty, plan=Plan(rounds=6)), seen, penalty)
    slow = cost(least_squares(seen, GRID, SCAN, variation=penalty, plan=Plan(rounds=6, subsets=1)), seen, penalty)
    assert best < quick < slow
    assert quick - best < 0.3 * (slow - best)


def test_materials_share_their_edges() -> None:
    """A faint material is drawn better beside a clear one of the same shape than alone."""
    clear, _ = noisy(0.005)
    rng = np.random.default_rng(8)
    faint = 0.004 * ellipsoid_integrals(SCAN, *BODY) + 0.002 * ellipsoid_integrals(SCAN, *INSERT)
    truth = 0.004 * ellipsoid(GRID, *BODY) + 0.002 * ellipsoid(GRID, *INSERT)
    faint += rng.standard_normal(faint.shape).astype(np.float32) * 0.03
    weights = np.stack([np.full(SCAN.shape, 1 / 0.005**2), np.full(SCAN.shape, 1 / 0.03**2)]).astype(np.float32)
    inner = (slice(None), slice(None), slice(3, 7))

    def error(volume: np.ndarray) -> float:
        return float(np.sqrt(np.mean((volume[inner] - truth[inner]) ** 2)))

    plan, pair, one = Plan(rounds=8), Variation(3.0, 0.1, (0.02, 0.004)), Variation(3.0, 0.1, (0.004,))
    both = least_squares(np.stack([clear, faint]), GRID, SCAN, weights=weights, variation=pair, plan=plan)
    alone = least_squares(faint, GRID, SCAN, weights=weights[1], variation=one, plan=plan)
    assert error(both[1]) < 0.85 * error(alone)


def test_a_ray_without_weight_is_ignored() -> None:
    seen, _ = noisy(0.0)
    weights = np.ones(SCAN.shape, np.float32)
    weights[:, 20:22, 3] = 0
    spoiled = seen.copy()
    spoiled[:, 20:22, 3] = 9.0
    plan = Plan(rounds=3)
    np.testing.assert_array_equal(
        least_squares(spoiled, GRID, SCAN, weights=weights, plan=plan),
        least_squares(np.where(weights > 0, seen, 0), GRID, SCAN, weights=weights, plan=plan),
    )


def test_a_person_may_watch_and_stop_it() -> None:
    seen, _ = noisy(0.0)
    told: list[tuple[int, int]] = []
    looks: list[tuple[int, ...]] = []

    def report(done: int, total: int) -> bool:
        told.append((done, total))
        return True

    least_squares(seen, GRID, SCAN, plan=Plan(rounds=2), report=report, look=lambda v: looks.append(v.shape))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]
    assert looks == [(1, *GRID.shape)] * 2
    with pytest.raises(Cancelled):
        least_squares(seen, GRID, SCAN, report=lambda done, total: done < 2)


def test_what_does_not_fit_is_said_before_any_work() -> None:
    zeros = np.zeros(SCAN.shape, np.float32)
    holed = zeros.copy()
    holed[0, 0, 0] = np.inf
    for arguments, words in (
        ({"projections": zeros[1:]}, "projections"),
        ({"projections": holed}, "no numbers"),
        ({"projections": zeros, "weights": zeros[1:]}, "weights"),
        ({"projections": zeros, "start": zeros}, "start"),
    ):
        with pytest.raises(UsageError, match=words):
            least_squares(**arguments, grid=GRID, geometry=SCAN)
    with pytest.raises(UsageError, match="round"):
        Plan(rounds=0)


def test_a_plan_ends_with_all_views() -> None:
    assert Plan(rounds=12).parts(360) == [30] * 6 + [15, 15, 7, 3, 3, 1]
    assert Plan(rounds=5, subsets=1).parts(360) == [1] * 5
    for rounds, subsets, views in ((1, 0, 360), (12, 0, 360), (12, 8, 360), (5, 100, 60), (3, 1, 9)):
        parts = Plan(rounds, subsets).parts(views)
        assert len(parts) == rounds
        assert parts == sorted(parts, reverse=True)
        assert max(parts) <= views
        assert rounds < 12 or parts[-1] == 1
