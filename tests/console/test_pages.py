"""Pages say what is, in both languages, and nothing a sender wrote becomes markup."""

from __future__ import annotations

import io
import re
import string
from dataclasses import replace

import pydicom
import pytest
from starlette.testclient import TestClient
from tests.imaging.test_to_dicom import ACQUISITION, COLOURS, EXAMINATION, VOLUME

from leadglass.audit import AuditEvent, AuditKind
from leadglass.console.messages import words
from leadglass.gateway.node import NodeState, Permission
from leadglass.imaging.to_dicom_study import Wanted, study
from leadglass.journeys.ports import ObjectState
from leadglass.malware.rebuild.changes import Act, Change, change_findings

from .house import PaperHouse, sample
from .test_access import token_of


def test_both_languages_have_the_same_words_and_blanks() -> None:
    french, english = words("fr").table, words("en").table
    assert french.keys() == english.keys()
    for key, text in english.items():
        blanks = [{f for _, f, _, _ in string.Formatter().parse(t) if f} for t in (text, french[key])]
        assert blanks[0] == blanks[1] or key.startswith("counts."), key  # one language may need no plural


def test_the_language_follows_the_browser_and_then_the_choice(client: TestClient) -> None:
    assert "Connexion" in client.get("/login", headers={"Accept-Language": "fr-FR,en;q=0.5"}).text
    client.post("/language", data={"language": "en", "back": "/login"})
    assert "Log in" in client.get("/login", headers={"Accept-Language": "fr-FR"}).text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_the_language_switch_leads_nowhere_else(client: TestClient, back: str) -> None:
    answer = client.post("/language", data={"language": "fr", "back": back}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_what_a_sender_wrote_is_text(ada: TestClient, house: PaperHouse) -> None:
    evil = "<script>alert(1)</script>\"'{{7*7}}"
    dataset = pydicom.dcmread(io.BytesIO(sample("CT_small.dcm")))
    dataset.PatientName, dataset.StudyDescription, dataset.SeriesDescription = evil[:60], evil, evil
    dataset.StudyInstanceUID, dataset.SOPInstanceUID = "1.2.99", "1.2.99.1"
    out = io.BytesIO()
    dataset.save_as(out)
    house.add(out.getvalue())
    for path in ("/", "/studies/1.2.99", "/studies/1.2.99/viewer", "/?q=<script>alert(1)</script>", "/nodes"):
        text = ada.get(path).text
        assert "<script>alert" not in text and "49" not in re.sub(r'"[^"]*"|\d{2,}', "", text), path
        assert "ECHO<b>1" not in text


def test_an_empty_archive_says_what_to_do_next(ada: TestClient, house: PaperHouse) -> None:
    house.records.clear()
    house.held_objects.clear()
    text = ada.get("/").text
    assert "LEADGLASS" in text and "2762" in text and "leadglass node add" in text


def test_search_filters_and_the_part_is_rows_alone(ada: TestClient) -> None:
    text = ada.get("/?q=compressedsamples&part=1").text
    assert "CompressedSamples" in text and "Lestrade" not in text and "<html" not in text


def test_a_study_shows_its_life_line_and_looking_is_recorded_once(ada: TestClient, house: PaperHouse) -> None:
    study = next(iter(house.records.values())).study_instance_uid
    text = ada.get(f"/studies/{study}").text
    assert text.count('<li class="done">') == 3
    ada.get(f"/studies/{study}")
    looked = [e for e in house.events if e.kind == AuditKind.STUDY_VIEWED]
    assert len(looked) == 1 and looked[0].detail["study"] == study and looked[0].actor == "ada"


def test_a_missing_study_is_404(ada: TestClient) -> None:
    assert ada.get("/studies/1.2.3.4").status_code == 404
    assert ada.get("/studies/..%2f..%2fetc").status_code in (400, 404)


def test_the_viewer_gets_values_and_their_meaning(ada: TestClient, house: PaperHouse) -> None:
    record = next(r for r in house.records.values() if r.attributes[0x00080060] == "CT")
    answer = ada.get(f"/studies/{record.study_instance_uid}/instances/{record.sop_instance_uid}/frames/1/pixels")
    facts = __import__("json").loads(answer.headers["x-picture"])
    assert (facts["kind"], facts["rows"], facts["intercept"]) == ("i16", 128, -1024.0)
    assert len(answer.content) == 128 * 128 * 2


def test_held_objects_are_shown_with_findings_and_decided_on_with_a_reason(ada: TestClient, house: PaperHouse) -> None:
    object_id = next(iter(house.held_objects))
    page = ada.get(f"/held/{object_id.hex()}").text
    assert "LG-PRE-001" in page and "Windows program" in page and "128" in page
    form = {"csrf": token_of(page), "action": "release"}
    assert ada.post(f"/held/{object_id.hex()}", data={**form, "reason": " "}).status_code == 422
    assert house.decisions == []
    ada.post(f"/held/{object_id.hex()}", data={**form, "reason": "checked with the sender"})
    assert house.decisions == [("release", "ada", "checked with the sender")]
    assert not house.objects(ObjectState.HELD)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            ("A harmless copy", "Set to zero in the copy", "not on the allow-list. In 2 places.", "Harmless copies"),
        ),
        ("fr", ("Une copie sans danger", "Mis à zéro", "liste des autorisations. À 2 endroits.", "Copies sans danger")),
    ],
)
def test_what_a_harmless_copy_lacks_is_shown_where_its_original_is_held(
    ada: TestClient, house: PaperHouse, language: str, said: tuple[str, ...]
) -> None:
    """On the page of the held object, which links to the study, and on that of the study."""
    (held,) = house.held_objects.values()
    changes = [
        Change(Act.ZEROED, "preamble", 128, "128 bytes that may hold anything (PS3.10 §7.1)."),
        *(
            Change(Act.REMOVED, f"(0009,10{n:02})", 64, "A private element that is not on the allow-list.")
            for n in (1, 2)
        ),
    ]
    copy = replace(house.add(sample("CT_small.dcm")), findings=change_findings(changes))
    house.records[copy.sop_instance_uid] = copy
    ada.post("/language", data={"language": language, "back": "/"})
    path = f"/held/{held.object_id.hex()}"
    assert said[0] not in ada.get(path).text
    detail: dict[str, str | int] = {"copy": copy.object_id.hex(), "changes": 3}
    house.record(AuditEvent(AuditKind.OBJECT_DISARMED, 1, "anna", held.object_id, "disarmed", detail))
    page, study = ada.get(path).text, ada.get(f"/studies/{copy.study_instance_uid}").text
    assert all(words in page for words in said[:3]) and f"/studies/{copy.study_instance_uid}" in page
    assert all(words in study for words in said[1:])
    assert "(0009,1001)" in page and "(0009,1002)" not in page, "what was done for one reason is one line"
    assert '<span lang="en">' not in page + study


