"""The whole way from a scan's counts to material maps, in one place: which step follows which, and how long it takes.

counts → dead time and pile-up taken out → area densities of each ray by maximum likelihood (`decomposition`) → line
integrals in mg/mL·mm, bad pixels continued, rings taken out → one volume a material by filtered back projection
(`fbp`), and from there iteratively with all materials together (`iterative`), or to the volumes that make the counts
themselves most likely (`onestep`).

Counts are decomposed a block of views at a time; beside the scan memory holds the rays' area densities (as large as the
counts of as many bins) and the volumes. Scatter is not corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging._ray_fit import score_rays
from leadglass.imaging.corrections import remove_rings, repair_bad
from leadglass.imaging.decomposition import decompose_projections, gradient_rows
from leadglass.imaging.fbp import fdk
from leadglass.imaging.geometry import Beam, Geometry, Grid
from leadglass.imaging.iterative import Plan, least_squares
from leadglass.imaging.material import mass_attenuation_cm2_g, material
from leadglass.imaging.onestep import G_CM2_PER_MG_ML_MM, Projector, one_step
from leadglass.imaging.progress import Report, tell
from leadglass.imaging.projector import back, forward
from leadglass.imaging.scan import Scan
from leadglass.imaging.spectral_model import SpectralModel, condense, model_of_scan
from leadglass.imaging.spectrum import energy_axis
from leadglass.imaging.unpiling import without_pile_up
from leadglass.imaging.variation import Variation
from leadglass.imaging.volume import MaterialVolume, Voxels

Array = NDArray[np.float32]
Stages = Callable[[str, int, int], bool]
"""Called with the stage's name, the pieces done and the pieces in all; answers whether to go on."""
Look = Callable[[Mapping[str, Voxels], Grid], None]
"""Called with the maps made so far, to show them; they must not be changed."""

BASIS = ("water", "calcium", "iodine", "gold")
ROUNDS = 8
PENALTY = 0.3
BYTES_MAX = 16 << 30
"""What a reconstruction may hold in memory; more is a mistake in --size more often than a wish."""

_BLOCK_RAYS = 1 << 22
_MIDDLE_KEV = 60.0


