"""Virtual monoenergetic images: what a scanner of a single photon energy would have shown, in Hounsfield units.

From material maps the attenuation at any energy is a sum over materials, free of beam hardening (Alvarez & Macovski
1976). Hounsfield units refer to water of 1 g/cm³ at the same energy; an empty voxel is −1000.
"""

from __future__ import annotations

import numpy as np

from leadglass.errors import UsageError
from leadglass.imaging.material import MATERIALS, mass_attenuation_cm2_g, material
from leadglass.imaging.volume import MaterialVolume, Voxels

LOWEST_KEV, HIGHEST_KEV = 20.0, 200.0


def vmi(volume: MaterialVolume, energy_kev: float) -> Voxels:
    """Give the volume in Hounsfield units at one energy, [x, y, z].

    Raises UsageError for an energy outside 20 to 200 keV (the range the material tables are used for).
    """
    if not LOWEST_KEV <= energy_kev <= HIGHEST_KEV:
        raise UsageError(
            f"{energy_kev:g} keV is outside {LOWEST_KEV:g} to {HIGHEST_KEV:g} keV.", hint="Usual are 40 to 140 keV."
        )
    at = np.array([energy_kev], dtype=np.float64)
    water = float(mass_attenuation_cm2_g(MATERIALS["water"], at)[0])
    units = np.full(volume.grid.shape, -1000.0, dtype=np.float32)
    for name, voxels in volume.items():
        share = float(mass_attenuation_cm2_g(material(name), at)[0]) / water
        units += voxels * np.float32(share)  # 1000 HU for water's 1000 mg/mL
    return units
