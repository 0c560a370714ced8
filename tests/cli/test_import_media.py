"""Every file of a medium is accounted for, and anything out of the ordinary is an exit code of 1."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from pydicom.data import get_testdata_file
from tests.cli.conftest import Verb


def test_every_file_has_an_outcome(leadglass: Verb, medium: Path) -> None:
    told = leadglass("import", medium, "--json")
    assert told.code == 1
    assert told.json["counts"] == {"duplicate": 2, "held": 1, "skipped": 1}
    held = next(file for file in told.json["files"] if file["outcome"] == "held")
    assert held["file"] == "HOLIDAY"
    assert any(finding["class"] == "pe_preamble" for finding in held["findings"])
    assert told.json["skipped"] == [{"file": "READ.ME", "reason": "not-dicom"}]


def test_sound_files_are_fine(leadglass: Verb, tmp_path: Path) -> None:
    file = tmp_path / "us"
    shutil.copy(str(get_testdata_file("examples_palette.dcm")), file)
    told = leadglass("import", file)
    assert told.code == 0
    assert "imported" in told.out
    assert leadglass("import", file, "--json").json["counts"] == {"duplicate": 1, "skipped": 0}


def test_a_hostile_zip_is_told(leadglass: Verb, tmp_path: Path) -> None:
    path = tmp_path / "slip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(str(get_testdata_file("examples_palette.dcm")), "../../../escape")
    told = leadglass("import", path, "--json")
    assert told.code == 1
    assert told.json["counts"]["imported"] == 1
    assert [report["id"] for report in told.json["medium"]] == ["LG-MED-006"]


def test_a_path_that_is_not_there(leadglass: Verb, tmp_path: Path) -> None:
    told = leadglass("import", tmp_path / "nowhere")
    assert told.code == 2
    assert "not there" in told.err


def test_the_import_is_in_the_ledger_without_names(leadglass: Verb, medium: Path) -> None:
    leadglass("import", medium)
    entry = leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]
    assert entry["kind"] == "imported"
    assert entry["detail"] == {"duplicate": 2, "held": 1}
