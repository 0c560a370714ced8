"""A site that archived and holds objects full of hostile texts, with people and strangers of such names."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.cli.conftest import Run, run

from leadglass.audit import AuditEvent, AuditKind
from leadglass.console.wired import console_of
from leadglass.edge.accounts import AccountFile, Role
from leadglass.edge.site import Site
from leadglass.gateway.node import Node, NodeState
from leadglass.wiring import Hub

from .texts import TEXTS, built, file_name

PASSWORD = "a long sentence of glass"
PERSON = "<img src=x onerror=alert(1)>'\""
STRANGER = "<b onx=1>\"'{{7}}"
EVERYTHING = """
[[route]]
name = "Everything"
from = "*"

[route.on]
suspicious = "forward"
malicious = "forward"
not_assessed = "forward"
"""


def disc(folder: Path, lot: int, **options: bool) -> None:
    """Write an object for each text, under a name that holds it too."""
    folder.mkdir()
    for name in TEXTS:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + file_name(name))).write_bytes(built(name, lot, **options))


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of objects, and harmless objects under hostile names in a folder and in a zip file."""
    folder = tmp_path_factory.mktemp("discs")
    disc(folder / "shown", 0)
    disc(folder / "named", 1, names=True)
    disc(folder / "strange", 2, names=True, study=True)
    disc(folder / "held", 3)
    (folder / "titled").mkdir()
    with zipfile.ZipFile(folder / "titled.zip", "w") as archive:
        for lot, name in enumerate(TEXTS, 10):
            title, content = file_name(name), built("harmless", lot)
            archive.writestr(title.decode("utf-8", "replace"), content)
            Path(os.fsdecode(os.fsencode(folder / "titled") + b"/" + title)).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, discs: Path) -> Path:
    """The site: one lot held by the policy as it comes, three archived by one that forwards everything."""
    folder = tmp_path_factory.mktemp("outputs") / "site"
    assert run("init", folder, "--tls-port", "0", "--web-port", "0").code == 0
    assert run("import", discs / "held", "--site", folder).code == 1
    (folder / "policy.toml").write_text(EVERYTHING)
    for lot in ("shown", "named", "strange"):
        run("import", discs / lot, "--site", folder)
    accounts = AccountFile(folder / "secrets/accounts.json")
    accounts.create(PERSON, Role.ADMIN)
    accounts.set_password(PERSON, PASSWORD)
    with Hub.open(Site.open(folder)) as hub:
        at = hub.clock.now_us()
        event = AuditEvent(AuditKind.NODE_ADDED, at, STRANGER, None, "pending", {"node": STRANGER, STRANGER: STRANGER})
        node = Node(STRANGER, NodeState.PENDING, STRANGER, 104, addresses=(STRANGER,), seen_at_us=at, note=STRANGER)
        hub.catalogue.put_node(node, event)
    return folder


@pytest.fixture(scope="session")
def hub(site: Path) -> Iterator[Hub]:
    """The site, opened."""
    with Hub.open(Site.open(site)) as opened:
        yield opened


@pytest.fixture(scope="session")
def browser(hub: Hub) -> Iterator[TestClient]:
    """A person with a hostile name, logged in to the real console."""
    with TestClient(console_of(hub, 2762, None), base_url="https://testserver") as client:
        answer = client.post("/login", data={"name": PERSON, "password": PASSWORD}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        yield client


def verb(site: Path, *arguments: str | Path) -> Run:
    """Run a verb on the site."""
    return run(*arguments, "--site", site)
