"""Nodes come, are approved, and go; each change is in the ledger; nothing unsafe is added by accident."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Verb

from leadglass.cli.enrolment import put
from leadglass.cli.place import opened
from leadglass.gateway.node import Node, NodeState


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
    again = leadglass("node", "add", "CT1", "--host", "10.0.3.21", "--to", folder)
    assert again.code == 2
    assert "already there" in again.err


def test_add_with_a_certificate_of_its_own(leadglass: Verb, tmp_path: Path, site: Path) -> None:
    told = leadglass("node", "add", "PACS", "--certificate", site / "tls/server.pem", "--address", "any", "--json")
    assert len(told.json["node"]["fingerprint"]) == 64
    assert told.json["node"]["addresses"] == []
    assert "anywhere" in leadglass("node", "list").out
    assert leadglass("node", "add", "PACS2", "--certificate", tmp_path / "none.pem", "--address", "any").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("OLDUS", "--plaintext"),
        ("A TITLE THAT IS TOO LONG",),
        ("CT1", "--may", "store,everything"),
        ("CT1", "--address", "10.0.0.300"),
        ("CT1",),
        ("CT1", "--host", "no-such-host.invalid"),
        ("CT1", "--address", "any", "--address", "10.0.3.40"),
        ("OLDUS", "--plaintext", "--address", "any"),
        ("IMPORT", "--address", "any"),
        ("console", "--address", "any"),
        ("web:admin", "--address", "any"),
        ("LEADGLASS", "--address", "any"),
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


def test_a_node_is_bound_to_its_own_address_unless_told_otherwise(leadglass: Verb, tmp_path: Path) -> None:
    """What the README promises: a certificate that was copied opens nothing from elsewhere."""
    told = leadglass("node", "add", "CT1", "--host", "10.0.3.21", "--to", tmp_path / "1", "--json")
    assert told.json["node"]["addresses"] == ["10.0.3.21/32"]
    told = leadglass("node", "add", "CT2", "--host", "localhost", "--to", tmp_path / "2")
    assert "127.0.0.1/32" in told.out
    assert "not looked up again" in told.out
    told = leadglass("node", "add", "CT3", "--host", "10.0.3.21", "--address", "any", "--to", tmp_path / "3", "--json")
    assert told.json["node"]["addresses"] == []
    told = leadglass("node", "add", "CT4", "--host", "10.0.3.21", "--address", "10.1.0.0/16", "--to", tmp_path / "4")
    assert "10.1.0.0/16" in told.out


def test_approving_again_keeps_what_no_option_names(leadglass: Verb, tmp_path: Path) -> None:
    where = ("--host", "10.0.3.21", "--port", "104")
    leadglass("node", "add", "PACS", *where, "--may", "store,query,retrieve", "--to", tmp_path / "pacs")
    told = leadglass("node", "approve", "PACS", "--port", "105", "--json").json["node"]
    assert told["permissions"] == ["query", "retrieve", "store"]
    assert (told["host"], told["port"], told["addresses"]) == ("10.0.3.21", 105, ["10.0.3.21/32"])
    told = leadglass("node", "approve", "PACS", "--may", "query", "--address", "10.0.3.0/24", "--json").json["node"]
    assert (told["permissions"], told["addresses"]) == (["query"], ["10.0.3.0/24"])


def test_a_stranger_with_a_reserved_name_is_not_approved(leadglass: Verb, site: Path) -> None:
    with opened(str(site)) as hub:
        put(hub, Node("IMPORT", NodeState.PENDING, fingerprint="aa" * 32), "test")
        put(hub, Node("CT9", NodeState.PENDING, fingerprint="bb" * 32), "test")
    told = leadglass("node", "approve", "IMPORT")
    assert told.code == 2
    assert "Next:" in told.err
    assert leadglass("node", "approve", "CT9", "--json").json["node"]["permissions"] == ["store"]
