"""The ledger is read and proved whole; one changed row is seen."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.cli.conftest import Verb


def test_list_and_verify(leadglass: Verb) -> None:
    entries = leadglass("ledger", "list", "--json").json["entries"]
    assert [entry["seq"] for entry in entries] == sorted((entry["seq"] for entry in entries), reverse=True)
    assert {"site-created", "object-received", "object-held", "imported"} <= {entry["kind"] for entry in entries}
    told = leadglass("ledger", "verify", "--json")
    assert told.json == {"verified": True, "entries": len(entries)}
    assert "object-held" in leadglass("ledger", "list").out
    assert len(leadglass("ledger", "list", "--limit", "2", "--json").json["entries"]) == 2


def test_a_missing_entry_is_seen(leadglass: Verb, site: Path) -> None:
    connection = sqlite3.connect(site / "catalogue.db")
    with connection:
        assert connection.execute("DELETE FROM ledger WHERE seq = 2").rowcount == 1
    connection.close()
    told = leadglass("ledger", "verify")
    assert told.code == 1
    assert told.err.startswith("Error:")
