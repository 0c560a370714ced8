"""What a scan of a phantom of known rods teaches: each material's response in each bin, and what the model gets wrong.

Two calibrations, for two ways of decomposition. In the image: the mean of each rod in each bin's reconstruction against
its concentration is a straight line (`rod_response`). In the counts: the effective spectra are bent by a few numbers a
bin until they predict the counts of rays through known matter (`bend_spectra`), which takes up wrong thresholds,
filtration and tails of the detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.image_decomposition import EffectiveAttenuation
from leadglass.imaging.material import mass_attenuation_cm2_g, material
from leadglass.imaging.phantom import Phantom, pieces
from leadglass.imaging.quality import Linearity, linearity
from leadglass.imaging.scan import Scan
from leadglass.imaging.spectral_model import Floats, SpectralModel, cramer_rao, model_of_scan
from leadglass.imaging.thickness import line_integrals
from leadglass.imaging.volume import Voxels

STEEPEST = 0.1
"""Change of optical depth from pixel to pixel above which a ray is no witness: a pixel's mean is off by a 24th of its
square."""
CLEAR_OF_NOISE = 8.0
"""Area densities may be searched at least this many standard deviations around zero."""


@dataclass(frozen=True, slots=True)
class Rod:
    """One rod along z: what it holds beside its solvent, how much (mg/mL), and where (mm)."""

    material: str
    mg_per_ml: float
    centre_mm: tuple[float, float]
    radius_mm: float

    def inside(self, grid: Grid, share: float = 0.7) -> NDArray[np.bool_]:
        """Mark the voxels [x, y] within a share of the radius, clear of its edge."""
        x, y = grid.centres_mm(0)[:, None] - self.centre_mm[0], grid.centres_mm(1)[None, :] - self.centre_mm[1]
        return np.asarray(np.hypot(x, y) <= share * self.radius_mm)


@dataclass(frozen=True, slots=True)
class RodResponse:
    """Each solute's response, and how straight it is: `lines` by material, one a bin."""

    effective: EffectiveAttenuation
    lines: dict[str, tuple[Linearity, ...]]

    @property
    def least_r_squared(self) -> float:
        """Give the worst of all lines' R²."""
        return min(line.r_squared for lines in self.lines.values() for line in lines)


def rod_response(bins: Voxels, grid: Grid, rods: Sequence[Rod], *, solvent: str = "water") -> RodResponse:
    """Measure each material's response from bins [bin, x, y, z] in 1/cm: solvent from pure rods, solutes as slopes.

    A rod of the solvent has its density as concentration. A solute's line includes the solvent's rods as its zero; the
    solvent it displaces is accounted for. Raises UsageError without a solvent rod, or for a rod outside the volume.
    """
    means = np.array([[float(one[rod.inside(grid)].mean(dtype=np.float64)) for one in bins] for rod in rods])
    if not np.isfinite(means).all():
        raise UsageError("A rod lies outside the volume or holds no voxel.", hint="Check the phantom's description.")
    pure = np.array([rod.material == solvent for rod in rods])
    if not pure.any():
        raise UsageError(f"No rod is pure {solvent}.", hint="The response of solutes needs their solvent.")
    density = material(solvent).mg_per_ml
    blank = means[pure].mean(axis=0)
    names, columns, lines = [solvent], [blank / density], {}
    for name in dict.fromkeys(rod.material for rod in rods if rod.material != solvent):
        which = [k for k, rod in enumerate(rods) if rod.material == name]
        amount = np.array([0.0] + [rods[k].mg_per_ml for k in which])
        seen = np.vstack([blank, means[which]])
        free = seen - blank * (1 - amount[:, None] / material(name).mg_per_ml)
        if len(amount) > 2:
            lines[name] = tuple(linearity(amount.tolist(), free[:, b].tolist()) for b in range(len(bins)))
        columns.append(amount @ free / (amount @ amount))
        names.append(name)
    rooms = np.array([material(name).mg_per_ml for name in names])
    effective = EffectiveAttenuation(tuple(names), np.column_stack(columns), rooms, np.zeros(len(bins)))
    return RodResponse(effective, lines)


def scan_model(scan: Scan, basis: Sequence[str]) -> SpectralModel:
    """Make the spectral model of a scan from its tube, sensor and thresholds, for these basis materials.

    How far area densities may reach is taken from the scan: what each material alone would need to weaken as much as
    the darkest ray, and at least well clear of the noise.
    """
    model = model_of_scan(scan, basis)
    good = ~scan.bad
    flat = scan.flat[:, good].mean(axis=1, dtype=np.float64)
    darkest = np.quantile(scan.counts.sum(axis=0)[:, good][:, ::17] / scan.flat.sum(axis=0)[good][::17], 1e-3)
    depth = float(np.clip(-np.log(max(float(darkest), 1e-4)), 0.5, 9.0))
    seen = (model.effective.mean(axis=0) * model.attenuation).sum(axis=1)
    reach = depth / seen * np.where(np.arange(len(basis)) == 0, 1.3, 0.6)
    half = np.zeros(len(basis))
    half[0] = 0.5 * reach[0]
    noise = np.sqrt(np.diag(cramer_rao(model, half, flat)))
    return replace(model, reach_g_cm2=np.maximum(reach, CLEAR_OF_NOISE * noise))


