"""DICOMweb gives hostile texts as the data they are: JSON that is JSON, and headers of which each is one of ours."""

from __future__ import annotations

import json
import re

import pytest
from starlette.testclient import TestClient

from leadglass.archive.query import Query
from leadglass.dicom.dataset import decode, encode_attributes, text_of
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, transfer_syntax
from leadglass.wiring import Hub

from .texts import INSTANCE, SERIES, STUDY, TEXTS, built, told_of, uid

DESCRIPTION, STUDY_UID = "00081030", "0020000D"
URL = re.compile(r"https://testserver/dicom-web/studies/[^/\s<>\"']+(/series/[^/\s<>\"']+(/instances/[^/\s<>\"']+)?)?")


def asked(client: TestClient, path: str, kind: str = "application/dicom+json", **headers: str) -> bytes:
    """Get an answer whose type no browser guesses at."""
    answer = client.get(f"/dicom-web{path}", headers=headers)
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert "content-disposition" not in answer.headers
    return answer.content


def test_searches_give_texts_as_they_were_sent(browser: TestClient) -> None:
    studies = {row[STUDY_UID].get("Value", [""])[0]: row for row in json.loads(asked(browser, "/studies"))}
    for name in TEXTS:
        row = studies[uid(name, STUDY)]
        assert row[DESCRIPTION]["Value"] == [told_of(name).strip()], name
    for path in ("/studies", "/series", "/instances", "/studies?includefield=all&limit=5"):
        for row in json.loads(asked(browser, path)):
            assert URL.fullmatch(row["00081190"]["Value"][0]), row["00081190"]


@pytest.mark.parametrize("name", TEXTS)
def test_searching_for_a_text_finds_it_and_changes_nothing(browser: TestClient, hub: Hub, name: str) -> None:
    """A text goes to the database as a value: there is as much afterwards as before."""
    before = dict(hub.catalogue.counts())
    query = str(browser.build_request("GET", "/", params={"StudyDescription": TEXTS[name].text}).url.query, "ascii")
    answer = browser.get(f"/dicom-web/studies?{query}")
    assert answer.status_code == 200
    found = [row[STUDY_UID]["Value"][0] for row in answer.json()]
    assert uid(name, STUDY) in found or name in ("formula-tab", "crlf", "utf8", "long")
    after = dict(hub.catalogue.counts())
    assert {**after, "ledger": 0} == {**before, "ledger": 0}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("lot", [0, 1], ids=["in texts", "in UIDs"])
def test_objects_and_their_headers(browser: TestClient, name: str, lot: int) -> None:
    """Each part of an answer has two header lines, and the body is the object that was sent."""
    study = uid(name, STUDY, lot)
    body = asked(
        browser,
        f"/studies/{study}",
        "multipart/related",
        accept='multipart/related; type="application/dicom"; transfer-syntax=*',
    )
    boundary, _, rest = body.partition(b"\r\n")
    head, _, content = rest.partition(b"\r\n\r\n")
    kind, location = head.split(b"\r\n")
    assert re.fullmatch(rb"Content-Type: application/dicom; transfer-syntax=[0-9.]+", kind)
    assert re.fullmatch(rb"Content-Location: [\x21-\x7e]+", location)
    assert URL.fullmatch(location.decode().partition(": ")[2])
    sent = built(name, lot, names=lot == 1)
    assert content.removesuffix(b"\r\n" + boundary + b"--\r\n") == sent
    assert json.loads(asked(browser, f"/studies/{study}/metadata"))[0][STUDY_UID]["Value"] == [study]


@pytest.mark.parametrize("name", TEXTS)
def test_pictures(browser: TestClient, name: str) -> None:
    place = f"/studies/{uid(name, STUDY)}/series/{uid(name, SERIES)}/instances/{uid(name, INSTANCE)}"
    assert asked(browser, f"{place}/rendered", "image/jpeg").startswith(b"\xff\xd8")
    frames = browser.get(f"/studies/{uid(name, STUDY)}/instances/{uid(name, INSTANCE)}/frames/1/pixels")
    assert frames.status_code == 200
    assert json.loads(frames.headers["x-picture"])["rows"] == 2


@pytest.mark.parametrize("name", TEXTS)
def test_what_cannot_be_answered_is_told_in_plain_text(browser: TestClient, name: str) -> None:
    query = str(browser.build_request("GET", "/", params={"q": TEXTS[name].text}).url.query, "ascii")[2:]
    for path in (f"/studies?{query[:900]}=1", f"/studies?limit={query}", "/studies/" + query.replace("+", "%20")):
        answer = browser.get(f"/dicom-web{path}")
        assert answer.status_code in (400, 404), path
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_query_over_the_wire_gives_the_same_texts(hub: Hub) -> None:
    """What C-FIND answers is the match of the archive, encoded: it decodes to the text again."""
    syntax = transfer_syntax(EXPLICIT_LITTLE.uid)
    told = {}
    for match in hub.archive.find(Query("STUDY", {0x00081030: "", 0x0020000D: ""})):
        data = decode(encode_attributes(match, syntax), syntax)
        told[text_of(data, 0x0020000D)] = text_of(data, 0x00081030)
    for name in TEXTS:
        assert told[uid(name, STUDY)] == told_of(name), name
