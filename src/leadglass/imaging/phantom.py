"""Knows objects of known truth: solids of known materials, nested by priority, independent of any voxel grid.

A phantom is a list of bodies. Where bodies overlap, the one with the highest priority fills the place (of equals, the
one named last), as later paint covers earlier. Around all of them is nothing. Lengths are in mm, in the scanner's
frame (`geometry`). Rays through a phantom are followed exactly (`thickness`); `voxelised` gives the truth on a grid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.material import Material, as_basis_mg_per_ml, parts_mg_per_ml
from leadglass.imaging.solids import BOX, CYLINDER, ELLIPSOID, FIELDS, HULL, RING, ROUND_CONE, TORUS, fill
from leadglass.imaging.volume import MaterialVolume

Floats = NDArray[np.float64]
Point = tuple[float, float, float]
_Z: Point = (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Half axes along x, y and z, turned so that its own z lies along `axis`."""

    centre: Point
    half_axes: Point
    axis: Point = _Z


@dataclass(frozen=True, slots=True)
class Cylinder:
    """A straight cylinder around `axis`, of the whole `length`; two radii make it elliptical."""

    centre: Point
    radii: tuple[float, float]
    length: float
    axis: Point = _Z


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the whole `size`, turned so that its own z lies along `axis`."""

    centre: Point
    size: Point
    axis: Point = _Z


@dataclass(frozen=True, slots=True)
class Strand:
    """A tapering strand along points, with a radius at each and round ends; one point makes a ball, two a capsule."""

    points: tuple[Point, ...]
    radii: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Torus:
    """A ring of round cross-section: `radius` from the centre to the middle of the tube, `tube` the tube's own."""

    centre: Point
    radius: float
    tube: float
    axis: Point = _Z


@dataclass(frozen=True, slots=True)
class Ring:
    """A band like a finger ring: between two radii, `width` wide along `axis`."""

    centre: Point
    inner: float
    outer: float
    width: float
    axis: Point = _Z


Solid = Ellipsoid | Cylinder | Box | Strand | Torus | Ring


@dataclass(frozen=True, slots=True)
class Body:
    """A solid of one material, or of a solution of `mg_per_ml` of a solute in it."""

    solid: Solid
    material: Material
    solute: Material | None = None
    mg_per_ml: float = 0.0
    priority: int = 0
    name: str = ""

    def masses_mg_per_ml(self) -> dict[str, float]:
        """Give the milligrams of each substance in a millilitre of the body."""
        if self.solute is None:
            return {self.material.name: self.material.mg_per_ml}
        base, solute = parts_mg_per_ml(self.material, self.solute, self.mg_per_ml)
        return {self.material.name: base, self.solute.name: solute}


@dataclass(frozen=True, slots=True)
class Phantom:
    """Bodies and a name."""

    name: str
    bodies: tuple[Body, ...]
    about: str = ""

    def __post_init__(self) -> None:
        """Raise UsageError for a phantom of nothing."""
        if not self.bodies:
            raise UsageError(f"The phantom {self.name} has no bodies.", hint="Add at least one [[body]].")

    def substances(self) -> tuple[Material, ...]:
        """List the pure materials its bodies are mixed from, each once, in the order of their first use."""
        found: dict[str, Material] = {}
        for body in self.bodies:
            for one in (body.material, body.solute):
                if one is not None:
                    found.setdefault(one.name, one)
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Pieces:
    """A phantom as the compiled loops want it: convex pieces in rising order of rank.

    `solids` is [piece, FIELDS] and `kinds` [piece] (see `solids`); `hulls` is [piece, HULL], two balls whose hull
    holds the piece; `densities` is [piece, substance] in g/cm³, of the piece's body.
    """

    kinds: NDArray[np.int64]
    solids: Floats
    hulls: Floats
    densities: Floats
    substances: tuple[Material, ...]


def pieces(phantom: Phantom) -> Pieces:
    """Cut a phantom into convex pieces, ordered so that of two that overlap the later one counts."""
    substances = phantom.substances()
    place = {one.name: index for index, one in enumerate(substances)}
    kinds: list[int] = []
    solids: list[Floats] = []
    hulls: list[Floats] = []
    densities: list[Floats] = []
    for body in sorted(phantom.bodies, key=lambda body: body.priority):
        density = np.zeros(len(substances))
        for name, mg_per_ml in body.masses_mg_per_ml().items():
            density[place[name]] += mg_per_ml / 1000
        for kind, fields, hull in _cut(body.solid):
            kinds.append(kind)
            solids.append(fields)
            hulls.append(hull)
            densities.append(density)
    return Pieces(np.array(kinds), np.array(solids), np.array(hulls), np.array(densities), substances)


