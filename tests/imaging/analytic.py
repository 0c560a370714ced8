"""Bodies whose line integrals are known exactly: a soft ball (a Gaussian) and ellipsoids, for any scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from leadglass.imaging.geometry import Beam, Geometry, Grid

Triple = tuple[float, float, float]


def rays(geometry: Geometry, view: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give a point and the unit direction of each ray of a view, shapes (columns, rows, 3)."""
    angle, z = geometry.angles[view], geometry.z_mm[view]
    u, v = np.meshgrid(geometry.panel.u_mm(), geometry.panel.v_mm(), indexing="ij")
    inward, along_u = np.array([-np.cos(angle), -np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
    aside = u[..., None] * along_u + v[..., None] * np.array([0, 0, 1.0])
    if geometry.beam is Beam.PARALLEL:
        start, run = aside + np.array([0, 0, z]), np.broadcast_to(inward, aside.shape)
    else:
        start = np.broadcast_to(-geometry.source_axis_mm * inward + np.array([0, 0, z]), aside.shape)
        run = geometry.source_panel_mm * inward + aside
    return start, run / np.linalg.norm(run, axis=-1, keepdims=True)


def ball_integrals(geometry: Geometry, centre: Triple, width_mm: float) -> NDArray[np.float32]:
    """Integrate exp(-|r - centre|² / 2 width²) along whole lines."""
    made = np.empty(geometry.shape, np.float32)
    for view in range(geometry.views):
        start, run = rays(geometry, view)
        apart = np.cross(np.array(centre) - start, run)
        made[view] = width_mm * np.sqrt(2 * np.pi) * np.exp(-(apart**2).sum(axis=-1) / (2 * width_mm**2))
    return made


def ball(grid: Grid, centre: Triple, width_mm: float) -> NDArray[np.float32]:
    """Give exp(-|r - centre|² / 2 width²) at the voxels' centres."""
    squares = [(grid.centres_mm(axis) - centre[axis]) ** 2 for axis in range(3)]
    total = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    return np.exp(-total / (2 * width_mm**2)).astype(np.float32)


def ellipsoid_integrals(geometry: Geometry, centre: Triple, radii: Triple) -> NDArray[np.float32]:
    """Give how long each ray runs through an ellipsoid, in mm."""
    made = np.empty(geometry.shape, np.float32)
    for view in range(geometry.views):
        start, run = rays(geometry, view)
        p, d = (start - np.array(centre)) / np.array(radii), run / np.array(radii)
        a, b, c = (d * d).sum(-1), (p * d).sum(-1), (p * p).sum(-1) - 1
        made[view] = 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a
    return made


def ellipsoid(grid: Grid, centre: Triple, radii: Triple) -> NDArray[np.float32]:
    """Give 1 where a voxel's centre lies in the ellipsoid, else 0."""
    squares = [((grid.centres_mm(axis) - centre[axis]) / radii[axis]) ** 2 for axis in range(3)]
    total = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    return (total <= 1).astype(np.float32)
