"""How right the materials are: rods of published concentrations, counted, calibrated, decomposed, measured.

    python -m benches.materials [--quick 2] [--dose 1.0] [--one-step] [--json FILE]

The phantom is `content/phantoms/calibration.toml`: rods of the concentrations that MARS scanners were tested with, in
PMMA. It is counted twice with different noise: one scan calibrates, the other is measured. Counts come from exact
thicknesses with four rays a pixel, the detector with pile-up and threshold spread; the reconstruction knows tube,
sensor and thresholds, takes dead time and pile-up out, and has two numbers a bin from the calibration scan. Two ways:
rays decomposed and reconstructed (`projection`), and bins reconstructed and decomposed by the rods' response (`image`).
`--one-step` adds a third: from the counts to the maps at once, with the materials' edges coupled (`one step`).
Figures are of voxels within 0.7 of a rod's radius, over the middle slices. `--quick n` has n times fewer views, columns
and rows.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import leadglass
from leadglass.imaging.calibration import Rod, bend_to_scan, rod_response, scan_model
from leadglass.imaging.decomposition import decompose_projections
from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Grid
from leadglass.imaging.image_decomposition import decompose_image, identify
from leadglass.imaging.iterative import Plan
from leadglass.imaging.onestep import Projector, one_step
from leadglass.imaging.phantom import Cylinder, Phantom
from leadglass.imaging.phantom_text import Protocol, parse_phantom
from leadglass.imaging.projector import back, forward
from leadglass.imaging.quality import accuracy, detection_limit_mg_ml, identification, linearity
from leadglass.imaging.reconstruction import without_dead_time
from leadglass.imaging.scan import Scan
from leadglass.imaging.simulate import simulate
from leadglass.imaging.unpiling import without_pile_up
from leadglass.imaging.variation import Variation
from leadglass.imaging.volume import MaterialVolume, Voxels

BASIS = ("water", "hydroxyapatite", "iodine", "gadolinium", "gold")
SOLUTES = BASIS[1:]
FILTER = {"window": "hann", "cutoff": 0.8}
FIELD_MM, HEIGHT_MM = 84.0, 8.0
PENALTY, ROUNDS = 0.3, 8


def main() -> None:
    """Count, calibrate, decompose and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", type=int, default=1, help="fewer views, columns and rows, each by this factor")
    options.add_argument("--dose", type=float, default=1.0, help="tube charge relative to the phantom's scan")
    options.add_argument("--one-step", action="store_true", help="also from the counts in one step (minutes)")
    options.add_argument("--json", type=Path, help="write every figure to this file")
    chosen = options.parse_args()
    text = (Path(leadglass.__file__).parent / "content/phantoms/calibration.toml").read_text()
    phantom, protocol = parse_phantom(text)
    protocol = protocol.quick(chosen.quick) if chosen.quick > 1 else protocol
    tube = replace(protocol.tube, charge_mas=protocol.tube.charge_mas * chosen.dose)
    measured, teacher = (counted(phantom, replace(protocol, tube=tube), seed) for seed in (1, 2))
    side = int(FIELD_MM / (0.33 * chosen.quick))
    voxel = FIELD_MM / side
    grid = Grid((side, side, max(4, int(HEIGHT_MM / voxel))), (voxel,) * 3)
    views, columns, rows = measured.geometry.shape
    air = np.median(measured.flat.sum(axis=0))
    print(f"{views} views of {columns} × {rows} pixels, {air:.0f} counts a pixel in air, voxels of {voxel:.2f} mm")
    found = {}
    ways = {"projection": by_rays, "image": by_bins} | ({"one step": at_once} if chosen.one_step else {})
    for way, make in ways.items():
        begun = time.perf_counter()
        maps = make(measured, teacher, phantom, grid)
        found[way] = judged(maps, phantom, grid) | {"seconds": time.perf_counter() - begun}
        show(way, found[way])
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


def counted(phantom: Phantom, protocol: Protocol, seed: int) -> Scan:
    """Count the phantom, and take out what the counter lost and mistook."""
    scan = simulate(
        phantom, protocol.geometry, protocol.tube, protocol.sensor, protocol.thresholds_kev, seed=seed, flat_views=1000
    )
    return without_pile_up(without_dead_time(scan))


def rods_of(phantom: Phantom) -> list[Rod]:
    """Read the rods from the phantom's bodies: solutes, and water and lipid pure."""
    rods = []
    for body in phantom.bodies:
        if body.name == "body" or not isinstance(body.solid, Cylinder):
            continue
        name, amount, *_ = [*body.name.split(), "1000"]
        rods.append(Rod(name, float(amount), body.solid.centre[:2], body.solid.radii[0]))
    return rods


def by_rays(measured: Scan, teacher: Scan, phantom: Phantom, grid: Grid) -> dict[str, Voxels]:
    """Decompose each ray with the model the teacher's scan corrected, then reconstruct each material."""
    bend = bend_to_scan(scan_model(teacher, BASIS), teacher, phantom)
    print(f"misfit of the calibration scan: {bend.misfit_before:.2f} before, {bend.misfit_after:.2f} after")
    fit = decompose_projections(measured.counts, measured.flat, bend.model, bad=measured.bad)
    return {
        name: fdk(paths, grid, measured.geometry, **FILTER) * np.float32(1e4)
        for name, paths in zip(BASIS, fit.paths, strict=True)
    }


