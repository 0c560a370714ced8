"""Rays through solids are exact: against closed forms, against points counted along them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.imaging.geometry import Beam, Geometry, Panel, circle, cube, helix
from leadglass.imaging.material import MATERIALS
from leadglass.imaging.phantom import Body, Box, Cylinder, Ellipsoid, Phantom, Ring, Solid, Strand, Torus, voxelised
from leadglass.imaging.solids import FIELDS, crossings
from leadglass.imaging.thickness import line_integrals

WATER, BONE, GOLD = MATERIALS["water"], MATERIALS["cortical bone"], MATERIALS["gold"]
SOLIDS: list[Solid] = [
    Ellipsoid((3, -4, 5), (10, 6, 14), (1, 2, 3)),
    Cylinder((-2, 1, 0), (7, 4), 18, (0.3, -0.2, 1)),
    Box((0, 2, -3), (9, 12, 16), (1, 1, 0)),
    Strand(((-8, 0, -9), (4, 3, 8)), (5, 2.5)),
    Strand(((0, 0, -2), (0, 0, 2)), (2, 5.9)),
    Strand(((1, 2, 3),), (6,)),
    Torus((1, 0, 2), 9, 3, (0.5, 0.2, 1)),
    Ring((0, -1, 2), 6, 8, 7, (0.2, 1, 0.4)),
]


def round_cone(points: np.ndarray, a: np.ndarray, b: np.ndarray, first: float, last: float) -> np.ndarray:
    """Give the signed distance from the hull of two balls (closed form after I. Quilez)."""
    spine, less = b - a, first - last
    square = spine @ spine
    share = square - less**2
    y = (points - a) @ spine
    z = y - square
    x2 = (((points - a) * square - spine * y[:, None]) ** 2).sum(1)
    k = np.sign(less) * less**2 * x2
    beyond = np.sqrt(x2 + z * z * square) / square - last
    before = np.sqrt(x2 + y * y * square) / square - first
    beside = (np.sqrt(x2 * share / square) + y * less) / square - first
    return np.where(
        np.sign(z) * share * z * z * square > k,
        beyond,
        np.where(np.sign(y) * share * y * y * square < k, before, beside),
    )


def inside(solid: Solid, points: np.ndarray) -> np.ndarray:
    """Tell by definition, not by rays, which points [n, 3] a solid holds."""
    if isinstance(solid, Strand):
        if len(solid.points) == 1:
            return np.linalg.norm(points - solid.points[0], axis=1) <= solid.radii[0]
        return round_cone(points, *(np.array(point) for point in solid.points), *solid.radii) <= 0
    third = np.array(solid.axis) / np.linalg.norm(solid.axis)
    near = np.array([1.0, 0, 0]) if abs(third[0]) < 0.9 else np.array([0, 1.0, 0])
    second = np.cross(third, near)
    second /= np.linalg.norm(second)
    x, y, z = ((points - solid.centre) @ np.stack([np.cross(second, third), second, third]).T).T
    match solid:
        case Ellipsoid():
            a, b, c = solid.half_axes
            return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 <= 1
        case Cylinder():
            return ((x / solid.radii[0]) ** 2 + (y / solid.radii[1]) ** 2 <= 1) & (np.abs(z) <= solid.length / 2)
        case Box():
            a, b, c = solid.size
            return (np.abs(x) <= a / 2) & (np.abs(y) <= b / 2) & (np.abs(z) <= c / 2)
        case Torus():
            return (np.hypot(x, y) - solid.radius) ** 2 + z**2 <= solid.tube**2
        case Ring():
            away = np.hypot(x, y)
            return (away >= solid.inner) & (away <= solid.outer) & (np.abs(z) <= solid.width / 2)
    raise AssertionError(solid)


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: type(solid).__name__)
def test_a_ray_is_as_long_inside_as_the_points_counted_along_it(solid: Solid) -> None:
    from leadglass.imaging.phantom import _cut

    random = np.random.default_rng(5)
    ((kind, fields, hull),) = _cut(solid)
    assert fields.shape == (FIELDS,)
    stretch, steps = np.empty(4), np.linspace(-40, 40, 4001)
    hits = 0
    for turn in range(60):
        way = np.eye(3)[turn % 3] if turn < 12 else random.normal(size=3)
        way /= np.linalg.norm(way)
        start = random.uniform(-8, 8, 3)
        count = crossings(kind, fields[None], 0, start, way, stretch)
        found = sum(stretch[2 * part + 1] - stretch[2 * part] for part in range(count))
        points = start + steps[:, None] * way
        held = inside(solid, points)
        assert found == pytest.approx(held.sum() * 0.02, abs=0.05)
        hits += bool(count)
        ends = hull.reshape(2, 4)
        for point in points[held][:: max(1, held.sum() // 5)]:  # the hull holds the solid
            share = np.linspace(0, 1, 400)[:, None]
            balls = ends[0] * (1 - share) + ends[1] * share
            assert (np.linalg.norm(balls[:, :3] - point, axis=1) <= balls[:, 3] + 0.05).any()
    assert hits > 15


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(1, 6), st.floats(0, 20))
def test_a_ball_in_a_ball_takes_its_place(x: float, radius: float, mg_per_ml: float) -> None:
    phantom = Phantom("balls", (
        Body(Strand(((x, 0.0, 0.0),), (radius,)), WATER, GOLD, mg_per_ml, priority=2),
        Body(Strand(((0.0, 0.0, 0.0),), (12.0,)), BONE, priority=1),
    ))  # fmt: skip
    geometry = Geometry(Beam.PARALLEL, Panel(41, 41, 0.6, 0.6), np.array([0.4]), np.zeros(1), 0, 0)
    found = line_integrals(phantom, geometry)[0]
    u, v = np.meshgrid(geometry.panel.u_mm(), geometry.panel.v_mm(), indexing="ij")
    outer = 2 * np.sqrt(np.maximum(0, 144 - u**2 - v**2))
    inner = 2 * np.sqrt(np.maximum(0, radius**2 - (u + x * np.sin(0.4)) ** 2 - v**2))
    names = [one.name for one in phantom.substances()]
    np.testing.assert_allclose(found[..., names.index("cortical bone")], (outer - inner) * 0.192, atol=2e-5)
    np.testing.assert_allclose(found[..., names.index("gold")], inner * mg_per_ml * 1e-4, atol=2e-5)


@pytest.mark.parametrize("beam", ["cone", "helix", "parallel", "fan"])
def test_line_integrals_are_those_of_the_voxels_seen_finely(beam: str) -> None:
    """Mass is kept: the same phantom in fine voxels, summed as points projected onto the panel."""
    phantom = Phantom("all", tuple(Body(solid, WATER) for solid in SOLIDS))
    panel = Panel(60, 1 if beam == "fan" else 60, 1.2, 1.2, 1.7, 0.0 if beam == "fan" else -2.3)
    geometry = {
        "cone": lambda: circle(panel, 3, source_axis_mm=100, source_panel_mm=150),
        "helix": lambda: helix(panel, 3, pitch_mm=4, turns=1.0, source_axis_mm=100, source_panel_mm=150),
        "parallel": lambda: circle(panel, 3, beam=Beam.PARALLEL),
        "fan": lambda: circle(panel, 3, source_axis_mm=100, source_panel_mm=150, beam=Beam.FAN),
    }[beam]()
    found = line_integrals(phantom, geometry, supersample=2)[..., 0]
    steps = np.arange(-30, 30, 0.05)
    for view, column, row in [(0, 20, 31), (1, 33, 28), (2, 41, 22)]:
        row = min(row, panel.rows - 1)
        cosine, sine = np.cos(geometry.angles[view]), np.sin(geometry.angles[view])
        total = 0.0
        for i in (-0.25, 0.25):
            for j in (-0.25, 0.25):
                u, v = panel.u_mm()[column] + i * 1.2, panel.v_mm()[row] + j * 1.2
                aside = np.array([-sine, cosine, 0]) * u + np.array([0, 0, v + geometry.z_mm[view]])
                if beam == "parallel":
                    points = aside + steps[:, None] * np.array([-cosine, -sine, 0])
                else:
                    source = np.array([100 * cosine, 100 * sine, geometry.z_mm[view]])
                    way = np.array([-50 * cosine, -50 * sine, 0]) + aside - source
                    way /= np.linalg.norm(way)
                    points = source + (steps[:, None] + 100) * way
                held = np.zeros(len(points), bool)
                for solid in SOLIDS:
                    held |= inside(solid, points)
                total += held.sum() * 0.05 / 4
        assert found[view, column, row] * 10 == pytest.approx(total, abs=0.25)


def test_a_voxel_holds_what_the_points_in_it_hold() -> None:
    phantom = Phantom(
        "nest", (Body(SOLIDS[0], WATER), Body(SOLIDS[3], BONE, priority=1), Body(SOLIDS[6], GOLD, priority=3))
    )
    grid = cube(20, 2.0)
    truth = voxelised(phantom, grid, oversample=2)
    axis = (grid.centres_mm(0)[:, None] + np.array([-0.5, 0.5])).ravel()
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    gold = inside(SOLIDS[6], points)
    bone = inside(SOLIDS[3], points) & ~gold
    water = inside(SOLIDS[0], points) & ~gold & ~bone
    for name, held in (("gold", gold), ("cortical bone", bone), ("water", water)):
        expected = held.reshape(20, 2, 20, 2, 20, 2).mean(axis=(1, 3, 5)) * MATERIALS[name].mg_per_ml
        assert np.abs(truth[name] - expected).max() <= MATERIALS[name].mg_per_ml * 0.13
        assert np.abs(truth[name] - expected).mean() < MATERIALS[name].mg_per_ml * 1e-3
