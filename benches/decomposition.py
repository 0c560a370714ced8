"""How long rays take to become materials, beside the filtered back projection of the same scan.

    python -m benches.decomposition [--part 4]

The scan of `benches.recon`: 360 views of 384 columns and 256 rows, here with five bins and four materials (water,
calcium, iodine, gold), 20 cm of water at most, Poisson noise of 100,000 counts a ray in air. Wall and processor seconds
are of the work alone, after a warm-up of the compiler; `--part n` takes an n-th of the views and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np
from tests.imaging.five_bins import PHOTONS, model

from benches.recon import scene
from leadglass.imaging.decomposition import decompose_projections
from leadglass.imaging.fbp import fdk
from leadglass.imaging.projector import only


def main() -> None:
    """Draw, decompose, reconstruct, print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--part", type=int, default=1)
    chosen = options.parse_args()
    grid, geometry = scene(small=False)
    geometry = only(geometry, slice(0, geometry.views // chosen.part))
    spectral = model((20.0, 1.5, 0.06, 0.06))
    photons = PHOTONS / PHOTONS.sum() * 1e5
    chance = np.random.default_rng(1)
    counts = np.empty((5, *geometry.shape), np.float32)
    u, v = np.linspace(-1, 1, geometry.panel.columns)[:, None], np.linspace(-1, 1, geometry.panel.rows)[None, :]
    body = np.sqrt(np.clip(1 - (u / 0.9) ** 2 - 0.2 * v**2, 0, 1))
    for view in range(geometry.views):
        turned = np.cos(2 * np.pi * view / geometry.views)
        rod = np.sqrt(np.clip(0.04 - (u - 0.4 * turned) ** 2 + 0 * v, 0, 1))
        paths = np.stack([20 * body, 5 * rod, 0.1 * rod * (v > 0), 0.05 * rod * (v < -0.5)], axis=-1)
        counts[:, view] = np.moveaxis(chance.poisson(spectral.transmission(paths) * photons), -1, 0)
    flat = np.broadcast_to(photons[:, None, None], (5, *geometry.shape[1:])).astype(np.float32)
    decompose_projections(counts[:, :1, :8], flat[:, :8], spectral)
    begun, used = time.perf_counter(), time.process_time()
    fit = decompose_projections(counts, flat, spectral)
    figures = {
        "rays": counts[0].size,
        "decomposition_s": time.perf_counter() - begun,
        "decomposition_cpu_s": time.process_time() - used,
        "steps": fit.mean_steps,
        "unsettled": fit.unsettled,
    }
    if chosen.part == 1:
        fdk(fit.paths[0], grid, geometry)
        begun, used = time.perf_counter(), time.process_time()
        fdk(fit.paths[0], grid, geometry)
        figures |= {"fdk_s": time.perf_counter() - begun, "fdk_cpu_s": time.process_time() - used}
    figures |= {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({key: round(float(value), 4) for key, value in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
