"""Nodes come, are approved, and go; each change is in the ledger; nothing unsafe is added by accident."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Verb


def kinds(leadglass: Verb) -> list[str]:
    return [entry["kind"] for entry in leadglass("ledger", "list", "--limit", "5", "--json").json["entries"]]


def test_add_writes_an_identity_for_the_device(leadglass: Verb, tmp_path: Path) -> None:
    folder = tmp_path / "for-ct1"
    told = leadglass("node", "add", "CT1", "--host", "10.0.3.21", "--port", "104", "--to", folder, "--json")
    assert told.code == 0
    node = told.json["node"]
    assert (node["name"], node["state"], node["permissions"]) == ("CT1", "approved", ["store"])
    assert len(node["fingerprint"]) == 64
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "node.key", "node.pem"]
    assert stat.S_IMODE((folder / "node.key").stat().st_mode) == 0o600
    assert kinds(leadglass)[0] == "node-added"
    again = leadglass("node", "add", "CT1", "--to", folder)
    assert again.code == 2
    assert "already there" in again.err


def test_add_with_a_certificate_of_its_own(leadglass: Verb, tmp_path: Path, site: Path) -> None:
    told = leadglass("node", "add", "PACS", "--certificate", site / "tls/server.pem", "--json")
    assert len(told.json["node"]["fingerprint"]) == 64
    assert leadglass("node", "add", "PACS2", "--certificate", tmp_path / "none.pem").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("OLDUS", "--plaintext"),
        ("A TITLE THAT IS TOO LONG",),
        ("CT1", "--may", "store,everything"),
        ("CT1", "--address", "10.0.0.300"),
    ],
)
def test_what_is_no_node_is_refused(leadglass: Verb, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    told = leadglass("node", "add", *arguments, "--to", tmp_path / "files")
    assert told.code == 2
    assert "Next:" in told.err
    assert leadglass("node", "list", "--json").json == {"nodes": []}


def test_approve_and_remove(leadglass: Verb) -> None:
    leadglass("node", "add", "US1", "--plaintext", "--address", "10.0.3.40", "--host", "10.0.3.40")
    told = leadglass("node", "approve", "US1", "--may", "store,query", "--port", "105", "--json")
    assert told.json["node"]["permissions"] == ["query", "store"]
    assert told.json["node"]["port"] == 105
    assert leadglass("node", "remove", "US1").code == 0
    assert leadglass("node", "remove", "US1").code == 1
    assert leadglass("node", "approve", "US1").code == 1
    assert kinds(leadglass)[:2] == ["node-removed", "node-approved"]


def test_list_for_a_person(leadglass: Verb) -> None:
    assert "There are no nodes" in leadglass("node", "list").out
    leadglass("node", "add", "US1", "--plaintext", "--address", "10.0.3.40")
    told = leadglass("node", "list").out
    assert "US1" in told
    assert "10.0.3.40/32" in told
