"""recon, quality and view: a scan becomes a study, wrong orders are refused early, and nothing half-made is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Verb, run
from tests.imaging.made_scan import scanned

from leadglass.cli import recon
from leadglass.edge.rawdata import write_scan

QUICK = ("--basis", "water,calcium,iodine", "--voxel", "1.6", "--vmi", "70", "--frames", "2")


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "rods.h5"
    write_scan(scanned(), path)
    return path


def test_a_scan_becomes_a_folder_whose_objects_are_clean(scan_file: Path, tmp_path: Path) -> None:
    target, preview = tmp_path / "rods", tmp_path / "rods.png"
    told = run("recon", scan_file, "--to", target, "--preview", preview, *QUICK, "--json")
    assert told.code == 0, told.err
    names = sorted(path.name for path in target.iterdir())
    assert len(names) == told.json["objects"]
    assert {"map-calcium.dcm", "map-iodine.dcm", "map-water.dcm", "turntable.dcm"} < set(names)
    assert preview.read_bytes()[:4] == b"\x89PNG"
    assert run("inspect", target).code == 0
    judged = run("quality", target, "--json")
    assert judged.code == 0
    assert 10 < judged.json["materials"]["iodine"]["highest"] < 25
    plots = tmp_path / "plots"
    assert run("quality", scan_file, "--to", plots).code == 0
    assert len(list(plots.glob("bin-*.png"))) == 5
    again = run("recon", scan_file, "--to", target, *QUICK)
    assert again.code == 2 and "already there" in again.err


def test_a_scan_goes_into_the_archive_and_is_found(leadglass: Verb, scan_file: Path) -> None:
    told = leadglass("recon", scan_file, "--to", "archive", *QUICK, "--json")
    assert told.code == 0, told.err
    assert told.json["refused"] == []
    seen = leadglass("view", told.json["study"], "--json")
    assert seen.json["url"].endswith(f"/studies/{told.json['study']}")
    assert leadglass("view", "1.2.3.4.5").code == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--vmi", "7"), "outside 20 to 200"),
        (("--vmi", "warm"), "no energies"),
        (("--basis", "water,unobtainium"), "no material"),
        (("--basis", "water,calcium,iodine,gold,tin,copper"), "cannot tell"),
        (("--basis", "tin"), "knows none"),
        (("--colours", "sepia"), "no colour map"),
    ],
)
def test_a_wrong_order_is_refused_and_leaves_nothing(
    scan_file: Path, tmp_path: Path, wrong: tuple[str, ...], said: str
) -> None:
    told = run("recon", scan_file, "--to", tmp_path / "out", *wrong)
    assert told.code == 2
    assert said in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_stop_leaves_nothing(scan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person stops while the objects are being written."""

    class Impatient(recon._Bars):
        def __call__(self, stage: str, done: int, total: int) -> bool:
            return super().__call__(stage, done, total) and not (stage == "making objects" and done > 5)

    monkeypatch.setattr(recon, "_Bars", Impatient)
    told = run("recon", scan_file, "--to", tmp_path / "out", *QUICK)
    assert told.code == 130
    assert list(tmp_path.iterdir()) == []


def test_a_broken_scan_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    assert run("recon", broken, "--to", tmp_path / "out").code == 2
    assert run("quality", broken).code == 2
    assert run("quality", tmp_path).code == 2


@pytest.mark.parametrize("module", ["leadglass", "leadglass.cli.serve, leadglass.wiring, leadglass.console.wired"])
def test_what_serves_loads_nothing_that_computes(module: str) -> None:
    heavy = ("numba", "scipy", "h5py", "xraydb", "leadglass.imaging")
    program = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
