"""Counts put back into the bins they belong to, after pulses that piled up had lifted them into higher ones.

The inverse of `pile_up` to first order in the rate: of true counts t of a pixel that is blind a share r of the time,
t + (1 − exp(−r)) (M − 1) t are found, where M moves pulses between bins (it follows from the sensor and the spectrum).
Beside a few per cent of blind time this is exact enough; above a tenth it is not, and is refused. The count that is
lost in dead time is given back elsewhere (`reconstruction.without_dead_time`), before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.detector import passing, pulse_heights
from leadglass.imaging.pile_up import bin_moves
from leadglass.imaging.scan import Counts, Scan
from leadglass.imaging.spectrum import energy_axis, tube_spectrum

BLIND_MAX = 0.2
"""Blind share above which the first order is no correction any more."""


def without_pile_up(scan: Scan) -> Scan:
    """Give the scan with pulses in the bins they would be in alone; the dead time is taken out already.

    Raises UsageError where pixels are blind more than a fifth of the time.
    """
    sensor, panel = scan.sensor, scan.geometry.panel
    if sensor.dead_ns <= 0:
        return scan
    pixels = max(1.0, panel.column_pitch_mm * panel.row_pitch_mm / sensor.pitch_mm**2)
    blind = sensor.dead_ns * 1e-6 / (scan.tube.exposure_ms * pixels)
    busiest = float(scan.flat.sum(axis=0).max()) * blind
    if busiest > BLIND_MAX:
        raise UsageError(f"Pixels were blind {100 * busiest:.0f} % of the time.", hint="Scan with less tube current.")
    energies = energy_axis(scan.tube.peak_kv)
    heights = pulse_heights(sensor, energies) @ tube_spectrum(scan.tube, energies)
    moves = (bin_moves(heights, passing(sensor, scan.thresholds_kev)) - np.eye(scan.bins)).astype(np.float32)
    counts = np.empty_like(scan.counts)
    for view in range(scan.geometry.views):
        counts[:, view] = _put_back(scan.counts[:, view], moves, blind)
    return replace(scan, counts=counts, flat=_put_back(scan.flat, moves, blind))


def _put_back(counts: Counts, moves: NDArray[np.float32], blind: float) -> Counts:
    """Undo the moves by two fixed-point steps, which is one order more than the first."""
    met = -np.expm1(-counts.sum(axis=0) * np.float32(blind))
    alone = counts - met * np.tensordot(moves, counts, 1)
    return np.asarray(counts - met * np.tensordot(moves, alone, 1), dtype=np.float32)
