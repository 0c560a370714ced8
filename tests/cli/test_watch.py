"""`leadglass watch`: what a person and a program are told, the exit codes, and what is kept between runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import run

from leadglass.cli.place import opened
from leadglass.cli.signals import Stop
from leadglass.journeys import watch as journey


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are fresh; they are looked at all the same."""
    monkeypatch.setattr(journey, "SETTLE_US", 0)


@pytest.fixture
def share(medium: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    shutil.copytree(medium, folder)
    return folder


def test_first_look_then_nothing_then_an_alarm(site: Path, share: Path) -> None:
    first = run("watch", share, "--once", "--site", site)
    assert first.code == 0
    assert "4 files, 3 objects; 4 new, 0 changed, 0 gone" in first.out
    assert "This was the first look" in first.out
    again = run("watch", share, "--once", "--json", "--site", site)
    assert (again.code, again.json["first"], again.json["findings"], again.json["alarm"]) == (0, False, [], False)
    (share / "CT_small.dcm").write_bytes(os.urandom(39_206))
    (share / "MR_small.dcm").rename(share / "MR_small.dcm.locked")
    (share / "MR_small.dcm.locked").write_bytes(os.urandom(9_830))
    done = run("watch", share, "--once", "--json", "--site", site)
    assert (done.code, done.json["alarm"]) == (1, True)
    assert {(line["path"], line["id"], line["severity"]) for line in done.json["findings"]} == {
        ("CT_small.dcm", "LG-RSM-002", "high"),
        ("MR_small.dcm.locked", "LG-RSM-003", "high"),
    }
    entry = run("ledger", "list", "--site", site, "--limit", "1", "--json").json["entries"][0]
    assert (entry["kind"], entry["outcome"]) == ("folder-watched", "findings")
    assert entry["detail"]["findings"] == "LG-RSM-002, LG-RSM-003"
    assert "CT_small" not in json.dumps(entry), "no file's name is recorded"
    standing = run("watch", share, "--once", "--site", site)
    assert standing.code == 1
    assert "Signs of earlier passes stand against 2 files." in standing.out
    accepted = run("watch", share, "--once", "--accept", "--site", site)
    assert accepted.code == 0
    assert run("watch", share, "--once", "--site", site).code == 0


def test_the_alarm_is_one_line_with_a_next_step(site: Path, share: Path) -> None:
    run("watch", share, "--once", "--site", site)
    (share / "CT_small.dcm").write_bytes(bytes(100))
    out = run("watch", share, "--once", "--site", site).out
    assert "What was an object can no longer be read as one." in out
    assert f"ALARM: signs of ransomware in {share}." in out
    assert "Next: cut off whatever writes there" in out


def test_what_is_kept_is_sealed_and_cannot_be_altered(site: Path, share: Path) -> None:
    run("watch", share, "--once", "--site", site)
    (kept,) = (site / "watch").iterdir()
    sealed = kept.read_bytes()
    assert b"CT_small" not in sealed
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    done = run("watch", share, "--once", "--site", site)
    assert done.code == 1
    assert "was altered or cannot be read" in done.err
    assert "--accept" in done.err
    assert run("watch", share, "--once", "--accept", "--site", site).code == 0
    assert run("watch", share, "--once", "--site", site).code == 0


def test_a_folder_that_is_not_there_or_empty(site: Path, share: Path, tmp_path: Path) -> None:
    assert run("watch", tmp_path / "nowhere", "--once", "--site", site).code == 2
    run("watch", share, "--once", "--site", site)
    shutil.rmtree(share)
    share.mkdir()
    done = run("watch", share, "--once", "--site", site)
    assert done.code == 3
    assert "The folder is empty, and 4 files were known." in done.err


def test_it_goes_on_until_it_is_stopped(site: Path, share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between passes it waits; a share that goes away is told and waited for, an alarm decides the exit code."""
    happenings = [
        lambda: (share / "CT_small.dcm").write_bytes(bytes(100)),
        lambda: share.rename(share.with_name("away")),
        lambda: share.with_name("away").rename(share),
    ]

    def wait(stop: Stop, seconds: float | None = None) -> None:
        assert seconds == 7
        if happenings:
            happenings.pop(0)()
        else:
            stop.say()

    monkeypatch.setattr(Stop, "wait", wait)
    done = run("watch", share, "--every", "7", "--json", "--site", site)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 1
    assert [line.get("alarm", line.get("error", {}).get("kind")) for line in lines] == [
        False, True, "UsageError", False,
    ]  # fmt: skip
    assert lines[-1]["standing"] == 1
    with opened(str(site)) as hub:
        kinds = [(line.kind, line.outcome) for line in hub.catalogue.ledger(limit=2)]
    assert kinds == [("folder-watched", "findings"), ("folder-watched", "clean")], "quiet passes leave no entry"


def test_one_that_is_stopped_keeps_what_was_known(site: Path, share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("watch", share, "--once", "--site", site)
    monkeypatch.setattr(Stop, "is_said", property(lambda self: True, lambda self, value: None), raising=False)
    done = run("watch", share, "--once", "--site", site)
    assert done.code == 130
    monkeypatch.undo()
    monkeypatch.setattr(journey, "SETTLE_US", 0)
    assert run("watch", share, "--once", "--json", "--site", site).json["first"] is False