class Method(Enum):
    """How volumes are made of rays."""

    FBP = "fbp"
    ITERATIVE = "iterative"
    ONE_STEP = "onestep"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of a scan, and how.

    `rounds` is that of the iterative methods (0: their own), `smoothing` scales their penalty, and `window` with
    `cutoff` is the filter of the back projection.
    """

    basis: tuple[str, ...] = BASIS
    method: Method = Method.FBP
    grid: Grid | None = None
    rounds: int = 0
    smoothing: float = 1.0
    window: str = "hann"
    cutoff: float = 1.0
    rings: bool = True
    made_by: Mapping[str, str] = field(default_factory=dict)


def reconstruct(
    scan: Scan, recipe: Recipe | None = None, *, report: Stages | None = None, look: Look | None = None
) -> MaterialVolume:
    """Make material maps in mg/mL of a scan.

    Everything that can be wrong with the order is found before the first long step: unknown materials, more materials
    than bins, a grid too large. Raises UsageError, and Cancelled when `report` answers False.
    """
    recipe = recipe or Recipe()
    model = model_of(scan, recipe.basis)
    grid = recipe.grid or fitting_grid(scan)
    _check_size(scan, model, grid, recipe.method)
    scan = without_pile_up(without_dead_time(scan))
    volumes = _from_lines(scan, model, grid, recipe, report, look)
    maps = dict(zip(model.materials, volumes, strict=True))
    if look is not None:
        look(maps, grid)
    made_by = {**scan.made_by, "scan": scan.name, "method": recipe.method.value, **recipe.made_by}
    return MaterialVolume(maps, grid, scan.frame_of_reference_uid, made_by)


def _from_lines(
    scan: Scan, model: SpectralModel, grid: Grid, recipe: Recipe, report: Stages | None, look: Look | None
) -> Array:
    """Decompose rays, back project, and carry on iteratively where that is wanted."""
    lines = _lines(scan, model, recipe, report)
    volumes = np.stack(list(_back_projected(lines, scan.geometry, grid, model, recipe, report, look)))
    if recipe.method is Method.FBP:
        return volumes
    if recipe.method is Method.ONE_STEP:
        del lines
        return _from_counts(scan, model, grid, recipe, volumes, report)
    higher, part, added = _as_high_as_rays(grid, scan.geometry)
    weights = _weights(scan, model, lines, report)

    def show(now: Array) -> None:
        if look is not None:
            look(dict(zip(model.materials, now[..., part], strict=True)), grid)

    made = least_squares(
        lines, higher, scan.geometry, weights=weights, variation=_penalty(volumes, recipe),
        start=np.pad(np.maximum(volumes, 0), ((0, 0), (0, 0), (0, 0), added), mode="edge"),
        plan=Plan(rounds=recipe.rounds or ROUNDS), report=_stage(report, "iterating"), look=show,
    )  # fmt: skip
    return _settled(made[..., part])


def _from_counts(
    scan: Scan, model: SpectralModel, grid: Grid, recipe: Recipe, start: Array, report: Stages | None
) -> Array:
    """Carry volumes on to those that make the counts most likely.

    They may be negative, as those they begin with: cutting noise off at zero adds matter, and from too much of it,
    where no count is expected any more, this way does not lead back.
    """
    higher, part, added = _as_high_as_rays(grid, scan.geometry)
    made = one_step(
        scan.counts, scan.flat, model, higher, scan.geometry, Projector(forward, back), bad=scan.bad,
        start=np.pad(start, ((0, 0), (0, 0), (0, 0), added), mode="edge"), non_negative=False,
        plan=Plan(rounds=recipe.rounds or ROUNDS), penalty=_penalty(start, recipe), report=_stage(report, "one step"),
    )  # fmt: skip
    return _settled(made[..., part])


def _settled(volumes: Array) -> Array:
    if not np.isfinite(volumes).all():
        raise UsageError("The iteration did not settle.", hint="Ask for --method fbp, or more --smoothing.")
    return np.ascontiguousarray(volumes)


def _as_high_as_rays(grid: Grid, geometry: Geometry) -> tuple[Grid, slice, tuple[int, int]]:
    """Add slices so that no ray leaves through the grid's ends: what it met outside would be looked for inside.

    Gives the grid, where the old one lies in it, and how many slices were added below and above.
    """
    around = [np.abs(grid.centres_mm(axis)[[0, -1]]).max() + grid.voxel_mm[axis] / 2 for axis in (0, 1)]
    far = 1.0 if geometry.beam is Beam.PARALLEL else 1 + float(np.hypot(*around)) / geometry.source_axis_mm
    edges = geometry.panel.v_mm()[[0, -1]] / geometry.magnification * far
    half = grid.voxel_mm[2] / 2
    lowest, highest = grid.centres_mm(2)[0] - half, grid.centres_mm(2)[-1] + half
    below = max(0, int(np.ceil((lowest - edges[0] - geometry.z_mm.min()) / grid.voxel_mm[2])))
    above = max(0, int(np.ceil((edges[1] + geometry.z_mm.max() - highest) / grid.voxel_mm[2])))
    x, y, z = grid.shape
    middle = (*grid.centre_mm[:2], grid.centre_mm[2] + (above - below) * grid.voxel_mm[2] / 2)
    return Grid((x, y, z + below + above), grid.voxel_mm, middle), slice(below, below + z), (below, above)


def model_of(scan: Scan, basis: tuple[str, ...]) -> SpectralModel:
    """Work out what the scan's bins count behind these materials; UsageError for a basis the bins cannot tell apart."""
    if not basis or len(set(basis)) != len(basis):
        raise UsageError("The basis is empty or names a material twice.", hint="Write --basis water,calcium,iodine.")
    model = model_of_scan(scan, basis)
    energies, good = energy_axis(scan.tube.peak_kv), ~scan.bad
    most = float(np.percentile(_depth(scan, 32)[:, good], 99.9)) if good.any() else 1.0
    nearest = int(np.argmin(np.abs(energies - _MIDDLE_KEV)))
    middle = np.array([mass_attenuation_cm2_g(material(name), energies)[nearest] for name in basis])
    # No ray holds more of a material than would explain by itself all that is missing behind it.
    return replace(model, reach_g_cm2=1.3 * max(most, 0.5) / middle)


