"""Objects that belong to no study are kept, found, exported and verified; they are no study without a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_palette_files
from tests.cli.conftest import Verb


@pytest.fixture
def palettes(leadglass: Verb, tmp_path: Path) -> int:
    paths = [path for path in get_palette_files("*.dcm") if "winter" not in str(path)]  # that one is held
    told = leadglass("import", *map(str, paths), "--json")
    assert told.code == 0
    return len(paths)


def test_they_are_verified_and_exported_with_the_rest(leadglass: Verb, palettes: int, tmp_path: Path) -> None:
    assert leadglass("verify", "--all", "--json").json["checked"] >= palettes
    told = leadglass("export", "--all", str(tmp_path / "out"), "--json")
    assert told.code == 0 and told.json["files"] >= palettes


def test_no_study_without_a_uid_is_listed(leadglass: Verb, palettes: int) -> None:
    found = leadglass("find", "--json").json["matches"]
    assert len(found) == 2, "the CT and the MR"
