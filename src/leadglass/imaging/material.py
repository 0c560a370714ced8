"""Knows what things are made of, and how strongly that weakens X-rays.

A material is a density and mass fractions of elements; mass attenuation is the sum of its elements' (mixture rule),
with scattering, from the tables of Elam, Ravel & Sieber 2002 (Radiat. Phys. Chem. 63, 121) as `xraydb` holds them,
5 to 200 keV. Compositions of tissues are those of ICRU Report 44 (1989), printed by NIST (Hubbell & Seltzer, NISTIR
5632, table 2); of skin, cartilage and marrow ICRU Report 46 (1992); the rest follow from chemical formulas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np
import xraydb
from numpy.typing import NDArray

from leadglass.errors import UsageError

Floats = NDArray[np.float64]

ENERGY_MIN_KEV: Final = 1.0
ENERGY_MAX_KEV: Final = 200.0


@dataclass(frozen=True, slots=True)
class Material:
    """A name, a density in g/cm³, and the elements with their mass fractions (which sum to one)."""

    name: str
    density_g_cm3: float
    fractions: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        """Raise UsageError where no such matter can be."""
        total = sum(fraction for _, fraction in self.fractions)
        if self.density_g_cm3 <= 0 or not self.fractions or abs(total - 1) > 5e-3:
            raise UsageError(
                f"{self.name}: density {self.density_g_cm3} g/cm³, mass fractions summing to {total:.4f}.",
                hint="A density is above 0 and mass fractions sum to 1.",
            )
        for element, fraction in self.fractions:
            if element not in _SYMBOLS or fraction < 0:
                raise UsageError(
                    f"{self.name}: {element} {fraction} is no element with a mass fraction.",
                    hint="Write elements by their symbol: H, C, Ca, Gd.",
                )

    @property
    def mg_per_ml(self) -> float:
        """Give the mass of the pure material in each millilitre."""
        return self.density_g_cm3 * 1000


_SYMBOLS: Final = frozenset(xraydb.atomic_symbol(z) for z in range(1, 93))


def of_elements(name: str, density_g_cm3: float, fractions: Mapping[str, float]) -> Material:
    """Make a material from mass fractions, scaled to a sum of exactly one (tables are rounded to three digits)."""
    total = sum(fractions.values())
    if total <= 0:
        raise UsageError(f"{name} has no elements.", hint="Give mass fractions: { H = 0.112, O = 0.888 }.")
    return Material(name, density_g_cm3, tuple((e, f / total) for e, f in fractions.items()))


def of_formula(name: str, density_g_cm3: float, atoms: Mapping[str, float]) -> Material:
    """Make a material from its chemical formula: atoms of each element."""
    return of_elements(name, density_g_cm3, {e: n * xraydb.atomic_mass(e) for e, n in atoms.items()})


def _library() -> Iterable[Material]:
    yield of_elements("air", 1.205e-3, {"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827})
    yield of_formula("water", 1.0, {"H": 2, "O": 1})
    yield of_elements("soft tissue", 1.06, {"H": 0.102, "C": 0.143, "N": 0.034, "O": 0.708, "Na": 0.002, "P": 0.003,
                                            "S": 0.003, "Cl": 0.002, "K": 0.003})  # fmt: skip
    yield of_elements("muscle", 1.05, {"H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "Na": 0.001, "P": 0.002,
                                       "S": 0.003, "Cl": 0.001, "K": 0.004})  # fmt: skip
    yield of_elements("adipose", 0.95, {"H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "Na": 0.001, "S": 0.001,
                                        "Cl": 0.001})  # fmt: skip
    yield of_elements("blood", 1.06, {"H": 0.102, "C": 0.110, "N": 0.033, "O": 0.745, "Na": 0.001, "P": 0.001,
                                      "S": 0.002, "Cl": 0.003, "K": 0.002, "Fe": 0.001})  # fmt: skip
    yield of_elements("cortical bone", 1.92, {"H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001,
                                              "Mg": 0.002, "P": 0.103, "S": 0.003, "Ca": 0.225})  # fmt: skip
    yield of_elements("lung", 0.26, {"H": 0.103, "C": 0.105, "N": 0.031, "O": 0.749, "Na": 0.002, "P": 0.002,
                                     "S": 0.003, "Cl": 0.003, "K": 0.002})  # fmt: skip
    yield of_elements("skin", 1.09, {"H": 0.100, "C": 0.204, "N": 0.042, "O": 0.645, "Na": 0.002, "P": 0.001,
                                     "S": 0.002, "Cl": 0.003, "K": 0.001})  # fmt: skip
    yield of_elements("cartilage", 1.10, {"H": 0.096, "C": 0.099, "N": 0.022, "O": 0.744, "Na": 0.005, "P": 0.022,
                                          "S": 0.009, "Cl": 0.003})  # fmt: skip
    yield of_elements("yellow marrow", 0.98, {"H": 0.115, "C": 0.644, "N": 0.007, "O": 0.231, "Na": 0.001,
                                              "S": 0.001, "Cl": 0.001})  # fmt: skip
    yield of_elements("red marrow", 1.03, {"H": 0.105, "C": 0.414, "N": 0.034, "O": 0.439, "P": 0.001, "S": 0.002,
                                           "Cl": 0.002, "K": 0.002, "Fe": 0.001})  # fmt: skip
    yield of_formula("lipid", 0.91, {"C": 57, "H": 104, "O": 6})  # triolein, the chief part of vegetable oils
    yield of_formula("hydroxyapatite", 3.16, {"Ca": 10, "P": 6, "O": 26, "H": 2})
    yield of_formula("PMMA", 1.19, {"C": 5, "H": 8, "O": 2})
    yield of_formula("polyethylene", 0.93, {"C": 1, "H": 2})
    yield of_formula("CdTe", 5.85, {"Cd": 1, "Te": 1})
    yield of_formula("CZT", 5.78, {"Cd": 0.9, "Zn": 0.1, "Te": 1})
    yield of_formula("GaAs", 5.32, {"Ga": 1, "As": 1})
    for name, symbol, density in _ELEMENTS:
        yield of_formula(name, density, {symbol: 1})


_ELEMENTS: Final = (
    ("calcium", "Ca", 1.55),
    ("iodine", "I", 4.93),
    ("gadolinium", "Gd", 7.90),
    ("gold", "Au", 19.32),
    ("tantalum", "Ta", 16.65),
    ("bismuth", "Bi", 9.79),
    ("aluminium", "Al", 2.699),
    ("copper", "Cu", 8.96),
    ("tin", "Sn", 7.31),
    ("titanium", "Ti", 4.54),
    ("iron", "Fe", 7.874),
    ("tungsten", "W", 19.30),
    ("beryllium", "Be", 1.848),
    ("silicon", "Si", 2.33),
)  # densities of NISTIR 5632, table 1

MATERIALS: Final[Mapping[str, Material]] = MappingProxyType({m.name: m for m in _library()})
_ALIASES: Final = MappingProxyType(
    {m.casefold(): m for m in MATERIALS} | {symbol.casefold(): name for name, symbol, _ in _ELEMENTS}
)


def material(name: str) -> Material:
    """Find a material of the library by its name or its element's symbol, in any case; UsageError if there is none."""
    known = _ALIASES.get(name.strip().casefold().replace("_", " "))
    if known is None:
        raise UsageError(f"There is no material {name!r}.", hint="Known are " + ", ".join(sorted(MATERIALS)) + ".")
    return MATERIALS[known]


