"""Knows how a phantom and its scan are written down in TOML, and says what is wrong with one that does not hold.

    name = "two rods"
    [scan]                          # every line has a default; see `Protocol`
    views = 180
    [[body]]
    kind = "cylinder"               # ellipsoid, cylinder, box, strand, torus, ring
    centre = [0, 0, 0]
    radii = [20, 20]
    length = 40
    material = "PMMA"
    [[body]]
    kind = "cylinder"
    centre = [8, 0, 0]
    radii = [3, 3]
    length = 40
    material = "water"
    solute = "iodine"
    mg_per_ml = 9
    priority = 1                    # the highest fills a place where bodies overlap

A strand may have coats, the same shape grown: `coats = [{ material = "skin", thickness = 1.2, priority = 0 }]`. Unknown
keys are errors. Lengths are mm.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Beam, Geometry, Panel, circle, helix
from leadglass.imaging.material import material, parts_mg_per_ml
from leadglass.imaging.phantom import Body, Box, Cylinder, Ellipsoid, Phantom, Point, Ring, Solid, Strand, Torus
from leadglass.imaging.scan import Sensor, Tube
from leadglass.limits import PHANTOM_BODIES_MAX, PHANTOM_POINTS_MAX

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a phantom is scanned: geometry, tube, sensor and thresholds."""

    geometry: Geometry
    tube: Tube
    sensor: Sensor
    thresholds_kev: tuple[float, ...]
    bad_share: float = 0.0

    def quick(self, factor: int = 3) -> Protocol:
        """Give a scan of a `factor` fewer views, columns and rows, over the same angles and field of view."""
        panel = self.geometry.panel
        columns, rows = max(1, panel.columns // factor), max(1, panel.rows // factor)
        coarse = Panel(
            columns, rows, panel.column_pitch_mm * panel.columns / columns, panel.row_pitch_mm * panel.rows / rows,
            panel.column_offset_mm, panel.row_offset_mm,
        )  # fmt: skip
        thin = replace(
            self.geometry, panel=coarse, angles=self.geometry.angles[::factor], z_mm=self.geometry.z_mm[::factor]
        )
        return replace(self, geometry=thin)


def parse_phantom(text: str) -> tuple[Phantom, Protocol]:
    """Read a phantom and its scan; UsageError names the body and key that is wrong."""
    try:
        whole: Table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"This is no TOML: {error}.", hint="Mend the line it names.") from error
    reader = _Reader(whole, "the phantom", {"name", "about", "scan", "body"})
    bodies: list[Body] = []
    for index, entry in enumerate(reader.tables("body")):
        bodies += _bodies(entry, f"body {index + 1}")
        if len(bodies) > PHANTOM_BODIES_MAX:
            raise UsageError(f"The phantom has more than {PHANTOM_BODIES_MAX} bodies.", hint="Leave some out.")
    phantom = Phantom(reader.text("name"), tuple(bodies), reader.text("about", ""))
    return phantom, _protocol(reader.table("scan"))


_KINDS: Final[Mapping[str, tuple[set[str], Callable[[_Reader], Solid]]]] = {
    "ellipsoid": (
        {"centre", "half_axes", "axis"},
        lambda r: Ellipsoid(r.point("centre"), r.sizes("half_axes"), r.axis()),
    ),
    "cylinder": (
        {"centre", "radii", "length", "axis"},
        lambda r: Cylinder(r.point("centre"), r.pair("radii"), r.size("length"), r.axis()),
    ),
    "box": ({"centre", "size", "axis"}, lambda r: Box(r.point("centre"), r.sizes("size"), r.axis())),
    "strand": ({"points", "radii", "coats"}, lambda r: _strand(r)),
    "torus": (
        {"centre", "radius", "tube", "axis"},
        lambda r: Torus(r.point("centre"), r.size("radius"), r.size("tube"), r.axis()),
    ),
    "ring": ({"centre", "inner", "outer", "width", "axis"}, lambda r: _ring(r)),
}


