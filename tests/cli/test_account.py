"""People are added, given a new password and removed; the ledger has each change, never a password."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Verb

from leadglass.edge.accounts import AccountFile, Role


def newest(leadglass: Verb) -> dict:
    return leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]


def test_a_lost_password_is_set_anew(leadglass: Verb, site: Path) -> None:
    told = leadglass("account", "password", "admin", "--json")
    assert told.code == 0
    account = AccountFile(site / "secrets/accounts.json").check("admin", told.json["one_time_password"])
    assert account is not None
    assert account.must_change
    entry = newest(leadglass)
    assert (entry["kind"], entry["detail"]) == ("password-changed", {"account": "admin"})
    assert "shown this once" in leadglass("account", "password", "admin").out
    assert leadglass("account", "password", "nobody").code == 1


def test_people_come_change_and_go(leadglass: Verb, site: Path) -> None:
    told = leadglass("account", "add", "ada")
    assert told.code == 0
    assert "Log in: ada / " in told.out
    assert newest(leadglass)["kind"] == "account-added"
    assert leadglass("account", "add", "ada").code == 1
    assert leadglass("account", "role", "ada", "admin").code == 0
    assert newest(leadglass)["detail"] == {"account": "ada", "role": "admin"}
    names = {one["name"]: one["role"] for one in leadglass("account", "list", "--json").json["accounts"]}
    assert names == {"admin": "admin", "ada": "admin"}
    assert "one-time" in leadglass("account", "list").out
    assert leadglass("account", "remove", "admin").code == 0
    assert newest(leadglass)["kind"] == "account-removed"
    last = leadglass("account", "remove", "ada")
    assert last.code == 1
    assert "Next:" in last.err
    assert newest(leadglass)["detail"] == {"account": "admin"}


def test_a_site_without_accounts_can_make_one(leadglass: Verb, site: Path) -> None:
    path = site / "secrets/accounts.json"
    path.unlink()
    assert "leadglass account add" in leadglass("account", "list").out
    assert leadglass("account", "add", "ada", "--role", "admin").code == 0
    assert AccountFile(path).accounts()[0].role is Role.ADMIN
    path.write_text("{}")
    assert leadglass("account", "list").code == 2
