"""A held object is told with its reason, released or discarded once, and only with a reason of one's own."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Verb


@pytest.fixture
def held(leadglass: Verb) -> str:
    (one,) = leadglass("quarantine", "list", "--json").json["held"]
    return str(one["object"])


def test_why(leadglass: Verb, held: str) -> None:
    told = leadglass("quarantine", "why", held, "--json").json
    assert told["state"] == "held"
    assert told["findings"][0]["class"] == "pe_preamble"
    assert "Windows program" in leadglass("quarantine", "why", held).out
    assert held in leadglass("quarantine", "list").out


def test_release_archives_it_under_a_new_id(leadglass: Verb, held: str) -> None:
    told = leadglass("quarantine", "release", held, "--reason", "Checked", "--json")
    assert told.code == 0
    assert told.json["object"] != held
    assert leadglass("quarantine", "list", "--json").json == {"held": []}
    assert leadglass("show", told.json["object"], "--json").json["objects"][0]["state"] == "archived"
    assert leadglass("quarantine", "release", held, "--reason", "Again").code == 1
    assert leadglass("verify", "--all").code == 0


def test_discard_removes_it(leadglass: Verb, held: str) -> None:
    assert leadglass("quarantine", "discard", held, "--reason", "Not ours").code == 0
    assert "Nothing is held" in leadglass("quarantine", "list").out
    assert leadglass("quarantine", "why", held).code == 1
    assert leadglass("verify", "--all").code == 0


def test_a_reason_and_an_id_are_needed(leadglass: Verb, held: str) -> None:
    assert leadglass("quarantine", "release", held).code == 2
    assert leadglass("quarantine", "why", "nonsense").code == 2
    assert leadglass("quarantine", "why", "ab" * 16).code == 1
