"""One small scan for tests, made once: a water rod with a rod of iodine and a rod of calcium in it."""

from __future__ import annotations

from functools import cache

from leadglass.imaging.geometry import Panel, circle
from leadglass.imaging.material import MATERIALS
from leadglass.imaging.phantom import Body, Cylinder, Phantom
from leadglass.imaging.scan import Scan, Sensor, Tube
from leadglass.imaging.simulate import simulate

WATER = MATERIALS["water"]
IODINE_MG_ML, CALCIUM_MG_ML = 15.0, 150.0
IODINE_AT, CALCIUM_AT = (8.0, 0.0), (-8.0, 3.0)
RODS = Phantom(
    "rods",
    (
        Body(Cylinder((0, 0, 0), (16.0, 16.0), 10), WATER),
        Body(Cylinder((*IODINE_AT, 0), (4.0, 4.0), 10), WATER, MATERIALS["iodine"], IODINE_MG_ML, priority=1),
        Body(Cylinder((*CALCIUM_AT, 0), (4.0, 4.0), 10), WATER, MATERIALS["calcium"], CALCIUM_MG_ML, priority=1),
    ),
)
BASIS = ("water", "calcium", "iodine")


@cache
def scanned(dead_ns: float = 0.0) -> Scan:
    """Count the rods."""
    tube = Tube(118.0, 0.2, (("aluminium", 3.8),), exposure_ms=200.0)
    geometry = circle(Panel(64, 16, 1.0, 1.0), 90, source_axis_mm=300, source_panel_mm=400)
    sensor = Sensor(dead_ns=dead_ns, is_charge_summing=True)
    return simulate(RODS, geometry, tube, sensor, (20.0, 34.0, 50.0, 65.0, 81.0), seed=5, bad_share=0.002)
