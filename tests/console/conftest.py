from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from leadglass.console.app import create_app
from leadglass.edge.accounts import AccountFile
from leadglass.edge.decoder import Decoder

from .house import PASSWORD, PaperHouse, furnished, services, with_people


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    pool = Decoder(1)
    yield pool
    pool.close()


@pytest.fixture
def house() -> PaperHouse:
    return furnished()


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    with_people(folder)
    return folder / "accounts.json"


@pytest.fixture
def accounts(people: Path, tmp_path: Path) -> AccountFile:
    return AccountFile(Path(shutil.copy(people, tmp_path)))


@pytest.fixture
def client(house: PaperHouse, accounts: AccountFile, decoder: Decoder) -> Iterator[TestClient]:
    with TestClient(create_app(services(house, accounts, decoder)), base_url="https://testserver") as one:
        yield one


@pytest.fixture
def ada(client: TestClient) -> TestClient:
    answer = client.post("/login", data={"name": "ada", "password": PASSWORD}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return client


def basic(name: str = "ada", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
