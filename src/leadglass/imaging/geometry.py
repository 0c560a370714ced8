"""Where source, detector and volume stand: the geometry of a scan and the grid of a volume.

Lengths are millimetres, angles radians, in a right-handed frame fixed to the scanner: z is the axis of rotation. At
angle b the source stands at (R cos b, R sin b, z) and looks through the axis at the detector, whose columns run along
u = (-sin b, cos b, 0) and whose rows run along v = (0, 0, 1). A parallel beam comes from the same side.

Arrays keep z innermost, where the hot loops run: a volume is `[x, y, z]`, projections are `[view, column, row]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError

Floats = NDArray[np.float64]


class Beam(Enum):
    """How rays run: side by side, from one point in a plane, or from one point in space."""

    PARALLEL = "parallel"
    FAN = "fan"
    CONE = "cone"


@dataclass(frozen=True, slots=True)
class Panel:
    """A flat detector. Offsets move its centre from the central ray along u and v."""

    columns: int
    rows: int
    column_pitch_mm: float
    row_pitch_mm: float
    column_offset_mm: float = 0.0
    row_offset_mm: float = 0.0

    def u_mm(self) -> Floats:
        """Give the position of each column's centre along u, shape (columns,)."""
        return (
            np.arange(self.columns, dtype=np.float64) - (self.columns - 1) / 2
        ) * self.column_pitch_mm + self.column_offset_mm

    def v_mm(self) -> Floats:
        """Give the position of each row's centre along v, shape (rows,)."""
        return (np.arange(self.rows, dtype=np.float64) - (self.rows - 1) / 2) * self.row_pitch_mm + self.row_offset_mm


@dataclass(frozen=True, slots=True)
class Geometry:
    """One scan: a beam, a panel, and where the source was for each view.

    `angles` and `z_mm` have one number a view; `z_mm` is all zero for a circle and rises for a helix. Distances are
    from the source to the axis and to the panel; a parallel beam has them for nothing. A fan beam has one row.
    """

    beam: Beam
    panel: Panel
    angles: Floats
    z_mm: Floats
    source_axis_mm: float
    source_panel_mm: float

    def __post_init__(self) -> None:
        """Raise UsageError where the numbers make no scanner."""
        if self.angles.ndim != 1 or self.angles.shape != self.z_mm.shape or not self.angles.size:
            raise UsageError("The scan's angles and heights are not one number a view each.", hint="Check /geometry.")
        if not (np.isfinite(self.angles).all() and np.isfinite(self.z_mm).all()):
            raise UsageError("An angle or height of the scan is not a number.", hint="Check /geometry.")
        panel = self.panel
        if min(panel.columns, panel.rows) < 1 or min(panel.column_pitch_mm, panel.row_pitch_mm) <= 0:
            raise UsageError("The detector has no pixels, or pixels without a size.", hint="Check /detector.")
        if self.beam is not Beam.PARALLEL and not 0 < self.source_axis_mm < self.source_panel_mm:
            raise UsageError(
                "The source stands on the axis or behind the detector.",
                hint="source_axis_mm must be above 0 and below source_panel_mm.",
            )
        if self.beam is Beam.FAN and panel.rows != 1:
            raise UsageError("A fan beam has a detector of one row.", hint="Say beam = cone for more rows.")

    @property
    def views(self) -> int:
        """Count the views."""
        return int(self.angles.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Give the shape of its projections, [view, column, row]."""
        return self.views, self.panel.columns, self.panel.rows

    @property
    def magnification(self) -> float:
        """Tell how much larger the axis looks on the panel; 1 for a parallel beam."""
        return 1.0 if self.beam is Beam.PARALLEL else self.source_panel_mm / self.source_axis_mm


def circle(
    panel: Panel,
    views: int,
    *,
    source_axis_mm: float = 500.0,
    source_panel_mm: float = 800.0,
    beam: Beam = Beam.CONE,
    arc: float = 2 * np.pi,
    first: float = 0.0,
) -> Geometry:
    """Make a circular scan: `views` evenly over `arc`, which is left out at its end."""
    angles = first + np.arange(views, dtype=np.float64) * (arc / views)
    return Geometry(beam, panel, angles, np.zeros(views), source_axis_mm, source_panel_mm)


def helix(
    panel: Panel,
    views: int,
    *,
    pitch_mm: float,
    turns: float,
    source_axis_mm: float = 500.0,
    source_panel_mm: float = 800.0,
) -> Geometry:
    """Make a helical scan around z = 0: the source rises `pitch_mm` in each turn."""
    angles = np.arange(views, dtype=np.float64) * (2 * np.pi * turns / views)
    z_mm = (angles / (2 * np.pi) - turns / 2) * pitch_mm
    return Geometry(Beam.CONE, panel, angles, z_mm, source_axis_mm, source_panel_mm)


@dataclass(frozen=True, slots=True)
class Grid:
    """The voxels of a volume: how many along x, y and z, how large, and where their middle lies."""

    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Raise UsageError for a volume without voxels."""
        if min(self.shape) < 1 or min(self.voxel_mm) <= 0:
            raise UsageError("The volume has no voxels, or voxels without a size.", hint="Check --size and --voxel.")

    def centres_mm(self, axis: int) -> Floats:
        """Give where the voxels' centres lie along an axis (0, 1, 2 for x, y, z)."""
        count = self.shape[axis]
        return (np.arange(count, dtype=np.float64) - (count - 1) / 2) * self.voxel_mm[axis] + self.centre_mm[axis]


def cube(side: int, voxel_mm: float) -> Grid:
    """Make a cube of voxels around the origin."""
    return Grid((side, side, side), (voxel_mm, voxel_mm, voxel_mm))
