"""Attenuation is the published one, mixtures keep mass and volume, and a K edge is where it belongs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadglass.errors import UsageError
from leadglass.imaging.material import (
    MATERIALS,
    Material,
    as_basis_mg_per_ml,
    attenuation_per_mm,
    k_edge_kev,
    mass_attenuation_cm2_g,
    material,
    parts_mg_per_ml,
    photoelectric_cm2_g,
    solution,
)

# Hubbell & Seltzer, NISTIR 5632 (physics.nist.gov/xaamdi), mass attenuation in cm²/g at 30, 60 and 100 keV.
PUBLISHED = {
    "water": (0.3756, 0.2059, 0.1707),
    "cortical bone": (1.331, 0.3148, 0.1855),
    "adipose": (0.3063, 0.1974, 0.1688),
    "soft tissue": (0.3790, 0.2048, 0.1693),
    "PMMA": (0.3032, 0.1924, 0.1641),
    "aluminium": (1.128, 0.2778, 0.1704),
    "copper": (10.92, 1.593, 0.4584),
    "iodine": (8.561, 7.579, 1.942),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_mass_attenuation_is_within_three_percent_of_the_table(name: str) -> None:
    found = mass_attenuation_cm2_g(MATERIALS[name], np.array([30.0, 60.0, 100.0]))
    np.testing.assert_allclose(found, PUBLISHED[name], rtol=0.03)


@pytest.mark.parametrize(("name", "edge"), [("iodine", 33.169), ("gadolinium", 50.239), ("gold", 80.725)])
def test_attenuation_jumps_at_the_k_edge(name: str, edge: float) -> None:
    assert k_edge_kev(MATERIALS[name]) == pytest.approx(edge, abs=0.01)
    below, above = mass_attenuation_cm2_g(MATERIALS[name], np.array([edge - 0.2, edge + 0.2]))
    assert above > 3 * below


@given(st.floats(0, 400), st.sampled_from(["iodine", "gold", "gadolinium", "hydroxyapatite", "calcium"]))
def test_a_solution_attenuates_as_its_parts_do(mg_per_ml: float, solute: str) -> None:
    energies = np.array([25.0, 40.0, 90.0])
    base, other = MATERIALS["water"], MATERIALS[solute]
    mixed = solution(base, other, mg_per_ml)
    masses = parts_mg_per_ml(base, other, mg_per_ml)
    apart = sum(m / 1e4 * mass_attenuation_cm2_g(p, energies) for m, p in zip(masses, (base, other), strict=True))
    np.testing.assert_allclose(attenuation_per_mm(mixed, energies), apart, rtol=1e-9)
    assert masses[0] / base.mg_per_ml + masses[1] / other.mg_per_ml == pytest.approx(1)


def test_the_photoelectric_part_is_a_part() -> None:
    energies = np.linspace(15, 150, 50)
    for one in MATERIALS.values():
        assert (photoelectric_cm2_g(one, energies) < mass_attenuation_cm2_g(one, energies)).all()


def test_a_material_said_in_a_basis_that_holds_it_is_itself() -> None:
    energies = np.arange(25.0, 120.0)
    basis = [MATERIALS[name] for name in ("water", "iodine", "hydroxyapatite", "gold")]
    found = as_basis_mg_per_ml(solution(basis[0], basis[1], 12.0), basis, energies)
    assert found["iodine"] == pytest.approx(12, rel=1e-6)
    assert found["gold"] == pytest.approx(0, abs=1e-6)
    bone = as_basis_mg_per_ml(MATERIALS["cortical bone"], basis, energies)
    assert 900 < bone["hydroxyapatite"] < 1300
    assert abs(bone["iodine"]) < 1


def test_materials_are_found_by_name_symbol_and_any_case() -> None:
    assert material("au") is material("Gold") is MATERIALS["gold"]
    assert material("soft_tissue") is MATERIALS["soft tissue"]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="no material 'unobtainium'"):
        material("unobtainium")
    with pytest.raises(UsageError, match="cannot be"):
        solution(MATERIALS["water"], MATERIALS["iodine"], 5000)
    with pytest.raises(UsageError, match="summing"):
        Material("half", 1.0, (("H", 0.5),))
    with pytest.raises(UsageError, match="no element"):
        Material("odd", 1.0, (("Xx", 1.0),))
    with pytest.raises(UsageError, match="keV"):
        mass_attenuation_cm2_g(MATERIALS["water"], np.array([0.5]))
