"""A phantom knows its substances and masses, gives its truth on a grid, and says it in any basis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.errors import UsageError
from leadglass.imaging.geometry import cube
from leadglass.imaging.material import MATERIALS, mass_attenuation_cm2_g
from leadglass.imaging.phantom import Body, Cylinder, Phantom, Strand, basis_truth, pieces, voxelised

WATER, IODINE, BONE = (MATERIALS[name] for name in ("water", "iodine", "cortical bone"))
BASIS = [WATER, MATERIALS["calcium"], IODINE, MATERIALS["gold"]]
ENERGIES = np.arange(25.0, 118.0)
ROD = Cylinder((0, 0, 0), (3, 3), 100)


def test_a_solution_is_its_parts_and_fills_its_volume() -> None:
    masses = Body(ROD, WATER, IODINE, 15.0).masses_mg_per_ml()
    assert masses["iodine"] == 15
    assert masses["water"] == pytest.approx(1000 * (1 - 15 / 4930))


@settings(max_examples=15, deadline=None)
@given(st.floats(1.0, 7.0), st.floats(-2, 2), st.floats(-2, 2))
def test_voxels_keep_the_mass(radius: float, x: float, y: float) -> None:
    truth = voxelised(Phantom("ball", (Body(Strand(((x, y, 0.3),), (radius,)), WATER),)), cube(20, 1.0), 4)
    assert truth["water"].sum() == pytest.approx(1000 * 4 / 3 * np.pi * radius**3, rel=0.04)


def test_of_two_bodies_in_one_place_the_higher_priority_counts_whatever_the_order() -> None:
    inner, outer = Body(ROD, BONE, priority=2), Body(Cylinder((0, 0, 0), (9, 9), 100), WATER, priority=1)
    for bodies in ((inner, outer), (outer, inner)):
        truth = voxelised(Phantom("two", bodies), cube(21, 1.0), 1)
        assert truth["cortical bone"][10, 10, 10] == pytest.approx(1920)
        assert truth["water"][10, 10, 10] == 0
        assert truth["water"][10, 16, 10] == 1000


def test_what_is_in_the_basis_is_itself_and_what_is_not_attenuates_alike() -> None:
    phantom = Phantom("rods", (Body(ROD, WATER, IODINE, 12.0), Body(Cylinder((15, 0, 0), (3, 3), 100), BONE)))
    truth = basis_truth(phantom, cube(41, 1.0), BASIS, ENERGIES, 1)
    assert truth["iodine"][20, 20, 20] == pytest.approx(12)
    assert truth["gold"][20, 20, 20] == 0
    said = {one.name: truth[one.name][35, 20, 20] for one in BASIS}
    alike = sum(said[one.name] / 1000 * mass_attenuation_cm2_g(one, ENERGIES) for one in BASIS)
    np.testing.assert_allclose(alike, BONE.density_g_cm3 * mass_attenuation_cm2_g(BONE, ENERGIES), rtol=0.01)
    assert 300 < said["calcium"] < 700


def test_pieces_come_in_rising_rank_and_know_their_density() -> None:
    bodies = (Body(Strand(((0, 0, 0), (0, 0, 5), (0, 0, 9)), (1, 2, 1)), BONE, priority=5), Body(ROD, WATER))
    cut = pieces(Phantom("both", bodies))
    assert [one.name for one in cut.substances] == ["cortical bone", "water"]
    np.testing.assert_allclose(cut.densities, [[0, 1], [1.92, 0], [1.92, 0]])


def test_a_phantom_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no bodies"):
        Phantom("none", ())
    with pytest.raises(UsageError, match="at least one point"):
        voxelised(Phantom("rod", (Body(ROD, WATER),)), cube(4, 1.0), 0)
