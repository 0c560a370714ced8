"""A sound site verifies; one byte, one missing and one unknown file do not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.cli.conftest import CT_STUDY, Verb

from leadglass.journeys.ports import ObjectRecord
from leadglass.journeys.verify import Verifier


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


def test_a_discarded_object_is_no_alarm(leadglass: Verb) -> None:
    held = leadglass("quarantine", "list", "--json").json["held"][0]["object"]
    assert leadglass("verify", held).code == 0
    assert leadglass("quarantine", "discard", held, "--reason", "Not ours").code == 0
    told = leadglass("verify", held)
    assert told.code == 0
    assert told.out == "1 object discarded earlier: its bytes are gone, as they should be.\n"
    told = leadglass("verify", "--all", "--json")
    assert (told.code, told.json["checked"], told.json["faults"]) == (0, 2, [])


def test_ctrl_c_ends_in_order_and_is_recorded(leadglass: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Verifier._read

    def interrupted(self: Verifier, record: ObjectRecord) -> object:
        signal.raise_signal(signal.SIGINT)
        return read(self, record)

    monkeypatch.setattr(Verifier, "_read", interrupted)
    told = leadglass("verify", "--all")
    assert told.code == 130
    assert "1 object, " in told.out
    assert "Stopped" in told.out
    entry = leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]
    assert (entry["outcome"], entry["detail"]) == ("stopped", {"checked": 1, "faults": 0})
