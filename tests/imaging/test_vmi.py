"""Monoenergetic images agree with tabulated attenuation, at every energy."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.geometry import cube
from leadglass.imaging.material import MATERIALS, attenuation_per_mm, solution
from leadglass.imaging.vmi import vmi
from leadglass.imaging.volume import MaterialVolume

GRID = cube(2, 1.0)


def filled(**mg_per_ml: float) -> MaterialVolume:
    return MaterialVolume({name: np.full(GRID.shape, value, np.float32) for name, value in mg_per_ml.items()}, GRID)


@pytest.mark.parametrize("energy_kev", [20.0, 40.0, 70.0, 140.0, 200.0])
def test_water_is_0_and_nothing_is_minus_1000(energy_kev: float) -> None:
    assert np.allclose(vmi(filled(water=1000.0), energy_kev), 0.0, atol=1e-3)
    assert np.allclose(vmi(filled(water=0.0, iodine=0.0), energy_kev), -1000.0)


@pytest.mark.parametrize("energy_kev", [33.0, 34.0, 70.0])
def test_a_solution_has_the_units_of_its_attenuation(energy_kev: float) -> None:
    """On both sides of iodine's K edge, by the mixture rule of another function."""
    at = np.array([energy_kev])
    mixed = solution(MATERIALS["water"], MATERIALS["iodine"], 10.0)
    water, mu = attenuation_per_mm(MATERIALS["water"], at)[0], attenuation_per_mm(mixed, at)[0]
    expected = 1000 * (mu - water) / water
    found = vmi(filled(water=1000 - 10.0 / 4.93, iodine=10.0), energy_kev)
    assert found[0, 0, 0] == pytest.approx(expected, abs=0.05)


def test_an_energy_of_no_table_is_refused() -> None:
    with pytest.raises(UsageError, match="outside"):
        vmi(filled(water=1000.0), 5.0)
