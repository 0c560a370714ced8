"""The whole way from counts to maps finds what was put in, says how far it is, stops, and refuses early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import leadglass as lg
from leadglass.errors import Cancelled, UsageError
from leadglass.imaging.geometry import Grid, cube
from leadglass.imaging.reconstruction import (
    Method,
    Recipe,
    fitting_grid,
    model_of,
    reconstruct,
    without_dead_time,
)
from leadglass.imaging.volume import MaterialVolume, Voxels
from tests.imaging.made_scan import BASIS, CALCIUM_AT, CALCIUM_MG_ML, IODINE_AT, IODINE_MG_ML, scanned

GRID = Grid((48, 48, 8), (0.8, 0.8, 0.8))


def inside(volume: MaterialVolume, name: str, at: tuple[float, float]) -> float:
    """Give the mean of a map within 2.5 mm of a rod's axis, in the middle slices."""
    x, y = np.meshgrid(volume.grid.centres_mm(0), volume.grid.centres_mm(1), indexing="ij")
    near = np.hypot(x - at[0], y - at[1]) < 2.5
    return float(volume[name][near][:, 2:-2].mean())


@pytest.mark.parametrize("method", list(Method))
def test_rods_hold_what_was_put_in(method: Method) -> None:
    volume = reconstruct(scanned(), Recipe(BASIS, method, GRID, rounds=6))
    assert inside(volume, "iodine", IODINE_AT) == pytest.approx(IODINE_MG_ML, rel=0.06)
    assert inside(volume, "calcium", CALCIUM_AT) == pytest.approx(CALCIUM_MG_ML, rel=0.06)
    assert inside(volume, "water", (0, -8)) == pytest.approx(1000, rel=0.03)
    assert abs(inside(volume, "iodine", (0, -8))) < 0.6
    assert abs(inside(volume, "iodine", CALCIUM_AT)) < 1.5


def test_dead_time_is_taken_out() -> None:
    clean, slow = scanned(), scanned(dead_ns=1000.0)
    assert slow.flat.sum() < 0.97 * clean.flat.sum()
    restored = without_dead_time(slow)
    good = ~(clean.bad | slow.bad)
    lost = restored.flat.sum(axis=0)[good] / clean.flat.sum(axis=0)[good]
    np.testing.assert_allclose(lost.mean(), 1, atol=0.005)
    with pytest.raises(UsageError, match="blind"):
        without_dead_time(replace(slow, sensor=replace(slow.sensor, dead_ns=50_000.0)))


def test_the_grid_holds_the_body_and_little_else() -> None:
    grid = fitting_grid(scanned(), 0.8)
    for axis, length in ((0, 32), (1, 32)):
        places = grid.centres_mm(axis)
        assert places[0] - 0.4 <= -15 and places[-1] + 0.4 >= 15
        assert grid.shape[axis] * 0.8 < length + 16


def test_progress_is_told_in_stages_and_a_no_ends_it() -> None:
    told: list[tuple[str, int, int]] = []

    def report(stage: str, done: int, total: int) -> bool:
        told.append((stage, done, total))
        return True

    seen: list[set[str]] = []

    def look(maps: Mapping[str, Voxels], grid: Grid) -> None:
        assert all(voxels.shape == grid.shape for voxels in maps.values())
        seen.append(set(maps))

    reconstruct(scanned(), Recipe(BASIS, grid=GRID), report=report, look=look)
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["decomposing", *(f"back projecting {name}" for name in BASIS)]
    assert all(told[at][1] == told[at][2] for at in range(len(told)) if at + 1 == len(told) or told[at + 1][1] == 1)
    assert seen[0] == {"water"} and seen[-1] == set(BASIS)
    with pytest.raises(Cancelled):
        reconstruct(scanned(), Recipe(BASIS, grid=GRID), report=lambda stage, *_: not stage.startswith("back"))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe(()), "basis is empty"),
        (Recipe(("water", "water")), "twice"),
        (Recipe(("water", "unobtainium")), "no material"),
        (Recipe(("water", "calcium", "iodine", "gold", "gadolinium", "tin")), "cannot tell"),
        (Recipe(BASIS, grid=cube(4000, 0.1)), "GiB"),
    ],
)
def test_a_wrong_order_is_refused_before_the_computing(recipe: Recipe, said: str) -> None:
    def never(*_: object) -> bool:
        raise AssertionError("it had begun")

    with pytest.raises(UsageError, match=said):
        reconstruct(scanned(), recipe, report=never)


def test_python_has_the_short_way() -> None:
    volume = lg.reconstruct(scanned(), basis=["water", "iodine"], voxel_mm=1.6)
    assert list(volume) == ["water", "iodine"]
    units = volume.vmi(energy_kev=70)
    assert units.shape == volume["iodine"].shape == volume.grid.shape
    with pytest.raises(UsageError, match="no method"):
        lg.reconstruct(scanned(), method="magic")


def test_the_model_is_of_the_scan() -> None:
    model = model_of(scanned(), BASIS)
    assert model.materials == BASIS and model.bins == 5