@dataclass(frozen=True, slots=True)
class Bend:
    """A corrected model, the numbers it was bent by ([bin, term]), and the misfit before and after.

    Misfit is the mean of (counted − predicted)² / predicted: 1 where only Poisson noise is left.
    """

    model: SpectralModel
    terms: Floats
    misfit_before: float
    misfit_after: float


def bend_spectra(
    model: SpectralModel, paths: Floats, counts: Floats, flat: Floats, *, known: Floats | None = None, terms: int = 2
) -> Bend:
    """Correct effective spectra from rays through known matter, by maximum likelihood.

    Each bin's spectrum is multiplied by exp(a₁ x + a₂ x² + …), x its energy relative to the bin's mean in its own
    widths, and normalised: a few numbers a bin, always positive, unchanged where a = 0. `paths` [ray, substance] in
    g/cm², `counts` and `flat` [ray, bin]; `known` [substance, energy] is the substances' mass attenuation, that of the
    basis if left out. Raises UsageError for fewer rays than terms.
    """
    attenuation = model.attenuation if known is None else known
    if len(paths) <= terms or counts.shape != (len(paths), model.bins) or flat.shape != counts.shape:
        raise UsageError("There are too few known rays, or their counts do not fit the model.")
    if attenuation.shape != (paths.shape[1], model.energies_kev.size):
        raise UsageError("The known substances' attenuation does not fit the paths or the model's energies.")
    dimmed = np.exp(-(paths @ attenuation))
    bent, found = np.empty_like(model.effective), np.zeros((model.bins, terms))
    for b in range(model.bins):
        bent[b], found[b] = _bend(model.effective[b], model.energies_kev, dimmed, counts[:, b], flat[:, b], terms)
    after = replace(model, effective=bent)
    return Bend(after, found, _misfit(dimmed @ model.effective.T, counts, flat), _misfit(dimmed @ bent.T, counts, flat))


def bend_to_scan(model: SpectralModel, scan: Scan, phantom: Phantom, *, rays: int = 20_000, terms: int = 2) -> Bend:
    """Correct a model from the scan of a phantom that is exactly known: its shapes, densities and substances.

    Rays are drawn evenly from those that meet the phantom away from its edges (a pixel that an edge crosses counts
    less than its mean thickness says); pixels marked bad are left out. Dead time and pile-up are taken out of the scan
    first. Raises UsageError where too few rays meet it.
    """
    exact = line_integrals(phantom, scan.geometry, 2)
    meets = (exact.sum(axis=-1) > 0.05) & ~scan.bad[None]
    known = np.stack([mass_attenuation_cm2_g(one, model.energies_kev) for one in pieces(phantom).substances])
    depth = exact @ (known @ model.effective.mean(axis=0))
    steep = np.abs(np.diff(depth, axis=1)) > STEEPEST
    meets[:, 1:] &= ~steep
    meets[:, :-1] &= ~steep
    found = np.flatnonzero(meets)
    if found.size <= terms:
        raise UsageError("Hardly a ray meets the phantom.", hint="Is it the phantom that was scanned?")
    view, column, row = np.unravel_index(found[:: max(1, found.size // rays)], meets.shape)
    counts, flat = scan.counts[:, view, column, row].T, scan.flat[:, column, row].T
    return bend_spectra(
        model, exact[view, column, row].astype(np.float64), counts.astype(np.float64), flat.astype(np.float64),
        known=known, terms=terms,
    )  # fmt: skip


def _misfit(transmission: Floats, counts: Floats, flat: Floats) -> float:
    expected = flat * transmission
    return float(((counts - expected) ** 2 / np.maximum(expected, 1e-9)).mean())


def _bend(
    spectrum: Floats, energies: Floats, dimmed: Floats, counts: Floats, flat: Floats, terms: int
) -> tuple[Floats, Floats]:
    mean = spectrum @ energies
    width = np.sqrt(max(float(spectrum @ (energies - mean) ** 2), 1e-6))
    powers = np.stack([((energies - mean) / width) ** (k + 1) for k in range(terms)])
    a, damping = np.zeros(terms), 1e-3

    def bent(a: Floats) -> Floats:
        raised = a @ powers
        weights = spectrum * np.exp(raised - raised.max())
        return np.asarray(weights / weights.sum())

    def loss(a: Floats) -> float:
        expected = np.maximum(flat * (dimmed @ bent(a)), 1e-9)
        return float((expected - counts * np.log(expected)).sum())

    least = loss(a)
    for _ in range(60):
        weights = bent(a)
        expected = np.maximum(flat * (dimmed @ weights), 1e-9)
        centred = powers - (powers @ weights)[:, None]
        slope = flat[:, None] * (dimmed @ (weights * centred).T)
        uphill = slope.T @ (counts / expected - 1)
        information = slope.T @ (slope / expected[:, None])
        step = np.linalg.solve(information + damping * np.diag(np.diag(information)) + 1e-9 * np.eye(terms), uphill)
        trial = a + np.clip(step, -1.0, 1.0)
        tried = loss(trial)
        if tried <= least:
            a, least, damping = trial, tried, max(damping / 5, 1e-9)
            if float(uphill @ step) < 1e-9 * len(counts):
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    return bent(a), a