def parts_mg_per_ml(base: Material, solute: Material, mg_per_ml: float) -> tuple[float, float]:
    """Give the masses of base and solute in each millilitre of their mixture: volumes add, so the solute displaces."""
    share = mg_per_ml / solute.mg_per_ml
    if not 0 <= share <= 1:
        raise UsageError(
            f"{mg_per_ml} mg/mL of {solute.name} cannot be: pure {solute.name} has {solute.mg_per_ml:g} mg/mL.",
            hint="Give a concentration between 0 and that of the pure material.",
        )
    return base.mg_per_ml * (1 - share), mg_per_ml


def solution(base: Material, solute: Material, mg_per_ml: float) -> Material:
    """Mix `mg_per_ml` of a solute into each millilitre of the whole; the rest of the volume is base."""
    base_mass, solute_mass = parts_mg_per_ml(base, solute, mg_per_ml)
    fractions: dict[str, float] = {}
    for part, mass in ((base, base_mass), (solute, solute_mass)):
        for element, fraction in part.fractions:
            fractions[element] = fractions.get(element, 0.0) + fraction * mass
    name = f"{base.name} + {mg_per_ml:g} mg/mL {solute.name}"
    return of_elements(name, (base_mass + solute_mass) / 1000, fractions)


def mass_attenuation_cm2_g(of: Material, energies_kev: Floats) -> Floats:
    """Give the mass attenuation in cm²/g at each energy, scattering included; same shape as `energies_kev`, read-only.

    UsageError outside 1 to 200 keV. An energy exactly on an edge counts as above it.
    """
    return _cached(of.fractions, "total", energies_kev.tobytes()).reshape(energies_kev.shape)


