"""One acquisition as arrays: what the detector counted, and everything needed to understand it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Geometry

Counts = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tube:
    """The X-ray tube: peak voltage, charge a view, filters in the beam (material name, mm) and the anode's angle.

    `exposure_ms` is how long one view counts; it matters where the detector piles pulses up.
    """

    peak_kv: float
    charge_mas: float
    filters_mm: tuple[tuple[str, float], ...] = (("Al", 2.5),)
    anode_deg: float = 12.0
    exposure_ms: float = 100.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """The photon-counting sensor: material, thickness, and what blurs its energies (see `detector`).

    `noise_kev` is the spread (one sigma) of a pulse's height, `cloud_um` that of the charge at the pixels, `dead_ns`
    the dead time of one pixel (non-paralysable), `threshold_spread_kev` how much pixels' thresholds differ (one sigma).
    `pitch_mm` is that of the sensor's own pixels; the panel's may be larger where counts of several are added. With
    `is_charge_summing` each pixel adds its neighbours' charge before it compares (Medipix3's CSM).
    """

    material: str = "CdTe"
    thickness_mm: float = 2.0
    pitch_mm: float = 0.11
    noise_kev: float = 1.5
    cloud_um: float = 18.0
    dead_ns: float = 0.0
    threshold_spread_kev: float = 0.0
    is_charge_summing: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """Counts of one acquisition.

    `counts` is [bin, view, column, row]; bin k holds what lay between `thresholds_kev[k]` and the next (the last has
    no upper end). `flat` is the expected count without an object, [bin, column, row]. `bad` marks pixels of no use.
    """

    counts: Counts
    flat: Counts
    thresholds_kev: tuple[float, ...]
    geometry: Geometry
    tube: Tube
    sensor: Sensor
    bad: NDArray[np.bool_]
    name: str = ""
    frame_of_reference_uid: str = ""
    made_by: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise UsageError where the parts do not fit each other, before any long computation."""
        bins, shape = len(self.thresholds_kev), self.geometry.shape
        if self.counts.shape != (bins, *shape):
            raise UsageError(
                f"The counts are {self.counts.shape}, but {bins} thresholds and the geometry make {(bins, *shape)}.",
                hint="A bin is missing, or the geometry is another scan's.",
            )
        if self.flat.shape != (bins, *shape[1:]) or self.bad.shape != shape[1:]:
            raise UsageError(
                "The flat field or the bad-pixel map has another shape than the detector.", hint="Recalibrate."
            )
        if any(low >= high for low, high in zip(self.thresholds_kev, self.thresholds_kev[1:], strict=False)):
            raise UsageError("The thresholds do not rise.", hint="Give them from the lowest to the highest, in keV.")
        if not np.isfinite(self.flat[:, ~self.bad]).all() or (self.flat[:, ~self.bad] <= 0).any():
            raise UsageError("The flat field has pixels without counts that are not marked bad.", hint="Mark them bad.")

    @property
    def bins(self) -> int:
        """Count the energy bins."""
        return len(self.thresholds_kev)
