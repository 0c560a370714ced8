"""A sound site verifies; one byte, one missing and one unknown file do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import CT_STUDY, Verb


def sealed(site: Path) -> list[Path]:
    return sorted(path for path in (site / "objects").rglob("*") if path.is_file())


def test_a_sound_site(leadglass: Verb) -> None:
    told = leadglass("verify", "--all", "--json")
    assert told.code == 0
    assert told.json["checked"] == 3
    assert told.json["faults"] == []
    assert told.json["storage_listed"] is True
    assert leadglass("verify", CT_STUDY, "--json").json["checked"] == 1


@pytest.mark.parametrize("at", [0, 170, 5000, -1])
def test_one_byte(leadglass: Verb, site: Path, at: int) -> None:
    path = max(sealed(site), key=lambda file: file.stat().st_size)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    told = leadglass("verify", "--all", "--json")
    assert told.code == 1
    assert [(fault["object"], fault["fault"]) for fault in told.json["faults"]] == [(path.name, "altered")]


def test_missing_and_unknown(leadglass: Verb, site: Path) -> None:
    first, second, _ = sealed(site)
    stranger = first.parent.parent / "ab" / ("ab" * 16)
    stranger.parent.mkdir(exist_ok=True)
    first.rename(stranger)
    told = leadglass("verify", "--all", "--json")
    assert told.code == 1
    assert {(f["object"], f["fault"]) for f in told.json["faults"]} == {
        (first.name, "missing"), (stranger.name, "unknown")}  # fmt: skip
    assert second.exists()


def test_it_is_recorded(leadglass: Verb) -> None:
    leadglass("verify", "--all")
    entry = leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]
    assert (entry["kind"], entry["outcome"], entry["detail"]) == ("verified", "sound", {"checked": 3, "faults": 0})


def test_one_or_all(leadglass: Verb) -> None:
    assert leadglass("verify").code == 2
    assert leadglass("verify", CT_STUDY, "--all").code == 2
