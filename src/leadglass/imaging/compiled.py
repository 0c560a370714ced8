"""Loops compiled to machine code by numba: one decorator, so that every hot loop is compiled by the same rules.

Sums may be contracted to fused multiply-adds but never reordered, so a result does not change with the machine's
vector width. Machine code is kept between runs where the installation (or the user's cache folder) can be written;
elsewhere it is compiled anew in each process, which costs seconds and nothing else.

Inside compiled loops: arrays are sliced before the innermost loop and indices are unsigned or start at zero, because
numba otherwise allows for negative indices and the loop is not vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

_ARITHMETIC = {"contract", "nnan", "ninf", "nsz", "arcp"}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function for one thread."""
    return _compile(function, parallel=False)


def compiled_parallel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function whose `prange` loops run on all cores; their turns must write to different places."""
    return _compile(function, parallel=True)


def _compile(function: Callable[P, R], *, parallel: bool) -> Callable[P, R]:
    try:
        made: Callable[P, R] = njit(parallel=parallel, fastmath=_ARITHMETIC, cache=True)(function)
    except RuntimeError:  # numba found no folder it may write to
        made = njit(parallel=parallel, fastmath=_ARITHMETIC)(function)
    return made
