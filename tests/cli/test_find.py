"""Searching matches as C-FIND does, at each level."""

from __future__ import annotations

import pytest
from tests.cli.conftest import CT_STUDY, Verb


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ((), 2),
        (("--patient", "compressedsamples^ct*"), 1),
        (("--patient", "CompressedSamples^?R1"), 1),
        (("--id", "1CT1"), 1),
        (("--study", CT_STUDY), 1),
        (("--modality", "CT,MR"), 2),
        (("--modality", "US"), 0),
        (("--date", "2004-01-01..2004-02-01"), 1),
        (("--date", "20040119"), 1),
        (("--date", "..1999-01-01"), 0),
        (("--date", "20040101-20040201"), 1),
        (("--date", "2004-02-01.."), 1),
        (("--modality", "ct"), 1),
        (("--study", f"{CT_STUDY},1.2.3"), 1),
        (("--level", "series", "--modality", "CT"), 1),
        (("--level", "image", "--study", CT_STUDY), 1),
    ],
)
def test_matching(leadglass: Verb, arguments: tuple[str, ...], count: int) -> None:
    told = leadglass("find", *arguments, "--json")
    assert told.code == 0
    assert len(told.json["matches"]) == count
    assert told.json["complete"]


def test_a_study_is_told_whole(leadglass: Verb) -> None:
    (match,) = leadglass("find", "--study", CT_STUDY, "--json").json["matches"]
    assert match["patient"] == "CompressedSamples^CT1"
    assert match["instances"] == "1"
    assert match["modalities"] == "CT"


def test_a_cut_answer_says_so(leadglass: Verb) -> None:
    assert not leadglass("find", "--limit", "1", "--json").json["complete"]
    assert "Only the first 1" in leadglass("find", "--limit", "1").err


def test_a_table_for_a_person_and_a_word_for_nothing(leadglass: Verb) -> None:
    assert CT_STUDY in leadglass("find").out
    assert "Nothing matches" in leadglass("find", "--id", "NOBODY").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--date", "yesterday"),
        ("--date", "2026-02-30"),
        ("--date", "20261301"),
        ("--date", "2026"),
        ("--date", ".."),
        ("--date", "-"),
        ("--date", "2026-01-31..2026-01-01"),
        ("--date", "2026-01-01..soon"),
        ("--study", "MARTIN"),
        ("--study", "1..2"),
        ("--study", "1.2."),
        ("--study", "1." * 40 + "1"),
        ("--series", "1.2.x"),
        ("--modality", "C-T"),
        ("--modality", ","),
    ],
)
def test_nonsense_is_a_usage_error_that_says_what_is_expected(leadglass: Verb, arguments: tuple[str, ...]) -> None:
    told = leadglass("find", *arguments)
    assert told.code == 2
    assert arguments[0] in told.err
    assert "Next:" in told.err