def by_bins(measured: Scan, teacher: Scan, phantom: Phantom, grid: Grid) -> dict[str, Voxels]:
    """Reconstruct each bin, learn the rods' response from the teacher, explain the measured bins by it."""
    rods = [rod for rod in rods_of(phantom) if rod.material in BASIS]
    learned = rod_response(bins_of(teacher, grid), grid, rods)
    print(f"least R² of a rod's response in a bin: {learned.least_r_squared:.5f}")
    bins = bins_of(measured, grid)
    blank = next(rod for rod in rods if rod.material == "water").inside(grid)
    noise = bins[:, blank].std(axis=(1, 2)).astype(np.float64)
    return decompose_image(bins, learned.effective, noise=noise, most_together=2)


def at_once(measured: Scan, teacher: Scan, phantom: Phantom, grid: Grid) -> dict[str, Voxels]:
    """Find the maps that make all counts most likely, with edges that the materials share, from the first way's maps.

    The volume is taken as high as the panel sees; where its own start ends it is carried on.
    """
    start = np.stack(list(by_rays(measured, teacher, phantom, grid).values()))
    model = bend_to_scan(scan_model(teacher, BASIS), teacher, phantom).model
    more = grid.shape[2]
    high = Grid((*grid.shape[:2], grid.shape[2] + 2 * more), grid.voxel_mm)
    whole = np.pad(start, [(0, 0)] * 3 + [(more, more)], mode="edge")
    blank = next(rod for rod in rods_of(phantom) if rod.material == "water").inside(grid)
    penalty = Variation(PENALTY, PENALTY, tuple(float(one[blank].std()) for one in start))
    found = one_step(
        measured.counts, measured.flat, model, high, measured.geometry, Projector(forward, back), plan=Plan(ROUNDS),
        start=whole, penalty=penalty, bad=measured.bad, non_negative=False,
    )  # fmt: skip
    return {name: one[..., more:-more].copy() for name, one in zip(BASIS, found, strict=True)}


def bins_of(scan: Scan, grid: Grid) -> Voxels:
    """Reconstruct −ln(counts / flat) of each bin, in 1/cm."""
    lines = -np.log(np.maximum(scan.counts, 0.5) / scan.flat[:, None])
    return np.stack([fdk(one.astype(np.float32), grid, scan.geometry, **FILTER) for one in lines]) * np.float32(10)


def judged(maps: dict[str, Voxels], phantom: Phantom, grid: Grid) -> dict[str, object]:
    """Measure every rod, each material's line, what can be told apart, and the least that can be detected."""
    rods, rows, lines, limits = rods_of(phantom), [], {}, {}
    truth = np.full(grid.shape, -1, dtype=np.int64)
    for rod in rods:
        inside = rod.inside(grid)
        truth[inside] = SOLUTES.index(rod.material) + 1 if rod.material in SOLUTES else 0
        if rod.material in SOLUTES:
            region = np.broadcast_to(inside[..., None], grid.shape)
            rows.append(accuracy(rod.material, maps[rod.material], region, rod.mg_per_ml))
    lowest = {name: min(row.truth_mg_ml for row in rows if row.material == name) for name in SOLUTES}
    for name in SOLUTES:
        own = [row for row in rows if row.material == name]
        lines[name] = linearity(
            [0.0, *(r.truth_mg_ml for r in own)], [blank(maps[name], rods, grid), *(r.mean_mg_ml for r in own)]
        )
        others = [rod for rod in rods if rod.material != name]
        means = np.concatenate(
            [maps[name][rod.inside(grid)].mean(axis=0)[None] for rod in others if rod.material == "water"]
        )
        limits[name] = detection_limit_mg_ml(means.ravel().astype(np.float64), max(lines[name].slope, 1e-3))
    named = identify(MaterialVolume(maps, grid), {name: lowest[name] / 2 for name in SOLUTES})
    told = identification(truth, named, ("none", *SOLUTES))
    return {
        "rods": [json.loads(row.to_json()) for row in rows],
        "lines": {name: json.loads(line.to_json()) for name, line in lines.items()},
        "identification": json.loads(told.to_json()),
        "detection_limit_mg_ml_rod_slice": limits,
    }


def blank(voxels: Voxels, rods: list[Rod], grid: Grid) -> float:
    """Give a map's mean in the water rod."""
    return float(np.mean([voxels[rod.inside(grid)].mean(dtype=np.float64) for rod in rods if rod.material == "water"]))


def show(way: str, found: dict[str, object]) -> None:
    """Print one way's figures as tables."""
    print(f"\n{way}: {found['seconds']:.1f} s")
    print("| material | true mg/mL | mean | sd | bias | RMSE |\n|---|---|---|---|---|---|")
    for row in found["rods"]:
        mean, spread = row["mean_mg_ml"], row["standard_deviation_mg_ml"]
        print(f"| {row['material']} | {row['truth_mg_ml']:g} | {mean:.2f} | {spread:.2f} |", end="")
        print(f" {row['bias_mg_ml']:+.2f} | {row['rmse_mg_ml']:.2f} |")
    told, limits = found["identification"], found["detection_limit_mg_ml_rod_slice"]
    print("\n| material | slope | R² | sensitivity | specificity | detection limit mg/mL |\n|---|---|---|---|---|---|")
    for name, line in found["lines"].items():
        print(f"| {name} | {line['slope']:.3f} | {line['r_squared']:.5f} | {told['sensitivity'][name]:.4f} |", end="")
        print(f" {told['specificity'][name]:.4f} | {limits[name]:.2f} |")


if __name__ == "__main__":
    main()
