"""What one ray's bins are expected to count: tube, detector and materials as one small matrix.

For area densities A_m (g/cm²) along the ray, bin b counts

    flat_b · Σ_E effective[b, E] · exp(−Σ_m attenuation[m, E] · A_m),

where `effective` is spectrum × detector response with rows that sum to one: whatever is the same with and without the
object (tube charge, pixel gain) is in the flat field. Schlomka et al. 2008 (doi:10.1088/0031-9155/53/15/002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import nnls

from leadglass.errors import UsageError
from leadglass.imaging import detector
from leadglass.imaging.material import mass_attenuation_cm2_g, material
from leadglass.imaging.scan import Scan
from leadglass.imaging.spectrum import energy_axis, tube_spectrum

Floats = NDArray[np.float64]
Measured = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SpectralModel:
    """The forward model of one ray.

    `effective` is [bin, energy] with rows that sum to one, `attenuation` the basis materials' mass attenuation
    [material, energy] in cm²/g, `reach_g_cm2` the largest area density of each material a ray should meet.
    """

    materials: tuple[str, ...]
    energies_kev: Floats
    effective: Floats
    attenuation: Floats
    reach_g_cm2: Floats

    def __post_init__(self) -> None:
        """Raise UsageError where the parts do not fit, or the bins cannot tell the materials apart."""
        bins, energies, basis = self.effective.shape[0], self.energies_kev.size, len(self.materials)
        if self.effective.shape != (bins, energies) or self.attenuation.shape != (basis, energies):
            raise UsageError("The spectral model's matrices do not share its energies and materials.")
        if self.reach_g_cm2.shape != (basis,) or not (self.reach_g_cm2 > 0).all():
            raise UsageError("Each basis material needs a largest area density above zero.", hint="Check reach_g_cm2.")
        if not (np.isfinite(self.effective).all() and np.isfinite(self.attenuation).all()):
            raise UsageError("The spectral model holds a number that is none.", hint="Check spectrum and response.")
        if (self.effective < 0).any() or not np.allclose(self.effective.sum(axis=1), 1.0, atol=1e-6):
            raise UsageError("The effective spectra are negative or do not sum to one.", hint="Use spectral_model().")
        if basis > bins:
            raise UsageError(
                f"{bins} energy bins cannot tell {basis} materials apart.", hint="Ask for fewer basis materials."
            )

    @property
    def bins(self) -> int:
        """Count the energy bins."""
        return int(self.effective.shape[0])

    def transmission(self, paths: Floats) -> Floats:
        """Give the part of the flat field each bin still counts: paths [..., material] in g/cm² -> [..., bin]."""
        return np.asarray(np.exp(-(paths @ self.attenuation)) @ self.effective.T)

    def slope(self, paths: Floats) -> Floats:
        """Give the transmission's derivative by each area density, [..., bin, material], in cm²/g."""
        return np.asarray(
            -np.einsum("...e,be,me->...bm", np.exp(-(paths @ self.attenuation)), self.effective, self.attenuation)
        )

    def log_attenuation(self, paths: Floats) -> Floats:
        """Give −ln(transmission), what a scan without material decomposition would reconstruct; [..., bin]."""
        return np.asarray(-np.log(self.transmission(paths)))


def spectral_model(
    materials: tuple[str, ...],
    energies_kev: Floats,
    fluence: Floats,
    response: Floats,
    attenuation: Floats,
    *,
    reach_g_cm2: Floats,
) -> SpectralModel:
    """Join a tube's fluence [energy], a detector's response [bin, energy] and mass attenuations [material, energy].

    Energies that no bin sees are left out. Raises UsageError for a bin that sees nothing at all.
    """
    joint = np.asarray(response, dtype=np.float64) * np.asarray(fluence, dtype=np.float64)
    if not np.isfinite(joint).all() or (joint.sum(axis=1) <= 0).any():
        raise UsageError("An energy bin counts nothing of this spectrum.", hint="Check thresholds and tube voltage.")
    seen = joint.sum(axis=0) > 1e-9 * joint.sum(axis=0).max()
    effective = joint[:, seen] / joint[:, seen].sum(axis=1, keepdims=True)
    return SpectralModel(
        materials, np.asarray(energies_kev)[seen], effective, np.asarray(attenuation)[:, seen], np.asarray(reach_g_cm2)
    )


