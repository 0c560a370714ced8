"""The morning goes as promised, in both languages, and says so when it does not."""

from __future__ import annotations

import pytest
from tests.cli.conftest import run

from leadglass.cli.morning import play


def test_once_ends_with_zero_and_everything_as_promised() -> None:
    told = run("demo", "--once", "--json")
    assert told.code == 0, told.out
    steps = {step["step"]: step for step in told.json["steps"]}
    assert list(steps) == ["sent", "sealed", "colour", "held", "stranger", "moved", "web", "ledger", "unreadable"]
    assert told.json["as_promised"]
    assert steps["moved"]["identical"] == steps["moved"]["objects"] == 240
    assert steps["unreadable"]["found"] == []
    assert {one["source"] for one in told.json["held"]} == {"CT1", "IMPORT"}
    assert told.json["console"] is None  # its site is gone


def test_a_promise_that_is_not_kept_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words searched for on the disk include one that does lie there: the search must see it."""
    monkeypatch.setattr(play, "_READABLE", (b"BEGIN CERTIFICATE",))
    told = run("demo", "--once", "--language", "fr")
    assert told.code == 1
    assert "NON" in told.out
    assert "Console :" not in told.out
    assert "https://" not in told.out
