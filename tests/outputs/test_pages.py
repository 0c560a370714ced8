"""Pages are made of our own elements alone, whatever stands in an object: read with a parser, compared by structure."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from starlette.testclient import TestClient

from leadglass.journeys.ports import ObjectState
from leadglass.wiring import Hub

from .conftest import PERSON, STRANGER
from .texts import STUDY, TEXTS, uid

TEMPLATES = "".join(
    entry.read_text(encoding="utf-8") for entry in files("leadglass.console").joinpath("templates").iterdir()
)
OWN_TAGS = set(re.findall(r"<([a-z][a-z0-9]*)", TEMPLATES)) | {"time"}
OWN_ATTRIBUTES = set(re.findall(r"[\s\"]([a-z-]+)=\"", TEMPLATES.lower())) | {
    "alt", "checked", "required", "autofocus", "datetime", "title",
}  # fmt: skip
ADDRESSES = {"href": r"/[^/\\].*|/|#content", "src": r"/(static|dicom-web)/.*", "action": r"/[a-z].*|/"}
UNFIT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e0fff]")


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.others: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.cdata_elem else self.text).append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    @property
    def skeleton(self) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]


def checked(client: TestClient, path: str, *statuses: int, **form: str) -> Page:
    """Get a page and prove that nothing in it is an element, attribute or address of a sender's making."""
    answer = client.post(path, data=form) if form else client.get(path)
    assert answer.status_code in (statuses or (200,)), (path, answer.text[:300])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Page(answer.text)
    assert UNFIT.findall(answer.text) == []
    assert page.others == []
    assert not "".join(page.scripts).strip()
    for tag, attributes in page.elements:
        assert tag in OWN_TAGS
        assert set(attributes) <= OWN_ATTRIBUTES, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name, shape in ADDRESSES.items():
            assert name not in attributes or re.fullmatch(shape, attributes[name] or ""), (tag, attributes)
            assert not re.search(r"/\.\.?(/|$)", attributes.get(name) or "")
    return page


@pytest.mark.parametrize("name", TEXTS)
def test_a_study_has_the_structure_of_a_harmless_one(browser: TestClient, name: str) -> None:
    for lot in (0, 1):
        for page in ("", "/viewer"):
            hostile = checked(browser, f"/studies/{uid(name, STUDY, lot)}{page}")
            harmless = checked(browser, f"/studies/{uid('harmless', STUDY, 0)}{page}")
            assert hostile.skeleton == harmless.skeleton
    shown = "".join(checked(browser, f"/studies/{uid(name, STUDY)}").text)
    assert (
        UNFIT.sub("\ufffd", TEXTS[name].text.strip(" \0"))[:500] in shown.replace("\r\n", "\n")
        or "\r" in TEXTS[name].text
    )


@pytest.mark.parametrize("path", ["/", "/?part=1", "/?page=2", "/held", "/nodes", "/ledger", "/system", "/password"])
def test_each_page(browser: TestClient, path: str) -> None:
    for language in ("fr", "en"):
        browser.post("/language", data={"language": language, "back": "/"})
        page = checked(browser, path)
        if path == "/nodes":
            assert STRANGER in "".join(page.text)
        if "part" not in path:
            assert PERSON in "".join(page.text)


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_person_or_a_stranger_types(browser: TestClient, name: str) -> None:
    """Searches, addresses that are none, and names at the log-in, which the ledger page shows afterwards."""
    text = TEXTS[name].text
    checked(browser, str(browser.build_request("GET", "/", params={"q": text}).url.raw_path, "ascii"))
    path = str(browser.build_request("GET", "/", params={"q": text}).url.query, "ascii")[2:].replace("+", "%20")
    checked(browser, f"/studies/{path}", 400, 404)
    with TestClient(browser.app, base_url="https://testserver") as stranger:
        for _ in range(2):
            checked(stranger, "/login", 401, 429, name=text, password="x" * 20)


def test_held_objects(browser: TestClient, hub: Hub) -> None:
    held = hub.catalogue.objects(ObjectState.HELD, limit=1000)
    assert len(held) > len(TEXTS) / 2
    for record in held:
        checked(browser, f"/held/{record.object_id.hex()}")
