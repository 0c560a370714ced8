"""A person's first minutes in a real browser: no console error, no policy violation, and the picture is there."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from leadglass.console.app import create_app
from leadglass.edge.accounts import AccountFile, Role
from leadglass.edge.decoder import Decoder

from .house import PaperHouse, sample, services

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PICTURES = Path(__file__).parents[2] / "docs/pictures"
OWN = "quiet rivers carry light"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="/usr/bin/chromium is not installed"),
]


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "key.pem", folder / "cert.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    paths[1].write_bytes(cert.public_bytes(pem))
    return paths


@pytest.fixture
def address(house: PaperHouse, accounts: AccountFile, decoder: Decoder, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key, cert = certificate(tmp_path)
    config = uvicorn.Config(
        create_app(services(house, accounts, decoder)), port=port, log_level="error", ssl_keyfile=str(key),
        ssl_certfile=str(cert), timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"https://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def page(address: str) -> Iterator[tuple[playwright.Page, list[str]]]:
    complaints: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        one = browser.new_page(viewport={"width": 1400, "height": 860}, ignore_https_errors=True, locale="en-GB")
        one.set_default_timeout(15_000)
        one.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        one.on("pageerror", lambda e: complaints.append(str(e)))
        yield one, complaints
        browser.close()


def test_first_log_in_to_picture(
    page: tuple[playwright.Page, list[str]], address: str, accounts: AccountFile, house: PaperHouse
) -> None:
    one, complaints = page
    expect = playwright.expect
    once = accounts.create("eve", Role.ADMIN)
    one.goto(address)
    one.fill("#name", "eve")
    one.fill("#password", once)
    one.click("button.primary")
    one.fill("#current", once)
    one.fill("#fresh", OWN)
    one.fill("#again", OWN)
    one.click("button.primary")
    expect(one.locator("#live.on")).to_be_visible()

    one.fill("#q", "CT1")
    expect(one.locator("tbody tr")).to_have_count(1)
    one.fill("#q", "")
    expect(one.locator("tbody tr")).not_to_have_count(1)

    rows = one.locator("tbody tr").count()
    house.add(sample("liver_1frame.dcm"))
    expect(one.locator("tbody tr")).to_have_count(rows + 1)

    one.click("a.name >> nth=-1")
    expect(one.locator(".life li")).to_have_count(4)
    one.click("a.button.primary")
    expect(one.locator("#viewer[data-drawn]")).to_be_visible()
    shades = one.evaluate(
        "() => { const c = document.querySelector('#picture');"
        " return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size; }"
    )
    assert shades > 20
    assert complaints == []


def test_window_and_keys_change_the_picture(
    page: tuple[playwright.Page, list[str]], address: str, house: PaperHouse
) -> None:
    one, complaints = page
    expect = playwright.expect
    study = next(r for r in house.records.values() if r.attributes[0x00080060] == "CT").study_instance_uid
    one.goto(address)
    one.fill("#name", "ada")
    one.fill("#password", "a long sentence of glass")
    one.click("button.primary")
    expect(one.locator("#rows")).to_be_visible()
    one.goto(f"{address}/studies/{study}/viewer")
    expect(one.locator("#window")).to_contain_text("HU")
    before = one.locator("#window").text_content()
    one.keyboard.press("3")
    expect(one.locator("#window")).to_contain_text("W 2500")
    one.mouse.move(600, 400)
    one.mouse.down()
    one.mouse.move(700, 430)
    one.mouse.up()
    expect(one.locator("#window")).not_to_contain_text("W 2500")
    one.keyboard.press("0")
    expect(one.locator("#window")).to_have_text(before or "")
    PICTURES.mkdir(parents=True, exist_ok=True)
    one.screenshot(path=PICTURES / "console.png")
    assert complaints == []


def test_moments_are_local_and_objects_without_a_picture_have_a_tile(
    address: str, house: PaperHouse, tmp_path: Path
) -> None:
    complaints: list[str] = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        one = browser.new_page(ignore_https_errors=True, locale="fr-FR", timezone_id="Europe/Paris")
        one.set_default_timeout(15_000)
        one.on("pageerror", lambda e: complaints.append(str(e)))
        expect = playwright.expect
        one.goto(address)
        one.fill("#name", "ada")
        one.fill("#password", "a long sentence of glass")
        one.click("button.primary")
        moment = one.locator("time").first
        expect(moment).to_have_text(re.compile(r"^21/09/2026 16:13:\d\d$"))
        assert "14:13:" in str(moment.get_attribute("title")) and "UTC" in str(moment.get_attribute("title"))
        broken = next(r for r in house.records.values() if r.transfer_syntax_uid == "1.2.840.10008.1.2.4.51")
        house.files[broken.object_id] = house.files[broken.object_id][:2000]
        one.goto(f"{address}/studies/{broken.study_instance_uid}")
        expect(one.locator(".thumb.blank")).to_have_text("pas d’image")
        plan = next(r for r in house.records.values() if r.sop_class_uid.endswith("481.5"))
        one.goto(f"{address}/studies/{plan.study_instance_uid}")
        expect(one.locator(".thumb.blank").first).to_have_text("Plan de traitement")
        scan = next(r for r in house.records.values() if r.attributes[0x00080060] == "CT")
        one.goto(f"{address}/studies/{scan.study_instance_uid}/viewer")
        expect(one.locator("#window")).to_have_text(re.compile(r"^C -?[\d,]+ +L [\d,]+ UH$"))
        for name, path in (("held", f"/held/{next(iter(house.held_objects)).hex()}"), ("ledger", "/ledger"),
                           ("system", "/system"), ("study", f"/studies/{plan.study_instance_uid}")):  # fmt: skip
            one.goto(address + path)
            one.screenshot(path=tmp_path / f"{name}.png")
        browser.close()
    assert complaints == []
