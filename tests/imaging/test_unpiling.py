"""Pulses that piled up go back into the bins they would have been in alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.detector import passing, pulse_heights
from leadglass.imaging.geometry import Panel, circle
from leadglass.imaging.pile_up import piled_up
from leadglass.imaging.scan import Scan, Sensor, Tube
from leadglass.imaging.spectrum import energy_axis, tube_spectrum
from leadglass.imaging.unpiling import without_pile_up

SENSOR = Sensor(dead_ns=500.0)
THRESHOLDS = (25.0, 45.0, 70.0)
TUBE = Tube(120.0, 1.0, exposure_ms=100.0)


def scan(counts: np.ndarray, flat: np.ndarray, sensor: Sensor = SENSOR) -> Scan:
    geometry = circle(Panel(2, 1, sensor.pitch_mm, sensor.pitch_mm), 3)
    return Scan(
        np.broadcast_to(counts[:, None, None, None], (3, 3, 2, 1)).astype(np.float32),
        np.broadcast_to(flat[:, None, None], (3, 2, 1)).astype(np.float32),
        THRESHOLDS, geometry, TUBE, sensor, np.zeros((2, 1), bool),
    )  # fmt: skip


@pytest.mark.parametrize("blind", [0.01, 0.03, 0.1])
def test_bins_come_back(blind: float) -> None:
    """From pulse heights piled up one by one, an independent path: the error left is a tenth of what was wrong."""
    energies = energy_axis(TUBE.peak_kv)
    heights = pulse_heights(SENSOR, energies) @ tube_spectrum(TUBE, energies)
    chance = passing(SENSOR, THRESHOLDS)
    bins = chance - np.concatenate([chance[1:], np.zeros_like(chance[:1])])
    heights = heights * chance[0]
    total = blind / (SENSOR.dead_ns * 1e-9) * TUBE.exposure_ms / 1000
    heights *= total / heights.sum()
    true = bins @ heights
    piled = bins @ piled_up(heights, total * 1000 / TUBE.exposure_ms, SENSOR.dead_ns)
    piled *= true.sum() / piled.sum()  # the dead time is taken out before
    found = without_pile_up(scan(piled, piled))
    assert np.abs(found.counts[:, 0, 0, 0] - true).max() < 0.1 * np.abs(piled - true).max()
    assert np.allclose(found.flat[:, 0, 0], found.counts[:, 0, 0, 0])


def test_a_sensor_without_dead_time_is_left_alone() -> None:
    one = scan(np.array([10.0, 20.0, 5.0]), np.array([30.0, 30.0, 9.0]), replace(SENSOR, dead_ns=0.0))
    assert without_pile_up(one) is one


def test_a_flooded_sensor_is_refused() -> None:
    with pytest.raises(UsageError, match="blind"):
        without_pile_up(scan(np.full(3, 1e4), np.full(3, 3e4)))
