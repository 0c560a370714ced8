"""RTK's side of `benches.recon`: runs under the interpreter that has itk-rtk, and knows nothing of Leadglass.

    python -P benches/recon_rtk.py WORK FOLDER

WORK is fdk, forward, back or back-joseph. FOLDER holds scan.json, projections.npy [view, column, row] and volume.npy
[x, y, z]; the answer goes to rtk-WORK.npy there, in the same order. Prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import itk
import numpy as np
from itk import RTK as rtk

Image = itk.Image[itk.F, 3]


def image(array: np.ndarray, spacing: list[float], origin: list[float]) -> itk.Image:
    """Wrap an array whose last axis is the image's first."""
    made = itk.image_from_array(np.ascontiguousarray(array, dtype=np.float32))
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    return made


def main() -> None:
    """Do one piece of work and say what it cost."""
    work, folder = sys.argv[1], Path(sys.argv[2])
    scan = json.loads((folder / "scan.json").read_text())
    geometry = rtk.ThreeDCircularProjectionGeometry.New()
    for angle in scan["angles_deg"]:
        geometry.AddProjection(scan["source_axis_mm"], scan["source_panel_mm"], angle)
    pitch, voxel, side = scan["pitch_mm"], scan["voxel_mm"], scan["side"]
    columns, rows = scan["columns"], scan["rows"]
    panel = ([pitch, pitch, 1.0], [-(columns - 1) / 2 * pitch, -(rows - 1) / 2 * pitch, 0.0])
    grid = ([voxel] * 3, [-(side - 1) / 2 * voxel] * 3)
    # RTK turns around y: its (x, y, z) are our (y, z, x)
    if work == "forward":
        target = image(np.zeros((len(scan["angles_deg"]), rows, columns), np.float32), *panel)
        filter_ = rtk.JosephForwardProjectionImageFilter[Image, Image].New()
        filter_.SetInput(0, target)
        filter_.SetInput(1, image(np.load(folder / "volume.npy").transpose(0, 2, 1), *grid))
    else:
        target = image(np.zeros((side,) * 3, np.float32), *grid)
        kinds = {
            "fdk": lambda: rtk.FDKConeBeamReconstructionFilter[Image].New(),
            "back": lambda: rtk.BackProjectionImageFilter[Image, Image].New(),
            "back-joseph": lambda: rtk.JosephBackProjectionImageFilter[Image, Image].New(),
        }
        filter_ = kinds[work]()
        filter_.SetInput(0, target)
        filter_.SetInput(1, image(np.load(folder / "projections.npy").transpose(0, 2, 1), *panel))
    filter_.SetGeometry(geometry)
    used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    filter_.Update()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text()  # getrusage's peak would be the parent's where that was larger
    peak_mb = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    np.save(folder / f"rtk-{work}.npy", itk.array_view_from_image(filter_.GetOutput()).transpose(0, 2, 1))
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
