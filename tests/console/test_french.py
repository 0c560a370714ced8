"""No page shows a French reader an English sentence, and refusals say what to do next."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from starlette.testclient import TestClient

from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import Refused
from leadglass.finding import Assessed, Finding, Severity
from leadglass.gateway.decision import Hold, decide
from leadglass.gateway.policy import parse_policy
from leadglass.journeys.ports import ObjectState
from leadglass.malware.detectors.preamble import inspect_preamble
from leadglass.malware.verdict import verdict_of

from .house import PaperHouse, sample
from .test_access import token_of

ENGLISH = re.compile(
    r"\b(the|of|and|is|are|was|were|not|has|have|with|for|from|this|that|bytes?|held|objects|by|an|its|nobody|what"
    r"|when|added|opened|done|refused|ended|fine|look|act)\b"
)
"""Words no French sentence holds."""


def readable(page: str, house: PaperHouse) -> str:
    """Give what a person reads of a page, less programs' text and what senders wrote."""
    text = re.sub(r"<head>.*?</head>|<(code|pre)[ >].*?</\1>", " ", page, flags=re.DOTALL)
    shown = " ".join([*re.findall(r'(?:title|alt|aria-label|placeholder|data-none)="([^"]*)"', text),
                      re.sub(r"<[^>]*>", " ", text)])  # fmt: skip
    shown = unescape(shown).replace("English", " ")
    sent = {v for r in (*house.records.values(), *house.held_objects.values()) for v in r.attributes.values()}
    for value in sorted(sent | {value.replace("^", " ").strip() for value in sent}, key=len, reverse=True):
        if len(value) > 2:
            shown = shown.replace(value, " ")
    return re.sub(r"\S*[-_]\S*", " ", shown)  # codes, as titles keep them for whoever searches


@pytest.fixture
def busy(house: PaperHouse) -> PaperHouse:
    """A house where much has happened."""
    policy = parse_policy('[[route]]\nname = "Tout"\nfrom = ["CT1"]\n')
    findings = (*inspect_preamble(b"MZ" + bytes(126)),
                Finding("LG-NAM-007", "xss", Severity.HIGH, "An identifier holds markup.", 900, 12,
                        "(0010,0010)"))  # fmt: skip
    for source, name in (("CT1", "liver_1frame.dcm"), ("MR9", "SC_rgb_jpeg_dcmtk.dcm")):
        inspection = Assessed(findings)
        made = decide(policy, source, "1.2", "CT", inspection, verdict_of(inspection), now_us=0)
        assert isinstance(made, Hold)
        house.hold(sample(name), made.reason, *findings)
    twin = replace(next(iter(house.held_objects.values())), object_id=bytes(16), state=ObjectState.CONFLICT, reason="")
    first = next(iter(house.held_objects.values()))
    house.held_objects[first.object_id] = replace(first, reason="", findings=())
    house.held_objects[bytes(16)] = replace(twin, findings=())
    refusal = "CT7 at 192.0.2.9 is not a node of this site. It waits for approval: leadglass node approve."
    for kind in AuditKind:
        detail: dict[str, str | int] = {"reason": refusal, "length": 70, "objects": 2, "may": "query,store"}
        house.record(AuditEvent(kind, house.now_us(), "hub", first.object_id, "refused", detail))
    house.record(AuditEvent(AuditKind.ASSOCIATION_ABORTED, house.now_us(), "CT1", None, "item-length", {}))
    return house


def pages_of(house: PaperHouse) -> list[str]:
    study = next(iter(house.records.values())).study_instance_uid
    held = [f"/held/{object_id.hex()}" for object_id in house.held_objects]
    return ["/", "/?q=nobody-at-all", "/held", *held, "/nodes", "/ledger", "/system", "/password",
            f"/studies/{study}", f"/studies/{study}/viewer", "/studies/1.2.3", "/held/00", "/nowhere"]  # fmt: skip


def test_no_page_shows_english_to_a_french_reader(ada: TestClient, busy: PaperHouse) -> None:
    for path in pages_of(busy):
        page = ada.get(path, headers={"Accept-Language": "fr"}).text
        assert 'lang="fr"' in page[:60] and 'span lang="en"' not in page, path
        words = readable(page, busy)
        assert ENGLISH.findall(words) == [], (path, words)


