"""The compiled loop of `decomposition`: a few dozen rays side by side, each instruction doing several of them at once.

Everything is laid out [quantity, ray], so that the inner loops run over rays and the compiler turns them
into vector instructions; that includes exponential, logarithm and the small Cholesky solve. Single precision: a ray's
Poisson noise is ten thousand times its rounding.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.imaging.compiled import compiled, compiled_parallel

Single = NDArray[np.float32]

LANES = 64
"""Rays in a block: what fills vector registers and still fits the first-level cache."""
TASK = 4096
"""Rays in one parallel task."""
_TRUST = np.float32(2.0)
"""A step changes no energy's optical depth by more than this."""
_DAMPING = np.float32(1e-4)
"""Levenberg damping, relative to the diagonal."""


@compiled
def _exponential(x: Single, whole: NDArray[np.int32], out: Single) -> None:
    """Set out = exp(x), relative error below 2e-7 within ±87: 2^n by the exponent bits, the rest by a polynomial."""
    for j in range(x.shape[0]):
        for lane in range(LANES):
            clipped = min(max(x[j, lane], np.float32(-87.0)), np.float32(87.0))
            scaled = clipped * np.float32(1.4426950408889634)
            n = np.int32(np.floor(scaled + np.float32(0.5)))
            # Cody & Waite: ln 2 in two parts keeps the remainder exact.
            f = clipped - np.float32(n) * np.float32(0.693359375) + np.float32(n) * np.float32(2.12194440e-4)
            p = np.float32(1.9875691500e-4)
            p = p * f + np.float32(1.3981999507e-3)
            p = p * f + np.float32(8.3334519073e-3)
            p = p * f + np.float32(4.1665795894e-2)
            p = p * f + np.float32(1.6666665459e-1)
            p = p * f + np.float32(5.0000001201e-1)
            x[j, lane] = p * f * f + f + np.float32(1.0)
            whole[j, lane] = (n + np.int32(127)) << np.int32(23)
    power = whole.view(np.float32)
    for j in range(x.shape[0]):
        for lane in range(LANES):
            out[j, lane] = x[j, lane] * power[j, lane]


@compiled
def _start(counts: Single, flat: Single, polynomial: Single, logs: Single, at: Single) -> None:
    """Set `at` [material, lane] to the polynomial of the log counts; unused bins count as empty rays."""
    bins, basis = counts.shape[0], at.shape[0]
    for b in range(bins):
        for lane in range(LANES):
            ratio = max(counts[b, lane], np.float32(0.5)) / flat[b, lane] if flat[b, lane] > 0 else np.float32(1.0)
            logs[b, lane] = -np.log(ratio)
    for m in range(basis):
        for lane in range(LANES):
            at[m, lane] = polynomial[m, 0]
        term = 1
        for b in range(bins):
            for lane in range(LANES):
                at[m, lane] += polynomial[m, term] * logs[b, lane]
            term += 1
        for b in range(bins):
            for c in range(b, bins):
                for lane in range(LANES):
                    at[m, lane] += polynomial[m, term] * logs[b, lane] * logs[c, lane]
                term += 1


@compiled
def _predict(at: Single, attenuation: Single, rows: Single, depth: Single, whole: NDArray[np.int32], y: Single) -> None:
    """Set y [bin * (1 + material), lane] to transmission and its derivatives at area densities `at`."""
    energies = attenuation.shape[1]
    for j in range(energies):
        line = depth[j]
        for lane in range(LANES):
            line[lane] = np.float32(0.0)
        for m in range(at.shape[0]):
            mu, mass = attenuation[m, j], at[m]
            for lane in range(LANES):
                line[lane] -= mu * mass[lane]
    _exponential(depth, whole, depth)
    for row in range(rows.shape[0]):
        line = y[row]
        for lane in range(LANES):
            line[lane] = np.float32(0.0)
        for j in range(0, energies - 3, 4):
            w0, w1, w2, w3 = rows[row, j], rows[row, j + 1], rows[row, j + 2], rows[row, j + 3]
            d0, d1, d2, d3 = depth[j], depth[j + 1], depth[j + 2], depth[j + 3]
            for lane in range(LANES):
                line[lane] += w0 * d0[lane] + w1 * d1[lane] + w2 * d2[lane] + w3 * d3[lane]
        for j in range(energies - energies % 4, energies):
            w0, d0 = rows[row, j], depth[j]
            for lane in range(LANES):
                line[lane] += w0 * d0[lane]


