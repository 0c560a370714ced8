"""Matching is PS3.4 §C.2.2.2, case by case; a wildcard agrees with a naive oracle and takes linear time."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadglass.archive.matching import canonical, folded, matcher_for, wildcard

CASES = [
    # VR, key, values that match, values that do not
    ("CS", "CT", ["CT", "CT ", " CT", "PR\\CT"], ["", "ct", "CTA", "MR"]),
    ("CS", "CT\\MR", ["CT", "MR", "US\\MR"], ["", "US"]),
    ("LO", "ABDOMEN", ["ABDOMEN"], ["abdomen", "ABDOMENS", ""]),
    ("LO", "ABD*", ["ABD", "ABDOMEN"], ["THE ABDOMEN", "abdomen", ""]),
    ("LO", "*DOM*", ["ABDOMEN", "DOM"], ["DO M", ""]),
    ("LO", "A?C", ["ABC", "A-C"], ["AC", "ABBC", "abc"]),
    ("LO", "A.C", ["A.C"], ["ABC"]),
    ("LO", "(a|b)*", ["(a|b)c"], ["a", "b"]),
    ("LO", "cafe\u0301", ["caf\u00e9"], ["cafe"]),
    ("SH", "?", ["A"], ["", "AB"]),
    ("LT", "a\\b", ["a\\b"], ["a", "b"]),
    ("LT", "*b*", ["a\\b\\c", "line\nb"], ["a\\c"]),
    ("UI", "1.2.3", ["1.2.3", "1.2.3\0"], ["1.2.31", "1.2.*", ""]),
    ("UI", "1.2.3\\1.2.4", ["1.2.3", "1.2.4"], ["1.2.5", "1.2.3.4"]),
    ("UI", "1.2.*", [], ["1.2.3"]),
    ("IS", "1", ["1", "01", "+1", "1 ", "7\\1"], ["10", "", "one"]),
    ("DS", "1.50", ["1.5", "15e-1"], ["1.05"]),
    ("US", "512", ["512"], ["51"]),
    ("IS", "1*", [], ["1", "10"]),
    ("AS", "030Y", ["030Y"], ["30Y"]),
    # dates
    ("DA", "20240131", ["20240131", "2024.01.31", "20200101\\20240131"], ["20240130", "", "202401"]),
    ("DA", "20240101-20240131", ["20240101", "20240115", "20240131"], ["20231231", "20240201", ""]),
    ("DA", "20240101 - 20240131", ["20240115"], ["20240201"]),
    ("DA", "20240101-", ["20240101", "20991231"], ["20231231", ""]),
    ("DA", "-20240131", ["19000101", "20240131"], ["20240201", ""]),
    ("DA", "someday", ["someday"], ["20240101"]),
    ("DA", "20240201-20240101", [], ["20240115"]),
    # times; a value of less precision is its whole unit at the end of a range
    ("TM", "101112", ["101112", "10:11:12", "101112.000000"], ["101113", "1011", ""]),
    ("TM", "10", ["10", "100000"], ["101112"]),
    ("TM", "10-11", ["100000", "110000", "115959.999999"], ["095959", "120000", ""]),
    ("TM", "-1030", ["103059", "000000"], ["1031"]),
    ("TM", "1030-", ["103000", "235959.5"], ["102959.999999"]),
    # date-times; a hyphen is an offset where it can be one
    ("DT", "20240101-20240102", ["20240101", "20240102235959"], ["20240103", "20231231235959"]),
    ("DT", "2024-2025", ["20240601", "20251231235959.999999"], ["2026", "2023"]),
    ("DT", "20240101120000-0500", ["20240101170000", "20240101180000+0100"], ["20240101120000"]),
    ("DT", "20240101120000-0500-", ["20240101170000+0000"], ["20240101165959"]),
    ("DT", "-202402", ["20240229235959"], ["20240301"]),
    # person names
    ("PN", "Doe^John", ["DOE^JOHN", "doe^john^", "Doe ^ John^^^", "DOE^JOHN=X^Y"], ["DOE", "DOE^JOHNNY", ""]),
    ("PN", "DOE^JOHN^^", ["Doe^John"], ["Doe^John^M"]),
    ("PN", "doe*", ["Doe^John", "DOEBLIN"], ["John^Doe"]),
    ("PN", "*^jo?n", ["Doe^John", "Roe^Joan"], ["Doe^Jn"]),
    ("PN", "山田*", ["Yamada^Tarou=山田^太郎=やまだ^たろう"], ["Yamada^Tarou"]),
    ("PN", "yamada*=山田*", ["Yamada^Tarou=山田^太郎"], ["Yamada^Tarou", "Yamada^Tarou=川田^太郎"]),
    ("PN", "*=山田*", ["Yamada^Tarou=山田^太郎"], ["山田^太郎"]),
    ("PN", "muller", ["MULLER"], ["MÜLLER", "Mueller"]),
    ("PN", "MU\u0308LLER", ["müller"], ["muller"]),
    ("PN", "doe\\roe", ["Roe", "Doe"], ["Poe"]),
]


@pytest.mark.parametrize(("vr", "key", "yes", "no"), CASES, ids=[f"{vr} {key}" for vr, key, _, _ in CASES])
def test_the_table(vr: str, key: str, yes: list[str], no: list[str]) -> None:
    matcher = matcher_for(vr, key)
    assert matcher is not None
    assert [value for value in yes if not matcher(value)] == []
    assert [value for value in no if matcher(value)] == []


@pytest.mark.parametrize("vr", ["LO", "PN", "DA", "UI", "IS", "TM"])
@pytest.mark.parametrize("key", ["", " ", "*", "**", "* ", "\0"])
def test_universal_matching_is_no_restriction(vr: str, key: str) -> None:
    assert matcher_for(vr, key) is None


FUZZY = [
    ("muller", ["Müller^Anna", "MULLER", "Mullerson"], ["Miller"]),
    ("anna mul", ["Müller^Anna", "Müller-Lüdenscheidt^Hanna^Anna"], ["Müller^Hanna"]),
    ("mul^ann", ["Müller^Anna"], ["Müller^Johanna"]),
    ("dupre", ["Dupré^Zoé"], ["Prédu"]),
    ("ZOÉ", ["Dupré^Zoe"], []),
    ("*llenscheidt", ["Lüllenscheidt"], ["Müller"]),
    ("山田", ["Yamada^Tarou=山田^太郎"], ["川田^太郎"]),
]


@pytest.mark.parametrize(("key", "yes", "no"), FUZZY)
def test_fuzzy_names_match_by_the_beginning_of_words(key: str, yes: list[str], no: list[str]) -> None:
    matcher = matcher_for("PN", key, is_fuzzy=True)
    assert matcher is not None
    assert [value for value in yes if not matcher(value)] == []
    assert [value for value in no if matcher(value)] == []


def test_fuzzy_is_for_names_alone() -> None:
    matcher = matcher_for("LO", "abdomen", is_fuzzy=True)
    assert matcher is not None and not matcher("ABDOMEN")


def naive(pattern: str, text: str) -> bool:
    """The definition: try every split."""

    @cache
    def at(i: int, j: int) -> bool:
        if i == len(pattern):
            return j == len(text)
        if pattern[i] == "*":
            return any(at(i + 1, k) for k in range(j, len(text) + 1))
        return j < len(text) and pattern[i] in ("?", text[j]) and at(i + 1, j + 1)

    return at(0, 0)


@given(st.text("ab*?", max_size=10), st.text("ab", max_size=12))
def test_a_wildcard_agrees_with_the_naive_oracle(pattern: str, text: str) -> None:
    assert wildcard(pattern)(text) is naive(pattern, text)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_without_wildcards_matches_itself_and_nothing_else(pattern: str, text: str) -> None:
    literal = pattern.replace("*", "").replace("?", "")
    assert wildcard(literal)(literal)
    assert wildcard(literal)(text) is (literal == text)


def test_a_hostile_wildcard_takes_few_steps() -> None:
    """With backtracking this key takes longer than the age of the universe; it is over before a trace sees it."""
    matcher = matcher_for("LT", "*a" * 500 + "b")
    assert matcher is not None
    assert not matcher("a" * 10_000)


@given(st.text(max_size=30))
def test_any_key_compiles_and_any_value_is_answered(text: str) -> None:
    for vr in ("PN", "LO", "DA", "TM", "DT", "UI", "IS", "DS", "LT"):
        for is_fuzzy in (False, True):
            matcher = matcher_for(vr, text, is_fuzzy=is_fuzzy)
            if matcher is not None:
                assert matcher(text) in (True, False)
                assert matcher("") in (True, False)


@given(st.text(max_size=20))
def test_equal_values_have_one_canonical_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text) == canonical(f"  {text}\0 ")


def test_folding_takes_case_accents_and_width_away_but_no_voicing_mark() -> None:
    assert folded("ÅNGSTRÖM ﾃｽﾄ") == "angstrom テスト"
    assert folded("が") != folded("か")
