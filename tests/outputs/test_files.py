"""Files that leave have names of our own and the bytes that came; the database holds texts as values, sealed."""

from __future__ import annotations

import re
import sqlite3
import zipfile
from pathlib import Path

import pytest
from tests.cli.conftest import run

from leadglass.wiring import Hub

from .conftest import verb
from .texts import STUDY, TEXTS, built, uid

OWN = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*\.dcm")


def names_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_everything_exported(site: Path, hub: Hub, tmp_path: Path) -> None:
    """A folder and a zip file: no name of an object's making, no file outside, nothing left out, no byte changed."""
    assert verb(site, "export", "--all", tmp_path / "out").code == 0
    names = names_under(tmp_path)
    assert len(names) == hub.catalogue.counts()["archived"]
    assert [name for name in names if not OWN.fullmatch(name.removeprefix("out/"))] == []
    written = {path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")}
    for lot, options in enumerate(({}, {"names": True}, {"names": True, "study": True})):
        assert {name for name in TEXTS if built(name, lot, **options) not in written} == set(), lot


@pytest.mark.parametrize("name", TEXTS)
def test_a_study_exported_as_zip(site: Path, tmp_path: Path, name: str) -> None:
    assert verb(site, "export", "--zip", uid(name, STUDY), tmp_path / "out.zip").code == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["study-0001/series-0001/000001.dcm"]
        assert archive.comment == b""


def test_harmless_copies(discs: Path, tmp_path: Path) -> None:
    """A copy keeps a plain name of its original, and gets a counted one in place of any other."""
    told = run("disarm", discs / "held", "--to", tmp_path / "out", "--new-identity", "--json")
    assert told.json["written"] > len(TEXTS) / 2
    names = names_under(tmp_path)
    assert [name for name in names if not re.fullmatch(r"out/(object-[0-9]{6}\.dcm|[A-Za-z0-9_]+)", name)] == []


def test_the_database_holds_no_text_and_all_its_tables(site: Path) -> None:
    """Bound parameters carry texts, sealed: none is in the file, and none was taken for a statement."""
    (path,) = site.glob("*.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert {"studies", "instances"} <= tables
    stored = b"".join(one.read_bytes() for one in site.glob("*.db*"))
    for name in ("script", "sql", "ansi", "path"):
        assert TEXTS[name].raw not in stored
