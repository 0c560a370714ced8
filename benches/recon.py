"""How fast and how well volumes are reconstructed, beside RTK in the same run.

    python -m benches.recon [--rounds 3] [--small]

One scan for all: a head of ellipsoids (after Shepp & Logan, in HU of water at 0.02/mm), whose line integrals are exact;
256³ voxels of 0.5 mm, 360 views of 256 rows and 384 columns of 0.6 mm, source to axis 500 mm, to panel 800 mm. Each
figure is a fresh process that loads the same files; only the work itself is timed, ours after a warm-up of the compiler
on a scan of a few pixels. Peak memory is the whole process's. The order turns from round to round. Processor seconds
are given beside the clock's, because they hardly change when other programs share the machine.

RTK comes from the package itk-rtk (dependency group `bench`), in an environment of its own:
`python -m venv .peers/rtk && .peers/rtk/bin/pip install itk-rtk`. Without it only our own figures are printed, and that
is said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Geometry, Grid, Panel, circle, cube
from leadglass.imaging.projector import back, forward

ROOT = Path(__file__).parents[1]
RTK = ROOT / ".peers/rtk/bin/python"
WATER = 0.02
HEAD = (  # HU above what lies around, centre and half axes as parts of 60 mm
    (1800.0, (0.0, 0.0, 0.0), (0.72, 0.95, 0.70)),
    (-775.0, (0.0, -0.0184, 0.0), (0.66, 0.874, 0.64)),
    (-15.0, (0.22, 0.0, 0.0), (0.11, 0.31, 0.22)),
    (-15.0, (-0.22, 0.0, 0.0), (0.16, 0.41, 0.28)),
    (30.0, (0.0, 0.35, -0.15), (0.21, 0.25, 0.41)),
    (30.0, (0.0, 0.1, 0.25), (0.046, 0.046, 0.05)),
    (40.0, (-0.08, -0.605, 0.0), (0.046, 0.03, 0.05)),
    (200.0, (0.3, -0.5, 0.1), (0.08, 0.08, 0.08)),
)
WORKS = ("fdk", "forward", "back", "back-joseph")
Result = dict[str, float]


def scene(small: bool) -> tuple[Grid, Geometry]:
    """Give the grid and the scan."""
    part = 4 if small else 1
    return cube(256 // part, 0.5 * part), circle(Panel(384 // part, 256 // part, 0.6 * part, 0.6 * part), 360 // part)


def write(folder: Path, grid: Grid, geometry: Geometry) -> None:
    """Write the exact line integrals, the truth on the grid and the scan's numbers."""
    projections, volume = np.zeros(geometry.shape, np.float32), np.zeros(grid.shape, np.float32)
    for hu, centre, radii in HEAD:
        middle, axes = np.array(centre) * 60, np.array(radii) * 60
        density = WATER * hu / 1000
        for view in range(geometry.views):
            projections[view] += density * through(geometry, view, middle, axes)
        parts = [((grid.centres_mm(axis) - middle[axis]) / axes[axis]) ** 2 for axis in range(3)]
        volume[parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :] <= 1] += density
    np.save(folder / "projections.npy", projections)
    np.save(folder / "volume.npy", volume)
    panel = geometry.panel
    (folder / "scan.json").write_text(json.dumps({
        "angles_deg": np.degrees(geometry.angles).tolist(), "source_axis_mm": geometry.source_axis_mm,
        "source_panel_mm": geometry.source_panel_mm, "columns": panel.columns, "rows": panel.rows,
        "pitch_mm": panel.column_pitch_mm, "side": grid.shape[0], "voxel_mm": grid.voxel_mm[0],
    }))  # fmt: skip