@compiled
def _score(counts: Single, flat: Single, y: Single, gradient: Single, fisher: Single) -> None:
    """Set the log-likelihood's gradient [material, lane] and Fisher information [material², lane]."""
    bins, basis = counts.shape[0], gradient.shape[0]
    gradient[:] = np.float32(0.0)
    fisher[:] = np.float32(0.0)
    for b in range(bins):
        first = b * (1 + basis)
        for m in range(basis):
            for lane in range(LANES):
                expected = max(y[first, lane], np.float32(1e-30))
                gradient[m, lane] += (counts[b, lane] / expected - flat[b, lane]) * y[first + 1 + m, lane]
            for k in range(m + 1):
                for lane in range(LANES):
                    expected = max(y[first, lane], np.float32(1e-30))
                    fisher[m * basis + k, lane] += (
                        flat[b, lane] / expected * y[first + 1 + m, lane] * y[first + 1 + k, lane]
                    )


@compiled
def _solve(fisher: Single, gradient: Single, step: Single) -> None:
    """Set step = (fisher + damping)⁻¹ gradient for each lane, by Cholesky in place."""
    basis = gradient.shape[0]
    for m in range(basis):
        for lane in range(LANES):
            fisher[m * basis + m, lane] = fisher[m * basis + m, lane] * (np.float32(1.0) + _DAMPING) + np.float32(1e-20)
    for i in range(basis):
        for j in range(i + 1):
            for k in range(j):
                for lane in range(LANES):
                    fisher[i * basis + j, lane] -= fisher[i * basis + k, lane] * fisher[j * basis + k, lane]
            if i == j:
                for lane in range(LANES):
                    fisher[i * basis + i, lane] = np.sqrt(max(fisher[i * basis + i, lane], np.float32(1e-20)))
            else:
                for lane in range(LANES):
                    fisher[i * basis + j, lane] /= fisher[j * basis + j, lane]
    for i in range(basis):
        for lane in range(LANES):
            step[i, lane] = gradient[i, lane]
        for k in range(i):
            for lane in range(LANES):
                step[i, lane] -= fisher[i * basis + k, lane] * step[k, lane]
        for lane in range(LANES):
            step[i, lane] /= fisher[i * basis + i, lane]
    for i in range(basis - 1, -1, -1):
        for k in range(i + 1, basis):
            for lane in range(LANES):
                step[i, lane] -= fisher[k * basis + i, lane] * step[k, lane]
        for lane in range(LANES):
            step[i, lane] /= fisher[i * basis + i, lane]


