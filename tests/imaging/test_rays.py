"""Where rays cross a grid: points on the table's lines lie on the rays, and no crossing is left out."""

from __future__ import annotations

import numpy as np
import pytest

from leadglass.imaging import rays
from leadglass.imaging.geometry import Beam, Geometry, Grid, Panel
from tests.imaging import analytic

GRID = Grid((9, 12, 7), (1.1, 0.8, 0.6), (1.0, -2.0, 3.0))
PANEL = Panel(15, 6, 2.0, 1.7, 0.9, -0.4)
ANGLES = np.array([0.0, 0.3, np.pi / 4, np.pi / 2, 2.0, np.pi, 4.4])
SCANS = {
    beam: Geometry(beam, PANEL, ANGLES, np.linspace(-2, 2, ANGLES.size), 40.0, 70.0)
    for beam in (Beam.PARALLEL, Beam.CONE)
}


@pytest.mark.parametrize("beam", SCANS)
def test_crossings_lie_on_their_rays(beam: Beam) -> None:
    geometry = SCANS[beam]
    table, crossings = rays.lines(GRID, geometry), 0
    first = np.array([GRID.centres_mm(axis)[0] for axis in range(3)])
    for view in range(geometry.views):
        start, run = analytic.rays(geometry, view)
        for column in range(PANEL.columns):
            line = table[view, column]
            for i in range(int(line[rays.FIRST]), int(line[rays.LAST])):
                side = line[rays.SIDE] + i * line[rays.SIDE_STEP]
                assert -1.0001 < side < (GRID.shape[0] if line[rays.ALONG_Y] else GRID.shape[1]) + 1e-4
                for row in range(PANEL.rows):
                    rise = line[rays.RISE] + i * line[rays.RISE_STEP]
                    height = line[rays.HEIGHT] + i * line[rays.HEIGHT_STEP] + row * rise
                    place = np.array([side, i, height] if line[rays.ALONG_Y] else [i, side, height])
                    at = first + place * np.array(GRID.voxel_mm) - start[column, row]
                    assert np.linalg.norm(np.cross(at, run[column, row])) < 1e-9
                    crossings += 1
    assert crossings > 2000


@pytest.mark.parametrize("beam", SCANS)
def test_steps_are_as_long_as_the_ray_runs_from_plane_to_plane(beam: Beam) -> None:
    geometry = SCANS[beam]
    steps = rays.lines(GRID, geometry)[..., rays.LENGTH, None] * rays.chords(geometry)
    for view in range(geometry.views):
        _, run = analytic.rays(geometry, view)
        along_y = rays.lines(GRID, geometry)[view, :, rays.ALONG_Y] == 1
        advance = np.where(along_y[:, None], np.abs(run[..., 1]), np.abs(run[..., 0]))
        width = np.where(along_y, GRID.voxel_mm[1], GRID.voxel_mm[0])[:, None]
        np.testing.assert_allclose(steps[view], width / advance, rtol=1e-9)
        assert (np.where(along_y[:, None], np.abs(run[..., 0]), np.abs(run[..., 1])) / advance < 1.5).all()


def test_planes_left_out_are_crossed_outside_the_grid() -> None:
    for geometry in SCANS.values():
        table = rays.lines(GRID, geometry)
        planes = np.arange(40) - 10
        side = table[..., rays.SIDE, None] + planes * table[..., rays.SIDE_STEP, None]
        along_y = table[..., rays.ALONG_Y, None] == 1
        count, width = np.where(along_y, GRID.shape[1], GRID.shape[0]), np.where(along_y, GRID.shape[0], GRID.shape[1])
        inside = (side > -1 + 1e-9) & (side < width - 1e-9) & (planes >= 0) & (planes < count)
        listed = (planes >= table[..., rays.FIRST, None]) & (planes < table[..., rays.LAST, None])
        assert not (inside & ~listed).any()
