"""A five-bin spectral model for tests: a filtered tube line, a detector with tails, four basis materials."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leadglass.imaging.material import MATERIALS, mass_attenuation_cm2_g
from leadglass.imaging.spectral_model import SpectralModel, spectral_model

THRESHOLDS_KEV = (20.0, 34.0, 50.0, 65.0, 81.0)
BASIS = ("water", "calcium", "iodine", "gold")
PHOTONS = np.array([3.0, 2.5, 2.0, 1.5, 1.0]) * 1e5


def response(thresholds_kev: tuple[float, ...], energies_kev: NDArray[np.float64]) -> NDArray[np.float64]:
    """Register 70 % of photons in a Gaussian peak and the rest anywhere below it."""
    pulse = np.linspace(0, 140, 1401)
    tops = (*thresholds_kev[1:], 1e9)
    rows = []
    for low, high in zip(thresholds_kev, tops, strict=True):
        inside = (pulse >= low) & (pulse < high)
        peak = [np.exp(-(((pulse - e) / 2.5) ** 2) / 2)[inside].sum() * 0.1 / (2.5 * 2.507) for e in energies_kev]
        tail = [(pulse < e)[inside].sum() * 0.1 / e for e in energies_kev]
        rows.append(0.7 * np.array(peak) + 0.3 * np.array(tail))
    return np.array(rows)


def model(reach: tuple[float, ...] = (10.0, 1.0, 0.05, 0.1)) -> SpectralModel:
    """Make the model; `reach` is in g/cm²."""
    energies = np.arange(18.0, 121.0)
    aluminium = mass_attenuation_cm2_g(MATERIALS["aluminium"], energies)
    fluence = (120.0 - energies) * np.exp(-0.675 * aluminium)
    basis = np.stack([mass_attenuation_cm2_g(MATERIALS[name], energies) for name in BASIS])
    return spectral_model(
        BASIS, energies, fluence, response(THRESHOLDS_KEV, energies), basis, reach_g_cm2=np.array(reach)
    )
