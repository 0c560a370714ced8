"""Knows what a counter loses, and mistakes, when photons come faster than it can tell them apart.

Dead time is non-paralysable: after a pulse a pixel is blind for `dead_ns`, whatever comes. Of n true pulses a second
n / (1 + n τ) are recorded (Knoll, Radiation Detection and Measurement, 4.VII). To first order (Taguchi et al. 2010,
Med. Phys. 37, 3957) a recorded pulse is alone with the chance exp(-n τ); otherwise one further pulse adds to it, as
much of its height as lies within the first pulse: evenly between nothing and all. More than two at a time count as two.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.compiled import compiled_parallel

Floats = NDArray[np.float64]


def recorded_share(pulses_per_s: Floats | float, dead_ns: float) -> Floats:
    """Give the share of true pulses that are recorded."""
    return 1 / (1 + _busy(pulses_per_s, dead_ns))


def piled_up(heights: Floats, pulses_per_s: float, dead_ns: float) -> Floats:
    """Give the recorded spectrum of pulse heights [height] of a true one, on the same axis; the last takes the rest."""
    total = float(heights.sum())
    if total <= 0 or dead_ns <= 0:
        return heights.copy()
    alone = float(np.exp(-_busy(pulses_per_s, dead_ns)))
    share = float(recorded_share(pulses_per_s, dead_ns))
    return share * (alone * heights + (1 - alone) * _with_another(heights, heights / total))


def bin_moves(heights: Floats, passing: Floats) -> Floats:
    """Give where pulses of each bin go when another adds to them: [bin found in, bin it was in].

    `heights` is the true spectrum [height] and `passing` the chance of each height to pass each threshold [threshold,
    height]. A pulse that no threshold sees may lift another but is no pulse by itself.
    """
    bins = passing - np.concatenate([passing[1:], np.zeros_like(passing[:1])])
    heights = heights * passing[0]
    other = heights / max(float(heights.sum()), 1e-300)
    moves = np.zeros((len(bins), len(bins)))
    for index, of_bin in enumerate(bins):
        mine = heights * of_bin
        if mine.sum() > 0:
            moves[:, index] = bins @ _with_another(mine / mine.sum(), other)
        else:
            moves[index, index] = 1.0
    return moves


@compiled_parallel
def pile_up(true: Floats, photons: Floats, busy: float, fall: Floats, moves: Floats, air: float) -> None:
    """Turn true expected counts [bin, view, column, row] into recorded ones, in place.

    A count of a pixel keeps its sensor pixels `busy` for this share of a view. `moves` is [node, bin found in, bin it
    was in], for pixels whose log total has fallen by `fall` [node] (rising) from `air` times `photons` [column, row].
    """
    bins, views, columns, rows = true.shape
    for view in numba.prange(views):
        mine = np.empty(bins)
        for column in range(columns):
            for row in range(rows):
                total = 0.0
                for k in range(bins):
                    mine[k] = true[k, view, column, row]
                    total += mine[k]
                if total <= 0.0:
                    continue
                load = total * busy
                alone = np.exp(-load)
                fallen = np.log(air * photons[column, row] / total)
                node = 0
                while node < fall.size - 2 and fallen > fall[node + 1]:
                    node += 1
                part = min(1.0, max(0.0, (fallen - fall[node]) / (fall[node + 1] - fall[node])))
                for into in range(bins):
                    found = alone * mine[into]
                    for out_of in range(bins):
                        move = moves[node, into, out_of] * (1.0 - part) + moves[node + 1, into, out_of] * part
                        found += (1.0 - alone) * mine[out_of] * move
                    true[into, view, column, row] = found / (1.0 + load)


def _with_another(heights: Floats, other: Floats) -> Floats:
    """Add to each pulse a share of another, evenly between none and all of it."""
    size = heights.size
    # Spread every height of the other evenly over 0 .. itself, then convolve.
    spread = np.zeros(size)
    counts = np.arange(1, size + 1)
    spread += np.cumsum((other / counts)[::-1])[::-1]
    both = np.convolve(heights, spread)
    both[size - 1] = both[size - 1 :].sum()
    return both[:size]


def _busy(pulses_per_s: Floats | float, dead_ns: float) -> Floats:
    if dead_ns < 0:
        raise UsageError(f"A dead time of {dead_ns} ns cannot be.", hint="Give dead_ns = 0 or more.")
    return np.asarray(pulses_per_s, dtype=np.float64) * (dead_ns * 1e-9)
