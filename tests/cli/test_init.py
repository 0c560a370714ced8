"""A site is made without a question, and everything a person needs once is printed."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import run


def test_init_prints_url_password_and_next_step(tmp_path: Path) -> None:
    told = run("init", tmp_path / "site", "--language", "fr")
    assert told.code == 0
    assert "https://localhost:8443/" in told.out
    assert re.search(r"admin / \S{20,}", told.out)
    assert f"leadglass serve --site {tmp_path / 'site'}" in told.out
    assert stat.S_IMODE((tmp_path / "site").stat().st_mode) == 0o700
    assert 'language = "fr"' in (tmp_path / "site/leadglass.toml").read_text()


def test_init_as_json(tmp_path: Path) -> None:
    told = run("init", tmp_path / "site", "--web-port", "0", "--json")
    assert set(told.json) == {"site", "url", "account", "one_time_password", "passphrase_file", "authority"}
    assert Path(told.json["passphrase_file"]).is_file()
    assert Path(told.json["authority"]).is_file()


def test_init_writes_over_nothing(site: Path) -> None:
    before = (site / "leadglass.toml").read_bytes()
    told = run("init", site)
    assert told.code == 2
    assert (site / "leadglass.toml").read_bytes() == before


def test_a_wrong_ae_title_makes_nothing(tmp_path: Path) -> None:
    told = run("init", tmp_path / "site", "--ae", "far too long for a title")
    assert told.code == 2
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    "ports",
    [
        ("--tls-port", "4000", "--web-port", "4000"),
        ("--plain-port", "8443"),
        ("--plain-port", "2762"),
    ],
)
def test_two_doors_cannot_share_a_port(tmp_path: Path, ports: tuple[str, ...]) -> None:
    told = run("init", tmp_path / "site", *ports)
    assert told.code == 2
    assert "Next:" in told.err
    assert not (tmp_path / "site").exists()
