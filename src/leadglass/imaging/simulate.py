"""Knows what a scanner would count of a phantom: photons of every energy, followed exactly, counted imperfectly.

tube spectrum → exact thickness of each substance on several rays a pixel → transmission at each energy → detector
response → pile-up → Poisson counts; the flat field is counted the same way and has noise of its own. Nothing here knows
a voxel, so a reconstruction shares no discretisation with it. Left out: scatter, the heel effect, focal spot size,
motion within a view, and correlation between neighbouring pixels' counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.detector import passing, pulse_heights, response
from leadglass.imaging.geometry import Beam, Geometry
from leadglass.imaging.material import MATERIALS, mass_attenuation_cm2_g
from leadglass.imaging.phantom import Phantom, pieces
from leadglass.imaging.pile_up import bin_moves, pile_up
from leadglass.imaging.polychromatic import expected
from leadglass.imaging.scan import Counts, Scan, Sensor, Tube
from leadglass.imaging.spectrum import energy_axis, tube_spectrum
from leadglass.imaging.thickness import described

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with how many views are done, and of how many."""

VIEWS_AT_ONCE: Final = 16
SUPERSAMPLE_MAX: Final = 8
_NEGLIGIBLE: Final = 1e-7
_SHIFT_KEV: Final = 0.25
_WATER_G_CM2: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def simulate(
    phantom: Phantom, geometry: Geometry, tube: Tube, sensor: Sensor, thresholds_kev: tuple[float, ...], *,
    seed: int, supersample: int = 2, flat_views: int = 100, bad_share: float = 0.0, on_progress: Progress | None = None,
) -> Scan:  # fmt: skip
    """Count a phantom. The same seed gives the same counts.

    `supersample`² rays are followed for each pixel; the flat field is the mean of `flat_views` views without an object;
    a share of `bad_share` of the pixels is dead and marked bad. Raises UsageError for a tube, sensor or threshold that
    cannot be, before anything long begins.
    """
    if not 1 <= supersample <= SUPERSAMPLE_MAX or flat_views < 1 or not 0 <= bad_share < 1 or seed < 0:
        raise UsageError(
            f"supersample {supersample}, flat_views {flat_views}, bad_share {bad_share}, seed {seed} make no scan.",
            hint=f"supersample is 1 to {SUPERSAMPLE_MAX}, flat_views and seed count up, bad_share is under 1.",
        )
    counter = _counter(geometry, tube, sensor, thresholds_kev, np.random.default_rng([seed, 0]))
    cut = pieces(phantom)
    attenuation = np.stack([mass_attenuation_cm2_g(one, counter.energies_kev) for one in cut.substances])
    coefficients, weights = attenuation.astype(np.float32), counter.weights.astype(np.float32)
    random = np.random.default_rng([seed, 1])
    bad = random.random(geometry.shape[1:]) < bad_share
    flat = random.poisson(counter.counted(counter.air()[:, None])[:, 0] * flat_views) / flat_views
    bad |= (flat <= 0).any(axis=0)
    flat[:, bad] = 0
    counts: Counts = np.empty((len(thresholds_kev), *geometry.shape), dtype=np.float32)
    for first in range(0, geometry.views, VIEWS_AT_ONCE):
        views = slice(first, min(first + VIEWS_AT_ONCE, geometry.views))
        shares = np.empty((counter.weights.shape[0], *geometry.angles[views].shape, *bad.shape), dtype=np.float32)
        expected(
            cut.kinds, cut.solids, cut.hulls, cut.densities, described(geometry), geometry.angles[views],
            geometry.z_mm[views], supersample, coefficients, weights, shares,
        )  # fmt: skip
        counts[:, views] = np.random.default_rng([seed, 2, first]).poisson(counter.counted(shares))
        counts[:, views, bad] = 0
        if on_progress is not None:
            on_progress(views.stop, geometry.views)
    made_by = {
        "simulator": "leadglass",
        "phantom": phantom.name,
        "seed": str(seed),
        "rays a pixel": str(supersample**2),
    }
    return Scan(
        counts, flat.astype(np.float32), thresholds_kev, geometry, tube, sensor, bad, name=phantom.name, made_by=made_by
    )


