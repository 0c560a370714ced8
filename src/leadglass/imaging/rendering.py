"""A coloured volume seen from outside: parallel rays, composed from front to back, lit like solid things.

Emission and absorption (Max 1995, doi:10.1109/2945.468400): each step hides what lies behind it by its opacity and adds
its colour. Where opacity is high, its gradient is a surface and is lit (Levoy 1988, doi:10.1109/38.511); where it is
faint, surfaces seen edge-on are strengthened, so that skin has an outline. Empty bricks are passed over and rays end
when nothing more could be seen. Pictures are uint8 [row, column, 3]; +z is up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import prange
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.colour import ColouredVolume, Picture
from leadglass.imaging.compiled import compiled, compiled_parallel

Floats = NDArray[np.float64]
Sixteen = NDArray[np.uint16]

BRICK = 8
SIDE_MAX = 4096


@dataclass(frozen=True, slots=True)
class View:
    """Where one looks from: azimuth around z and elevation above the plane (degrees), and how many mm are in sight.

    At azimuth 0 one looks along +y with +x to the right. `width_mm` and `height_mm` of zero show the whole volume.
    """

    azimuth_deg: float = 0.0
    elevation_deg: float = 0.0
    width_mm: float = 0.0
    height_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Rendering:
    """A picture [row, column, 3] and for each pixel the depth (mm from the volume's near side) at which half is hidden.

    Depth is infinite where one sees through.
    """

    picture: Picture
    depth_mm: NDArray[np.float32]


class Renderer:
    """Renders one coloured volume from many sides; what is the same for all views is worked out once."""

    def __init__(self, volume: ColouredVolume) -> None:
        """Take a volume of at least two voxels along each axis, else raise UsageError."""
        if min(volume.grid.shape) < 2:
            raise UsageError("A volume one voxel thin cannot be rendered.", hint="Show it as a slice.")
        self._volume = volume
        self._filled = _filled_bricks(volume.rgba)

    def render(self, view: View, *, columns: int = 512, rows: int = 512, finest: float = 0.7) -> Rendering:
        """Make one picture; `finest` is the step along rays in voxels."""
        if not (1 <= columns <= SIDE_MAX and 1 <= rows <= SIDE_MAX):
            raise UsageError(f"A picture of {columns} × {rows} pixels cannot be made.", hint=f"Up to {SIDE_MAX}.")
        grid = self._volume.grid
        size = np.array(grid.shape) * np.array(grid.voxel_mm)
        right, up, onward = _axes(view)
        # Turning must not change the scale, so the whole volume is what it shows at any azimuth.
        wide = view.width_mm or float(np.hypot(size[0], size[1]))
        high = view.height_mm or float(abs(up[2]) * size[2] + abs(onward[2]) * np.hypot(size[0], size[1]))
        pixel_mm = max(wide / columns, high / rows)
        picture = np.empty((rows, columns, 3), dtype=np.uint8)
        depth = np.empty((rows, columns), dtype=np.float32)
        light = -onward - 0.45 * right + 0.6 * up
        _cast(
            self._volume.rgba,
            self._filled,
            np.array(grid.voxel_mm),
            np.stack([right, up, onward, light / np.linalg.norm(light)]),
            pixel_mm,
            finest * min(grid.voxel_mm),
            self._volume.largest_per_mm,
            np.array(self._volume.background, dtype=np.float64),
            picture,
            depth,
        )
        return Rendering(picture, np.where(depth < 0, np.float32(np.inf), depth))

    def turntable(
        self, frames: int, view: View | None = None, *, columns: int = 512, rows: int = 512
    ) -> Iterator[Picture]:
        """Make `frames` pictures once around z, beginning at `view`."""
        start = view or View()
        for frame in range(frames):
            turned = View(
                start.azimuth_deg + 360.0 * frame / frames, start.elevation_deg, start.width_mm, start.height_mm
            )
            yield self.render(turned, columns=columns, rows=rows).picture


def _axes(view: View) -> tuple[Floats, Floats, Floats]:
    """Give the unit vectors to the right, up, and away from the eye."""
    a, e = np.deg2rad(view.azimuth_deg), np.deg2rad(view.elevation_deg)
    right = np.array([np.cos(a), np.sin(a), 0.0])
    onward = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)])
    return right, np.cross(right, onward), onward


def _filled_bricks(rgba: Sixteen) -> NDArray[np.uint8]:
    """Mark the bricks that an interpolated sample could find anything in, neighbours included."""
    shape = tuple((side + BRICK - 1) // BRICK for side in rgba.shape[:3])
    filled = np.zeros(shape, dtype=np.uint8)
    _mark(rgba, filled)
    return filled


@compiled_parallel
def _mark(rgba: Sixteen, filled: NDArray[np.uint8]) -> None:
    nx, ny, nz = rgba.shape[0], rgba.shape[1], rgba.shape[2]
    for i in prange(filled.shape[0]):
        for j in range(filled.shape[1]):
            for k in range(filled.shape[2]):
                found = 0
                for x in range(max(i * BRICK - 1, 0), min((i + 1) * BRICK + 1, nx)):
                    for y in range(max(j * BRICK - 1, 0), min((j + 1) * BRICK + 1, ny)):
                        for z in range(max(k * BRICK - 1, 0), min((k + 1) * BRICK + 1, nz)):
                            found |= rgba[x, y, z, 3]
                filled[i, j, k] = 1 if found else 0


@compiled
def _root(rgba: Sixteen, x: float, y: float, z: float) -> float:
    """Interpolate the root of opacity at voxel coordinates, clamped to the volume."""
    x = min(max(x, 0.0), rgba.shape[0] - 1.001)
    y = min(max(y, 0.0), rgba.shape[1] - 1.001)
    z = min(max(z, 0.0), rgba.shape[2] - 1.001)
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - i, y - j, z - k
    a = rgba[i, j, k, 3] * (1 - w) + rgba[i, j, k + 1, 3] * w
    b = rgba[i, j + 1, k, 3] * (1 - w) + rgba[i, j + 1, k + 1, 3] * w
    c = rgba[i + 1, j, k, 3] * (1 - w) + rgba[i + 1, j, k + 1, 3] * w
    d = rgba[i + 1, j + 1, k, 3] * (1 - w) + rgba[i + 1, j + 1, k + 1, 3] * w
    root: float = ((a * (1 - v) + b * v) * (1 - u) + (c * (1 - v) + d * v) * u) / 65535.0
    return root


@compiled
def _sample(rgba: Sixteen, x: float, y: float, z: float, out: Floats) -> None:
    """Interpolate colour times root, and root, at voxel coordinates."""
    x = min(max(x, 0.0), rgba.shape[0] - 1.001)
    y = min(max(y, 0.0), rgba.shape[1] - 1.001)
    z = min(max(z, 0.0), rgba.shape[2] - 1.001)
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - i, y - j, z - k
    for c in range(4):
        near = (rgba[i, j, k, c] * (1 - w) + rgba[i, j, k + 1, c] * w) * (1 - v) + (
            rgba[i, j + 1, k, c] * (1 - w) + rgba[i, j + 1, k + 1, c] * w
        ) * v
        far = (rgba[i + 1, j, k, c] * (1 - w) + rgba[i + 1, j, k + 1, c] * w) * (1 - v) + (
            rgba[i + 1, j + 1, k, c] * (1 - w) + rgba[i + 1, j + 1, k + 1, c] * w
        ) * v
        out[c] = (near * (1 - u) + far * u) / 65535.0


@compiled
def _span(start: Floats, way: Floats, shape: tuple[int, int, int], voxel: Floats, reach: Floats) -> None:
    """Set reach to where the ray (mm) enters and leaves the box of voxels; reach[0] > reach[1] where it does not."""
    reach[0], reach[1] = -1e30, 1e30
    for axis in range(3):
        half = 0.5 * shape[axis] * voxel[axis]
        if abs(way[axis]) < 1e-9:
            if abs(start[axis]) > half:
                reach[0], reach[1] = 1.0, 0.0
                return
        else:
            one, other = (-half - start[axis]) / way[axis], (half - start[axis]) / way[axis]
            reach[0] = max(reach[0], min(one, other))
            reach[1] = min(reach[1], max(one, other))


@compiled
def _brick_end(at: Floats, pace: Floats, t: float) -> float:
    """Give the ray's t (mm) just past the brick it is in; `at` and `pace` are in voxels and voxels per mm."""
    leave = 1e30
    for axis in range(3):
        brick = np.floor((at[axis] + 0.5) / BRICK)
        if pace[axis] > 1e-9:
            leave = min(leave, ((brick + 1) * BRICK - 0.5 - at[axis]) / pace[axis])
        elif pace[axis] < -1e-9:
            leave = min(leave, (brick * BRICK - 0.5 - at[axis]) / pace[axis])
    return t + max(leave, 0.0) + 1e-4


@compiled
def _lit(rgba: Sixteen, at: Floats, voxel: Floats, eye: Floats, normal: Floats) -> tuple[float, float, float]:
    """Find how a surface here is lit: diffuse, highlight, and how edge-on it is seen (0 to 1)."""
    span = 1.5
    normal[0] = (_root(rgba, at[0] + span, at[1], at[2]) - _root(rgba, at[0] - span, at[1], at[2])) / voxel[0]
    normal[1] = (_root(rgba, at[0], at[1] + span, at[2]) - _root(rgba, at[0], at[1] - span, at[2])) / voxel[1]
    normal[2] = (_root(rgba, at[0], at[1], at[2] + span) - _root(rgba, at[0], at[1], at[2] - span)) / voxel[2]
    length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
    if length < 1e-4:
        return 0.8, 0.0, 0.0
    towards_light, towards_eye = 0.0, 0.0
    for axis in range(3):
        normal[axis] /= -length
        towards_light += normal[axis] * eye[3 * 3 + axis]
        towards_eye -= normal[axis] * eye[2 * 3 + axis]
    if towards_eye < 0:  # a surface seen from inside faces the eye all the same
        towards_eye, towards_light = -towards_eye, -towards_light
    halfway = max(0.0, 2 * towards_light * towards_eye - eye[12])
    return max(0.0, towards_light), halfway**24, 1.0 - towards_eye


@compiled_parallel
def _cast(
    rgba: Sixteen,
    filled: NDArray[np.uint8],
    voxel: Floats,
    axes: Floats,
    pixel_mm: float,
    step_mm: float,
    largest: float,
    background: Floats,
    picture: Picture,
    depth: NDArray[np.float32],
) -> None:
    """Follow one ray for each pixel; `axes` are right, up, onward and light. Depth -1: one sees through."""
    rows, columns = depth.shape
    shape = (rgba.shape[0], rgba.shape[1], rgba.shape[2])
    for row in prange(rows):
        start, at, pace, reach = np.empty(3), np.empty(3), np.empty(3), np.empty(2)
        found, normal, colour, eye = np.empty(4), np.empty(3), np.empty(3), np.empty(13)
        eye[12] = 0.0
        for axis in range(3):
            pace[axis] = axes[2, axis] / voxel[axis]
            eye[12] -= axes[3, axis] * axes[2, axis]
            for which in range(4):
                eye[which * 3 + axis] = axes[which, axis]
        for column in range(columns):
            across, above = (column - 0.5 * (columns - 1)) * pixel_mm, (0.5 * (rows - 1) - row) * pixel_mm
            for axis in range(3):
                start[axis] = across * axes[0, axis] + above * axes[1, axis]
                colour[axis] = 0.0
            _span(start, axes[2], shape, voxel, reach)
            seen, hidden_at = 1.0, -1.0
            whole = max(reach[1] - reach[0], 1e-6)
            # A start that differs from pixel to pixel turns rings of equal depth into fine grain.
            t = reach[0] + step_mm * ((column * 7 + row * 13) % 16) / 16.0
            while t < reach[1] and seen > 0.01:
                for axis in range(3):
                    at[axis] = (start[axis] + t * axes[2, axis]) / voxel[axis] + 0.5 * shape[axis] - 0.5
                i = min(max(int(at[0] + 0.5) // BRICK, 0), filled.shape[0] - 1)
                j = min(max(int(at[1] + 0.5) // BRICK, 0), filled.shape[1] - 1)
                k = min(max(int(at[2] + 0.5) // BRICK, 0), filled.shape[2] - 1)
                if filled[i, j, k] == 0:
                    t = max(t + step_mm, _brick_end(at, pace, t))
                    continue
                _sample(rgba, at[0], at[1], at[2], found)
                q = found[3]
                if q > 1e-3:
                    density = largest * q * q
                    diffuse, shine, edge = _lit(rgba, at, voxel, eye, normal)
                    solid = min(1.0, density / 0.4)
                    opacity = 1.0 - np.exp(-density * step_mm * (1.0 + 5.0 * (1.0 - solid) * edge * edge))
                    bright = solid * (0.32 + 0.78 * diffuse) + (1.0 - solid) * 0.85
                    bright *= 1.0 - 0.3 * (t - reach[0]) / whole
                    for channel in range(3):
                        lit = min(1.0, found[channel] / q * bright + 0.35 * solid * shine)
                        colour[channel] += seen * opacity * lit
                    seen *= 1.0 - opacity
                    if seen < 0.5 and hidden_at < 0.0:
                        hidden_at = t - reach[0]
                t += step_mm
            depth[row, column] = hidden_at
            for channel in range(3):
                picture[row, column, channel] = np.uint8(
                    min(255.0, 255.0 * colour[channel] + seen * background[channel] + 0.5)
                )
