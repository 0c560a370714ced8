"""Leadglass: a secured imaging chain. You see through it, and it shields you.

    import leadglass as lg

    scan = lg.open_scan("hand.h5")
    volume = lg.reconstruct(scan, basis=["water", "calcium", "iodine", "gold"])
    volume["iodine"]                # mg/mL, [x, y, z]
    volume.vmi(energy_kev=70)       # Hounsfield units

What these need is imported when they are called, so that `import leadglass` stays instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from leadglass.imaging.scan import Scan
    from leadglass.imaging.volume import MaterialVolume

__version__ = "0.1.0"


def open_scan(path: str | PathLike[str]) -> Scan:
    """Read a scan from its HDF5 file (docs/spec/raw-data.md). Raises UsageError for a file that is none."""
    from pathlib import Path

    from leadglass.edge.rawdata import open_scan as opened

    return opened(Path(path))


def reconstruct(
    scan: Scan,
    basis: Sequence[str] = ("water", "calcium", "iodine", "gold"),
    method: str = "fbp",
    *,
    voxel_mm: float = 0.0,
    rounds: int = 0,
    smoothing: float = 1.0,
) -> MaterialVolume:
    """Make material maps in mg/mL of a scan: `method` is fbp, iterative or onestep.

    The grid is the box that holds the body, in voxels of `voxel_mm` (0: a detector pixel at the axis); `rounds` and
    `smoothing` are those of the iterative methods. Raises UsageError for what does not fit, before the computing.
    """
    from leadglass.errors import UsageError
    from leadglass.imaging import reconstruction

    try:
        how = reconstruction.Method(method)
    except ValueError:
        raise UsageError(f"There is no method {method!r}.", hint="Choose fbp, iterative or onestep.") from None
    grid = reconstruction.fitting_grid(scan, voxel_mm)
    recipe = reconstruction.Recipe(tuple(basis), how, grid, rounds, smoothing)
    return reconstruction.reconstruct(scan, recipe)
