"""`leadglass feeds`: in by hand, tried first, in the ledger, used by the next inspection, and taken back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Run, Verb, run

RULE = 'rule found { strings: $a = "GE MEDICAL SYSTEMS" condition: $a }'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "mine.yar").write_text(RULE)
    return folder


@pytest.fixture
def key(tmp_path: Path) -> str:
    return str(run("feeds", "key", tmp_path / "key", "--json").json["key"])


def trust(site: Path, key: str) -> None:
    policy = site / "policy.toml"
    policy.write_text(policy.read_text() + f'\n[feeds]\ntrusted = ["{key}"]\n')


def events(leadglass: Verb, site: Path) -> list[dict]:
    done = leadglass("ledger", "list", "--json")
    return [one for one in json.loads(done.out)["entries"] if one["kind"].startswith("feed-")]


def state(site: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (site / "feeds").rglob("*") if path.is_file()}


def test_an_unsigned_folder_is_taken_in_where_that_is_said(leadglass: Verb, site: Path, rules: Path) -> None:
    done = leadglass("feeds", "import", rules)
    assert done.code == 1 and "--unsigned" in done.err and not (site / "feeds").exists()
    done = leadglass("feeds", "import", rules, "--unsigned", "--name", "mine", "--licence", "MIT")
    assert done.code == 0 and "archive inspect" in done.out and "1 rule" in done.out
    (feed,) = leadglass("feeds", "list", "--json").json["feeds"]
    assert (feed["name"], feed["licence"], feed["rules"], feed["signed_by"]) == ("mine", "MIT", 1, None)
    found = leadglass("archive", "inspect", "--json")
    assert found.code == 1
    claims = {finding["claim"] for one in found.json["objects"] for finding in one["new_findings"]}
    assert claims == {"The YARA rule mine.found matches."}


def test_a_signed_bundle_needs_a_key_the_policy_trusts(
    leadglass: Verb, site: Path, rules: Path, key: str, tmp_path: Path
) -> None:
    bundle = tmp_path / "b.zip"
    packed = ("feeds", "pack", rules, "--key", tmp_path / "key", "--to", bundle, "--name", "mine", "--version", "1")
    assert run(*packed, "--json").json["key"] == key
    done = leadglass("feeds", "import", bundle)
    assert done.code == 1 and key in done.err
    assert leadglass("feeds", "import", bundle, "--unsigned").code == 1, "a bundle is held to its signature"
    trust(site, key)
    assert leadglass("feeds", "import", bundle).code == 0
    assert leadglass("feeds", "status", "mine", "--json").json["feeds"][0]["signed_by"] == key
    assert leadglass("feeds", "import", bundle, "--name", "x").code == 2


@pytest.mark.parametrize(
    "text", ["rule x { condition: nothing }", 'include "/etc/hostname" rule x { condition: true }']
)
def test_a_rule_that_does_not_compile_changes_nothing(leadglass: Verb, site: Path, rules: Path, text: str) -> None:
    assert leadglass("feeds", "import", rules, "--unsigned", "--name", "mine", "--version", "1").code == 0
    before = state(site)
    (rules / "bad.yar").write_text(text)
    done = leadglass("feeds", "import", rules, "--unsigned", "--name", "mine", "--version", "2")
    assert done.code == 2 and "bad.yar does not compile" in done.err
    assert state(site) == before


def test_versions_are_restored_and_removed(leadglass: Verb, site: Path, rules: Path) -> None:
    def taken_in(version: str) -> Run:
        (rules / "mine.yar").write_text(RULE + f" // {version}")
        return leadglass("feeds", "import", rules, "--unsigned", "--name", "mine", "--version", version)

    assert leadglass("feeds", "restore", "mine").code == 1
    assert taken_in("1").code == taken_in("2").code == 0
    assert leadglass("feeds", "status", "--json").json["feeds"][0]["previous"] == "1"
    assert leadglass("feeds", "restore", "mine").code == 0
    assert leadglass("feeds", "list", "--json").json["feeds"][0]["version"] == "1"
    assert leadglass("feeds", "remove", "mine").code == 0
    assert leadglass("feeds", "list", "--json").json["feeds"] == []


def test_files_changed_on_the_disk_are_told_and_stop_the_hub(leadglass: Verb, site: Path, rules: Path) -> None:
    assert leadglass("feeds", "import", rules, "--unsigned", "--name", "mine").code == 0
    (path,) = site.glob("feeds/mine/*/files/mine.yar")
    path.write_text("rule found { condition: false }")
    done = leadglass("feeds", "status")
    assert done.code == 1 and "CHANGED ON THE DISK: mine.yar" in done.out
    done = leadglass("serve")
    assert done.code == 1 and "not what was taken in" in done.err


def test_an_advisory_feed_is_not_read_yet(leadglass: Verb, site: Path, key: str, tmp_path: Path) -> None:
    folder = tmp_path / "advisories"
    folder.mkdir()
    (folder / "a.json").write_text("{}")
    bundle = tmp_path / "a.zip"
    assert run("feeds", "pack", folder, "--key", tmp_path / "key", "--to", bundle, "--kind", "advisories").code == 0
    trust(site, key)
    done = leadglass("feeds", "import", bundle)
    assert done.code == 1 and "advisories" in done.err


def test_each_change_and_each_refusal_is_in_the_ledger(leadglass: Verb, site: Path, rules: Path) -> None:
    leadglass("feeds", "import", rules)
    leadglass("feeds", "import", rules, "--unsigned", "--name", "mine", "--version", "7")
    leadglass("feeds", "remove", "mine")
    told = [(one["kind"], one["outcome"]) for one in events(leadglass, site)]
    assert sorted(told) == [("feed-imported", "imported"), ("feed-refused", "refused"), ("feed-removed", "removed")]
    (made,) = [one for one in events(leadglass, site) if one["kind"] == "feed-imported"]
    detail = made["detail"]
    assert (detail["feed"], detail["version"], detail["rules"], detail["signed-by"]) == ("mine", "7", 1, "nobody")
    assert len(detail["sha256"]) == 64


def test_no_record_no_rules(leadglass: Verb, site: Path, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from leadglass.edge.database import SqlCatalogue
    from leadglass.errors import StorageError

    def fail(*_: object) -> None:
        raise StorageError("The disk is gone.")

    monkeypatch.setattr(SqlCatalogue, "record", fail)
    assert leadglass("feeds", "import", rules, "--unsigned", "--name", "mine").code == 3
    assert [path for path in (site / "feeds").iterdir() if path.is_dir()] == []
    shutil.rmtree(site / "feeds")
