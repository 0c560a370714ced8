"""Colours are data, mixtures are what their opacities say, and the legend is always readable and there."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import leadglass
from leadglass.errors import UsageError
from leadglass.imaging.colour import colour_map, colour_slice, colour_volume, legend, with_legend
from leadglass.imaging.geometry import cube
from leadglass.imaging.lettering import width_px, write
from leadglass.imaging.volume import MaterialVolume

COLOURS = sorted((Path(leadglass.__file__).parent / "content/colours").glob("*.toml"))
PLAIN = """
name = "plain"
title = "Materials"
background = [0, 0, 0]
[[material]]
name = "iodine"
colour = [200, 0, 0]
from_mg_ml = 2.0
to_mg_ml = 12.0
opacity_per_mm = 4.0
[[material]]
name = "water"
label = "Water"
colour = [0, 0, 100]
to_mg_ml = 1000.0
opacity_per_mm = 0.04
"""
MAP = colour_map(PLAIN)


def volume(iodine: float, water: float) -> MaterialVolume:
    grid = cube(2, 1.0)
    return MaterialVolume(
        {"iodine": np.full(grid.shape, iodine, np.float32), "water": np.full(grid.shape, water, np.float32)}, grid
    )


@pytest.mark.parametrize("path", COLOURS, ids=lambda p: p.stem)
def test_each_map_of_the_house_is_one(path: Path) -> None:
    colours = colour_map(path.read_text())
    assert colours.name == path.stem
    assert {"water", "calcium", "iodine", "gold"} <= {swatch.name for swatch in colours.swatches}


def test_the_safe_map_is_safe() -> None:
    """Under simulated deuteranopia and protanopia (Machado et al. 2009, severity 1) materials stay far apart."""
    deutan = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    protan = np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    )
    colours = colour_map(next(p for p in COLOURS if p.stem == "safe").read_text())
    once = {swatch.colour: swatch for swatch in colours.swatches}
    for one, other in combinations(once, 2):
        for seen in (deutan, protan, np.eye(3)):
            light = [(np.array(c) / 255) ** 2.2 for c in (one, other)]
            shown = [np.clip(seen @ c, 0, 1) ** (1 / 2.2) for c in light]
            assert np.abs(shown[0] - shown[1]).max() > 0.15, (once[one].name, once[other].name)


def test_opacity_adds_and_colour_is_the_mixture() -> None:
    """Iodine at half strength (2 per mm) in full water (0.04 per mm)."""
    coloured = colour_volume(volume(7.0, 1000.0), MAP)
    red, _, blue, root = coloured.rgba[0, 0, 0] / 65535
    assert coloured.largest_per_mm * root**2 == pytest.approx(2.04, rel=1e-3)
    assert red / root == pytest.approx(200 / 255 * 2 / 2.04, rel=1e-3)
    assert blue / root == pytest.approx(100 / 255 * 0.04 / 2.04, rel=2e-2)


def test_below_its_first_trace_a_material_is_invisible() -> None:
    assert (colour_volume(volume(1.9, 0.0), MAP).rgba == 0).all()


def test_slices_lay_the_first_material_on_top() -> None:
    picture = colour_slice({"iodine": np.float32([[12.0, 0.0]]), "water": np.float32([[1000.0, 500.0]])}, MAP)
    assert picture.tolist() == [[[200, 0, 0], [0, 0, 50]]]


def test_the_legend_stands_beside_every_picture() -> None:
    """It says the numbers of the map, with room for each material, at any height of the picture."""
    for height in (8, 64, 512):
        picture = with_legend(np.zeros((height, 30, 3), np.uint8), MAP, ["iodine", "water"])
        assert picture.shape[1] > 30 and picture.shape[0] >= height
        assert (picture[:, 30:] == (200, 0, 0)).all(axis=-1).any()
        assert (picture[:, 30:] == (0, 0, 100)).all(axis=-1).any()
    line = np.zeros((7, width_px("2 - 12 mg/mL"), 3), np.uint8)
    write(line, "2 - 12 mg/mL", 0, 0, (168, 168, 176))
    panel = legend(MAP, ["iodine", "water"], height=10, scale=1)
    windows = np.lib.stride_tricks.sliding_window_view(panel[..., 0], line.shape[:2])
    assert (windows == line[..., 0]).all(axis=(2, 3)).any()


def test_letters_outside_the_picture_are_cut() -> None:
    small = np.zeros((3, 3, 3), np.uint8)
    write(small, "W€", 1, -0, (255, 255, 255), 2)
    assert small.any()


@pytest.mark.parametrize(
    "text, says",
    [
        ("name = ", "no TOML"),
        ("name = 'x'", r"\[\[material\]\]"),
        (PLAIN + "glow = 1\n", "key no map has"),
        ("glow = 1\n" + PLAIN, "glow"),
        (PLAIN.replace("to_mg_ml = 12.0", "to_mg_ml = 1.0"), "grows from"),
        (PLAIN.replace("[200, 0, 0]", "[200, 0, 300]"), "red, green, blue"),
        (PLAIN.replace("to_mg_ml = 12.0", "to_mg_ml = 'much'"), "a text"),
    ],
)
def test_what_is_no_map_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        colour_map(text)


def test_a_volume_of_unknown_materials_is_refused() -> None:
    with pytest.raises(UsageError, match="knows none of"):
        MAP.shown(["bismuth"])
