"""Which objects a reconstruction becomes, in which order: images by energy, maps, slices in colour, a turntable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from leadglass.imaging.colour import ColourMap, colour_volume
from leadglass.imaging.progress import Report, tell
from leadglass.imaging.rendering import Renderer, View
from leadglass.imaging.to_dicom import Acquisition, Examination, Made, Plane, thinnest
from leadglass.imaging.to_dicom_colour import colour_slices, turntable
from leadglass.imaging.to_dicom_maps import material_map
from leadglass.imaging.to_dicom_vmi import vmi_series
from leadglass.imaging.volume import MaterialVolume

FIRST_MAP, COLOUR, TURNTABLE = 100, 200, 300
"""Series numbers; the images at each energy come first, by their keV."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make: energies in keV, frames of the turntable (0: none) and their size, the plane of coloured slices."""

    energies_kev: tuple[float, ...] = (40.0, 70.0)
    frames: int = 36
    frame_px: tuple[int, int] = (384, 512)
    plane: Plane | None = None
    elevation_deg: float = 8.0


def objects_made(volume: MaterialVolume, wanted: Wanted) -> int:
    """Count the objects that `study` makes."""
    plane = wanted.plane or thinnest(volume.grid)
    images = len(wanted.energies_kev) * volume.grid.shape[2]
    return images + len(volume) + volume.grid.shape[plane.value] + (1 if wanted.frames else 0)


def study(
    volume: MaterialVolume, colours: ColourMap, examination: Examination, acquisition: Acquisition, wanted: Wanted,
    *, report: Report | None = None,
) -> Iterator[Made]:  # fmt: skip
    """Make the objects one after another; each is forgotten when the next is asked for.

    Raises UsageError for an energy out of range or a colour map that knows none of the materials, Cancelled when
    `report`, which is told each object, says so.
    """
    total = objects_made(volume, wanted)
    shown = [swatch.name for swatch in colours.shown(list(volume))]
    for done, made in enumerate(_all(volume, colours, examination, acquisition, wanted, shown), 1):
        yield made
        tell(report, done, total)


def _all(
    volume: MaterialVolume, colours: ColourMap, examination: Examination, acquisition: Acquisition, wanted: Wanted,
    shown: list[str],
) -> Iterator[Made]:  # fmt: skip
    maps: list[Made] = []
    for which, name in enumerate(volume):
        made = material_map(volume, name, examination, number=FIRST_MAP + which)
        maps.append(Made(made.name, made.sop_class_uid, made.sop_instance_uid, b""))
        yield made
    for which, energy in enumerate(wanted.energies_kev, 1):
        yield from vmi_series(volume, energy, examination, acquisition, number=which)
    plane = wanted.plane or thinnest(volume.grid)
    yield from colour_slices(volume, colours, examination, maps, number=COLOUR, plane=plane)
    if wanted.frames:
        columns, rows = wanted.frame_px
        renderer = Renderer(colour_volume(volume, colours))
        view = View(elevation_deg=wanted.elevation_deg)
        frames = renderer.turntable(wanted.frames, view, columns=columns, rows=rows)
        yield turntable(frames, colours, shown, volume, examination, maps, number=TURNTABLE)
