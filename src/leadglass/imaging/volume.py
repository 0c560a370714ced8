"""What a reconstruction gives: one volume for each basis material, in milligrams in each millilitre."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid

Voxels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MaterialVolume(Mapping[str, Voxels]):
    """Material maps on one grid: `volume["iodine"]` is [x, y, z] in mg/mL, of the order they were asked for."""

    maps: Mapping[str, Voxels]
    grid: Grid
    frame_of_reference_uid: str = ""
    made_by: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise UsageError where a map is of another grid."""
        for name, voxels in self.maps.items():
            if voxels.shape != self.grid.shape:
                raise UsageError(f"The map of {name} is {voxels.shape}, the grid {self.grid.shape}.")

    def __getitem__(self, name: str) -> Voxels:
        return self.maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)

    def vmi(self, *, energy_kev: float) -> Voxels:
        """Give the volume in Hounsfield units as a scanner of one photon energy would show it; see `vmi.vmi`."""
        from leadglass.imaging.vmi import vmi  # it needs this module

        return vmi(self, energy_kev)
