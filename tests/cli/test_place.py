"""A site is found where it was named, here, or beside; what is no object id is said to be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadglass.cli.place import object_id, operator, site_folder
from leadglass.errors import ConfigurationError, UsageError


def test_the_named_folder_then_this_one_then_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        site_folder(None)
    beside = tmp_path / "leadglass-site"
    beside.mkdir()
    (beside / "leadglass.toml").touch()
    assert site_folder(None) == beside
    (tmp_path / "leadglass.toml").touch()
    assert site_folder(None) == tmp_path
    assert site_folder(str(beside)) == beside
    with pytest.raises(ConfigurationError, match="elsewhere"):
        site_folder("elsewhere")


def test_object_ids() -> None:
    assert object_id("00" * 16) == bytes(16)
    for wrong in ("", "xyz", "00" * 15, "1.2.3"):
        with pytest.raises(UsageError):
            object_id(wrong)


def test_the_operator_is_named() -> None:
    assert operator().endswith("cli")
