"""Knows how many photons of which energy an X-ray tube gives.

A table that comes with the package (tungsten anode, 30 to 150 kV, made once by `tools/make_spectra.py` with SpekPy,
Poludniowski et al. 2021, Med. Phys. 48, 3630) is interpolated in voltage and anode angle: bremsstrahlung at the same
share of the voltage, characteristic lines at the same energy. Filters follow the exponential law. The heel effect,
scatter from the housing and off-focal radiation are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.material import attenuation_per_mm, material
from leadglass.imaging.scan import Tube

Floats = NDArray[np.float64]

ENERGY_MIN_KEV: Final = 10.0
"""Below this no photon leaves a filtered tube or counts above the noise of a pixel."""


def energy_axis(peak_kv: float, step_kev: float = 1.0) -> Floats:
    """Give the centres of bins that cover 10 keV to the peak voltage."""
    count = max(1, int(np.ceil((peak_kv - ENERGY_MIN_KEV) / step_kev)))
    return ENERGY_MIN_KEV + (np.arange(count, dtype=np.float64) + 0.5) * step_kev


def bin_edges(energies_kev: Floats) -> Floats:
    """Give the edges of bins whose centres are given: halfway between, and as far outside at the ends."""
    if energies_kev.ndim != 1 or energies_kev.size < 2 or (np.diff(energies_kev) <= 0).any():
        raise UsageError("The energies do not rise.", hint="Give at least two centres of bins, in keV.")
    middle = (energies_kev[1:] + energies_kev[:-1]) / 2
    return np.concatenate([[2 * energies_kev[0] - middle[0]], middle, [2 * energies_kev[-1] - middle[-1]]])


def tube_spectrum(tube: Tube, energies_kev: Floats) -> Floats:
    """Give the photons behind the tube's filters: per mm² at 1 m, per mAs, in each bin around `energies_kev`.

    Raises UsageError for a voltage or anode angle outside the table, or a filter of an unknown material.
    """
    table = _table()
    if not table.peaks_kv[0] <= tube.peak_kv <= table.peaks_kv[-1]:
        raise UsageError(
            f"No spectrum is known at {tube.peak_kv:g} kV.",
            hint=f"Choose from {table.peaks_kv[0]:g} to {table.peaks_kv[-1]:g} kV.",
        )
    if not table.anodes_deg[0] <= tube.anode_deg <= table.anodes_deg[-1]:
        raise UsageError(
            f"No spectrum is known for an anode of {tube.anode_deg:g}°.",
            hint=f"Choose from {table.anodes_deg[0]:g}° to {table.anodes_deg[-1]:g}°.",
        )
    edges = bin_edges(energies_kev)
    spectrum = np.zeros_like(energies_kev)
    for anode, anode_weight in _between(table.anodes_deg, tube.anode_deg):
        for peak, peak_weight in _between(table.peaks_kv, tube.peak_kv):
            stretch = tube.peak_kv / float(table.peaks_kv[peak])
            weight = anode_weight * peak_weight
            # Density at the same share of the voltage, so that the spectrum ends at the peak voltage whatever it is.
            spectrum += weight * table.photons(table.bremsstrahlung[anode, peak], edges / stretch) * stretch
            spectrum += weight * table.photons(table.lines[anode, peak], edges)
    return spectrum * transmission(tube.filters_mm, energies_kev)


def transmission(filters_mm: tuple[tuple[str, float], ...], energies_kev: Floats) -> Floats:
    """Give the share of photons of each energy that pass the filters."""
    depth = np.zeros_like(energies_kev)
    for name, thickness_mm in filters_mm:
        if not 0 <= thickness_mm < np.inf:
            raise UsageError(f"A filter of {thickness_mm} mm {name} cannot be.", hint="Give a thickness of 0 or more.")
        depth += attenuation_per_mm(material(name), energies_kev) * thickness_mm
    return np.exp(-depth)


@dataclass(frozen=True, slots=True)
class _Table:
    bremsstrahlung: Floats  # [anode, peak, energy], photons per mm², mAs and keV
    lines: Floats
    peaks_kv: Floats
    anodes_deg: Floats
    step_kev: float

    def photons(self, density: Floats, edges_kev: Floats) -> Floats:
        """Integrate a density of the table between edges, so that no photon is lost on any axis."""
        sums = np.concatenate([[0.0], np.cumsum(density) * self.step_kev])
        at = np.arange(sums.size) * self.step_kev
        return np.diff(np.interp(edges_kev, at, sums))


@cache
def _table() -> _Table:
    """Read the package's own table: data of this distribution, not a file of the user's."""
    with files("leadglass").joinpath("content/spectra/tungsten.npz").open("rb") as source:
        kept = np.load(source, allow_pickle=False)
        return _Table(
            kept["bremsstrahlung"].astype(np.float64),
            kept["lines"].astype(np.float64),
            kept["peaks_kv"],
            kept["anodes_deg"],
            float(kept["step_kev"]),
        )


def _between(axis: Floats, value: float) -> list[tuple[int, float]]:
    """Give the two neighbours of a value on an axis, with their weights in linear interpolation."""
    upper = int(np.clip(np.searchsorted(axis, value), 1, axis.size - 1))
    share = float((value - axis[upper - 1]) / (axis[upper] - axis[upper - 1]))
    return [(upper - 1, 1 - share), (upper, share)]
