"""One-step reconstruction finds the maximum of the likelihood, with any projector, and stops when told."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.errors import Cancelled, UsageError
from leadglass.imaging.geometry import Beam, Geometry, Grid, Panel, circle, cube
from leadglass.imaging.iterative import Plan
from leadglass.imaging.onestep import Projector, one_step
from leadglass.imaging.projector import back, forward
from leadglass.imaging.spectral_model import SpectralModel
from leadglass.imaging.variation import Variation
from tests.imaging.five_bins import PHOTONS, model

FULL = model((3.0, 0.2, 0.02, 0.02))
KEPT = [0, 2]
TWO = SpectralModel(
    ("water", "iodine"), FULL.energies_kev, FULL.effective, FULL.attenuation[KEPT], FULL.reach_g_cm2[KEPT]
)
VIEWS, COLUMNS = 6, 4
GRID = Grid((2, 2, 1), (1.0, 1.0, 1.0))
GEOMETRY = Geometry(Beam.PARALLEL, Panel(COLUMNS, 1, 1.0, 1.0), np.arange(VIEWS) * 0.5, np.zeros(VIEWS), 500.0, 800.0)
LENGTHS = np.random.default_rng(6).random((VIEWS, COLUMNS, 4)).astype(np.float32) * 12


def matrix(geometry: Geometry) -> np.ndarray:
    return LENGTHS[np.rint(geometry.angles / 0.5).astype(int)]


SMALL = Projector(
    lambda volume, _, geometry: (matrix(geometry) @ volume.ravel())[..., None],
    lambda sums, grid, geometry: np.einsum("vcx,vc->x", matrix(geometry), sums[..., 0]).reshape(grid.shape),
)


def counted(maps: np.ndarray, grid: Grid, geometry: Geometry, projector: Projector) -> tuple[np.ndarray, np.ndarray]:
    paths = np.stack([projector.forward(one, grid, geometry) for one in maps], axis=-1).astype(float) * 1e-4
    counts = np.moveaxis(TWO.transmission(paths) * PHOTONS, -1, 0).astype(np.float32)
    return counts, np.broadcast_to(PHOTONS[:, None, None], (5, *geometry.shape[1:])).astype(np.float32)


TRUTH = np.array([[1000.0, 400.0, 0.0, 800.0], [0.0, 10.0, 0.0, 4.0]], np.float32).reshape(2, 2, 2, 1)


@pytest.mark.parametrize("subsets", [1, 2])
def test_without_noise_the_maps_come_back(subsets: int) -> None:
    counts, flat = counted(TRUTH, GRID, GEOMETRY, SMALL)
    found = one_step(counts, flat, TWO, GRID, GEOMETRY, SMALL, plan=Plan(150, subsets), curvature_rounds=20)
    assert np.allclose(found[0], TRUTH[0], atol=3.0) and np.allclose(found[1], TRUTH[1], atol=0.15)


def test_with_noise_it_is_the_likelihood_s_maximum() -> None:
    """Moving any voxel of any map either way makes the counts less likely."""
    expected, flat = counted(TRUTH + np.float32(20), GRID, GEOMETRY, SMALL)
    counts = np.random.default_rng(7).poisson(expected / 50).astype(np.float32)
    flat = flat / np.float32(50)
    found = one_step(
        counts, flat, TWO, GRID, GEOMETRY, SMALL, plan=Plan(250, 1), non_negative=False, curvature_rounds=20
    )

    def likelihood(maps: np.ndarray) -> float:
        mean = counted(maps, GRID, GEOMETRY, SMALL)[0].astype(float) / 50
        return float((counts * np.log(mean) - mean).sum())

    best = likelihood(found)
    for m, size in enumerate((60.0, 2.0)):
        for voxel in np.ndindex(GRID.shape):
            for sign in (-1, 1):
                moved = found.copy()
                moved[m][voxel] += sign * size
                assert likelihood(moved) < best + 1e-3


def test_a_cone_beam_scan_becomes_maps() -> None:
    """Through the real projector: iodine rods in water; mean values right to 3 %, and noise below the ray-wise way."""
    grid, geometry = cube(24, 1.0), circle(Panel(40, 28, 1.6, 1.6), 60)
    x, y, z = np.meshgrid(*(grid.centres_mm(a) for a in range(3)), indexing="ij")
    body = ((x**2 + y**2 < 100) & (abs(z) < 9)).astype(np.float32)
    rod = (((x - 4) ** 2 + y**2 < 9) & (abs(z) < 9)).astype(np.float32)
    truth = np.stack([1000 * body, 10 * rod])
    real = Projector(forward, back)
    expected, flat = counted(truth, grid, geometry, real)
    counts = np.random.default_rng(8).poisson(expected).astype(np.float32)
    penalty = Variation(0.02, 0.5, (100.0, 1.0))
    found = one_step(counts, flat, TWO, grid, geometry, real, plan=Plan(12), penalty=penalty)
    inside = (x - 4) ** 2 + y**2 < 4
    middle = inside & (abs(z) < 5)
    assert found[0][middle].mean() == pytest.approx(1000, rel=0.03)
    assert found[1][middle].mean() == pytest.approx(10, rel=0.05)
    away = ((x + 4) ** 2 + y**2 < 9) & (abs(z) < 5)
    assert abs(found[1][away].mean()) < 0.4


def test_a_bad_pixel_says_nothing() -> None:
    counts, flat = counted(TRUTH, GRID, GEOMETRY, SMALL)
    bad = np.zeros((COLUMNS, 1), dtype=bool)
    bad[2] = True
    counts[:, :, 2] = 12345.0
    found = one_step(counts, flat, TWO, GRID, GEOMETRY, SMALL, plan=Plan(150, 1), bad=bad, curvature_rounds=20)
    assert np.allclose(found[0], TRUTH[0], atol=5.0) and np.allclose(found[1], TRUTH[1], atol=0.3)


def test_it_stops_when_told_and_refuses_what_does_not_fit() -> None:
    counts, flat = counted(TRUTH, GRID, GEOMETRY, SMALL)
    with pytest.raises(Cancelled):
        one_step(counts, flat, TWO, GRID, GEOMETRY, SMALL, report=lambda done, total: done < 2)
    with pytest.raises(UsageError, match="do not fit"):
        one_step(counts[:4], flat, TWO, GRID, GEOMETRY, SMALL)
    with pytest.raises(UsageError, match="start"):
        one_step(counts, flat, TWO, GRID, GEOMETRY, SMALL, start=np.zeros((1, 2, 2, 1), np.float32))
