"""`leadglass archive inspect`: new rules meet old objects; what they find is in the ledger, and held if asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import run

from leadglass.cli.place import opened
from leadglass.journeys.ports import ObjectState

RULE = 'rule ct { meta: severity = "%s" strings: $a = "CompressedSamples^CT1" condition: $a }'


@pytest.fixture
def ruled(site: Path) -> Path:
    """The site, after somebody wrote a rule."""
    (site / "rules").mkdir()
    settings = site / "leadglass.toml"
    settings.write_text(settings.read_text().replace("# rules = []", 'rules = ["rules"]'))
    (site / "rules/new.yar").write_text(RULE % "high")
    return site


def archived(site: Path) -> int:
    with opened(str(site)) as hub:
        return hub.catalogue.counts()["archived"]


def test_nothing_new_is_exit_code_0_and_recorded(site: Path) -> None:
    done = run("archive", "inspect", "--site", site, "--json")
    assert done.code == 0
    assert done.json["objects"] == [] and done.json["counts"] == {"clean": archived(site)}
    newest = run("ledger", "list", "--site", site, "--json", "--limit", "1").json["entries"][0]
    assert (newest["kind"], newest["outcome"], newest["detail"]) == ("archive-inspected", "clean", {"clean": 2})


def test_a_new_rule_finds_an_old_object_and_the_ledger_has_it(ruled: Path) -> None:
    before = archived(ruled)
    done = run("archive", "inspect", "--site", ruled, "--json")
    assert done.code == 1
    (line,) = done.json["objects"]
    assert (line["verdict"], line["reason"], line["held_as"]) == (
        "malicious", "The YARA rule new.ct matches.", None,
    )  # fmt: skip
    assert archived(ruled) == before, "nothing moves unless it is asked for"
    entries = run("ledger", "list", "--site", ruled, "--json").json["entries"]
    (found,) = [entry for entry in entries if entry["kind"] == "object-inspected"]
    assert found["object"] == line["object"] and found["detail"]["findings"] == "LG-YAR-001"
    assert "archive inspect --quarantine" in run("archive", "inspect", "--site", ruled).out


def test_what_is_malicious_now_is_locked_away_whole(ruled: Path) -> None:
    before = archived(ruled)
    with opened(str(ruled)) as hub:
        contents = {
            record.object_id: b"".join(map(bytes, hub.archive.open_record(record).stream()))
            for study in hub.catalogue.studies()
            for record in _records(hub, study.study_instance_uid)
        }
    done = run("archive", "inspect", "--quarantine", "--site", ruled, "--json")
    (line,) = done.json["objects"]
    assert done.code == 1 and archived(ruled) == before - 1
    with opened(str(ruled)) as hub:
        held = hub.catalogue.object(bytes.fromhex(line["held_as"]))
        assert (held.state, held.reason) == (ObjectState.HELD, "The YARA rule new.ct matches.")
        assert hub.catalogue.object(bytes.fromhex(line["object"])).state is ObjectState.DISCARDED
        stored = b"".join(map(bytes, hub.archive.open_record(held).stream()))
        assert stored == contents[bytes.fromhex(line["object"])]
    assert run("verify", "--all", "--site", ruled).code == 0
    again = run("archive", "inspect", "--quarantine", "--site", ruled, "--json")
    assert again.code == 0 and again.json["objects"] == []
    released = run("quarantine", "release", line["held_as"], "--reason", "A test.", "--site", ruled)
    assert released.code == 0 and archived(ruled) == before


@pytest.mark.parametrize("verb", [("archive", "inspect"), ("import", Path(__file__)), ("serve",)])
def test_a_bad_rule_is_told_before_anything_comes_in(ruled: Path, verb: tuple[str | Path, ...]) -> None:
    (ruled / "rules/new.yar").write_text("rule x { condition: nothing }")
    done = run(*verb, "--site", ruled)
    assert done.code == 2 and "new.yar does not compile" in done.err


def test_what_is_suspicious_stays(ruled: Path) -> None:
    (ruled / "rules/new.yar").write_text(RULE % "medium")
    before = archived(ruled)
    done = run("archive", "inspect", "--quarantine", "--site", ruled, "--json")
    assert (done.code, done.json["objects"][0]["held_as"], archived(ruled)) == (1, None, before)


def test_an_object_that_cannot_be_read_is_not_assessed(site: Path) -> None:
    for path in (site / "objects").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    done = run("archive", "inspect", "--site", site, "--json")
    assert done.code == 3
    assert [line["verdict"] for line in done.json["objects"]] == ["not-assessed"] * 2


def _records(hub, uid):  # type: ignore[no-untyped-def]
    from leadglass.cli.selection import study_records

    return study_records(hub, uid)
