"""Compiled loops: the same sums as Python's, and where nothing may be written they compile without a cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from leadglass.imaging.compiled import compiled

SCRIPT = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []  # what an installation without a folder to write to looks like
import numpy as np
from leadglass.imaging.compiled import compiled
from numba import njit

@compiled
def squares(out):
    for k in range(out.size):
        out[k] = k * k

try:
    njit(cache=True)(lambda: 0)
except RuntimeError:
    print("no folder")
made = np.zeros(5)
squares(made)
print(made.tolist())
"""


@compiled
def total(values: np.ndarray) -> float:
    summed = 0.0
    for k in range(values.size):
        summed += values[k]
    return summed


def test_sums_are_not_reordered() -> None:
    """A large value that comes and goes takes what was summed before with it, in order."""
    values = np.array([1.0, 1e17, -1e17, 1.0])
    assert total(values) == sum(values.tolist()) == 1.0


def test_a_read_only_installation_compiles_anew(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["no folder", "[0.0, 1.0, 4.0, 9.0, 16.0]"], done.stderr
