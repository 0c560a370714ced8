"""Knows what a photon-counting detector makes of a photon: how many pulses of which height, and in which bins.

One photon of energy E that meets a uniformly lit sensor leaves `pulse_heights`[height, E] pulses on average, summed
over all pixels. The model follows the steps of Taguchi, Stierstorfer, Polster, Lee & Kappler 2018 (Med. Phys. 45, 1985;
"PcTK"), computed by quadrature over fixed low-discrepancy points, so that it is the same each
time:

1. The photon is absorbed photoelectrically at an exponential depth (exp. law over the photoelectric and Compton cross
   sections; a Compton event's recoil stays under the lowest threshold below 150 keV and counts as lost).
2. An atom ionised in its K shell emits, with its fluorescence yield, a K photon of known energy that flies
   isotropically an exponential way: it is absorbed again in the same pixel or another, or escapes (edges, yields and
   lines from `xraydb`).
3. Each deposit becomes a Gaussian cloud of charge, shared out over square pixels.
4. Every pixel (in charge-summing mode: every pixel with more charge than its neighbours, with its best 2 × 2 block;
   Ballabriga et al. 2013, JINST 8, C02016, Medipix3RX) makes a pulse, blurred by noise and threshold dispersion.

Left out: Compton recoil, L fluorescence, second-generation fluorescence, weighting potentials, trapping, correlation of
counts in neighbours (counts are taken as Poisson).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import xraydb
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from leadglass.errors import UsageError
from leadglass.imaging.clouds import deposit
from leadglass.imaging.material import MATERIALS, Material, mass_attenuation_cm2_g, material, photoelectric_cm2_g
from leadglass.imaging.scan import Sensor

Floats = NDArray[np.float64]

SENSORS: Final = ("CdTe", "CZT", "GaAs", "silicon")
HEIGHT_STEP_KEV: Final = 0.5
HEIGHT_MAX_KEV: Final = 200.0
_POINTS: Final = 2048
_SCRAMBLED_BY: Final = 7
"""The seed of the points: the same ones each time; what escapes is then within 1.5 % of the closed form."""

_SHELL_SHARE_MIN: Final = 1e-4


def height_axis() -> Floats:
    """Give the pulse heights of `pulse_heights`, in keV."""
    return np.arange(0.0, HEIGHT_MAX_KEV + HEIGHT_STEP_KEV / 2, HEIGHT_STEP_KEV)


def quantum_efficiency(sensor: Sensor, energies_kev: Floats) -> Floats:
    """Give the share of photons of each energy that the sensor absorbs photoelectrically."""
    made_of = sensor_material(sensor)
    photo = photoelectric_cm2_g(made_of, energies_kev)
    stops = mass_attenuation_cm2_g(made_of, energies_kev) - _coherent_cm2_g(made_of, energies_kev)
    stopped: Floats = -np.expm1(-stops * made_of.density_g_cm3 * sensor.thickness_mm / 10)
    efficiency: Floats = photo / stops * stopped
    return efficiency


def response(
    sensor: Sensor, thresholds_kev: tuple[float, ...], energies_kev: Floats, threshold_shift_kev: float = 0.0
) -> Floats:
    """Give the expected counts in each bin for each photon of each energy, [bin, energy].

    Bin k lies between threshold k and the next; the last has no upper end. A photon may count more than once, where its
    charge is shared, and not at all. Raises UsageError where the thresholds do not rise or the sensor is unknown.
    """
    above = counts_above(sensor, tuple(t + threshold_shift_kev for t in thresholds_kev), energies_kev)
    within: Floats = above - np.concatenate([above[1:], np.zeros_like(above[:1])])
    return within


def counts_above(sensor: Sensor, thresholds_kev: tuple[float, ...], energies_kev: Floats) -> Floats:
    """Give the expected counts above each threshold for each photon, [threshold, energy]."""
    if not thresholds_kev or any(low >= high for low, high in pairwise(thresholds_kev)):
        raise UsageError("The thresholds do not rise.", hint="Give them from the lowest to the highest, in keV.")
    if thresholds_kev[0] <= 0:
        raise UsageError("A threshold lies at or under zero.", hint="Set it above the noise: about 7 keV or more.")
    above: Floats = passing(sensor, thresholds_kev) @ pulse_heights(sensor, energies_kev)
    return above


def passing(sensor: Sensor, thresholds_kev: tuple[float, ...]) -> Floats:
    """Give the chance that a pulse of each height passes each threshold, [threshold, height]."""
    blur = np.hypot(sensor.noise_kev, sensor.threshold_spread_kev)
    over = height_axis()[None, :] - np.array(thresholds_kev)[:, None]
    chance: Floats = ndtr(over / blur) if blur > 0 else (over >= -1e-9).astype(np.float64)
    chance[:, 0] = 0.0  # no charge, no pulse: noise alone is kept out by the lowest threshold
    return chance


def pulse_heights(sensor: Sensor, energies_kev: Floats) -> Floats:
    """Give the pulses a photon leaves, [height, energy], heights as in `height_axis`, before noise. Read-only."""
    for name in ("thickness_mm", "pitch_mm"):
        if getattr(sensor, name) <= 0:
            raise UsageError(f"The sensor's {name} is {getattr(sensor, name)}.", hint="Give a number above 0.")
    made_of = sensor_material(sensor)
    return _heights(
        made_of.name, sensor.thickness_mm, sensor.pitch_mm, max(sensor.cloud_um, 0.0) / 1000, sensor.is_charge_summing,
        energies_kev.tobytes(),
    )  # fmt: skip


def sensor_material(sensor: Sensor) -> Material:
    """Find what a sensor is made of; UsageError for a material that makes no sensor."""
    found = material(sensor.material)
    if found.name not in SENSORS:
        raise UsageError(f"{sensor.material} makes no sensor.", hint="Known are " + ", ".join(SENSORS) + ".")
    return found


@lru_cache(maxsize=32)
def _heights(
    made_of: str, thickness_mm: float, pitch_mm: float, cloud_mm: float, is_summing: bool, energies: bytes
) -> Floats:
    """Sum the ways a photon's energy may go: the whole of it where it is absorbed, or a K photon apart."""
    stuff = MATERIALS[made_of]
    energies_kev = np.frombuffer(energies, dtype=np.float64)
    sensor = Sensor(made_of, thickness_mm, pitch_mm)
    efficiency = quantum_efficiency(sensor, energies_kev)
    per_mm = mass_attenuation_cm2_g(stuff, energies_kev) * stuff.density_g_cm3 / 10
    points = qmc.Sobol(6, scramble=True, rng=_SCRAMBLED_BY).random(_POINTS)
    heights = np.zeros((height_axis().size, energies_kev.size))
    lines = _k_lines(stuff)
    flights = [(_per_mm(stuff, line), line) for _, _, line, _ in lines]
    for column, energy in enumerate(energies_kev):
        shares = [share * _k_share(stuff, element, energy) for element, share, _, _ in lines]
        whole = max(0.0, 1 - sum(shares))
        if efficiency[column] <= 0:
            continue
        for share, (flight, line) in [(whole, (1.0, 0.0)), *zip(shares, flights, strict=True)]:
            if share < _SHELL_SHARE_MIN:
                continue
            deposit(points, energy, line, float(per_mm[column]), flight, thickness_mm, pitch_mm, cloud_mm, is_summing,
                    share * float(efficiency[column]) / _POINTS, HEIGHT_STEP_KEV, heights[:, column])  # fmt: skip
    heights.setflags(write=False)
    return heights


