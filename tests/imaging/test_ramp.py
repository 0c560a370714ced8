"""The ramp filter: the kernel of the books, nothing for constants, windows that only take away."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging import ramp


def test_the_kernel_is_that_of_the_books() -> None:
    """Kak & Slaney's equation 3.61 at distances 0 to 3, for pixels of half a millimetre."""
    np.testing.assert_allclose(ramp.kernel(0.5, 4), [1, -4 / np.pi**2, 0, -4 / (9 * np.pi**2)])


@pytest.mark.parametrize("columns", [31, 64, 77])
def test_filtering_is_the_convolution(columns: int) -> None:
    """Padding is wide enough that nothing wraps around."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((3, columns, 2)).astype(np.float32)
    half = ramp.kernel(0.7, columns)
    apart = np.abs(np.subtract.outer(np.arange(columns), np.arange(columns)))
    expected = 0.7 * np.einsum("ab,vbr->var", half[apart], rows)
    made = ramp.filtered(rows, ramp.response(columns, 0.7))
    np.testing.assert_allclose(made, expected, atol=2e-5)


def test_the_response_rises_to_the_nyquist_frequency() -> None:
    answer = ramp.response(256, 0.5)
    frequencies = np.arange(answer.size) / (answer.size - 1)  # the ramp reaches 1/(2 pitch) = 1/mm
    np.testing.assert_allclose(answer[8:-8], frequencies[8:-8], atol=3e-3)
    assert 0 < answer[0] < 2e-3


@pytest.mark.parametrize("window", ramp.WINDOWS)
def test_windows_only_take_away(window: str) -> None:
    plain, windowed = ramp.response(100, 0.5), ramp.response(100, 0.5, window=window, cutoff=0.6)
    assert (np.abs(windowed) <= np.abs(plain) + 1e-6).all()
    assert windowed[1] == pytest.approx(plain[1], rel=1e-2)
    assert (windowed[int(0.62 * plain.size) :] == 0).all()


def test_unknown_windows_and_cut_offs_are_refused() -> None:
    with pytest.raises(UsageError, match="square") as refused:
        ramp.response(10, 1.0, window="square")
    assert "hann" in refused.value.hint
    for cutoff in (0.0, 1.1):
        with pytest.raises(UsageError, match="Nyquist"):
            ramp.response(10, 1.0, cutoff=cutoff)