def voxelised(phantom: Phantom, grid: Grid, oversample: int = 3) -> MaterialVolume:
    """Give the truth on a grid: mg/mL of each substance, averaged over `oversample`³ points in each voxel."""
    if oversample < 1:
        raise UsageError("A voxel needs at least one point.", hint="Give oversample = 1 or more.")
    cut = pieces(phantom)
    steps = (np.arange(oversample) + 0.5) / oversample - 0.5
    points = [
        (grid.centres_mm(axis)[:, None] + steps * grid.voxel_mm[axis]).reshape(grid.shape[axis], oversample)
        for axis in range(3)
    ]
    truth = np.zeros((len(cut.substances), *grid.shape), dtype=np.float32)
    fill(cut.kinds, cut.solids, cut.hulls, cut.densities * 1000, points[0], points[1], points[2], truth)
    return MaterialVolume({one.name: truth[index] for index, one in enumerate(cut.substances)}, grid)


def basis_truth(
    phantom: Phantom, grid: Grid, basis: Iterable[Material], energies_kev: Floats, oversample: int = 3
) -> MaterialVolume:
    """Give what a reconstruction in a basis should find, in mg/mL: each substance said in the basis materials.

    A substance of the basis is itself; another is the mixture that attenuates most like it over the energies (see
    `material.as_basis_mg_per_ml`), which for a K-edge material outside the basis is no close likeness.
    """
    among = tuple(basis)
    found = {one.name: np.zeros(grid.shape, dtype=np.float32) for one in among}
    truth = voxelised(phantom, grid, oversample)
    for substance in phantom.substances():
        name, voxels = substance.name, truth[substance.name]
        said = {name: substance.mg_per_ml} if name in found else as_basis_mg_per_ml(substance, among, energies_kev)
        for one, mg_per_ml in said.items():
            found[one] += voxels * np.float32(mg_per_ml / substance.mg_per_ml)
    return MaterialVolume(found, grid)


def _cut(solid: Solid) -> list[tuple[int, Floats, Floats]]:
    """Give a solid's pieces: kind, fields, hull."""
    match solid:
        case Ellipsoid(centre, half_axes, axis):
            return [(ELLIPSOID, _framed(centre, axis, half_axes), _ball(centre, max(half_axes)))]
        case Cylinder(centre, radii, length, axis):
            return [(CYLINDER, _framed(centre, axis, (*radii, length / 2)), _rod(centre, axis, max(radii), length))]
        case Box(centre, size, axis):
            half = (size[0] / 2, size[1] / 2, size[2] / 2)
            return [(BOX, _framed(centre, axis, half), _ball(centre, float(np.linalg.norm(half))))]
        case Torus(centre, radius, tube, axis):
            fields = _framed(centre, axis, (1.0, 1.0, 1.0))
            fields[12], fields[13] = radius, tube
            return [(TORUS, fields, _ball(centre, radius + tube))]
        case Ring(centre, inner, outer, width, axis):
            fields = _framed(centre, axis, (outer, outer, width / 2))
            fields[12] = inner / outer
            return [(RING, fields, _rod(centre, axis, outer, width))]
        case Strand(points, radii):
            spine = list(zip(points, radii, strict=True))
            return [_round_cone(one, other) for one, other in pairwise(spine if len(spine) > 1 else [*spine, *spine])]
        case _:
            assert_never(solid)


def _round_cone(one: tuple[Point, float], other: tuple[Point, float]) -> tuple[int, Floats, Floats]:
    """Give the fields of a round cone: its ends, the way from one to the other, and how much it narrows on the way."""
    fields = np.zeros(FIELDS)
    spine = np.subtract(other[0], one[0])
    length = float(np.linalg.norm(spine))
    fields[0:3], fields[12] = one
    fields[3:6], fields[13] = other
    if length > abs(one[1] - other[1]) * (1 + 1e-12):
        fields[6:9] = spine / length
        fields[9], fields[10] = length, (one[1] - other[1]) / length
        fields[11] = np.sqrt(1 - fields[10] ** 2)
    return ROUND_CONE, fields, np.array([*one[0], one[1], *other[0], other[1]])


def _framed(centre: Point, axis: Point, half: Point) -> Floats:
    """Give the fields of a solid in its own frame: its origin, and the matrix from the scanner's frame to units."""
    fields = np.zeros(FIELDS)
    fields[0:3] = centre
    fields[3:12] = (_turned(axis) / np.array(half)[:, None]).ravel()
    return fields


def _turned(axis: Point) -> Floats:
    """Give the rotation whose third row is the axis, and whose first row is as near to x as can be."""
    third = np.array(axis, dtype=np.float64)
    third /= np.linalg.norm(third)
    near = np.array([1.0, 0.0, 0.0]) if abs(third[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    second = np.cross(third, near)
    second /= np.linalg.norm(second)
    return np.stack([np.cross(second, third), second, third])


def _ball(centre: Point, radius: float) -> Floats:
    return np.array([*centre, radius, *centre, radius])


def _rod(centre: Point, axis: Point, radius: float, length: float) -> Floats:
    """Give the hull of a rod: a ball at each end."""
    along = _turned(axis)[2] * length / 2
    hull = np.empty(HULL)
    hull[0:3], hull[4:7] = np.array(centre) - along, np.array(centre) + along
    hull[3] = hull[7] = radius
    return hull
