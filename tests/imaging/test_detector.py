"""A detector keeps energy, tends to a perfect counter where its faults vanish, and counts what published ones count."""

from dataclasses import replace

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.detector import counts_above, height_axis, pulse_heights, quantum_efficiency, response
from leadglass.imaging.material import MATERIALS
from leadglass.imaging.scan import Sensor

ENERGIES = np.array([20.5, 30.5, 45.5, 60.5, 80.5, 110.5])
PERFECT = Sensor("CdTe", 2.0, pitch_mm=50.0, noise_kev=0.0, cloud_um=0.0)


def test_no_pulse_has_more_than_the_photon_and_energy_is_kept_but_for_what_escapes() -> None:
    axis = height_axis()
    for pitch in (0.055, 0.11, 0.5):
        heights = pulse_heights(Sensor(pitch_mm=pitch, cloud_um=20.0), ENERGIES)
        seen = axis @ heights / (ENERGIES * quantum_efficiency(Sensor(), ENERGIES))
        assert (seen <= 1 + 1e-9).all()
        assert (seen > 0.85).all()
        assert seen[0] == pytest.approx(1, abs=1e-6)  # under both K edges nothing escapes
        for column, energy in enumerate(ENERGIES):
            assert heights[axis > energy + 0.5, column].sum() == pytest.approx(0, abs=1e-9)


def test_without_sharing_and_escape_a_bin_counts_its_own_photons() -> None:
    energies = np.array([15.5, 20.5, 24.5, 25.5])  # no K edge of CdTe below 26.7 keV
    found = response(PERFECT, (16.0, 25.0), energies)
    efficiency = quantum_efficiency(PERFECT, energies)
    np.testing.assert_allclose(found, [[0, *efficiency[1:3], 0], [0, 0, 0, efficiency[3]]], atol=1e-9)


def test_efficiency_is_the_exponential_law_and_rises_with_thickness() -> None:
    thin, thick = (quantum_efficiency(Sensor(thickness_mm=mm), ENERGIES) for mm in (1.0, 2.0))
    assert (thin <= thick).all()
    assert thick[0] > 0.98
    assert 0.6 < thick[-1] < 0.75
    assert (quantum_efficiency(Sensor("Si", 0.3), ENERGIES)[3:] < 0.02).all()


def test_smaller_pixels_share_more() -> None:
    energy = np.array([60.5])
    peaks = [response(Sensor(pitch_mm=mm, noise_kev=1.0), (5.0, 55.0), energy)[1, 0] for mm in (0.055, 0.11, 0.22, 0.5)]
    assert peaks == sorted(peaks)
    low = [response(Sensor(pitch_mm=mm, noise_kev=1.0), (5.0, 55.0), energy)[0, 0] for mm in (0.055, 0.11, 0.22, 0.5)]
    assert low == sorted(low, reverse=True)
    assert counts_above(Sensor(pitch_mm=0.055, noise_kev=1.0), (5.0,), energy)[0, 0] > 1.3  # counted more than once


def test_charge_summing_brings_the_photopeak_back() -> None:
    """Medipix3RX, CdTe at 110 µm: the peak of 59.5 keV holds far more counts with charge summing than without."""
    energy = np.array([59.5])
    plain = Sensor(pitch_mm=0.11, thickness_mm=2.0, noise_kev=2.0, cloud_um=18.0)
    summed = replace(plain, is_charge_summing=True)
    peak = {one.is_charge_summing: response(one, (7.0, 52.0), energy)[:, 0] for one in (plain, summed)}
    share = {mode: bins[1] / bins.sum() for mode, bins in peak.items()}
    assert share[True] > 1.5 * share[False]
    assert share[True] > 0.6
    assert 0.1 < share[False] < 0.6


def test_escape_peaks_lie_where_the_lines_say() -> None:
    """At 60 keV a CdTe pixel misses 23.2 (Cd K) or 27.4 keV (Te K), or sees them alone."""
    heights = pulse_heights(replace(PERFECT, pitch_mm=0.11), np.array([60.5]))[:, 0]
    axis = height_axis()
    for line in (23.1, 27.4):
        for place in (line, 60.5 - line):
            around = np.abs(axis - place) < 1.0
            beside = np.abs(axis - place - 2.5) < 1.0
            assert heights[around].sum() > 0.01
            assert heights[around].sum() > heights[beside].sum() or line == 23.1 or place == 27.4


def test_noise_and_dispersion_blur_the_threshold() -> None:
    energies = np.arange(40.5, 60, 1.0)
    sharp = counts_above(PERFECT, (50.0,), energies)[0]
    noisy = counts_above(replace(PERFECT, noise_kev=1.5, threshold_spread_kev=2.0), (50.0,), energies)[0]
    assert noisy[energies < 49].sum() > sharp[energies < 49].sum()
    assert (np.diff(counts_above(PERFECT, (20.0, 30.0, 40.0), energies), axis=0) <= 1e-12).all()


@pytest.mark.parametrize(
    ("sensor", "thresholds"),
    [(Sensor("wood"), (20.0,)), (Sensor("gold"), (20.0,)), (Sensor(), (30.0, 20.0)), (Sensor(), ()), (Sensor(), (0.0,)),
     (Sensor(thickness_mm=0), (20.0,))],
)  # fmt: skip
def test_what_is_no_detector_is_refused(sensor: Sensor, thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        response(sensor, thresholds, ENERGIES)


def test_what_escapes_a_thick_sensor_is_what_the_closed_form_says() -> None:
    """Isotropic emission at an exponential depth leaves the front with ½ (1 - μf/μ ln(1 + μ/μf)); the back is far."""
    from leadglass.imaging.detector import _k_lines, _k_share, _per_mm

    sensor, energies = replace(PERFECT, thickness_mm=20.0), np.array([33.5, 45.5, 60.5, 90.5])
    heights = pulse_heights(sensor, energies)
    found = energies - height_axis() @ heights / quantum_efficiency(sensor, energies)
    stuff = MATERIALS["CdTe"]
    for column, energy in enumerate(energies):
        lost = 0.0
        for element, share, line, _ in _k_lines(stuff):
            ratio = _per_mm(stuff, line) / _per_mm(stuff, energy)
            escapes = 0.5 * (1 - ratio * np.log(1 + 1 / ratio))
            lost += share * _k_share(stuff, element, float(energy)) * line * escapes
        assert found[column] == pytest.approx(lost, rel=0.03)
