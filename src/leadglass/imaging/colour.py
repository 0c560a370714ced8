"""Material maps become colours and opacities by a named map anyone can edit, and never without their legend.

A `ColourMap` is data (TOML in `content/colours/`): for each material a colour, the concentrations between which it
grows from invisible to full, and its opacity when full. Slices and renderings use the same map, so they look alike;
`legend` draws the map with its mg/mL, and `with_legend` joins it to a picture.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.lettering import GLYPH_HEIGHT, width_px, write
from leadglass.imaging.volume import MaterialVolume, Voxels

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

SOFTEST = 1e-6
"""Opacities below this are no opacity."""


@dataclass(frozen=True, slots=True)
class Swatch:
    """How one material looks: colour (0..255), the mg/mL of its first trace and of its full colour, opacity per mm."""

    name: str
    label: str
    colour: Colour
    from_mg_ml: float
    to_mg_ml: float
    opacity_per_mm: float

    def strength(self, voxels: Voxels) -> Voxels:
        """Tell how strongly each voxel shows the material, 0 to 1."""
        span = np.float32(self.to_mg_ml - self.from_mg_ml)
        return np.asarray(np.clip((voxels - np.float32(self.from_mg_ml)) / span, 0, 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ColourMap:
    """A named set of swatches; those that come first lie on top in slices."""

    name: str
    title: str
    background: Colour
    swatches: tuple[Swatch, ...]

    def shown(self, materials: Sequence[str]) -> tuple[Swatch, ...]:
        """Give the swatches of these materials; UsageError where none has one."""
        found = tuple(swatch for swatch in self.swatches if swatch.name in materials)
        if not found:
            raise UsageError(
                f"The colour map {self.name} knows none of {', '.join(materials)}.",
                hint="It knows " + ", ".join(s.name for s in self.swatches) + "; add a [[material]] to a copy of it.",
            )
        return found


@dataclass(frozen=True, slots=True)
class ColouredVolume:
    """Colour and opacity of each voxel: `rgba` is [x, y, z, 4], 16 bits.

    The fourth number q is the root of the opacity, opacity_per_mm = largest_per_mm · (q/65535)², which keeps faint
    tissue and bone in one range; the first three are the colour times q, so that interpolation does not bleed.
    """

    rgba: NDArray[np.uint16]
    largest_per_mm: float
    grid: Grid
    background: Colour


def colour_map(text: str) -> ColourMap:
    """Read a colour map from TOML; UsageError for what is no map, with the entry that is wrong."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The colour map is no TOML: {error}", hint="Start from bone-iodine-gold.toml.") from None
    unknown = set(table) - {"name", "title", "background", "material"}
    if unknown or not isinstance(table.get("material"), list) or not table["material"]:
        raise UsageError(
            f"The colour map has {', '.join(sorted(unknown)) or 'no [[material]]'}.",
            hint="It has name, title, background and one [[material]] for each material.",
        )
    swatches = tuple(_swatch(entry) for entry in table["material"])
    name = str(table.get("name", "unnamed"))
    background = _colour(table.get("background", [0, 0, 0]), "background")
    return ColourMap(name, str(table.get("title", name)), background, swatches)


def _swatch(entry: object) -> Swatch:
    keys = {"name", "label", "colour", "from_mg_ml", "to_mg_ml", "opacity_per_mm"}
    if not isinstance(entry, dict) or not {"name", "colour", "to_mg_ml"} <= set(entry) <= keys:
        raise UsageError(
            "A [[material]] of the colour map lacks name, colour or to_mg_ml, or has a key no map has.",
            hint="Its keys are " + ", ".join(sorted(keys)) + ".",
        )
    name = str(entry["name"])
    try:
        low, high = float(entry.get("from_mg_ml", 0.0)), float(entry["to_mg_ml"])
        opacity = float(entry.get("opacity_per_mm", 1.0))
    except (TypeError, ValueError):
        raise UsageError(f"{name} of the colour map has a text where a number belongs.") from None
    if not (0 <= low < high < 1e5 and 0 <= opacity <= 100):
        raise UsageError(
            f"{name} of the colour map grows from {low:g} to {high:g} mg/mL with opacity {opacity:g}.",
            hint="from_mg_ml is below to_mg_ml, and opacity_per_mm is 0 to 100.",
        )
    return Swatch(name, str(entry.get("label", name)), _colour(entry["colour"], name), low, high, opacity)