def _k_lines(stuff: Material) -> list[tuple[str, float, float, float]]:
    """List the K fluorescence of each element: (element, yield times the line's share, energy in keV, edge in keV)."""
    found = []
    for element, _ in stuff.fractions:
        edge = xraydb.xray_edge(element, "K")
        if edge.energy < 8000:
            continue  # silicon: its K photon of 1.7 keV goes nowhere and is under every threshold
        lines = xraydb.xray_lines(element, "K")
        for family in ("Ka", "Kb"):
            among = [line for name, line in lines.items() if name.startswith(family)]
            weight = sum(line.intensity for line in among)
            if weight > 0:
                energy = sum(line.intensity * line.energy for line in among) / weight / 1000
                found.append((element, float(edge.fyield * weight), float(energy), float(edge.energy) / 1000))
    return found


def _k_share(stuff: Material, element: str, energy_kev: float) -> float:
    """Give the share of photoelectric absorptions at an energy that ionise this element's K shell."""
    edge = xraydb.xray_edge(element, "K")
    if energy_kev * 1000 < edge.energy:
        return 0.0
    at = np.array([energy_kev])
    parts = {name: fraction * _photo_of(name, at) for name, fraction in stuff.fractions}
    return float(parts[element] / sum(parts.values()) * (1 - 1 / edge.jump_ratio))


def _photo_of(element: str, energies_kev: Floats) -> float:
    return float(np.asarray(xraydb.mu_elam(element, energies_kev * 1000, kind="photo"))[0])


def _per_mm(stuff: Material, energy_kev: float) -> float:
    return float(mass_attenuation_cm2_g(stuff, np.array([energy_kev]))[0] * stuff.density_g_cm3 / 10)


def _coherent_cm2_g(stuff: Material, energies_kev: Floats) -> Floats:
    total = np.zeros_like(energies_kev)
    for element, fraction in stuff.fractions:
        total += fraction * np.asarray(xraydb.mu_elam(element, energies_kev * 1000, kind="coh"), dtype=np.float64)
    return total
