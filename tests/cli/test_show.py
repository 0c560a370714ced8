"""The life of an object is told by any of its names."""

from __future__ import annotations

import pytest
from tests.cli.conftest import CT_INSTANCE, CT_STUDY, Verb


@pytest.mark.parametrize("name", [CT_STUDY, CT_INSTANCE])
def test_life_by_uid(leadglass: Verb, name: str) -> None:
    told = leadglass("show", name, "--json")
    (one,) = told.json["objects"]
    assert one["sop_instance_uid"] == CT_INSTANCE
    assert one["state"] == "archived"
    assert [line["kind"] for line in one["life"]] == ["object-received"]
    assert one["waiting"] == []


def test_life_by_object_id_of_a_held_object(leadglass: Verb) -> None:
    held = leadglass("quarantine", "list", "--json").json["held"][0]["object"]
    (one,) = leadglass("show", held, "--json").json["objects"]
    assert one["state"] == "held"
    assert one["findings"]
    told = leadglass("show", held).out
    assert "object-held" in told
    assert "finding" in told


def test_what_nobody_knows(leadglass: Verb) -> None:
    assert leadglass("show", "1.2.3").code == 1
    assert leadglass("show", "ab" * 16).code == 1
    assert leadglass("show", "../etc/passwd").code == 2


def test_exports_are_part_of_the_life(leadglass: Verb, tmp_path) -> None:  # type: ignore[no-untyped-def]
    leadglass("export", CT_STUDY, tmp_path / "out")
    (one,) = leadglass("show", CT_STUDY, "--json").json["objects"]
    assert [line["kind"] for line in one["life"]] == ["object-received", "exported"]