def _colour(value: object, where: str) -> Colour:
    if not (isinstance(value, list) and len(value) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in value)):
        raise UsageError(f"The colour of {where} is no [red, green, blue] of 0 to 255.")
    return value[0], value[1], value[2]


def colour_volume(volume: MaterialVolume, colours: ColourMap) -> ColouredVolume:
    """Give each voxel the opacity of its materials together, and the colour of their mixture by opacity."""
    swatches = colours.shown(list(volume))
    largest = max(SOFTEST, sum(s.opacity_per_mm for s in swatches))
    rgba = np.zeros((*volume.grid.shape, 4), dtype=np.uint16)
    for x in range(volume.grid.shape[0]):  # a plane at a time keeps memory small
        opacity = np.zeros(volume.grid.shape[1:], dtype=np.float32)
        mixed = np.zeros((*volume.grid.shape[1:], 3), dtype=np.float32)
        for swatch in swatches:
            share = swatch.strength(volume[swatch.name][x]) * np.float32(swatch.opacity_per_mm)
            opacity += share
            mixed += share[..., None] * np.array(swatch.colour, dtype=np.float32)
        root = np.sqrt(opacity / np.float32(largest))
        colour = mixed / np.maximum(opacity, np.float32(SOFTEST))[..., None] / np.float32(255)
        rgba[x, ..., :3] = np.rint(colour * root[..., None] * 65535)
        rgba[x, ..., 3] = np.rint(root * 65535)
    return ColouredVolume(rgba, largest, volume.grid, colours.background)


def colour_slice(maps: dict[str, Voxels], colours: ColourMap) -> Picture:
    """Colour a plane of material maps, each [row, column] in mg/mL; gives [row, column, 3].

    Materials are laid over each other in the map's order, each as strongly as its concentration says.
    """
    swatches = colours.shown(list(maps))
    shape = maps[swatches[0].name].shape
    picture = np.broadcast_to(np.array(colours.background, dtype=np.float32), (*shape, 3)).copy()
    for swatch in reversed(swatches):
        strength = swatch.strength(maps[swatch.name])[..., None]
        picture += strength * (np.array(swatch.colour, dtype=np.float32) - picture)
    return np.rint(picture).astype(np.uint8)


def legend(colours: ColourMap, materials: Sequence[str], *, height: int, scale: int = 2) -> Picture:
    """Draw the swatches of these materials with their mg/mL, [height, width, 3]; `scale` enlarges the letters.

    Letters shrink where the height would not hold every material.
    """
    swatches = colours.shown(materials)
    while scale > 1 and height < _legend_height(len(swatches), scale):
        scale -= 1
    lines = [f"{s.from_mg_ml:g} - {s.to_mg_ml:g} mg/mL" for s in swatches]
    wide = max(width_px(text, scale) for text in [colours.title, *lines, *(s.label for s in swatches)])
    margin, line = 6 * scale, (GLYPH_HEIGHT + 3) * scale
    panel = np.empty((max(height, _legend_height(len(swatches), scale)), wide + 2 * margin, 3), dtype=np.uint8)
    panel[:] = colours.background
    white, grey = (236, 236, 236), (168, 168, 176)
    write(panel, colours.title, margin, margin, white, scale)
    top = margin + line + 2 * scale
    for swatch, text in zip(swatches, lines, strict=True):
        write(panel, swatch.label, top, margin, white, scale)
        ramp = np.linspace(0, 1, wide, dtype=np.float32)[:, None]
        dark, full = np.array(colours.background, np.float32), np.array(swatch.colour, np.float32)
        bar = slice(top + line, top + line + 5 * scale)
        panel[bar, margin : margin + wide] = np.rint(dark + ramp * (full - dark)).astype(np.uint8)
        write(panel, text, top + line + 7 * scale, margin, grey, scale)
        top += 2 * line + 13 * scale
    return panel


def _legend_height(materials: int, scale: int) -> int:
    line = (GLYPH_HEIGHT + 3) * scale
    return 6 * scale + line + 2 * scale + materials * (2 * line + 13 * scale)


def with_legend(picture: Picture, colours: ColourMap, materials: Sequence[str]) -> Picture:
    """Put the legend to the right of a picture [row, column, 3]; a picture too low for it is filled up below."""
    panel = legend(colours, materials, height=picture.shape[0])
    missing = panel.shape[0] - picture.shape[0]
    if missing:
        below = np.empty((missing, *picture.shape[1:]), dtype=np.uint8)
        below[:] = colours.background
        picture = np.concatenate([picture, below])
    return np.concatenate([picture, panel], axis=1)
