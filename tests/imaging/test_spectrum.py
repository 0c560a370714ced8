"""The shipped spectra are SpekPy's, between their nodes too, and filters and axes lose no photon."""

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.material import MATERIALS, attenuation_per_mm
from leadglass.imaging.scan import Tube
from leadglass.imaging.spectrum import bin_edges, energy_axis, transmission, tube_spectrum


def hvl_mm_al(spectrum: np.ndarray, energies: np.ndarray) -> float:
    """Find the half-value layer in air kerma: energy fluence times the energy absorption of air (NIST table 4)."""
    knots = [10, 15, 20, 30, 40, 50, 60, 80, 100, 150]
    absorption = [4.742, 1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496]
    kerma = spectrum * energies * np.exp(np.interp(np.log(energies), np.log(knots), np.log(absorption)))
    low, high = 0.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        left = (kerma * np.exp(-attenuation_per_mm(MATERIALS["aluminium"], energies) * middle)).sum()
        low, high = (middle, high) if left > kerma.sum() / 2 else (low, middle)
    return low


@pytest.mark.parametrize(
    ("peak_kv", "anode_deg", "filters"),
    [
        (120, 12, (("Al", 2.5),)),
        (118, 12, (("Al", 3.8),)),
        (82.5, 9, (("Al", 3.0), ("Cu", 0.1))),
        (140, 20, (("Al", 4.0),)),
    ],
)
def test_it_is_what_spekpy_says(peak_kv: float, anode_deg: float, filters: tuple[tuple[str, float], ...]) -> None:
    spekpy = pytest.importorskip("spekpy")
    spek = spekpy.Spek(kvp=peak_kv, th=anode_deg, dk=0.5, z=100, mas=1)
    for name, thickness in filters:
        spek.filter(name, thickness)
    centres, per_cm2 = spek.get_spectrum(edges=False, flu=True, diff=False)
    energies = energy_axis(peak_kv)
    ours = tube_spectrum(Tube(peak_kv, 1.0, filters, anode_deg), energies)
    theirs, _ = np.histogram(centres, bins=bin_edges(energies), weights=per_cm2 / 100)
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.015)
    apart = np.abs(ours - theirs).sum() / theirs.sum()
    assert apart < 0.02
    assert hvl_mm_al(ours, energies) == pytest.approx(spek.get_hvl1(), rel=0.015)


def test_no_photon_is_lost_on_a_coarser_axis() -> None:
    fine, coarse = energy_axis(120, 1.0), energy_axis(120, 2.0)
    tube = Tube(120, 1.0, ())
    np.testing.assert_allclose(
        tube_spectrum(tube, fine).reshape(-1, 2).sum(axis=1), tube_spectrum(tube, coarse), rtol=1e-9
    )


def test_no_photon_has_more_energy_than_the_voltage_gives() -> None:
    energies = energy_axis(140)
    assert tube_spectrum(Tube(97, 1.0), energies)[energies > 98].sum() == 0


def test_filters_multiply() -> None:
    energies = energy_axis(100)
    both = transmission((("Al", 2.0), ("Cu", 0.1)), energies)
    np.testing.assert_allclose(both, transmission((("Al", 2.0),), energies) * transmission((("Cu", 0.1),), energies))


@pytest.mark.parametrize("tube", [Tube(20, 1), Tube(160, 1), Tube(100, 1, anode_deg=2), Tube(100, 1, (("Al", -1.0),))])
def test_a_tube_outside_the_table_is_refused(tube: Tube) -> None:
    with pytest.raises(UsageError):
        tube_spectrum(tube, energy_axis(100))
