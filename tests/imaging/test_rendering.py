"""A rendering shows what lies in front, hides what lies behind by Beer's law, and turns with its volume."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.colour import ColouredVolume
from leadglass.imaging.geometry import Grid
from leadglass.imaging.rendering import Renderer, View

N = 32
GRID = Grid((N, N, N), (1.0, 1.0, 1.0))


def coloured(per_mm: np.ndarray, colour: np.ndarray, largest: float = 4.0) -> ColouredVolume:
    root = np.sqrt(per_mm / largest)
    rgba = np.zeros((N, N, N, 4), np.uint16)
    rgba[..., :3] = np.rint(colour * root[..., None] * 65535)
    rgba[..., 3] = np.rint(root * 65535)
    return ColouredVolume(rgba, largest, GRID, (10, 20, 30))


def boxes() -> ColouredVolume:
    """Make a red box at low y in front of a larger green box at high y, and a blue one at low z to the right."""
    per_mm, colour = np.zeros((N, N, N)), np.zeros((N, N, N, 3))
    for where, paint in (
        ((slice(10, 22), slice(4, 8), slice(10, 22)), (1, 0, 0)),
        ((slice(6, 26), slice(24, 28), slice(6, 26)), (0, 1, 0)),
        ((slice(28, 31), slice(14, 18), slice(1, 4)), (0, 0, 1)),
    ):
        per_mm[where], colour[where] = 4.0, paint
    return coloured(per_mm, colour)


def test_nothing_is_background() -> None:
    made = Renderer(coloured(np.zeros((N, N, N)), np.zeros((N, N, N, 3)))).render(View(), columns=16, rows=16)
    assert (made.picture == (10, 20, 30)).all() and np.isinf(made.depth_mm).all()


def test_what_is_in_front_hides_what_is_behind() -> None:
    """From azimuth 0 (along +y) red is in the middle with green around; from 180 only green; blue is below right."""
    renderer = Renderer(boxes())
    front = renderer.render(View(0, 0, N, N), columns=64, rows=64)
    assert front.picture[32, 32].argmax() == 0 and front.picture[32, 15].argmax() == 1
    assert front.picture[58, 59].argmax() == 2
    assert front.depth_mm[32, 32] == pytest.approx(4, abs=1.0)
    assert front.depth_mm[32, 15] == pytest.approx(24, abs=1.0)
    behind = renderer.render(View(180, 0, N, N), columns=64, rows=64)
    assert behind.picture[32, 32].argmax() == 1 and behind.picture[58, 4].argmax() == 2
    above = renderer.render(View(0, 90, N, N), columns=64, rows=64)
    assert above.picture[51, 32].argmax() == 0 and above.picture[12, 32].argmax() == 1


@pytest.mark.parametrize("finest", [0.35, 0.7, 1.0])
def test_fog_hides_by_its_depth_and_not_by_the_step(finest: float) -> None:
    """20 mm of 0.03 per mm let exp(-0.6) of the background through, however long a step is."""
    per_mm = np.zeros((N, N, N))
    per_mm[:, 6:26, :] = 0.03
    made = Renderer(coloured(per_mm, np.zeros((N, N, N, 3)))).render(
        View(0, 0, 8, 8), columns=16, rows=16, finest=finest
    )
    assert made.picture[..., 2].mean() == pytest.approx(30 * np.exp(-0.6), abs=1.5)


def test_a_turntable_comes_round() -> None:
    """Four frames a quarter turn apart; a volume turned by hand looks the same."""
    volume = boxes()
    frames = list(Renderer(volume).turntable(4, columns=48, rows=48))
    assert len(frames) == 4 and frames[0].dtype == np.uint8
    turned = ColouredVolume(np.ascontiguousarray(np.rot90(volume.rgba, -1, (0, 1))), 4.0, GRID, volume.background)
    again = Renderer(turned).render(View(), columns=48, rows=48).picture
    assert np.abs(again.astype(int) - frames[1]).mean() < 2.0


def test_pictures_of_no_size_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        Renderer(boxes()).render(View(), columns=0)