def _depth(scan: Scan, views: int) -> Array:
    """Give the optical depth of all bins together, [view, column, row], of about so many views."""
    some = slice(None, None, max(1, scan.geometry.views // views))
    flat = np.maximum(scan.flat.sum(axis=0), 1e-6)
    return np.asarray(-np.log(np.maximum(scan.counts[:, some].sum(axis=0), 0.5) / flat), dtype=np.float32)


def without_dead_time(scan: Scan) -> Scan:
    """Give the scan with the pulses that met a blind pixel added again, in proportion to what was counted.

    Non-paralysable: of m recorded pulses a second and pixel, m / (1 - m τ) were there (Knoll, Radiation Detection and
    Measurement, 4.VII). Raises UsageError where pixels counted as fast as they can, which no correction undoes.
    """
    sensor, panel = scan.sensor, scan.geometry.panel
    if sensor.dead_ns <= 0:
        return scan
    pixels = max(1.0, panel.column_pitch_mm * panel.row_pitch_mm / sensor.pitch_mm**2)
    blind = sensor.dead_ns * 1e-9 / (pixels * scan.tube.exposure_ms / 1000)
    busiest = float(scan.flat.sum(axis=0).max()) * blind
    if busiest > 0.9:
        raise UsageError(f"Pixels were blind {100 * busiest:.0f} % of the time.", hint="Scan with less tube current.")
    counts = np.empty_like(scan.counts)
    for view in range(scan.geometry.views):
        counts[:, view] = scan.counts[:, view] / (1 - np.minimum(scan.counts[:, view].sum(axis=0) * blind, 0.9))
    flat = scan.flat / (1 - scan.flat.sum(axis=0) * blind)
    return replace(scan, counts=counts, flat=flat.astype(np.float32))


def fitting_grid(scan: Scan, voxel_mm: float = 0.0) -> Grid:
    """Find the box that holds what was scanned, by a coarse back projection of what is missing behind it.

    Voxels are as large as a pixel at the axis, or `voxel_mm`.
    """
    geometry = scan.geometry
    panel, larger = geometry.panel, geometry.magnification
    voxel = voxel_mm or min(panel.column_pitch_mm, panel.row_pitch_mm) / larger
    wide, high = panel.columns * panel.column_pitch_mm / larger, panel.rows * panel.row_pitch_mm / larger
    if geometry.beam is not Beam.PARALLEL:  # the circle that every view sees
        half = np.arctan(panel.columns * panel.column_pitch_mm / 2 / geometry.source_panel_mm)
        wide = 2 * geometry.source_axis_mm * float(np.sin(half))
    high += float(np.ptp(geometry.z_mm))
    coarse = 4 * voxel
    middle = float(geometry.z_mm.mean())
    shape = (int(np.ceil(wide / coarse)), int(np.ceil(wide / coarse)), max(1, int(np.ceil(high / coarse))))
    rough = Grid(shape, (coarse, coarse, coarse), (0.0, 0.0, middle))
    if np.ptp(geometry.z_mm) > 1e-6:
        return _of_box(np.ones(shape, np.bool_), rough, voxel)
    thin = max(1, geometry.views // 60)
    few = replace(geometry, angles=geometry.angles[::thin], z_mm=geometry.z_mm[::thin])
    seen = fdk(repair_bad(_depth(scan, 60), scan.bad), rough, few, window="hann", cutoff=0.4)
    return _of_box(seen > 0.3 * float(np.percentile(seen, 99)), rough, voxel)


def _of_box(filled: NDArray[np.bool_], rough: Grid, voxel: float) -> Grid:
    """Give the grid around what is filled, with a coarse voxel of air on each side."""
    sizes, centres = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        # A line that only two voxels fill is noise at the rim.
        where = np.nonzero(filled.sum(axis=others) > 2)[0] if filled.sum() > 2 else np.arange(rough.shape[axis])
        if not where.size:
            where = np.arange(rough.shape[axis])
        first, last = max(int(where[0]) - 1, 0), min(int(where[-1]) + 1, rough.shape[axis] - 1)
        places = rough.centres_mm(axis)
        sizes.append(max(2, round((last - first + 1) * rough.voxel_mm[axis] / voxel)))
        centres.append(float(places[first] + places[last]) / 2)
    return Grid((sizes[0], sizes[1], sizes[2]), (voxel, voxel, voxel), (centres[0], centres[1], centres[2]))


def _check_size(scan: Scan, model: SpectralModel, grid: Grid, method: Method) -> None:
    basis, voxels, rays = len(model.materials), int(np.prod(grid.shape)), int(np.prod(scan.geometry.shape))
    volumes = {Method.FBP: basis, Method.ITERATIVE: 7 * basis, Method.ONE_STEP: basis * (basis + 11) // 2}[method]
    per_ray = (
        scan.bins * (2 if scan.sensor.dead_ns > 0 else 1) + basis + (basis**2 if method is Method.ITERATIVE else 0)
    )
    needed = 4 * (volumes * voxels + per_ray * rays)
    if needed > BYTES_MAX:
        raise UsageError(
            f"This would need {needed / 2**30:.0f} GiB of memory: {' × '.join(map(str, grid.shape))} voxels.",
            hint="Ask for a smaller --size, a larger --voxel or --method fbp.",
        )


def _stage(report: Stages | None, name: str) -> Report | None:
    return None if report is None else lambda done, total: report(name, done, total)


def _lines(scan: Scan, model: SpectralModel, recipe: Recipe, report: Stages | None) -> Array:
    """Decompose the counts, some views at a time, into line integrals [material, view, column, row] in mg/mL·mm."""
    views, columns, rows = scan.geometry.shape
    lines = np.empty((len(model.materials), views, columns, rows), dtype=np.float32)
    at_once = max(1, _BLOCK_RAYS // (columns * rows))
    say = _stage(report, "decomposing")
    for first in range(0, views, at_once):
        part = slice(first, min(first + at_once, views))
        fitted = decompose_projections(scan.counts[:, part], scan.flat, model, bad=scan.bad)
        lines[:, part] = fitted.paths / G_CM2_PER_MG_ML_MM
        tell(say, part.stop, views)
    for which in range(len(lines)):
        lines[which] = repair_bad(lines[which], scan.bad)
        if recipe.rings:
            lines[which] = remove_rings(lines[which])
    return lines


def _back_projected(
    lines: Array, geometry: Geometry, grid: Grid, model: SpectralModel, recipe: Recipe, report: Stages | None,
    look: Look | None,
) -> Iterator[Voxels]:  # fmt: skip
    made: dict[str, Voxels] = {}
    for name, material_lines in zip(model.materials, lines, strict=True):
        made[name] = fdk(
            material_lines, grid, geometry, window=recipe.window, cutoff=recipe.cutoff,
            report=_stage(report, f"back projecting {name}"),
        )  # fmt: skip
        if look is not None:
            look(made, grid)
        yield made[name]


def _weights(scan: Scan, model: SpectralModel, lines: Array, report: Stages | None) -> Array:
    """Give each ray's information about its line integrals, [material, material, view, column, row]."""
    small, _ = condense(model)
    rows, attenuation = gradient_rows(small), small.attenuation.astype(np.float32)
    basis, (views, columns, height) = len(model.materials), scan.geometry.shape
    weights = np.empty((basis, basis, views, columns, height), dtype=np.float32)
    flat = np.where(scan.bad, 0, scan.flat).astype(np.float32).reshape(scan.bins, -1)
    say = _stage(report, "weighing rays")
    for view in range(views):
        paths = np.ascontiguousarray(lines[:, view].reshape(basis, -1) * G_CM2_PER_MG_ML_MM)
        counts = np.ascontiguousarray(scan.counts[:, view]).reshape(scan.bins, -1)
        slope = np.empty_like(paths)
        packed = np.empty((basis * (basis + 1) // 2, paths.shape[1]), dtype=np.float32)
        score_rays(counts, flat, 0, rows, attenuation, paths, slope, packed)
        place = 0
        for m in range(basis):
            for n in range(m + 1):
                weights[m, n, view] = weights[n, m, view] = (packed[place] * G_CM2_PER_MG_ML_MM**2).reshape(
                    columns, height
                )
                place += 1
        tell(say, view + 1, views)
    return weights


def _penalty(start: Array, recipe: Recipe) -> Variation | None:
    """Couple the materials' edges, each scaled by its own noise in the volumes to begin with."""
    if recipe.smoothing <= 0:
        return None
    noise = [1.4826 * float(np.median(np.abs(one - np.median(one)))) for one in start]
    scales = tuple(max(spread, 1e-3) for spread in noise)
    return Variation(PENALTY * recipe.smoothing, PENALTY, scales)
