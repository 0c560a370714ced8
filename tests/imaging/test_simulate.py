"""Simulated counts are Poisson counts of the exact expectation, the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from leadglass.errors import UsageError
from leadglass.imaging.detector import response
from leadglass.imaging.geometry import Beam, Geometry, Panel, circle, helix
from leadglass.imaging.material import MATERIALS, mass_attenuation_cm2_g
from leadglass.imaging.phantom import Body, Cylinder, Phantom, Strand
from leadglass.imaging.scan import Sensor, Tube
from leadglass.imaging.simulate import fluence_mm2, simulate
from leadglass.imaging.spectrum import energy_axis, tube_spectrum
from leadglass.imaging.thickness import line_integrals

WATER = MATERIALS["water"]
THRESHOLDS = (20.0, 34.0, 50.0, 65.0, 81.0)
TUBE = Tube(118.0, 0.02, (("aluminium", 3.8),))
BALL = Phantom("ball", (Body(Strand(((0.0, 0.0, 0.0),), (20.0,)), WATER, MATERIALS["iodine"], 10.0),))
GEOMETRY = circle(Panel(24, 16, 2.0, 2.0), 40, source_axis_mm=200, source_panel_mm=250)


def expectation(mass_g_cm2: dict[str, float], sensor: Sensor) -> np.ndarray:
    """Work the expected counts of one central ray out again, directly."""
    energies = energy_axis(TUBE.peak_kv)
    depth = sum(mass * mass_attenuation_cm2_g(MATERIALS[name], energies) for name, mass in mass_g_cm2.items())
    photons = tube_spectrum(TUBE, energies) * np.exp(-depth)
    return response(sensor, THRESHOLDS, energies) @ photons * TUBE.charge_mas


def test_counts_are_poisson_around_the_expectation_worked_out_by_hand() -> None:
    plate = Phantom("plate", (Body(Cylinder((0, 0, 0), (500, 500), 400), WATER),))
    geometry = Geometry(Beam.PARALLEL, Panel(20, 20, 1.0, 1.0), np.linspace(0, 3, 30), np.zeros(30), 0, 0)
    thin = replace(plate.bodies[0], solid=Cylinder((0, 0, 0), (40.0, 40.0), 400))
    scan = simulate(Phantom("rod", (thin,)), geometry, TUBE, Sensor(), THRESHOLDS, seed=3, supersample=4)
    middle = scan.counts[:, :, 9:11, :]
    expected = expectation({"water": 8.0}, Sensor())
    np.testing.assert_allclose(middle.mean(axis=(1, 2, 3)), expected, rtol=0.01)
    np.testing.assert_allclose(middle.var(axis=(1, 2, 3)) / middle.mean(axis=(1, 2, 3)), 1, atol=0.2)
    np.testing.assert_allclose(scan.flat.mean(axis=(1, 2)), expectation({}, Sensor()), rtol=0.005)
    assert 0.05 < scan.flat[0].std() / np.sqrt(scan.flat[0].mean()) < 0.15  # a mean of 100 views has noise of its own


def test_the_same_seed_gives_the_same_counts_and_another_others() -> None:
    one, same, other = (simulate(BALL, GEOMETRY, TUBE, Sensor(), THRESHOLDS, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.counts, same.counts)
    assert (one.counts != other.counts).mean() > 0.5


def test_a_helix_sees_what_a_circle_of_its_height_sees() -> None:
    path = helix(GEOMETRY.panel, 40, pitch_mm=8, turns=2, source_axis_mm=200, source_panel_mm=250)
    risen = replace(GEOMETRY, angles=path.angles[30:31], z_mm=np.zeros(1))
    ball = replace(BALL.bodies[0], solid=Strand(((0.0, 0.0, -path.z_mm[30]),), (20.0,)))
    spiral = simulate(BALL, path, TUBE, Sensor(), THRESHOLDS, seed=1)
    flat = simulate(Phantom("moved", (ball,)), risen, TUBE, Sensor(), THRESHOLDS, seed=1)
    apart = spiral.counts[:, 30] - flat.counts[:, 0]
    assert np.abs(apart / np.sqrt(np.maximum(flat.counts[:, 0], 1))).mean() < 1.5


def test_dead_pixels_count_nothing_and_are_marked() -> None:
    scan = simulate(BALL, GEOMETRY, TUBE, Sensor(), THRESHOLDS, seed=4, bad_share=0.1)
    assert 0.03 < scan.bad.mean() < 0.2
    assert scan.counts[:, :, scan.bad].max() == 0
    assert scan.flat[:, scan.bad].max() == 0


def test_pile_up_loses_counts_where_the_beam_is_bright_and_moves_them_up() -> None:
    clean = simulate(BALL, GEOMETRY, TUBE, Sensor(), THRESHOLDS, seed=5)
    piled = simulate(BALL, GEOMETRY, replace(TUBE, exposure_ms=5), Sensor(dead_ns=300), THRESHOLDS, seed=5)
    lost = piled.flat.sum(axis=0) / clean.flat.sum(axis=0)
    rate = clean.flat.sum(axis=0) / (4 / 0.11**2) / 0.005
    np.testing.assert_allclose(lost, 1 / (1 + rate * 300e-9), rtol=0.02)
    assert (piled.flat[-1] / clean.flat[-1]).mean() > (piled.flat[0] / clean.flat[0]).mean() + 0.02


def test_thresholds_that_differ_make_pixels_differ() -> None:
    sensor = Sensor(pitch_mm=2.0, threshold_spread_kev=1.0)
    plain, spread = (
        simulate(BALL, GEOMETRY, TUBE, s, THRESHOLDS, seed=6) for s in (replace(sensor, threshold_spread_kev=0), sensor)
    )
    assert spread.flat[3].std() > 5 * plain.flat[3].std()


def test_more_rays_a_pixel_tend_to_the_truth_at_edges() -> None:
    counts = [
        simulate(BALL, GEOMETRY, replace(TUBE, charge_mas=2e3), Sensor(), THRESHOLDS, seed=7, supersample=n).counts
        for n in (1, 2, 8)
    ]
    errors = [np.abs(one - counts[2]).mean() for one in counts[:2]]
    assert errors[1] < errors[0] / 2


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    simulate(BALL, GEOMETRY, TUBE, Sensor(), THRESHOLDS, seed=1, on_progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (40, 40)
    assert sorted(told) == told


def test_a_pixel_aside_sees_less_by_the_cube_of_the_cosine() -> None:
    sizes, panel = fluence_mm2(GEOMETRY), GEOMETRY.panel
    away = np.sqrt(250**2 + panel.u_mm()[:, None] ** 2 + panel.v_mm()[None, :] ** 2)
    np.testing.assert_allclose(sizes, 4 * 16 * (250 / away) ** 3)


@pytest.mark.parametrize(
    "change",
    [{"thresholds_kev": (20.0, 119.0)}, {"supersample": 0}, {"seed": -1}, {"bad_share": 1.0}, {"flat_views": 0},
     {"tube": replace(TUBE, charge_mas=0.0)}, {"tube": replace(TUBE, exposure_ms=0.0)}, {"sensor": Sensor("lead")}],
)  # fmt: skip
def test_what_cannot_be_scanned_is_refused(change: dict[str, object]) -> None:
    arguments = {"tube": TUBE, "sensor": Sensor(), "thresholds_kev": THRESHOLDS, "seed": 1} | change
    with pytest.raises(UsageError):
        simulate(BALL, GEOMETRY, **arguments)  # type: ignore[arg-type]


def test_every_view_and_pixel_counts_what_lies_on_its_ray() -> None:
    """Two rods off the axis, a helix of 40 views: all counts against the thicknesses, energy by energy."""
    bodies = (
        Body(Cylinder((9, -4, 0), (5, 3), 60, (0.2, 0.1, 1)), WATER, MATERIALS["gold"], 20.0),
        Body(Strand(((-8, 3, -9), (-2, 8, 6)), (4, 6)), MATERIALS["cortical bone"]),
    )
    phantom = Phantom("rods", bodies)
    path = helix(GEOMETRY.panel, 40, pitch_mm=8, turns=2, source_axis_mm=200, source_panel_mm=250)
    scan = simulate(phantom, path, TUBE, Sensor(), THRESHOLDS, seed=8, supersample=1)
    energies = energy_axis(TUBE.peak_kv)
    coefficients = np.stack([mass_attenuation_cm2_g(one, energies) for one in phantom.substances()])
    photons = tube_spectrum(TUBE, energies) * np.exp(-line_integrals(phantom, path) @ coefficients)
    expected = np.einsum("be,vcre->bvcr", response(Sensor(), THRESHOLDS, energies), photons)
    expected *= TUBE.charge_mas * fluence_mm2(path)
    apart = (scan.counts - expected) / np.sqrt(expected)
    assert np.abs(apart.mean(axis=(1, 2, 3))).max() < 0.03
    assert apart.std() == pytest.approx(1, abs=0.02)