def model_of_scan(scan: Scan, basis: Sequence[str]) -> SpectralModel:
    """Work out what a scan's bins count, from its tube, sensor and thresholds; materials reach to 1 g/cm² each.

    How far they reach is the caller's to say. Raises UsageError for a basis that the bins cannot tell apart.
    """
    made_of = [material(name) for name in basis]
    energies = energy_axis(scan.tube.peak_kv)
    return spectral_model(
        tuple(one.name for one in made_of), energies, tube_spectrum(scan.tube, energies),
        detector.response(scan.sensor, scan.thresholds_kev, energies),
        np.stack([mass_attenuation_cm2_g(one, energies) for one in made_of]), reach_g_cm2=np.ones(len(made_of)),
    )  # fmt: skip


def drawn_paths(model: SpectralModel, count: int, seed: int = 1) -> Floats:
    """Draw area densities that cover the model's reach, thin rays more often than thick ones; [count, material]."""
    chance = np.random.default_rng(seed)
    share = chance.random((count, len(model.materials))) ** 2
    share[: count // 8] = 0.0
    share[: count // 8, :] += np.eye(len(model.materials))[np.arange(count // 8) % len(model.materials)] * (
        chance.random((count // 8, 1))
    )
    return np.asarray(share * model.reach_g_cm2)


def condense(model: SpectralModel, *, tolerance: float = 1e-5, most: int = 60) -> tuple[SpectralModel, float]:
    """Find a few energies whose weighted sum predicts the same counts: a quadrature of the spectrum.

    Energies are picked by pivoted QR of their transmissions over the model's reach, weights by non-negative least
    squares for each bin. Gives the smaller model and the largest relative error of a bin's transmission over paths not
    used to find it. Falls back to more energies until the error is below `tolerance` or `most` are used.
    """
    train, check = drawn_paths(model, 400), drawn_paths(model, 400, seed=2)
    curves = np.exp(-(train @ model.attenuation))
    wanted = curves @ model.effective.T
    scaled = (
        curves
        * np.sqrt((model.effective**2).sum(axis=0))
        / np.sqrt(wanted.prod(axis=1, keepdims=True) ** (2 / model.bins))
    )
    order = qr(scaled, mode="r", pivoting=True)[1]
    count = min(8, order.size)
    while True:
        chosen = np.sort(order[:count])
        weights = np.stack([_non_negative(curves[:, chosen] / wanted[:, [b]]) for b in range(model.bins)])
        weights /= weights.sum(axis=1, keepdims=True)
        small = SpectralModel(
            model.materials, model.energies_kev[chosen], weights, model.attenuation[:, chosen], model.reach_g_cm2
        )
        error = float(np.abs(small.transmission(check) / model.transmission(check) - 1).max())
        if error <= tolerance or count >= min(most, order.size):
            return small, error
        count = min(count + 4, most, int(order.size))


def _non_negative(curves: Floats) -> Floats:
    """Find weights >= 0 whose sum of curves is closest to one everywhere; scaled, for curves of many magnitudes."""
    scale = np.sqrt((curves**2).sum(axis=0))
    return np.asarray(nnls(curves / scale, np.ones(len(curves)), maxiter=100 * curves.shape[1])[0] / scale)


def fisher_information(model: SpectralModel, paths: Floats, flat: Floats) -> Floats:
    """Give the Fisher information of Poisson counts about the area densities, [..., material, material].

    `paths` is [..., material] in g/cm², `flat` [..., bin] (or anything that broadcasts to it) in counts.
    """
    slope, expected = model.slope(paths), model.transmission(paths)
    return np.asarray(np.einsum("...bm,...bn,...b->...mn", slope, slope, flat / expected))


def cramer_rao(model: SpectralModel, paths: Floats, flat: Floats) -> Floats:
    """Give the least covariance an unbiased estimate can have, [..., material, material] in (g/cm²)².

    Cramér–Rao bound for spectral CT: Roessl & Herrmann 2009 (doi:10.1088/0031-9155/54/5/014).
    """
    return np.asarray(np.linalg.inv(fisher_information(model, paths, flat)))
