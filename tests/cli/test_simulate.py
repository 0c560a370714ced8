"""`leadglass simulate`: a file that reads back, refusals before any work, and nothing left by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import run

from leadglass.edge.rawdata import open_scan

ROD = """
name = "rod"
[scan]
views = 40
columns = 24
rows = 8
column_pitch_mm = 2
[[body]]
kind = "cylinder"
centre = [0, 0, 0]
radii = [8, 8]
length = 30
material = "water"
solute = "iodine"
mg_per_ml = 9
"""


@pytest.fixture
def rod(tmp_path: Path) -> Path:
    (tmp_path / "rod.toml").write_text(ROD)
    return tmp_path / "rod.toml"


def test_a_phantom_of_ones_own_is_counted_and_reads_back(rod: Path, tmp_path: Path) -> None:
    told = run("simulate", rod, "--to", tmp_path / "rod.h5", "--seed", 5)
    assert told.code == 0
    assert "40 views of 24 × 8 pixels in 5 energy bins" in told.out
    scan = open_scan(tmp_path / "rod.h5")
    assert scan.name == "rod"
    assert scan.made_by["simulator"] == "leadglass"
    assert scan.made_by["seed"] == "5"
    assert (scan.counts[:, :, 12, 4].mean(axis=1) < 0.8 * scan.flat[:, 12, 4]).all()


def test_the_same_seed_gives_the_same_counts_to_programs_too(rod: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        told = run("simulate", rod, "--to", tmp_path / f"{name}.h5", "--quick", "--json")
        assert told.code == 0
        answer = json.loads(told.out)
        assert (answer["views"], answer["columns"], answer["rows"], answer["bins"]) == (14, 8, 2, 5)
    one, two = (open_scan(tmp_path / f"{name}.h5") for name in ("one", "two"))
    np.testing.assert_array_equal(one.counts, two.counts)


def test_a_file_is_replaced_only_when_asked_and_refused_before_any_work(rod: Path, tmp_path: Path) -> None:
    (tmp_path / "rod.h5").write_text("mine")
    told = run("simulate", rod, "--to", tmp_path / "rod.h5")
    assert told.code == 2
    assert "already there" in told.err
    assert (tmp_path / "rod.h5").read_text() == "mine"
    assert run("simulate", rod, "--to", tmp_path / "rod.h5", "--force", "--quick").code == 0
    assert open_scan(tmp_path / "rod.h5").bins == 5


@pytest.mark.parametrize(("name", "said"), [("foot", "no phantom 'foot'"), ("gone.toml", "no phantom")])
def test_an_unknown_phantom_is_refused_with_those_there_are(name: str, said: str, tmp_path: Path) -> None:
    told = run("simulate", name, "--to", tmp_path / "x.h5")
    assert told.code == 2
    assert said in told.err
    assert "hand, calibration, thorax" in told.err


def test_a_broken_phantom_says_where(rod: Path, tmp_path: Path) -> None:
    rod.write_text(ROD.replace("length = 30", "length = -30"))
    told = run("simulate", rod, "--to", tmp_path / "x.h5", "--json")
    assert told.code == 2
    assert "body 1: length" in json.loads(told.out)["error"]["message"]
    assert list(tmp_path.iterdir()) == [rod]


@pytest.mark.parametrize("place", ["leadglass.imaging.simulate.simulate", "leadglass.edge.rawdata.write_scan"])
def test_ctrl_c_leaves_nothing_behind(rod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The signal comes while counting, and while writing."""
    module, name = place.rsplit(".", 1)
    original = getattr(__import__(module, fromlist=[name]), name)

    def interrupted(*args: object, **options: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return original(*args, **options)

    monkeypatch.setattr(place, interrupted)
    told = run("simulate", rod, "--to", tmp_path / "rod.h5")
    assert told.code == 130
    assert "Nothing was written" in told.err
    assert list(tmp_path.iterdir()) == [rod]


@pytest.mark.long
def test_the_hand_is_counted_quickly(tmp_path: Path) -> None:
    told = run("simulate", "hand", "--to", tmp_path / "hand.h5", "--quick", "--json")
    assert told.code == 0
    scan = open_scan(tmp_path / "hand.h5")
    assert scan.counts.shape == (5, 120, 69, 149)
    assert 0 < scan.bad.sum() < 40
