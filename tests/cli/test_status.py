"""Status counts what is there and names what waits."""

from __future__ import annotations

from tests.cli.conftest import Verb


def test_status_counts(leadglass: Verb) -> None:
    told = leadglass("status", "--json").json
    assert told["counts"]["archived"] == 2
    assert told["counts"]["held"] == 1
    assert told["nodes"] == {"approved": 0, "pending": 0}
    assert told["newest_arrival"]
    assert told["policy_problem"] == ""


def test_status_for_a_person_names_the_next_step(leadglass: Verb) -> None:
    told = leadglass("status")
    assert told.code == 0
    assert "leadglass quarantine list" in told.out