def _bodies(entry: Table, place: str) -> Iterator[Body]:
    """Give a body, and before it the coats it wears."""
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UsageError(f"{place}: kind is {kind!r}.", hint="Known are " + ", ".join(_KINDS) + ".")
    keys, build = _KINDS[kind]
    always = {"kind", "name", "material", "solute", "mg_per_ml", "priority"}
    name = entry.get("name")
    reader = _Reader(entry, f"{place} ({name})" if isinstance(name, str) else place, keys | always)
    solid = build(reader)
    for coat in reader.tables("coats"):
        of_coat = _Reader(coat, f"{reader.place}, coat", {"material", "thickness", "priority"})
        assert isinstance(solid, Strand)
        grown = replace(solid, radii=tuple(radius + of_coat.size("thickness") for radius in solid.radii))
        yield Body(grown, material(of_coat.text("material")), priority=of_coat.whole("priority", 0), name=reader.place)
    base = material(reader.text("material"))
    solute = material(reader.text("solute")) if "solute" in entry else None
    if ("mg_per_ml" in entry) != (solute is not None):
        raise UsageError(f"{reader.place}: solute and mg_per_ml go together.", hint="Give both, or neither.")
    amount = reader.number("mg_per_ml", 0.0)
    if solute is not None:
        parts_mg_per_ml(base, solute, amount)
    yield Body(solid, base, solute, amount, reader.whole("priority", 0), reader.text("name", ""))


def _strand(reader: _Reader) -> Strand:
    points = tuple(reader.one_point(entry, "points") for entry in reader.list_of("points"))
    radii = tuple(reader.positive(entry, "radii") for entry in reader.list_of("radii"))
    if not 1 <= len(points) <= PHANTOM_POINTS_MAX or len(points) != len(radii):
        raise reader.wrong("points", f"are {len(points)} with {len(radii)} radii", "Give a radius for each point.")
    return Strand(points, radii)


def _ring(reader: _Reader) -> Ring:
    inner, outer = reader.size("inner"), reader.size("outer")
    if inner >= outer:
        raise reader.wrong("inner", f"is {inner:g}, outer {outer:g}", "The inner radius is the smaller one.")
    return Ring(reader.point("centre"), inner, outer, reader.size("width"), reader.axis())


_SCAN_KEYS: Final = {
    "beam", "views", "turns", "pitch_mm", "source_axis_mm", "source_panel_mm", "columns", "rows", "column_pitch_mm",
    "row_pitch_mm", "column_offset_mm", "row_offset_mm", "peak_kv", "charge_mas", "exposure_ms", "anode_deg", "filters",
    "thresholds_kev", "sensor", "thickness_mm", "pixel_mm", "noise_kev", "cloud_um", "dead_ns", "threshold_spread_kev",
    "charge_summing", "bad_share",
}  # fmt: skip


def _protocol(entry: Table) -> Protocol:
    r = _Reader(entry, "[scan]", _SCAN_KEYS)
    beam, views = r.text("beam", "cone"), r.whole("views", 360)
    if beam not in {one.value for one in Beam}:
        raise r.wrong("beam", f"is {beam!r}", "Write parallel, fan or cone.")
    pitch_mm = r.size("column_pitch_mm", 0.8)
    panel = Panel(
        r.whole("columns", 256), r.whole("rows", 1 if beam == "fan" else 64),
        pitch_mm, r.size("row_pitch_mm", pitch_mm),
        r.number("column_offset_mm", 0.0), r.number("row_offset_mm", 0.0),
    )  # fmt: skip
    axis_mm, panel_mm = r.size("source_axis_mm", 500.0), r.size("source_panel_mm", 800.0)
    if views < 1:
        raise r.wrong("views", f"is {views}", "Give at least one.")
    turns, helix_mm = r.size("turns", 1.0), r.number("pitch_mm", 0.0)
    if helix_mm and beam == "cone":
        geometry = helix(panel, views, pitch_mm=helix_mm, turns=turns, source_axis_mm=axis_mm, source_panel_mm=panel_mm)
    else:
        geometry = circle(
            panel, views, source_axis_mm=axis_mm, source_panel_mm=panel_mm, beam=Beam(beam), arc=2 * math.pi * turns
        )
    filters = tuple((one.text("material"), one.size("mm")) for one in (
        _Reader(entry, "[scan] filters", {"material", "mm"}) for entry in r.tables("filters")
    ))  # fmt: skip
    for name, _ in filters:
        material(name)
    tube = Tube(
        r.size("peak_kv", 120.0), r.size("charge_mas", 0.02), filters or (("aluminium", 2.5),),
        r.size("anode_deg", 12.0), r.size("exposure_ms", 100.0),
    )  # fmt: skip
    sensor = Sensor(
        r.text("sensor", "CdTe"), r.size("thickness_mm", 2.0), r.size("pixel_mm", 0.11), r.number("noise_kev", 1.9),
        r.number("cloud_um", 18.0), r.number("dead_ns", 0.0), r.number("threshold_spread_kev", 0.0),
        r.flag("charge_summing", True),
    )  # fmt: skip
    thresholds = tuple(r.positive(one, "thresholds_kev") for one in r.list_of("thresholds_kev", [20, 34, 50, 65, 81]))
    return Protocol(geometry, tube, sensor, thresholds, r.number("bad_share", 0.0))


