"""Phantoms that come with Leadglass hold together; one that does not is refused with the place and the next step."""

from pathlib import Path

import numpy as np
import pytest

import leadglass
from leadglass.errors import UsageError
from leadglass.imaging.geometry import Beam, Grid
from leadglass.imaging.phantom import Strand, voxelised
from leadglass.imaging.phantom_text import parse_phantom

SHIPPED = Path(leadglass.__file__).parent / "content/phantoms"
ROD = """
name = "rod"
[scan]
views = 12
{scan}
[[body]]
kind = "cylinder"
centre = [0, 0, 0]
radii = [5, 5]
length = 10
material = "water"
{body}
"""


def test_the_hand_is_made_of_what_a_hand_is_made_of() -> None:
    hand, protocol = parse_phantom((SHIPPED / "hand.toml").read_text())
    truth = voxelised(hand, Grid((60, 30, 120), (2.0, 2.0, 2.0)), 2)
    for name in ("cortical bone", "blood", "iodine", "gold", "muscle", "adipose", "skin", "hydroxyapatite"):
        assert truth[name].max() > 0, name
    assert 15 < truth["iodine"].max() <= 20
    assert truth["gold"].max() <= 500
    assert protocol.thresholds_kev == (20, 34, 50, 65, 81)
    volume_ml = (
        sum((truth[n] / (1000 * d)).sum() for n, d in (("muscle", 1.05), ("adipose", 0.95), ("skin", 1.09))) * 0.008
    )
    assert 150 < volume_ml < 700  # a hand with the end of its forearm
    assert sum("phalanx" in body.name and "marrow" not in body.name for body in hand.bodies) == 14
    assert sum("metacarpal" in body.name and "marrow" not in body.name for body in hand.bodies) == 5


def test_the_calibration_rods_have_the_published_concentrations() -> None:
    phantom, _ = parse_phantom((SHIPPED / "calibration.toml").read_text())
    found = {(body.solute.name, body.mg_per_ml) for body in phantom.bodies if body.solute}
    assert {("gadolinium", c) for c in (1, 2, 4, 8)} <= found
    assert {("hydroxyapatite", c) for c in (54.3, 211.7, 808.5)} <= found
    truth = voxelised(phantom, Grid((160, 160, 1), (0.5, 0.5, 1.0)), 2)
    assert np.isclose(truth["gold"].max(), 8)
    assert np.isclose(truth["lipid"].max(), 910)


def test_the_thorax_holds_together() -> None:
    phantom, protocol = parse_phantom((SHIPPED / "thorax.toml").read_text())
    assert {"lung", "blood", "cortical bone"} <= {one.name for one in phantom.substances()}
    assert protocol.geometry.views == 480


def test_a_quick_scan_keeps_angles_and_field_of_view() -> None:
    _, protocol = parse_phantom((SHIPPED / "hand.toml").read_text())
    quick = protocol.quick(3).geometry
    full = protocol.geometry
    assert quick.views == 120
    assert quick.angles[1] == full.angles[3]
    assert np.isclose(
        quick.panel.columns * quick.panel.column_pitch_mm, full.panel.columns * full.panel.column_pitch_mm
    )


def test_a_helical_or_parallel_scan_can_be_written_down() -> None:
    _, spiral = parse_phantom(ROD.format(scan="pitch_mm = 5\nturns = 2", body=""))
    assert np.ptp(spiral.geometry.z_mm) > 8
    _, side = parse_phantom(ROD.format(scan='beam = "parallel"', body=""))
    assert side.geometry.beam is Beam.PARALLEL


def test_a_coat_is_the_same_shape_grown() -> None:
    phantom, _ = parse_phantom(
        'name = "finger"\n[[body]]\nkind = "strand"\npoints = [[0,0,0],[0,0,9]]\nradii = [4, 3]\nmaterial = "muscle"\n'
        'priority = 2\ncoats = [{ material = "skin", thickness = 1.5, priority = 1 }]'
    )
    coat, core = phantom.bodies
    assert isinstance(coat.solid, Strand)
    assert coat.solid.radii == (5.5, 4.5)
    assert (coat.material.name, core.material.name) == ("skin", "muscle")


@pytest.mark.parametrize(
    ("scan", "body", "said"),
    [
        ("views = 13", "", "no TOML"),
        ("view = 13", "", "no key 'view'"),
        ("", 'colour = "red"', "no key 'colour'"),
        ("", 'solute = "iodine"', "solute and mg_per_ml go together"),
        ("", 'solute = "iodine"\nmg_per_ml = 9000', "cannot be"),
        ("", 'solute = "kryptonite"\nmg_per_ml = 1', "no material"),
        ("", "priority = 1.5", "priority"),
        ("", "axis = [0, 0, 0]", "axis"),
        ("beam = 3", "", "beam"),
        ('beam = "laser"', "", "beam"),
        ("columns = 0", "", "no pixels"),
        ("source_axis_mm = 900", "", "behind the detector"),
        ("thresholds_kev = [20, -3]", "", "thresholds_kev"),
        ("noise_kev = -1", "", "noise_kev"),
        ("charge_mas = true", "", "charge_mas"),
        ('filters = [{ material = "wool", mm = 1 }]', "", "no material"),
    ],
)
def test_what_does_not_hold_together_is_refused_with_its_place(scan: str, body: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_phantom(ROD.format(scan=scan, body=body))
    assert caught.value.hint


STRAND = '[[body]]\nkind = "strand"\nmaterial = "water"\n'
RING = '[[body]]\nkind = "ring"\ncentre = [0,0,0]\nwidth = 1\nmaterial = "water"\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = 3",
        'name = "x"',
        "= [",
        'name = "x"\nbody = [1]',
        'name = "x"\n[[body]]\nkind = "blob"',
        'name = "x"\n' + STRAND + "points = [[0,0]]\nradii = [1]",
        'name = "x"\n' + STRAND + "points = [[0,0,0]]\nradii = [1, 2]",
        'name = "x"\n' + RING + "inner = 3\nouter = 2",
    ],
)
def test_half_a_phantom_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_phantom(text)
