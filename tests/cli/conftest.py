"""A site with a few real objects, made once and copied for each test, and a way to run a verb on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom.data import get_testdata_file

from leadglass.cli import main
from leadglass.cli.morning.objects import polyglot

CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
CT_INSTANCE = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


@dataclass(frozen=True)
class Run:
    """How a verb ended."""

    result: Result

    @property
    def code(self) -> int:
        return self.result.exit_code

    @property
    def out(self) -> str:
        return self.result.stdout

    @property
    def err(self) -> str:
        return self.result.stderr

    @property
    def json(self) -> dict:
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        return json.loads(lines[0])


def run(*arguments: str | Path) -> Run:
    """Run the command line in this process."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Run(result)


@pytest.fixture(scope="session")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a disc would hold it: two real images, a program dressed as one, and a text."""
    folder = tmp_path_factory.mktemp("medium")
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(str(get_testdata_file(name)), folder / name)
    (folder / "HOLIDAY").write_bytes(polyglot().replace(b".5457", b".5458"))
    (folder / "READ.ME").write_text("Hello")
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, medium: Path) -> Path:
    """The site that tests copy."""
    folder = tmp_path_factory.mktemp("template") / "site"
    assert run("init", folder, "--tls-port", "0", "--web-port", "0").code == 0
    assert run("import", medium, "--site", folder).code == 1
    return folder


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Path:
    """A site of the test's own: CT and MR archived, one object held."""
    return Path(shutil.copytree(template, tmp_path / "site"))


Verb = Callable[..., Run]


@pytest.fixture
def leadglass(site: Path) -> Verb:
    """Run a verb on the site."""
    return lambda *arguments: run(*arguments, "--site", site)