class _Reader:
    """Takes values out of one table by key, each checked, and refuses keys nobody asks for."""

    def __init__(self, entry: Table, place: str, keys: set[str]) -> None:
        self.entry, self.place = entry, place
        for key in entry:
            if key not in keys:
                raise UsageError(
                    f"{place}: there is no key {key!r}.", hint="Known are " + ", ".join(sorted(keys)) + "."
                )

    def wrong(self, key: str, what: str, hint: str) -> UsageError:
        return UsageError(f"{self.place}: {key} {what}.", hint=hint)

    def _value(self, key: str, default: object) -> object:
        found = self.entry.get(key, default)
        if found is None:
            raise self.wrong(key, "is missing", f"Add {key} = ….")
        return found

    def text(self, key: str, default: str | None = None) -> str:
        found = self._value(key, default)
        if not isinstance(found, str):
            raise self.wrong(key, f"is {found!r}", "Write text in quotes.")
        return found

    def flag(self, key: str, default: bool) -> bool:
        found = self._value(key, default)
        if not isinstance(found, bool):
            raise self.wrong(key, f"is {found!r}", "Write true or false.")
        return found

    def one_number(self, found: object, key: str) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e6:
            raise self.wrong(key, f"has {found!r}", "Write a number.")
        return float(found)

    def number(self, key: str, default: float | None = None) -> float:
        found = self.one_number(self._value(key, default), key)
        if default is not None and default >= 0 and found < 0 and "offset" not in key and key != "pitch_mm":
            raise self.wrong(key, f"is {found:g}", "Give a number of 0 or more.")
        return found

    def positive(self, found: object, key: str) -> float:
        number = self.one_number(found, key)
        if number <= 0:
            raise self.wrong(key, f"has {number:g}", "Give a number above 0.")
        return number

    def size(self, key: str, default: float | None = None) -> float:
        return self.positive(self._value(key, default), key)

    def whole(self, key: str, default: int) -> int:
        found = self._value(key, default)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.wrong(key, f"is {found!r}", "Write a whole number.")
        return found

    def list_of(self, key: str, default: list[object] | None = None) -> list[object]:
        found = self._value(key, default)
        if not isinstance(found, list):
            raise self.wrong(key, f"is {found!r}", "Write a list in brackets.")
        return found

    def tables(self, key: str) -> list[Table]:
        found = self.list_of(key, [])
        for one in found:
            if not isinstance(one, dict):
                raise self.wrong(key, f"has {one!r}", "Write tables: [[" + key + "]] or { … }.")
        return [one for one in found if isinstance(one, dict)]

    def table(self, key: str) -> Table:
        found = self._value(key, {})
        if not isinstance(found, dict):
            raise self.wrong(key, f"is {found!r}", f"Write a table: [{key}].")
        return found

    def one_point(self, found: object, key: str) -> Point:
        if not isinstance(found, list) or len(found) != 3:
            raise self.wrong(key, f"has {found!r}", "Write three numbers: [x, y, z] in mm.")
        x, y, z = (self.one_number(one, key) for one in found)
        return x, y, z

    def point(self, key: str) -> Point:
        return self.one_point(self._value(key, None), key)

    def sizes(self, key: str) -> Point:
        x, y, z = (self.positive(one, key) for one in self.point(key))
        return x, y, z

    def pair(self, key: str) -> tuple[float, float]:
        found = self.list_of(key)
        if len(found) != 2:
            raise self.wrong(key, f"has {len(found)} numbers", "Give two, equal ones for a round cylinder.")
        return self.positive(found[0], key), self.positive(found[1], key)

    def axis(self) -> Point:
        found = self.one_point(self._value("axis", [0, 0, 1]), "axis")
        if sum(abs(one) for one in found) < 1e-9:
            raise self.wrong("axis", "is zero", "Give a direction, such as [0, 0, 1].")
        return found
