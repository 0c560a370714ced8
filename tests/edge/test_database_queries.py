"""The catalogue answers as PS3.4 annex C asks, whatever narrows the candidates; and one row at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.catalogued import (
    ACCESSION,
    CT,
    DATE,
    DESCRIPTION,
    ISSUER,
    MODALITY,
    MR,
    NAME,
    NUMBER,
    PATIENT_ID,
    SERIES,
    SERIES_NUMBER,
    SOP,
    STUDY,
    admitted,
    event,
    opened,
    record,
)

from leadglass.archive.levels import KNOWN_AT, Level
from leadglass.archive.matching import matcher_for
from leadglass.archive.query import QUERY_LEVEL, Query
from leadglass.dicom.dictionary import vr_of
from leadglass.edge import database_narrowing, database_queries
from leadglass.edge.database import SqlCatalogue
from leadglass.edge.database_narrowing import months_of
from leadglass.journeys.ports import Attributes, ObjectRecord, ObjectState

MODALITIES, CLASSES, STUDY_SERIES, STUDY_INSTANCES = 0x00080061, 0x00080062, 0x00201206, 0x00201208
SERIES_INSTANCES, PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES = 0x00201209, 0x00201200, 0x00201202, 0x00201204


def ward() -> list[ObjectRecord]:
    """Make three patients: Müller (two studies: CT with two series, MR), Yamada (a CT), and a nameless one."""
    mueller = {NAME: "Müller^Anna", ISSUER: "KSB"}
    return [
        *(record(n, study="1.1", patient="P1", attributes=mueller) for n in (3, 1, 2)),
        record(1, study="1.1", series="1.1.7", patient="P1", attributes={**mueller, SERIES_NUMBER: "1"}),
        record(1, study="1.2", patient="P1", sop_class=MR,
               attributes={**mueller, DATE: "20231224", ACCESSION: "ACC-78", DESCRIPTION: "Knie rechts"}),
        record(1, study="2.1", patient="P2",
               attributes={NAME: "Yamada^Tarou=山田^太郎", DATE: "20240201", ACCESSION: "ACC*9", 0x00080030: "07"}),
        record(1, study="3.1", patient="", attributes={NAME: "", DATE: "", ACCESSION: "", PATIENT_ID: ""}),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlCatalogue]:
    catalogue = opened(tmp_path_factory.mktemp("ward"))
    for one in ward():
        admitted(catalogue, one)
    admitted(catalogue, record(9, study="1.1", state=ObjectState.HELD))
    admitted(catalogue, record(3, study="1.1", patient="P1", content="other"))
    yield catalogue
    catalogue.close()


def studies(catalogue: SqlCatalogue, keys: Attributes, **options: bool | int) -> list[str]:
    found = catalogue.find(Query("STUDY", keys, **options))  # type: ignore[arg-type]
    return sorted(match[STUDY] for match in found)


ALL = ["1.1", "1.2", "2.1", "3.1"]
STUDY_QUERIES: list[tuple[Attributes, list[str]]] = [
    ({}, ALL),
    ({NAME: "*"}, ALL),
    ({NAME: "müller^anna"}, ["1.1", "1.2"]),
    ({NAME: "MÜLLER*"}, ["1.1", "1.2"]),
    ({NAME: "muller*"}, []),
    ({NAME: "山田*"}, ["2.1"]),
    ({PATIENT_ID: "P1"}, ["1.1", "1.2"]),
    ({PATIENT_ID: "P1", ISSUER: "KSB"}, ["1.1", "1.2"]),
    ({PATIENT_ID: "P1", ISSUER: "OTHER"}, []),
    ({PATIENT_ID: "P?"}, ["1.1", "1.2", "2.1"]),
    ({PATIENT_ID: "P1\\P2"}, ["1.1", "1.2", "2.1"]),
    ({STUDY: "1.1\\2.1\\9.9"}, ["1.1", "2.1"]),
    ({STUDY: "1.1", PATIENT_ID: "P2"}, []),
    ({ACCESSION: "ACC-78"}, ["1.2"]),
    ({ACCESSION: " ACC-78 "}, ["1.2"]),
    ({ACCESSION: "ACC*"}, ["1.1", "1.2", "2.1"]),
    ({ACCESSION: "acc-78"}, []),
    ({DATE: "20240115"}, ["1.1"]),
    ({DATE: "20231201-20240131"}, ["1.1", "1.2"]),
    ({DATE: "20240116-20240131"}, []),
    ({DATE: "20240101-"}, ["1.1", "2.1"]),
    ({DATE: "-20240101"}, ["1.2"]),
    ({DATE: "19000101-20991231"}, ["1.1", "1.2", "2.1"]),
    ({0x00080030: "07-08"}, ["2.1"]),
    ({MODALITIES: "CT"}, ["1.1", "2.1", "3.1"]),
    ({MODALITIES: "MR\\US"}, ["1.2"]),
    ({MODALITIES: "M*"}, ["1.2"]),
    ({CLASSES: MR}, ["1.2"]),
    ({STUDY_INSTANCES: "4"}, ["1.1"]),
    ({STUDY_SERIES: "2"}, ["1.1"]),
    ({DESCRIPTION: "*rechts"}, ["1.2"]),
    ({0x00080056: "ONLINE"}, ALL),
    ({0x00080056: "OFFLINE"}, []),
    ({MODALITY: "MR"}, ALL),  # a key of a lower level restricts nothing
    ({0x00189999: "x", 0x00081115: ""}, ALL),
]


@pytest.mark.parametrize(("keys", "expected"), STUDY_QUERIES, ids=[str(keys) for keys, _ in STUDY_QUERIES])
def test_studies_match(catalogue: SqlCatalogue, keys: Attributes, expected: list[str]) -> None:
    assert studies(catalogue, keys) == expected


def test_fuzzy_names(catalogue: SqlCatalogue) -> None:
    assert studies(catalogue, {NAME: "anna mul"}, is_fuzzy=True) == ["1.1", "1.2"]


def test_a_study_tells_what_is_asked_and_counted(catalogue: SqlCatalogue) -> None:
    asked = dict.fromkeys((NAME, MODALITIES, CLASSES, STUDY_SERIES, STUDY_INSTANCES, 0x00080056, 0x00280010), "")
    (match,) = catalogue.find(Query("STUDY", {**asked, STUDY: "1.1", PATIENT_INSTANCES: ""}))
    assert match == {
        QUERY_LEVEL: "STUDY",
        NAME: "Müller^Anna",
        PATIENT_ID: "P1",
        STUDY: "1.1",
        MODALITIES: "CT",
        CLASSES: CT,
        STUDY_SERIES: "2",
        STUDY_INSTANCES: "4",
        PATIENT_INSTANCES: "5",
        0x00080056: "ONLINE",
        0x00280010: "",  # asked for, but no attribute of this level
    }


def test_patients(catalogue: SqlCatalogue) -> None:
    counts = dict.fromkeys((PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES), "")
    found = {match[PATIENT_ID]: match for match in catalogue.find(Query("PATIENT", {**counts, NAME: ""}))}
    assert {pid: [match[tag] for tag in counts] for pid, match in found.items()} == {
        "P1": ["2", "3", "5"], "P2": ["1", "1", "1"], "": ["1", "1", "1"],
    }  # fmt: skip
    assert [m[PATIENT_ID] for m in catalogue.find(Query("PATIENT", {PATIENT_INSTANCES: "5"}))] == ["P1"]


def test_series(catalogue: SqlCatalogue) -> None:
    asked = {STUDY: "1.1", SERIES_INSTANCES: "", STUDY_SERIES: "", MODALITY: "", NAME: ""}
    found = {match[SERIES]: match for match in catalogue.find(Query("SERIES", asked))}
    assert {uid: match[SERIES_INSTANCES] for uid, match in found.items()} == {"1.1.1": "3", "1.1.7": "1"}
    assert {match[STUDY_SERIES] for match in found.values()} == {"2"}
    assert {match[NAME] for match in found.values()} == {"Müller^Anna"}
    assert [m[SERIES] for m in catalogue.find(Query("SERIES", {SERIES: "1.1.7"}))] == ["1.1.7"]
    assert [m[SERIES] for m in catalogue.find(Query("SERIES", {MODALITY: "MR"}))] == ["1.2.1"]
    assert len(list(catalogue.find(Query("SERIES", {SERIES_INSTANCES: "1"})))) == 4


def test_images(catalogue: SqlCatalogue) -> None:
    found = list(catalogue.find(Query("IMAGE", {STUDY: "1.1", SERIES: "1.1.1", NUMBER: "", 0x00083002: ""})))
    assert sorted(match[NUMBER] for match in found) == ["1", "2", "3"]
    assert {match[0x00083002] for match in found} == {"1.2.840.10008.1.2.1"}
    assert [m[SOP] for m in catalogue.find(Query("IMAGE", {SOP: "1.2.1.1\\9.9"}))] == ["1.2.1.1"]
    assert len(list(catalogue.find(Query("IMAGE", {NUMBER: "02"})))) == 1
    assert len(list(catalogue.find(Query("IMAGE", {MODALITY: "CT"})))) == 6


@pytest.mark.parametrize(
    ("level", "keys", "sops"),
    [
        ("STUDY", {STUDY: "1.1"}, ["1.1.7.1", "1.1.1.1", "1.1.1.2", "1.1.1.3"]),
        ("SERIES", {STUDY: "1.1", SERIES: "1.1.1"}, ["1.1.1.1", "1.1.1.2", "1.1.1.3"]),
        ("IMAGE", {SOP: "2.1.1.1\\1.2.1.1"}, ["1.2.1.1", "2.1.1.1"]),
        ("PATIENT", {PATIENT_ID: "P2"}, ["2.1.1.1"]),
        ("STUDY", {PATIENT_ID: "P1", MODALITIES: "MR"}, ["1.2.1.1"]),
        ("STUDY", {STUDY: "9.9"}, []),
    ],
)
def test_instances_come_in_series_and_instance_order(
    catalogue: SqlCatalogue, level: str, keys: Attributes, sops: list[str]
) -> None:
    assert [one.sop_instance_uid for one in catalogue.instances(Query(level, keys))] == sops


def test_a_held_or_conflicting_object_is_in_no_answer(catalogue: SqlCatalogue) -> None:
    everything = list(catalogue.find(Query("IMAGE", {SOP: ""})))
    assert sorted(match[SOP] for match in everything) == sorted(one.sop_instance_uid for one in ward())


# --- pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", list(Level))
def test_pages_lose_and_double_nothing(catalogue: SqlCatalogue, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(catalogue.find(Query(level, {STUDY_INSTANCES: ""})))
    monkeypatch.setattr(database_queries, "PAGE", 2)
    assert list(catalogue.find(Query(level, {STUDY_INSTANCES: ""}))) == whole
    for offset in range(len(whole) + 1):
        assert (
            list(catalogue.find(Query(level, {STUDY_INSTANCES: ""}, limit=2, offset=offset)))
            == whole[offset : offset + 2]
        )
    assert list(catalogue.find(Query(level, {}, limit=0))) == []


def test_the_studies_list_is_newest_first_and_searched_by_words(
    catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_queries, "PAGE", 2)

    def listed(**options: str | int) -> list[str]:
        return [line.study_instance_uid for line in catalogue.studies(**options)]  # type: ignore[arg-type]

    assert listed() == ["3.1", "2.1", "1.2", "1.1"]
    assert listed(limit=2, offset=1) == ["2.1", "1.2"]
    assert listed(text="muller") == ["1.2", "1.1"]
    assert listed(text="anna KNIE") == ["1.2"]
    assert listed(text="muller", limit=1, offset=1) == ["1.1"]
    assert listed(text="acc-78") == ["1.2"]
    assert listed(text="p2") == ["2.1"]
    assert listed(text="nobody") == []
    assert listed(offset=9) == []
    line = catalogue.studies()[3]
    assert (line.instance_count, line.held_count, line.length_bytes) == (4, 1, 4000)
    assert line.attributes[MODALITIES] == "CT"


def test_an_answer_is_made_while_it_is_taken(catalogue: SqlCatalogue) -> None:
    """Between two matches no transaction is open: a writer commits and the answer goes on."""
    answer = catalogue.find(Query("STUDY", {NAME: ""}))
    next(answer)
    catalogue.record(event())
    assert len(list(answer)) == 3


# --- narrowing never loses a match --------------------------------------------------------------------

VALUES = ["", "*", "P1", "P?", "P1\\P2", "1.1", "1.1\\2.1", "20240115", "20231201-20240131", "2024*", "-20240101",
          "CT", "MR", "CT\\MR", "ACC-78", "ACC*9", "Müller^Anna", "M*", "KSB", "1", "1.2.1.1", "1.1.7",
          " P1 "]  # fmt: skip
TAGS = [NAME, PATIENT_ID, ISSUER, STUDY, SERIES, SOP, DATE, ACCESSION, MODALITY, NUMBER]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(Level)), st.dictionaries(st.sampled_from(TAGS), st.sampled_from(VALUES), max_size=3))
def test_tokens_select_what_matching_alone_would(catalogue: SqlCatalogue, level: Level, keys: dict[int, str]) -> None:
    known = {tag: text for tag, text in keys.items() if tag in KNOWN_AT[level]}
    everything = [dict(match) for match in catalogue.find(Query(level, dict.fromkeys(TAGS, "")))]
    matchers = {tag: matcher_for(vr_of(tag), text) for tag, text in known.items()}
    expected = [m for m in everything if all(f is None or f(m[tag]) for tag, f in matchers.items())]
    asked = {**dict.fromkeys(TAGS, ""), **keys}
    assert list(catalogue.find(Query(level, asked))) == expected


def test_a_list_too_long_for_tokens_is_matched_row_by_row(
    catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_narrowing, "LIST_MAX", 1)
    assert studies(catalogue, {STUDY: "1.1\\2.1"}) == ["1.1", "2.1"]
    many = "\\".join(["1.1", *(f"9.{n}" for n in range(5000))])
    monkeypatch.undo()
    assert studies(catalogue, {STUDY: many}) == ["1.1"]


@given(st.dates(date(1, 1, 1), date(9990, 1, 1)), st.integers(0, 4000), st.integers(0, 4000))
def test_the_months_of_a_range_hold_each_of_its_days(first: date, length: int, inside: int) -> None:
    last = first + timedelta(days=length)
    day = first + timedelta(days=min(inside, length))

    def text(at: date) -> str:
        return f"{at.year:04}{at.month:02}{at.day:02}"

    months = months_of(f"{text(first)}-{text(last)}")
    assert text(day)[:6] in months
    assert len(months) <= 240


@pytest.mark.parametrize("key", ["", "*", "20240101-", "-20240101", "20240101\\20240201", "19000101-20240101", "2024"])
def test_a_date_key_that_is_no_short_range_narrows_nothing(key: str) -> None:
    assert months_of(key) == []


# --- what a study tells -------------------------------------------------------------------------------


def test_the_first_value_stays_and_later_objects_fill_gaps(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    admitted(catalogue, record(1, attributes={DESCRIPTION: "", NAME: "DOE^JOHN"}))
    admitted(catalogue, record(1, series="1.2.3.100.2", attributes={DESCRIPTION: "HEAD", NAME: "DOE^JON"}))
    (match,) = catalogue.find(Query("STUDY", {NAME: "", DESCRIPTION: "HEAD"}))
    assert match[NAME] == "DOE^JOHN"
    admitted(catalogue, record(1, series="1.2.3.100.3", sop_class=MR, attributes={ACCESSION: "LATE"}))
    assert studies(catalogue, {ACCESSION: "ACC-77"}) == ["1.2.3.100"]
    assert studies(catalogue, {ACCESSION: "LATE"}) == []
    (match,) = catalogue.find(Query("STUDY", {MODALITIES: "", CLASSES: ""}))
    assert (match[MODALITIES], match[CLASSES]) == ("CT\\MR", f"{CT}\\{MR}")
    catalogue.close()


def test_what_another_process_adds_is_seen_at_once(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    admitted(one, record(1, attributes={DESCRIPTION: ""}))
    assert studies(other, {DESCRIPTION: "HEAD"}) == []
    admitted(other, record(1, series="1.2.3.100.2", attributes={DESCRIPTION: "HEAD"}))
    admitted(one, record(2))
    (match,) = one.find(Query("STUDY", {DESCRIPTION: "HEAD", STUDY_INSTANCES: "", STUDY_SERIES: ""}))
    assert (match[STUDY_INSTANCES], match[STUDY_SERIES]) == ("3", "2")
    one.close()
    other.close()
