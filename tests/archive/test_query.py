"""A query is read from an identifier by the rules of PS3.4 §C.4.1; what breaks them is the peer's error."""

from __future__ import annotations

import pytest

from leadglass.archive.levels import COMPUTED, KEPT, KNOWN_AT, UNIQUE_KEYS, Level
from leadglass.archive.query import QUERY_LEVEL, Query, Root, query_from_identifier
from leadglass.dicom.dataset import DataSet, Element
from leadglass.dicom.dictionary import vr_of
from leadglass.errors import PeerError

PATIENT_FIND, STUDY_FIND, STUDY_MOVE = (
    "1.2.840.10008.5.1.4.1.2.1.1",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.2",
)
NAME, PATIENT_ID, STUDY, SERIES, IMAGE = 0x00100010, 0x00100020, 0x0020000D, 0x0020000E, 0x00080018


def identifier(level: str, keys: dict[int, str]) -> DataSet:
    data_set = {tag: Element.of_text(vr_of(tag), text) for tag, text in keys.items()}
    data_set[QUERY_LEVEL] = Element.of_text("CS", level)
    return data_set


def test_keys_and_return_tags_come_over() -> None:
    query = query_from_identifier(identifier("STUDY", {NAME: "DOE*", 0x00080020: ""}), STUDY_FIND)
    assert (query.at, query.root) == (Level.STUDY, Root.STUDY)
    assert query.keys == {NAME: "DOE*", 0x00080020: ""}
    assert {NAME, 0x00080020, STUDY, PATIENT_ID} <= query.return_tags
    assert set(query.matchers()) == {NAME}


def test_what_is_no_key_stays_out() -> None:
    data_set = identifier("STUDY", {0x00080005: "ISO_IR 192", 0x00080054: "ANY", 0x00090010: "PRIVATE", NAME: "A"})
    data_set[0x00081110] = Element("SQ")
    query = query_from_identifier(data_set, STUDY_FIND)
    assert set(query.keys) == {NAME, 0x00081110}
    assert query.keys[0x00081110] == ""


def test_text_is_decoded_by_its_character_set() -> None:
    data_set = identifier("STUDY", {})
    data_set[0x00080005] = Element.of_text("CS", "ISO_IR 100")
    data_set[NAME] = Element("PN", "Müller".encode("latin-1"))
    assert query_from_identifier(data_set, STUDY_FIND).keys[NAME] == "Müller"


@pytest.mark.parametrize(
    ("level", "keys", "sop_class"),
    [
        ("", {}, STUDY_FIND),
        ("FRAME", {}, STUDY_FIND),
        ("study", {}, STUDY_FIND),
        ("PATIENT", {}, STUDY_FIND),
        ("SERIES", {STUDY: "1.2\\1.3"}, STUDY_FIND),
        ("IMAGE", {STUDY: "1.2", SERIES: "1.2.3\\1.2.4"}, STUDY_MOVE),
        ("STUDY", {PATIENT_ID: "1*"}, PATIENT_FIND),
        ("STUDY", {PATIENT_ID: "1\\2"}, PATIENT_FIND),
        ("STUDY", {STUDY: "1.2", SERIES: "1.2.3"}, STUDY_MOVE),
        ("SERIES", {STUDY: "1.2", IMAGE: "1.2.3"}, STUDY_MOVE),
    ],
)
def test_a_broken_hierarchy_is_the_peers_error(level: str, keys: dict[int, str], sop_class: str) -> None:
    with pytest.raises(PeerError) as caught:
        query_from_identifier(identifier(level, keys), sop_class)
    assert caught.value.code == "identifier"
    assert caught.value.clause.startswith("PS3.4")


@pytest.mark.parametrize(
    ("level", "keys", "sop_class"),
    [
        ("IMAGE", {STUDY: "1.2", SERIES: "1.3", IMAGE: "1.4\\1.5"}, STUDY_MOVE),
        ("STUDY", {STUDY: "1.2\\1.3", SERIES: "", IMAGE: "*"}, STUDY_MOVE),
        ("STUDY", {PATIENT_ID: "A*"}, STUDY_FIND),
        ("PATIENT", {PATIENT_ID: "A*"}, PATIENT_FIND),
        ("SERIES", {}, STUDY_FIND),
        ("IMAGE", {IMAGE: "1.4"}, PATIENT_FIND),
    ],
)
def test_lists_at_the_level_and_relational_queries_are_answered(
    level: str, keys: dict[int, str], sop_class: str
) -> None:
    assert query_from_identifier(identifier(level, keys), sop_class).at == level


def test_a_key_unknown_at_the_level_restricts_nothing() -> None:
    assert Query(Level.STUDY, {0x00280010: "512", 0x00080060: "CT", 0x00081115: "x"}).matchers() == {}
    assert set(Query(Level.SERIES, {0x00080060: "CT"}).matchers()) == {0x00080060}


@pytest.mark.parametrize(
    ("text", "values"),
    [("", ()), ("*", ()), ("1.2*", ()), ("1.?", ()), ("1.2", ("1.2",)), (" 1.2 \\1.3\0", ("1.2", "1.3")), ("\\", ())],
)
def test_exact_values_are_those_a_token_can_stand_for(text: str, values: tuple[str, ...]) -> None:
    assert Query("STUDY", {STUDY: text}).exact(STUDY) == values


def test_every_attribute_belongs_to_one_level() -> None:
    tags = [tag for level in Level for tag in (*KEPT[level], *COMPUTED[level])]
    assert len(tags) == len(set(tags))
    for level in Level:
        assert UNIQUE_KEYS[level] in KEPT[level]
        assert KNOWN_AT[level] <= KNOWN_AT[Level.IMAGE]
    required = {  # PS3.4 tables C.6-1 to C.6-4, types U and R
        Level.PATIENT: {NAME, PATIENT_ID},
        Level.STUDY: {0x00080020, 0x00080030, 0x00080050, 0x00200010, STUDY},
        Level.SERIES: {0x00080060, 0x00200011, SERIES},
        Level.IMAGE: {0x00200013, IMAGE},
    }
    for level, wanted in required.items():
        assert wanted <= KEPT[level]