@dataclass(frozen=True, slots=True)
class _Counter:
    """A detector in front of a tube: what share of a pixel's photons counts where, and how many there are.

    `weights` is [bin, energy]: photons per mm² at 1 m times the response; where thresholds differ from pixel to pixel,
    as many lines again follow, the change for each keV of threshold. `photons` scales them for each pixel.
    """

    energies_kev: Floats
    weights: Floats
    bins: int
    photons: Floats  # [column, row]
    shift_kev: Floats  # [column, row]
    pixels: float  # of the sensor in one of the panel
    exposure_s: float
    dead_ns: float
    fall: Floats  # how far the log of the total counts has fallen from air, for each of the moves
    moves: Floats  # [node, bin found in, bin it was in]

    def air(self) -> Floats:
        """Give the weights summed over energies, for each pixel: [line, column, row]."""
        return np.broadcast_to(self.weights.sum(axis=1)[:, None, None], (len(self.weights), *self.photons.shape))

    def counted(self, shares: NDArray[np.floating]) -> Floats:
        """Turn weighted transmissions [line, view, column, row] into expected counts [bin, view, column, row]."""
        true = shares[: self.bins].astype(np.float64)
        if len(shares) > self.bins:
            true = np.maximum(true + shares[self.bins :] * self.shift_kev, 0.0)
        true *= self.photons
        if self.dead_ns > 0:
            busy = self.dead_ns * 1e-9 / (self.pixels * self.exposure_s)
            air = float(self.weights[: self.bins].sum())
            pile_up(true, self.photons, busy, self.fall, self.moves, air)
        return true


def _counter(
    geometry: Geometry, tube: Tube, sensor: Sensor, thresholds_kev: tuple[float, ...], random: np.random.Generator
) -> _Counter:
    """Work out everything that does not depend on the phantom."""
    panel = geometry.panel
    if tube.charge_mas <= 0 or tube.exposure_ms <= 0:
        raise UsageError("The tube gives no charge, or no time.", hint="Set charge_mas and exposure_ms above 0.")
    pixels = max(1.0, panel.column_pitch_mm * panel.row_pitch_mm / sensor.pitch_mm**2)
    within = replace(sensor, threshold_spread_kev=sensor.threshold_spread_kev * float(np.sqrt(1 - 1 / pixels)))
    energies = energy_axis(tube.peak_kv)
    spectrum = tube_spectrum(tube, energies)
    lines = [response(within, thresholds_kev, energies)]
    if sensor.threshold_spread_kev > 0:
        more, less = (response(within, thresholds_kev, energies, s) for s in (_SHIFT_KEV, -_SHIFT_KEV))
        lines.append((more - less) / (2 * _SHIFT_KEV))
    weights = np.concatenate(lines) * spectrum
    if thresholds_kev[-1] >= tube.peak_kv:
        raise UsageError(
            "A bin can count nothing: its threshold lies above the tube's voltage.",
            hint=f"Set every threshold under {tube.peak_kv:g} keV.",
        )
    kept = np.abs(weights).max(axis=0) > _NEGLIGIBLE * np.abs(weights).max()
    energies, spectrum, weights = energies[kept], spectrum[kept], weights[:, kept]
    fall, moves = _pile_up_table(within, thresholds_kev, energies, spectrum)
    shift = random.normal(0.0, sensor.threshold_spread_kev / np.sqrt(pixels), (panel.columns, panel.rows))
    return _Counter(
        energies, weights, len(thresholds_kev), tube.charge_mas * fluence_mm2(geometry), shift, pixels,
        tube.exposure_ms / 1000, sensor.dead_ns, fall, moves,
    )  # fmt: skip


def fluence_mm2(geometry: Geometry) -> Floats:
    """Give each pixel's size as the source sees it at 1 m, in mm², [column, row]: inverse square, and slant."""
    panel = geometry.panel
    area = panel.column_pitch_mm * panel.row_pitch_mm
    if geometry.beam is Beam.PARALLEL:
        return np.full((panel.columns, panel.rows), area)
    away = geometry.source_panel_mm**2 + panel.u_mm()[:, None] ** 2 + panel.v_mm()[None, :] ** 2
    seen: Floats = area * 1e6 / away * (geometry.source_panel_mm / np.sqrt(away))
    return seen


def _pile_up_table(
    sensor: Sensor, thresholds_kev: tuple[float, ...], energies_kev: Floats, spectrum: Floats
) -> tuple[Floats, Floats]:
    """Tabulate the moves between bins behind rising amounts of water, by how far the counts have fallen.

    What piles up is the hardened spectrum of the place; water stands for whatever hardened it, which is first order.
    """
    if sensor.dead_ns <= 0:
        return np.array([0.0, 1.0]), np.zeros((2, len(thresholds_kev), len(thresholds_kev)))
    chance = passing(sensor, thresholds_kev)
    water = mass_attenuation_cm2_g(MATERIALS["water"], energies_kev)
    per_photon = pulse_heights(sensor, energies_kev)
    behind = [per_photon @ (spectrum * np.exp(-water * mass)) for mass in _WATER_G_CM2]
    totals = np.array([float(chance[0] @ heights) for heights in behind])
    return np.log(totals[0] / totals), np.stack([bin_moves(heights, chance) for heights in behind])
