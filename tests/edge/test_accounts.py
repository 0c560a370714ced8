"""The file of accounts: two processes change it in turn, a broken one is told, and somebody stays administrator."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadglass.edge.accounts import Account, AccountFile, Role, require_accounts
from leadglass.errors import ConfigurationError, NotFound, Refused, StorageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file with one administrator, ada."""
    AccountFile(tmp_path / "accounts.json").create("ada", Role.ADMIN)
    return tmp_path / "accounts.json"


@pytest.mark.parametrize("content", [None, "{}", "[]", "", "nonsense", '[{"name": 1}]', '"text"', "[1]"])
def test_a_file_nobody_can_log_in_with_is_told(path: Path, content: str | None) -> None:
    require_accounts(path)
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError) as told:
        require_accounts(path)
    assert str(path) in told.value.message
    assert "leadglass account add" in told.value.hint


def test_what_one_process_changes_another_sees_and_keeps(path: Path) -> None:
    """A console that holds the file open neither misses nor undoes what the command line did."""
    console, command_line = AccountFile(path), AccountFile(path)
    fresh = command_line.reset("ada")
    assert console.check("ada", fresh) == Account("ada", Role.ADMIN, must_change=True)
    password = command_line.create("bob", Role.READER)
    console.set_password("ada", "a password of her own choice".replace("ada", ""))
    assert [one.name for one in AccountFile(path).accounts()] == ["ada", "bob"]
    assert console.check("bob", password) is not None
    command_line.remove("bob")
    assert console.check("bob", password) is None


def test_a_token_ends_with_a_new_password(path: Path) -> None:
    console = AccountFile(path)
    console.set_password("ada", "correct horse battery staple")
    token = console.issue_token("ada")
    assert console.bearer(token) is not None
    AccountFile(path).reset("ada")
    assert console.bearer(token) is None


def test_a_file_that_breaks_keeps_the_last_good_accounts(path: Path) -> None:
    console = AccountFile(path)
    path.write_text("{}")
    assert [one.name for one in console.accounts()] == ["ada"]
    path.unlink()
    assert [one.name for one in console.accounts()] == ["ada"]


def test_somebody_stays_administrator(path: Path) -> None:
    store = AccountFile(path)
    store.create("bob", Role.READER)
    for change in (lambda: store.remove("ada"), lambda: store.set_role("ada", Role.READER)):
        with pytest.raises(Refused):
            change()
    store.set_role("bob", Role.ADMIN)
    store.remove("ada")
    assert store.accounts() == [Account("bob", Role.ADMIN, must_change=True)]
    with pytest.raises(NotFound):
        store.remove("ada")


def test_no_record_no_action(path: Path) -> None:
    def failing() -> None:
        raise StorageError("The ledger's disk is full.")

    store, before = AccountFile(path), path.read_bytes()
    store_of_two = (
        lambda: store.create("bob", Role.ADMIN, record=failing),
        lambda: store.reset("ada", record=failing),
        lambda: store.set_role("ada", Role.ADMIN, record=failing),
    )
    for change in store_of_two:
        with pytest.raises(StorageError):
            change()
    assert path.read_bytes() == before
