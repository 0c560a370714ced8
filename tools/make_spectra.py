"""Make the table of tungsten spectra that comes with Leadglass, from SpekPy (a dependency for developers alone).

    python tools/make_spectra.py src/leadglass/content/spectra/tungsten.npz

SpekPy v2 ("casim" model): G. Poludniowski, A. Omar, R. Bujila & P. Andreo, Med. Phys. 48 (2021) 3630. Fluence at 1 m
in photons per mm², mAs and keV, without any filter; bremsstrahlung and characteristic lines apart, because the one
stretches with the voltage and the others stay where they are.
"""

from __future__ import annotations

import sys

import numpy as np
import spekpy

STEP_KEV = 0.5
PEAKS_KV = np.arange(30.0, 151.0, 5.0)
ANODES_DEG = np.array([6.0, 8.0, 10.0, 12.0, 15.0, 18.0, 22.0])


def fluence(peak_kv: float, anode_deg: float, *, lines: bool) -> np.ndarray:
    """Give photons per mm², mAs and keV in each bin of the table's energy axis."""
    spek = spekpy.Spek(kvp=peak_kv, th=anode_deg, dk=STEP_KEV, z=100, mas=1, brem=not lines, char=lines)
    centres, per_cm2_kev = spek.get_spectrum(edges=False, flu=True, diff=True)
    table = np.zeros(round(PEAKS_KV[-1] / STEP_KEV))
    table[np.round(centres / STEP_KEV - 0.5).astype(int)] = per_cm2_kev / 100
    return table


def main(target: str) -> None:
    """Write the table."""
    both = {
        name: np.array([[fluence(kv, th, lines=lines) for kv in PEAKS_KV] for th in ANODES_DEG], dtype=np.float32)
        for name, lines in (("bremsstrahlung", False), ("lines", True))
    }
    made_with = f"SpekPy {spekpy.__version__}"
    np.savez_compressed(
        target, **both, peaks_kv=PEAKS_KV, anodes_deg=ANODES_DEG, step_kev=STEP_KEV, made_with=made_with
    )


if __name__ == "__main__":
    main(sys.argv[1])