def test_a_held_object_is_not_served(ada: TestClient, house: PaperHouse) -> None:
    held = next(iter(house.held_objects.values()))
    path = f"/dicom-web/studies/{held.study_instance_uid}/series/{held.series_instance_uid}/instances"
    assert ada.get(f"{path}/{held.sop_instance_uid}").status_code == 404


def test_nodes_are_approved_and_removed(ada: TestClient, house: PaperHouse) -> None:
    token = token_of(ada.get("/nodes").text)
    ada.post("/nodes/approve", data={"csrf": token, "name": "ECHO<b>1", "host": "h", "port": "104", "may_query": "1"})
    node = house.node_rows["ECHO<b>1"]
    assert (node.state, node.port, node.permissions) == (NodeState.APPROVED, 104, frozenset({Permission.QUERY}))
    ada.post("/nodes/remove", data={"csrf": token, "name": "CT1"})
    assert "CT1" not in house.node_rows
    assert [e.kind for e in house.events][-2:] == [AuditKind.NODE_APPROVED, AuditKind.NODE_REMOVED]


def test_static_files_are_ours_only(client: TestClient) -> None:
    assert client.get("/static/app.css").status_code == 200
    for name in ("..%2fapp.py", "app.py", "%2e%2e%2fapp.py", "mark.svg%00"):
        assert client.get(f"/static/{name}").status_code == 404


def test_captures_in_colour_are_played_on_the_studys_page(ada: TestClient, house: PaperHouse) -> None:
    """Frames come through the rendered path; a study without captures has no player."""
    wanted = Wanted((70.0,), frames=4, frame_px=(48, 64))
    for made in study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, wanted):
        house.add(made.content)
    text = ada.get(f"/studies/{EXAMINATION.uid}").text
    assert text.count('<figure class="player"') == 2
    assert text.index("Turntable") < text.index("Colour, ")
    picture = re.search(r'<img src="(/dicom-web/[^"]*/frames/)1/rendered"', text)
    assert picture is not None
    for number in (1, 4):
        answer = ada.get(f"{picture[1]}{number}/rendered", headers={"Accept": "image/*"})
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("image/")
    assert ada.get(f"{picture[1]}5/rendered", headers={"Accept": "image/*"}).status_code >= 400
    other = next(r for r in house.records.values() if r.attributes[0x00080060] == "MR")
    assert "player" not in ada.get(f"/studies/{other.study_instance_uid}").text