def through(geometry: Geometry, view: int, middle: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Give how long each ray of a view runs through an ellipsoid, in mm."""
    angle, far = geometry.angles[view], geometry.source_panel_mm
    towards = np.array([-np.cos(angle), -np.sin(angle), 0])
    across = np.array([-np.sin(angle), np.cos(angle), 0])
    u, v = geometry.panel.u_mm()[:, None, None], geometry.panel.v_mm()[None, :, None]
    run = far * towards + u * across + v * np.array([0, 0, 1.0])
    run /= np.linalg.norm(run, axis=-1, keepdims=True)
    start = (-geometry.source_axis_mm * towards - middle) / axes
    run /= axes
    a, b, c = (run * run).sum(-1), (run * start).sum(-1), start @ start - 1
    return 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a


def do(work: str, folder: Path, small: bool) -> None:
    """Do one piece of work with Leadglass and say what it cost."""
    tiny, few = cube(8, 1.0), circle(Panel(8, 8, 2.0, 2.0), 8)
    grid, geometry = scene(small)
    name = "volume" if work == "forward" else "projections"
    given = np.load(folder / f"{name}.npy")
    kinds = {"fdk": fdk, "forward": forward, "back": back}
    kinds[work](np.ones(tiny.shape if work == "forward" else few.shape, np.float32), tiny, few)
    used, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    made = kinds[work](given, grid, geometry)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    np.save(folder / f"leadglass-{work}.npy", made)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak}))


def run(engine: str, work: str, folder: Path, small: bool) -> Result:
    """Run one piece of work in a fresh process; adds how far a reconstruction or projection is from the truth."""
    ours = [sys.executable, "-m", "benches.recon", "--do", work, "--folder", str(folder), *(["--small"] * small)]
    theirs = [str(RTK), "-P", str(ROOT / "benches/recon_rtk.py"), work, str(folder)]
    done = subprocess.run(ours if engine == "leadglass" else theirs, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{engine} {work} failed:\n{done.stderr[-3000:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    made = np.load(folder / f"{engine}-{work}.npy", mmap_mode="r")
    if work == "fdk":
        truth = np.load(folder / "volume.npy", mmap_mode="r")
        grid, _ = scene(small)
        wrong = (made - truth) * (1000 / WATER)
        x, y, z = (grid.centres_mm(axis) / 60 for axis in range(3))
        parts = (x / 0.6)[:, None, None] ** 2, (y / 0.8)[None, :, None] ** 2, (z / 0.5)[None, None, :] ** 2
        result["rmse_hu"] = float(np.sqrt(np.mean(wrong**2)))
        result["rmse_inside_hu"] = float(np.sqrt(np.mean(wrong[sum(parts) < 1] ** 2)))
    elif work == "forward":
        exact = np.load(folder / "projections.npy", mmap_mode="r")
        result["rmse_parts"] = float(np.sqrt(np.mean((made - exact) ** 2)) / exact.max())
    return result


def middle(results: list[Result], name: str) -> float:
    """Give the median."""
    return statistics.median(result[name] for result in results)


def spread(results: list[Result], name: str, digits: int = 1) -> str:
    """Give the median and the range."""
    values = [result[name] for result in results]
    return f"{middle(results, name):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def table(done: dict[tuple[str, str], list[Result]]) -> None:
    """Print what was measured."""
    print("| work | engine | seconds | processor s ÷ cores | peak MB | error | times RTK's best (seconds, processor) |")
    print("|---|---|---|---|---|---|---|")
    cores = os.cpu_count() or 1
    for results in done.values():
        for result in results:
            result["share_s"] = result["cpu_s"] / cores
    for (engine, work), results in sorted(done.items(), key=lambda item: (WORKS.index(item[0][1]), item[0][0])):
        peers = [v for (e, w), v in done.items() if e == "rtk" and w.split("-")[0] == work.split("-")[0]]
        ratio = "–"
        if engine == "leadglass" and peers:
            ratio = ", ".join(
                f"{min(middle(peer, name) for peer in peers) / middle(results, name):.1f}"
                for name in ("wall_s", "share_s")
            )
        last = results[-1]
        error = "–"
        if "rmse_hu" in last:
            error = f"{last['rmse_hu']:.1f} HU, inside {last['rmse_inside_hu']:.1f} HU"
        elif "rmse_parts" in last:
            error = f"{100 * last['rmse_parts']:.2f} % of the largest"
        print(f"| {work} | {engine} | {spread(results, 'wall_s')} | {spread(results, 'share_s')} | "
              f"{spread(results, 'peak_mb', 0)} | {error} | {ratio} |")  # fmt: skip


def measure(rounds: int, small: bool) -> None:
    """Run all engines in turn, and print the table."""
    engines = ["leadglass", "rtk"] if RTK.exists() else ["leadglass"]
    if "rtk" not in engines:
        print(f"RTK is not installed ({RTK.relative_to(ROOT)}): only our own figures follow.")
    grid, geometry = scene(small)
    done: dict[tuple[str, str], list[Result]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, grid, geometry)
        for turn in range(rounds):
            for work in WORKS:
                for engine in engines[:: 1 if turn % 2 else -1]:
                    if engine == "leadglass" and work == "back-joseph":
                        continue
                    load = os.getloadavg()[0]
                    result = run(engine, work, folder, small)
                    done[engine, work].append(result)
                    print(f"{engine} {work}: {result} (load {load:.1f})", file=sys.stderr)
    print(f"\n{rounds} rounds; {os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, "
          f"Python {platform.python_version()}; {grid.shape} voxels, {geometry.shape} projections\n")  # fmt: skip
    table(done)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a quarter of each side: a trial of the bench itself")
    parser.add_argument("--do", choices=WORKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.do:
        do(chosen.do, chosen.folder, chosen.small)
    else:
        measure(chosen.rounds, chosen.small)


if __name__ == "__main__":
    main()
