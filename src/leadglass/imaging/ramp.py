"""The ramp filter of filtered back projection, with its windows.

The kernel is made in space, cut off at the detector's Nyquist frequency (Kak & Slaney, Principles of Computerized
Tomographic Imaging, 1988, eq. 3.61): a ramp sampled in frequency instead would shift every voxel by a constant. Rows
are padded to twice their length, so that the convolution does not wrap around.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft
from numba import get_num_threads
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Floats

Array = NDArray[np.float32]

WINDOWS: dict[str, Callable[[Floats], Floats]] = {
    "ram-lak": np.ones_like,
    "shepp-logan": lambda part: np.sinc(part / 2),
    "cosine": lambda part: np.cos(np.pi / 2 * part),
    "hamming": lambda part: 0.54 + 0.46 * np.cos(np.pi * part),
    "hann": lambda part: 0.5 + 0.5 * np.cos(np.pi * part),
}
"""What a window leaves of a frequency, which is given as a part (0 to 1) of the cut-off."""


def kernel(pitch_mm: float, taps: int) -> Floats:
    """Give the band-limited ramp at distances 0 to taps - 1 pixels, in 1/mm²."""
    made = np.zeros(taps)
    made[0] = 1 / (4 * pitch_mm**2)
    odd = np.arange(1, taps, 2)
    made[odd] = -1 / (np.pi * odd * pitch_mm) ** 2
    return made


def response(columns: int, pitch_mm: float, *, window: str = "ram-lak", cutoff: float = 1.0) -> Array:
    """Give the filter in frequency for rows of `columns` pixels, in 1/mm, of the padded length's rfft.

    `cutoff` is a part of the Nyquist frequency. Raises UsageError for an unknown window or a cut-off beyond 0 to 1.
    """
    if window not in WINDOWS:
        raise UsageError(f"There is no filter window {window}.", hint=f"Choose one of {', '.join(WINDOWS)}.")
    if not 0 < cutoff <= 1:
        raise UsageError(f"A cut-off of {cutoff} is no part of the Nyquist frequency.", hint="Give 0 < cutoff <= 1.")
    length = int(scipy.fft.next_fast_len(2 * columns - 1, real=True))
    half = kernel(pitch_mm, length // 2 + 1)
    around = np.concatenate([half, half[1 : (length + 1) // 2][::-1]])
    made = np.real(np.fft.rfft(around)) * pitch_mm
    part = np.arange(made.size) / (length / 2) / cutoff
    made *= np.where(part <= 1, WINDOWS[window](np.minimum(part, 1)), 0)
    return made.astype(np.float32)


def filtered(projections: Array, answer: Array) -> Array:
    """Filter projections along their columns with a `response`; gives a new array [view, column, row] in 1/mm."""
    columns = projections.shape[1]
    length = int(scipy.fft.next_fast_len(2 * columns - 1, real=True))
    workers = get_num_threads()
    spectrum = scipy.fft.rfft(projections, n=length, axis=1, workers=workers)
    spectrum *= answer[:, None]
    whole: Array = scipy.fft.irfft(spectrum, n=length, axis=1, workers=workers, overwrite_x=True)
    return whole[:, :columns]