def test_the_check_would_see_english(ada: TestClient, busy: PaperHouse) -> None:
    page = ada.get("/held", headers={"Accept-Language": "en"}).text
    assert ENGLISH.findall(readable(page, busy))


def test_an_empty_house_is_french_too(ada: TestClient, house: PaperHouse) -> None:
    house.records.clear()
    house.held_objects.clear()
    house.node_rows.clear()
    for path in ("/", "/held", "/nodes", "/login", "/system"):
        page = ada.get(path, headers={"Accept-Language": "fr"}).text
        assert ENGLISH.findall(readable(page, house)) == [], path


@pytest.mark.parametrize(
    ("language", "message", "step", "back"),
    [
        ("fr", "celui-ci ne peut pas être libéré.", "Comparez les deux avec", "Retour"),
        ("en", "so this one cannot be released.", "Look at both with", "Back"),
    ],
)
def test_a_refusal_says_why_and_what_next_and_leads_back(
    ada: TestClient, house: PaperHouse, monkeypatch: pytest.MonkeyPatch,
    language: str, message: str, step: str, back: str,
) -> None:  # fmt: skip
    from leadglass.journeys import quarantine

    def refuse(object_id: bytes, actor: str, reason: str) -> bytes:
        record = house.held_objects[object_id]
        conflict = replace(record, state=ObjectState.CONFLICT)
        return quarantine.Quarantine.release(_Desk(conflict), object_id, actor, reason)  # type: ignore[arg-type]

    monkeypatch.setattr(house, "release", refuse)
    path = f"/held/{next(iter(house.held_objects)).hex()}"
    form = {"csrf": token_of(ada.get(path).text), "action": "release", "reason": "seen by a person"}
    answer = ada.post(path, data=form, headers={"Accept-Language": language})
    text = unescape(answer.text)
    assert answer.status_code == 403
    assert message in text and step in text and back in text
    assert f'href="{path}"' in text


class _Desk:
    """As much of a quarantine as its refusal needs: the record it decides about."""

    def __init__(self, record: object) -> None:
        self._record = record

    def _decidable(self, object_id: bytes, reason: str) -> object:
        return self._record


def test_a_refusal_without_words_is_still_french(
    ada: TestClient, house: PaperHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(object_id: bytes, actor: str, reason: str) -> None:
        raise Refused("Computer says no way.")

    monkeypatch.setattr(house, "discard", refuse)
    path = f"/held/{next(iter(house.held_objects)).hex()}"
    form = {"csrf": token_of(ada.get(path).text), "action": "discard", "reason": "seen by a person"}
    text = ada.post(path, data=form, headers={"Accept-Language": "fr"}).text
    assert "Ceci est refusé." in text and "Computer" not in text


def test_moments_carry_utc_for_the_browser_to_localise(ada: TestClient) -> None:
    page = ada.get("/held", headers={"Accept-Language": "fr"}).text
    found = re.search(r'<time datetime="(\S+)\+00:00" title="(\S+ \S+ UTC)">', page)
    assert found is not None and found.group(2).startswith("21/09/2026") and found.group(1).startswith("2026-09-21T")
    assert 'src="/static/page.js"' in page and ada.get("/static/page.js").status_code == 200


def test_objects_without_a_picture_have_a_labelled_tile(ada: TestClient, house: PaperHouse) -> None:
    record = next(r for r in house.records.values() if r.sop_class_uid.endswith("481.5"))
    page = ada.get(f"/studies/{record.study_instance_uid}", headers={"Accept-Language": "fr"}).text
    tiles = re.findall(r'<span class="thumb blank">([^<]+)</span>', page)
    assert "Plan de traitement" in tiles
    assert f"/series/{record.series_instance_uid}/thumbnail" not in page
    for one in house.records.values():
        answer = ada.get(f"/dicom-web/studies/{one.study_instance_uid}/series/{one.series_instance_uid}/thumbnail")
        text = ada.get(f"/studies/{one.study_instance_uid}").text
        is_asked = f"/series/{one.series_instance_uid}/thumbnail" in text
        assert answer.status_code == 200 or not is_asked or "data-none" in text
