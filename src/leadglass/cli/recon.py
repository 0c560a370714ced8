"""`leadglass recon`: make material maps, images and colours of a scan, as DICOM, into a folder or the archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadglass.cli.place import opened, operator
from leadglass.cli.signals import STOPPED, Stop, until_stopped
from leadglass.cli.voice import Advance, Voice, counted, size, verb
from leadglass.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from leadglass.imaging.colour import ColourMap
    from leadglass.imaging.geometry import Grid
    from leadglass.imaging.reconstruction import Recipe
    from leadglass.imaging.scan import Scan
    from leadglass.imaging.to_dicom import Examination, Made
    from leadglass.imaging.to_dicom_study import Wanted
    from leadglass.imaging.volume import MaterialVolume
    from leadglass.wiring import Hub

ARCHIVE = "archive"
_SIDE_MAX = 2048
_KEV_HINT = "Write keV with commas between: --vmi 40,70."


@dataclass(frozen=True, slots=True)
class _File:
    """One object on its way into the archive (`journeys/inspection_ports.Candidate`)."""

    label: str
    content: bytes

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, len(self.content), 1 << 20):
            yield self.content[at : at + (1 << 20)]


@verb(
    "recon",
    example="""\
leadglass recon hand.h5 --to hand
leadglass recon hand.h5 --basis water,calcium,iodine,gold --method onestep --vmi 40,70 --to archive --site SITE
leadglass recon hand.h5 --voxel 0.5 --preview hand.png --to hand""",
)
@click.argument("scan_file", metavar="SCAN", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--to", "target", required=True, metavar="DIR|archive",
              help="A new folder for the DICOM files, or `archive`: the site's own.")  # fmt: skip
@click.option("--basis", default="water,calcium,iodine,gold", show_default=True, help="Materials to tell apart.")
@click.option("--method", type=click.Choice(["fbp", "iterative", "onestep"]), default="fbp", show_default=True)
@click.option("--vmi", "energies", default="40,70", show_default=True, metavar="KEV,…",
              help="Energies of the virtual monoenergetic images, in keV.")  # fmt: skip
@click.option("--voxel", "voxel_mm", type=click.FloatRange(0.01, 50), metavar="MM",
              help="Side of a voxel. Default: a detector pixel at the axis.")  # fmt: skip
@click.option("--size", "side", type=click.IntRange(8, _SIDE_MAX), metavar="N",
              help="Voxels along the longest side; with --voxel a cube of N × N × N around the axis.")  # fmt: skip
@click.option("--rounds", default=0, type=click.IntRange(0, 1000), metavar="N", help="Rounds of iterating.")
@click.option("--smoothing", default=1.0, show_default=True, type=click.FloatRange(0, 1000),
              help="How much iterating smooths; 0: not at all.")  # fmt: skip
@click.option("--colours", default="bone-iodine-gold", show_default=True, metavar="NAME|FILE",
              help="bone-iodine-gold, safe (for every kind of colour vision), or a TOML file.")  # fmt: skip
@click.option("--frames", default=36, show_default=True, type=click.IntRange(0, 720), help="Of the turntable.")
@click.option("--patient", default="", metavar="NAME", help="Patient's name, as FAMILY^GIVEN. Default: the scan's.")
@click.option("--patient-id", default="", metavar="ID", help="Patient ID. Default: the scan's name.")
@click.option("--preview", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
              help="A picture that is renewed whenever there is something new to see.")  # fmt: skip
@click.pass_obj
def command(
    voice: Voice, site: str | None, scan_file: Path, target: str, basis: str, method: str, energies: str,
    voxel_mm: float | None, side: int | None, rounds: int, smoothing: float, colours: str, frames: int, patient: str,
    patient_id: str, preview: Path | None,
) -> None:  # fmt: skip
    """Reconstruct SCAN into material maps (mg/mL), monoenergetic images (HU), slices in colour and a turntable.

    Everything about the order is checked before the computing begins. Ctrl-C leaves nothing behind in a folder; what
    the archive has acknowledged stays.
    """
    from leadglass.edge.colour_maps import open_colours
    from leadglass.edge.rawdata import open_scan
    from leadglass.edge.study_folder import require_free
    from leadglass.imaging.reconstruction import Method, Recipe, model_of
    from leadglass.imaging.to_dicom_study import Wanted

    wanted = Wanted(_energies(energies), frames)
    colour_map = open_colours(colours)
    if target != ARCHIVE:
        require_free(Path(target))
    begun = time.monotonic()
    with until_stopped() as stop, opened(site) if target == ARCHIVE else nullcontext() as hub:
        names = tuple(name.strip() for name in basis.split(",") if name.strip())
        scan = open_scan(scan_file)
        colour_map.shown(model_of(scan, names).materials)
        recipe = Recipe(names, Method(method), rounds=rounds, smoothing=smoothing)
        recipe = replace(recipe, grid=_grid(scan, voxel_mm, side))
        examination = _examination(scan, patient, patient_id)
        job = _Job(voice, stop, colour_map, wanted, examination, preview)
        try:
            volume = job.reconstruct(scan, recipe)
            told = job.to_archive(scan, volume, hub) if hub is not None else job.to_folder(scan, volume, Path(target))
        except Cancelled:
            voice.aside("Stopped. Nothing half-made was left.")
            click.get_current_context().exit(STOPPED)
    told |= {"seconds": round(time.monotonic() - begun, 1), "materials": list(volume), "to": target}
    _tell(voice, volume, told)


def _energies(text: str) -> tuple[float, ...]:
    from leadglass.imaging.vmi import HIGHEST_KEV, LOWEST_KEV

    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",") if part.strip()))
    except ValueError:
        raise UsageError(f"{text!r} are no energies.", hint=_KEV_HINT) from None
    if any(not LOWEST_KEV <= energy <= HIGHEST_KEV for energy in found):
        raise UsageError(f"An energy of {text} is outside {LOWEST_KEV:g} to {HIGHEST_KEV:g} keV.", hint=_KEV_HINT)
    return found


def _grid(scan: Scan, voxel_mm: float | None, side: int | None) -> Grid:
    """Give the grid asked for: a cube, or the box that holds the body in voxels of a size or number."""
    from leadglass.imaging.geometry import cube
    from leadglass.imaging.reconstruction import fitting_grid

    if voxel_mm and side:
        return cube(side, voxel_mm)
    grid = fitting_grid(scan, voxel_mm or 0.0)
    if side:
        longest = max(count * voxel for count, voxel in zip(grid.shape, grid.voxel_mm, strict=True))
        grid = fitting_grid(scan, longest / side)
    if max(grid.shape) > _SIDE_MAX:
        raise UsageError(f"That are {' × '.join(map(str, grid.shape))} voxels.", hint="Choose a larger --voxel.")
    return grid


def _examination(scan: Scan, patient: str, patient_id: str) -> Examination:
    from leadglass import __version__
    from leadglass.edge.clock import system_random
    from leadglass.imaging.to_dicom import Examination

    name = scan.name or "unnamed"
    return Examination(
        uid=f"2.25.{int.from_bytes(system_random(16), 'big')}",
        began=datetime.now().astimezone(),
        patient_name=patient or f"Phantom^{name.capitalize()}",
        patient_id=patient_id or f"PHANTOM-{name.upper()}"[:64],
        description=f"Colour CT, {name}"[:64],
        software=__version__,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """One reconstruction at work: who is told, who may stop it, and what is to be made."""

    voice: Voice
    stop: Stop
    colours: ColourMap
    wanted: Wanted
    examination: Examination
    preview: Path | None

    def reconstruct(self, scan: Scan, recipe: Recipe) -> MaterialVolume:
        from leadglass.imaging.reconstruction import reconstruct

        with _Bars(self.voice, self.stop) as bars:
            return reconstruct(scan, recipe, report=bars, look=self._look if self.preview else None)

    def _look(self, maps: Mapping[str, object], grid: Grid) -> None:
        """Write the middle slice of what there is, in colour and with its legend."""
        from leadglass.edge.study_folder import write_png
        from leadglass.imaging.to_dicom_colour import pictured
        from leadglass.imaging.volume import MaterialVolume

        assert self.preview is not None
        shown = MaterialVolume({name: maps[name] for name in maps}, grid)  # type: ignore[misc]
        picture = pictured(shown, self.colours)
        if picture is not None:
            write_png(picture, self.preview)

    def made(self, scan: Scan, volume: MaterialVolume, bars: _Bars) -> Iterator[Made]:
        from leadglass.imaging.to_dicom import acquisition_of
        from leadglass.imaging.to_dicom_study import study

        say: Callable[[int, int], bool] = lambda done, total: bars("making objects", done, total)  # noqa: E731
        return study(volume, self.colours, self.examination, acquisition_of(scan), self.wanted, report=say)

    def to_folder(self, scan: Scan, volume: MaterialVolume, target: Path) -> dict[str, object]:
        from leadglass.edge.study_folder import new_study_folder

        count = 0
        with new_study_folder(target) as folder, _Bars(self.voice, self.stop) as bars:
            for made in self.made(scan, volume, bars):
                folder.add(f"{made.name}.dcm", made.content)
                count += 1
        return {"study": self.examination.uid, "objects": count, "bytes": folder.length_bytes}

    def to_archive(self, scan: Scan, volume: MaterialVolume, hub: Hub) -> dict[str, object]:
        """Hand the objects in like any other sender: inspected, decided on, sealed, recorded."""
        from leadglass.journeys.import_media import Fate, Importer

        importer = Importer(hub.receiver, operator(), hub.settling.settle)
        taken, length, refused = 0, 0, []
        with _Bars(self.voice, self.stop) as bars:
            files = (_File(made.name, made.content) for made in self.made(scan, volume, bars))
            for line in importer.take(files):
                length += line.length_bytes
                if line.fate is Fate.IMPORTED:
                    taken += 1
                else:
                    refused.append(f"{line.label}: {line.fate.value}. {line.reason}".strip())
        return {"study": self.examination.uid, "objects": taken, "bytes": length, "refused": refused}


class _Bars:
    """A bar for each stage, one after the other; answers whether to go on."""

    def __init__(self, voice: Voice, stop: Stop) -> None:
        self._voice, self._stop = voice, stop
        self._stage, self._done = "", 0
        self._stack = ExitStack()
        self._advance: Advance = lambda _: None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, stage: str, done: int, total: int) -> bool:
        if stage != self._stage:
            self._stack.close()
            self._stage, self._done = stage, 0
            self._advance = self._stack.enter_context(self._voice.progress(stage.capitalize(), total))
        self._advance(done - self._done)
        self._done = done
        return not self._stop.is_said


def _tell(voice: Voice, volume: MaterialVolume, told: dict[str, object]) -> None:
    refused = told.get("refused", [])
    assert isinstance(refused, list)
    grid, length = volume.grid, told["bytes"]
    assert isinstance(length, int)
    if voice.is_json:
        voice.json({**told, "shape": list(grid.shape), "voxel_mm": list(grid.voxel_mm)})
    else:
        rows = [(name, f"{voxels.max():.1f}", f"{(voxels.sum(dtype=float) * _millilitres(grid)):.0f}")
                for name, voxels in volume.items()]  # fmt: skip
        voice.table(("Material", "Highest mg/mL", "In all, mg"), rows)
        voxels = " × ".join(map(str, grid.shape))
        voice.say(
            f"{told['to']}: {counted(int(str(told['objects'])), 'object')} ({size(length)}) of {voxels} voxels of "
            f"{grid.voxel_mm[0]:.3g} mm, in {told['seconds']} s."
        )
        voice.say(f"Study: {told['study']}")
        for line in refused[:10]:
            voice.say(f"Not archived: {line}")
    if refused:
        click.get_current_context().exit(1)


def _millilitres(grid: Grid) -> float:
    x, y, z = grid.voxel_mm
    return x * y * z / 1000
