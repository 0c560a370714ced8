"""Nobody gets in without being told apart, and what people do is in the ledger."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from leadglass.audit import AuditKind
from leadglass.console.sessions import LoginGate, SessionTable
from leadglass.edge.accounts import Account, AccountFile, Role
from leadglass.errors import ConfigurationError, Refused
from leadglass.limits import LOGIN_FAILURES_MAX, SESSIONS_MAX

from .conftest import basic
from .house import PASSWORD, PaperHouse

PAGES = [
    "/",
    "/held",
    "/nodes",
    "/ledger",
    "/system",
    "/password",
    "/events",
    "/studies/1.2.3",
    "/studies/1.2.3/viewer",
]


def token_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("path", PAGES)
def test_pages_send_a_stranger_to_the_door(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("path", ["/dicom-web/studies", "/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1"])
def test_dicomweb_asks_a_stranger_for_credentials(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic")


def test_a_wrong_password_is_refused_and_recorded(client: TestClient, house: PaperHouse) -> None:
    assert client.post("/login", data={"name": "ada", "password": "wrong"}).status_code == 401
    assert [e.kind for e in house.events] == [AuditKind.LOGIN_FAILED]
    assert "wrong" not in str(house.events[0].detail)


def test_guessing_is_stopped(client: TestClient) -> None:
    for _ in range(LOGIN_FAILURES_MAX):
        client.post("/login", data={"name": "ada", "password": "wrong"})
    assert client.post("/login", data={"name": "ada", "password": PASSWORD}).status_code == 429
    assert client.get("/dicom-web/studies", headers=basic()).status_code == 429


def test_a_one_time_password_opens_only_the_way_to_ones_own(
    client: TestClient, accounts: AccountFile, house: PaperHouse
) -> None:
    once = accounts.create("eve", Role.ADMIN)
    assert client.get("/dicom-web/studies", headers=basic("eve", once)).status_code == 401
    client.post("/login", data={"name": "eve", "password": once})
    assert client.get("/held", follow_redirects=False).headers["location"] == "/password"
    assert client.get("/dicom-web/studies").status_code == 401
    form = {"csrf": token_of(client.get("/password").text), "current": once}
    weak = client.post("/password", data={**form, "fresh": "short", "again": "short"})
    assert weak.status_code == 422
    own = "quiet rivers carry light"
    client.post("/password", data={**form, "fresh": own, "again": own})
    assert client.get("/held").status_code == 200
    assert accounts.check("eve", once) is None and accounts.check("eve", own) is not None
    assert [e.kind for e in house.events][-1] == AuditKind.PASSWORD_CHANGED


def test_the_cookie_is_closed_to_scripts_and_other_sites(client: TestClient) -> None:
    answer = client.post("/login", data={"name": "ada", "password": PASSWORD}, follow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-") and all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=strict"))


def test_logging_out_ends_the_session(ada: TestClient, house: PaperHouse) -> None:
    cookies = dict(ada.cookies)
    ada.post("/logout", data={"csrf": token_of(ada.get("/").text)})
    assert house.events[-1].kind == AuditKind.LOGOUT
    ada.cookies.update(cookies)
    assert ada.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_posts_from_another_site_are_refused(ada: TestClient, headers: dict[str, str]) -> None:
    token = token_of(ada.get("/").text)
    assert ada.post("/logout", data={"csrf": token}, headers=headers).status_code == 403
    assert ada.get("/", follow_redirects=False).status_code == 200


def test_forms_without_our_token_are_refused(ada: TestClient, house: PaperHouse) -> None:
    object_id = next(iter(house.held_objects)).hex()
    answer = ada.post(f"/held/{object_id}", data={"action": "release", "reason": "seen by a person", "csrf": "guess"})
    assert answer.status_code == 403 and house.decisions == []


def test_a_reader_decides_nothing(client: TestClient, house: PaperHouse) -> None:
    client.post("/login", data={"name": "bob", "password": PASSWORD})
    object_id = next(iter(house.held_objects)).hex()
    page = client.get(f"/held/{object_id}").text
    assert 'name="reason"' not in page
    answer = client.post(
        f"/held/{object_id}", data={"action": "release", "reason": "I want", "csrf": token_of(client.get("/").text)}
    )
    assert answer.status_code == 403 and house.decisions == []
    assert client.get("/ledger").status_code == 403
    assert client.post("/dicom-web/studies", content=b"").status_code == 403


def test_every_answer_carries_the_policy(ada: TestClient) -> None:
    for path in ("/", "/login", "/static/app.css", "/nowhere", "/dicom-web/studies"):
        headers = ada.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'"), path
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_hold_no_inline_script_or_style(ada: TestClient, house: PaperHouse) -> None:
    study = house.studies()[1].study_instance_uid
    for path in ("/", "/held", "/nodes", "/system", "/ledger", "/password", f"/studies/{study}/viewer"):
        text = ada.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)|https?://(?!www\.w3)", text), path


def test_a_token_serves_programs_until_the_next(ada: TestClient, client: TestClient, accounts: AccountFile) -> None:
    first, second = accounts.issue_token("ada"), accounts.issue_token("ada")
    ada.cookies.clear()
    assert client.get("/dicom-web/studies", headers={"Authorization": f"Bearer {first}"}).status_code == 401
    assert client.get("/dicom-web/studies", headers={"Authorization": f"Bearer {second}"}).status_code == 200


def test_accounts_survive_and_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    once = AccountFile(path).create("ada", Role.ADMIN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert once not in path.read_text()
    again = AccountFile(path)
    assert again.check("ada", once) == Account("ada", Role.ADMIN, must_change=True)
    with pytest.raises(Refused):
        again.create("ada", Role.READER)
    path.write_text("{}x")
    with pytest.raises(ConfigurationError):
        AccountFile(path)


def test_sessions_are_bounded_and_end() -> None:
    now = [0.0]
    table = SessionTable(lambda: now[0])
    first = table.begin(Account("a", Role.READER))
    for _ in range(SESSIONS_MAX):
        last = table.begin(Account("a", Role.READER))
    assert table.get(first) is None and table.get(last) is not None
    now[0] = 9 * 3600.0
    assert table.get(last) is None


def test_the_gate_opens_again_after_its_window() -> None:
    now = [0.0]
    gate = LoginGate(lambda: now[0])
    for _ in range(LOGIN_FAILURES_MAX):
        assert gate.is_open("x")
        gate.failed("x")
    assert not gate.is_open("x") and gate.is_open("y")
    now[0] = 301.0
    assert gate.is_open("x")