def photoelectric_cm2_g(of: Material, energies_kev: Floats) -> Floats:
    """Give the photoelectric part of the mass attenuation in cm²/g, as `mass_attenuation_cm2_g` does the whole."""
    return _cached(of.fractions, "photo", energies_kev.tobytes()).reshape(energies_kev.shape)


def attenuation_per_mm(of: Material, energies_kev: Floats) -> Floats:
    """Give the linear attenuation in 1/mm at each energy."""
    return mass_attenuation_cm2_g(of, energies_kev) * (of.density_g_cm3 / 10)


@lru_cache(maxsize=256)
def _cached(fractions: tuple[tuple[str, float], ...], kind: str, energies: bytes) -> Floats:
    energies_kev = np.frombuffer(energies, dtype=np.float64)
    if not ((energies_kev >= ENERGY_MIN_KEV) & (energies_kev <= ENERGY_MAX_KEV)).all():
        raise UsageError(
            f"Attenuation is known from {ENERGY_MIN_KEV:g} to {ENERGY_MAX_KEV:g} keV.", hint="Check the energies."
        )
    total = np.zeros_like(energies_kev)
    for element, fraction in fractions:
        total += fraction * np.asarray(xraydb.mu_elam(element, energies_kev * 1000, kind=kind), dtype=np.float64)
    total.setflags(write=False)
    return total


def k_edge_kev(of: Material) -> float:
    """Give the K edge of the heaviest element, in keV."""
    heaviest = max((element for element, _ in of.fractions), key=lambda element: int(xraydb.atomic_number(element)))
    return float(xraydb.xray_edge(heaviest, "K").energy) / 1000


def as_basis_mg_per_ml(of: Material, basis: Iterable[Material], energies_kev: Floats) -> dict[str, float]:
    """Say a material in other materials: the mg/mL of each whose attenuation together is nearest (least squares).

    A material that is itself in the basis is given exactly. This is what a reconstruction in that basis should find.
    """
    among = tuple(basis)
    columns = np.stack([mass_attenuation_cm2_g(one, energies_kev) for one in among], axis=1)
    wanted = mass_attenuation_cm2_g(of, energies_kev) * of.density_g_cm3
    weights = 1 / wanted
    found, *_ = np.linalg.lstsq(columns * weights[:, None], wanted * weights, rcond=None)
    return {one.name: float(mass) * 1000 for one, mass in zip(among, found, strict=True)}