@compiled
def _advance(
    at: Single,
    step: Single,
    last: Single,
    gradient: Single,
    attenuation: Single,
    low: Single,
    high: Single,
    state: Single,
    tolerance: np.float32,
) -> None:
    """Take, shorten or take back each lane's step.

    `state` rows: 0 the last step's promised gain, 1 whether the lane still moves, 2 the largest optical depth the step
    would change, 3 scratch. A last step that went past the maximum (its direction now leads clearly down) is halved.
    """  # fmt: skip
    basis = at.shape[0]
    for lane in range(LANES):
        state[2, lane] = np.float32(0.0)
        state[3, lane] = np.float32(0.0)
    for m in range(basis):
        for lane in range(LANES):
            state[3, lane] += gradient[m, lane] * last[m, lane]
    for j in (0, attenuation.shape[1] // 2, attenuation.shape[1] - 1):
        for lane in range(LANES):
            change = np.float32(0.0)
            for m in range(basis):
                change += attenuation[m, j] * step[m, lane]
            state[2, lane] = max(state[2, lane], abs(change))
    for lane in range(LANES):
        overshot = state[3, lane] < -np.float32(0.9) * state[0, lane]
        shrink = min(np.float32(1.0), _TRUST / max(state[2, lane], np.float32(1e-12)))
        gain = np.float32(0.0)
        for m in range(basis):
            taken = -np.float32(0.5) * last[m, lane] if overshot else shrink * step[m, lane]
            new = min(max(at[m, lane] + taken, low[m]), high[m])
            taken = (new - at[m, lane]) * state[1, lane]
            at[m, lane] += taken
            gain += gradient[m, lane] * taken
            last[m, lane] = -taken if overshot else taken
        if overshot:
            state[0, lane] *= np.float32(0.5)
        else:
            state[0, lane] = gain
            if gain <= tolerance:
                state[1, lane] = np.float32(0.0)


@compiled
def _load(counts: Single, flat: Single, n: Single, f: Single, lane: int, ray: int) -> None:
    """Put one ray's counts and flat field into a lane; bins without a flat field count nothing and expect nothing."""
    pixels = flat.shape[1]
    for b in range(counts.shape[0]):
        f[b, lane] = flat[b, ray % pixels]
        n[b, lane] = counts[b, ray] if f[b, lane] > 0 and counts[b, ray] > 0 else np.float32(0.0)


@compiled
def _begin(
    counts: Single, flat: Single, first: int, last: int, polynomial: Single, low: Single, high: Single, paths: Single
) -> None:
    """Write the starting point of rays first..last into paths."""
    bins, basis = counts.shape[0], paths.shape[0]
    n, f, logs = (
        np.empty((bins, LANES), np.float32),
        np.empty((bins, LANES), np.float32),
        np.empty((bins, LANES), np.float32),
    )
    at = np.empty((basis, LANES), np.float32)
    for begin in range(first, last, LANES):
        for lane in range(LANES):
            _load(counts, flat, n, f, lane, min(begin + lane, last - 1))
        _start(n, f, polynomial, logs, at)
        for m in range(basis):
            for lane in range(min(LANES, last - begin)):
                paths[m, begin + lane] = min(max(at[m, lane], low[m]), high[m])


@compiled
def _stream(
    counts: Single,
    flat: Single,
    first: int,
    end: int,
    rows: Single,
    attenuation: Single,
    low: Single,
    high: Single,
    tolerance: np.float32,
    steps: int,
    paths: Single,
) -> tuple[int, int]:
    """Fit rays first..end from their start in `paths`; a lane whose ray has settled takes the next."""
    bins, basis, energies = counts.shape[0], paths.shape[0], attenuation.shape[1]
    n, f = np.empty((bins, LANES), np.float32), np.empty((bins, LANES), np.float32)
    depth, whole = np.empty((energies, LANES), np.float32), np.empty((energies, LANES), np.int32)
    y, state = np.empty((rows.shape[0], LANES), np.float32), np.empty((4, LANES), np.float32)
    at, step = np.empty((basis, LANES), np.float32), np.empty((basis, LANES), np.float32)
    last, gradient = np.empty((basis, LANES), np.float32), np.empty((basis, LANES), np.float32)
    fisher = np.empty((basis * basis, LANES), np.float32)
    ray_of, age = np.full(LANES, -1, np.int64), np.zeros(LANES, np.int64)
    state[1, :] = np.float32(0.0)
    following, busy, total, unsettled = first, 0, 0, 0
    while True:
        for lane in range(LANES):
            if state[1, lane] > 0 and age[lane] < steps:
                continue
            if ray_of[lane] >= 0:
                unsettled += state[1, lane] > 0
                for m in range(basis):
                    paths[m, ray_of[lane]] = at[m, lane]
                ray_of[lane] = -1
                busy -= 1
            ray = following if following < end else first
            if following < end:
                ray_of[lane] = ray
                following += 1
                busy += 1
            _load(counts, flat, n, f, lane, ray)
            for m in range(basis):
                at[m, lane] = paths[m, ray]
                last[m, lane] = np.float32(0.0)
            state[0, lane] = np.float32(0.0)
            state[1, lane] = np.float32(1.0) if ray_of[lane] >= 0 else np.float32(0.0)
            age[lane] = 0
        if busy == 0:
            return total, unsettled
        total += busy
        _predict(at, attenuation, rows, depth, whole, y)
        _score(n, f, y, gradient, fisher)
        _solve(fisher, gradient, step)
        _advance(at, step, last, gradient, attenuation, low, high, state, tolerance)
        for lane in range(LANES):
            age[lane] += 1


@compiled_parallel
def fit_rays(
    counts: Single,
    flat: Single,
    rows: Single,
    attenuation: Single,
    polynomial: Single,
    low: Single,
    high: Single,
    tolerance: np.float32,
    steps: int,
    paths: Single,
) -> tuple[int, int]:
    """Fit every ray of counts [bin, ray]; ray r has flat field column r % pixels. Writes paths [material, ray].

    `rows` and `attenuation` are the model's, [bin * (1 + material), energy] and [material, energy]; `polynomial` is
    [material, term]. Gives the number of steps all rays took together, and of rays that had not settled.
    """  # fmt: skip
    rays = counts.shape[1]
    total, unsettled = 0, 0
    for chunk in prange((rays + TASK - 1) // TASK):
        first, end = chunk * TASK, min((chunk + 1) * TASK, rays)
        _begin(counts, flat, first, end, polynomial, low, high, paths)
        taken, left = _stream(counts, flat, first, end, rows, attenuation, low, high, tolerance, steps, paths)
        total += taken
        unsettled += left
    return total, unsettled


@compiled_parallel
def score_rays(
    counts: Single,
    flat: Single,
    first: int,
    rows: Single,
    attenuation: Single,
    paths: Single,
    slope: Single,
    information: Single,
) -> None:
    """Set the log-likelihood's derivative by each area density, `slope` [material, ray], where rays stand at `paths`.

    Ray r has flat field column (first + r) % pixels. Unless `information` has no rays, it is set to the Fisher
    information's lower triangle, [material * (material + 1) / 2, ray], row by row; of bins that counted more than was
    expected it is that of the count, so that a step from too much matter, where nothing is expected, stays bounded.
    """  # fmt: skip
    rays, pixels, basis, bins = paths.shape[1], flat.shape[1], paths.shape[0], counts.shape[0]
    for chunk in prange((rays + TASK - 1) // TASK):
        n, f = np.empty((bins, LANES), np.float32), np.empty((bins, LANES), np.float32)
        depth = np.empty((attenuation.shape[1], LANES), np.float32)
        whole = np.empty((attenuation.shape[1], LANES), np.int32)
        y, at = np.empty((rows.shape[0], LANES), np.float32), np.empty((basis, LANES), np.float32)
        gradient, fisher = np.empty((basis, LANES), np.float32), np.empty((basis * basis, LANES), np.float32)
        for begin in range(chunk * TASK, min((chunk + 1) * TASK, rays), LANES):
            filled = min(LANES, rays - begin)
            for lane in range(LANES):
                ray = begin + min(lane, filled - 1)
                for b in range(bins):
                    f[b, lane] = flat[b, (first + ray) % pixels]
                    n[b, lane] = counts[b, ray] if f[b, lane] > 0 and counts[b, ray] > 0 else np.float32(0.0)
                for m in range(basis):
                    at[m, lane] = paths[m, ray]
            _predict(at, attenuation, rows, depth, whole, y)
            _score(n, f, y, gradient, fisher)
            for m in range(basis):
                for lane in range(filled):
                    slope[m, begin + lane] = gradient[m, lane]
            if information.shape[1] > 0:
                for b in range(bins):
                    for lane in range(LANES):
                        expected = max(y[b * (1 + basis), lane], np.float32(1e-30))
                        f[b, lane] = max(f[b, lane], n[b, lane] / expected)
                _score(n, f, y, gradient, fisher)
            place = 0
            for m in range(basis):
                for k in range(m + 1):
                    if information.shape[1] > 0:
                        for lane in range(filled):
                            information[place, begin + lane] = fisher[m * basis + k, lane]
                    place += 1
