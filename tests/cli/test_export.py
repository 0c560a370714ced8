"""What is exported is what came in, under names of our own, over nothing that was there."""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from tests.cli.conftest import CT_STUDY, Verb

from leadglass.journeys.retrieve import OpenedObject

CT = Path(str(get_testdata_file("CT_small.dcm")))


def test_a_study_comes_out_byte_for_byte(leadglass: Verb, tmp_path: Path) -> None:
    target = tmp_path / "out"
    told = leadglass("export", CT_STUDY, target, "--json")
    assert told.json == {"files": 1, "length_bytes": CT.stat().st_size, "target": str(target)}
    assert (target / "study-0001/series-0001/000001.dcm").read_bytes() == CT.read_bytes()


def test_everything_in_a_zip(leadglass: Verb, tmp_path: Path) -> None:
    target = tmp_path / "all.zip"
    assert leadglass("export", "--all", "--zip", target).code == 0
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2
        assert any(archive.read(name) == CT.read_bytes() for name in archive.namelist())


def test_nothing_is_written_over(leadglass: Verb, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    (tmp_path / "there.zip").touch()
    assert leadglass("export", CT_STUDY, tmp_path / "full").code == 2
    assert leadglass("export", CT_STUDY, "--zip", tmp_path / "there.zip").code == 2
    assert leadglass("export", CT_STUDY).code == 2
    assert leadglass("export", "1.2.3", tmp_path / "none").code == 1


@pytest.mark.parametrize("is_zip", [False, True])
def test_ctrl_c_leaves_whole_files_or_none(
    leadglass: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_zip: bool
) -> None:
    """The file at work is finished; half a zip file is removed; exit code 130 and the next step."""
    stream = OpenedObject.stream

    def interrupted(self: OpenedObject) -> object:
        signal.raise_signal(signal.SIGINT)
        return stream(self)

    monkeypatch.setattr(OpenedObject, "stream", interrupted)
    target = tmp_path / "out"
    told = leadglass("export", "--all", *(["--zip"] if is_zip else []), target)
    assert told.code == 130
    assert "Next:" in told.out
    if is_zip:
        assert not target.exists()
    else:
        assert "1 of 2 files" in told.out
        assert [path.name for path in target.rglob("*") if path.is_file()] == ["000001.dcm"]


def test_one_file_is_one_file(leadglass: Verb, tmp_path: Path) -> None:
    told = leadglass("export", CT_STUDY, tmp_path / "out")
    assert told.out.startswith("1 file, ")
    assert "It is not encrypted" in told.out
