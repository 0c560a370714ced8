"""dciodvfy (dicom3tools) finds no error in any kind of object that a reconstruction makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from leadglass.imaging.to_dicom_study import Wanted, study
from tests.imaging.test_to_dicom import ACQUISITION, COLOURS, EXAMINATION, VOLUME
from tests.peers.harness import programs

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(programs.find("dciodvfy") is None, reason="dciodvfy is not installed"),
]


def test_no_object_breaks_its_definition(tmp_path: Path) -> None:
    wanted = Wanted((40.0,), frames=2, frame_px=(48, 64))
    kinds: dict[str, str] = {}
    for made in study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, wanted):
        path = tmp_path / f"{made.name}.dcm"
        path.write_bytes(made.content)
        said = subprocess.run([programs.path_of("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], made.name
        kinds[made.sop_class_uid] = made.name
    assert len(kinds) == 4


def test_it_would_find_one(tmp_path: Path) -> None:
    made = next(iter(study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, Wanted((), frames=0))))
    path = tmp_path / "broken.dcm"
    path.write_bytes(made.content.replace(b"MONOCHROME2 ", b"MONOCHROME7 "))
    said = subprocess.run([programs.path_of("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    assert "Error" in said.stdout + said.stderr
