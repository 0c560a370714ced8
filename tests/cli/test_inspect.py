"""`leadglass inspect`: a line a file, its worst verdict is the exit code, and it needs no site."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from tests.cli.conftest import run
from tests.dicom.made import SPECIMENS
from tests.edge.test_engines_clamd import FakeClamd

from leadglass.cli.morning.objects import polyglot

CT = Path(str(get_testdata_file("CT_small.dcm")))


def lines(*arguments: str | Path) -> tuple[int, list[dict]]:
    """Run with --json and give the exit code and the objects, one a line."""
    done = run("inspect", "--json", *arguments)
    return done.code, [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(CT, tmp_path / "a.dcm")
    (tmp_path / "b.txt").write_text("text")
    return tmp_path


def test_all_clean_is_exit_code_0(folder: Path) -> None:
    done = run("inspect", folder)
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["clean", f"{folder}/a.dcm"]
    assert done.out.splitlines()[-1].startswith("2 files, ")


def test_each_json_line_is_one_file_in_its_published_shape(folder: Path) -> None:
    (folder / "c.dcm").write_bytes(polyglot())
    code, objects = lines(folder)
    assert code == 1
    assert [one["path"] for one in objects] == [f"{folder}/{name}" for name in ("a.dcm", "b.txt", "c.dcm")]
    assert [one["verdict"] for one in objects] == ["clean", "clean", "malicious"]
    for one in objects:
        assert list(one) == ["path", "sha256", "verdict", "findings"]
        assert one["sha256"] == hashlib.sha256(Path(one["path"]).read_bytes()).hexdigest()
    finding = objects[2]["findings"][0]
    assert list(finding) == ["id", "class", "severity", "claim", "offset", "length", "element", "control"]


def test_jobs_change_nothing_but_the_time(folder: Path) -> None:
    for number in range(20):
        (folder / f"x{number}.dcm").write_bytes(CT.read_bytes() + (b"MZ" if number % 3 == 0 else b""))
    assert lines(folder, "--jobs", "1") == lines(folder, "--jobs", "4")


def test_what_cannot_be_assessed_is_3_and_what_is_worse_is_1(folder: Path) -> None:
    (folder / "d.bin").write_bytes(bytes(range(256)) * 20)
    code, objects = lines(folder)
    assert code == 3 and objects[-1]["verdict"] == "not-assessed"
    assert objects[-1]["findings"][0]["id"] == "LG-INS-001"
    (folder / "e.dcm").write_bytes(CT.read_bytes() + b"MZ trailing")
    assert lines(folder)[0] == 1


def test_an_archive_is_told_after_its_members_and_is_as_bad_as_they_are(folder: Path) -> None:
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.write(folder / "a.dcm", "good.dcm")
        archive.writestr("bad.dcm", polyglot())
    code, objects = lines(folder / "z.zip")
    assert code == 1
    assert [(one["path"].removeprefix(f"{folder}/"), one["verdict"]) for one in objects] == [
        ("z.zip!good.dcm", "clean"), ("z.zip!bad.dcm", "malicious"), ("z.zip", "malicious"),
    ]  # fmt: skip
    assert objects[2]["findings"][0]["id"] == "LG-INS-002"


def test_links_are_said_and_not_followed(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    done = run("inspect", folder)
    assert done.code == 0
    assert "1 link or device not followed." in done.out


def test_rules_of_ones_own_judge_too(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = tmp_path_factory.mktemp("rules")
    (rules / "mine.yar").write_text('rule words { strings: $a = "text" condition: $a }')
    code, objects = lines(folder, "--rules", rules)
    assert code == 1
    assert [one["verdict"] for one in objects] == ["clean", "suspicious"]
    assert objects[1]["findings"][0]["claim"] == "The YARA rule mine.words matches."


def test_rules_that_ask_for_the_first_bytes_judge_in_a_worker_too(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A worker has no right left to prepare what it has not prepared: those rules run for the first time there."""
    rules = tmp_path_factory.mktemp("rules")
    (rules / "mine.yar").write_text(
        'import "pe" rule m { strings: $a = "abcdefgh" condition: uint16(0) == 0x5A4D and $a }'
    )
    (folder / "b.txt").write_text("MZ abcdefgh")
    code, objects = lines(folder, "--rules", rules)
    assert code == 1
    assert [one["verdict"] for one in objects] == ["clean", "suspicious"]
    assert objects[1]["findings"][-1]["claim"] == "The YARA rule mine.m matches."


def test_a_rule_that_does_not_compile_is_exit_code_2(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = tmp_path_factory.mktemp("rules")
    (rules / "bad.yar").write_text("rule x { condition: nothing }")
    done = run("inspect", folder, "--rules", rules)
    assert done.code == 2 and "bad.yar does not compile" in done.err


def test_a_virus_scanner_is_asked_too(folder: Path) -> None:
    (folder / "c.txt").write_text("EICAR")
    server = FakeClamd(socket.create_server(("127.0.0.1", 0)))
    try:
        code, objects = lines(folder, "--clamd", f"127.0.0.1:{server._door.getsockname()[1]}")
    finally:
        server.close()
    assert code == 1
    assert [one["verdict"] for one in objects] == ["clean", "clean", "malicious"]
    assert server.seen[0] == CT.read_bytes()


def test_a_virus_scanner_that_is_not_there_leaves_nothing_assessed(folder: Path) -> None:
    code, objects = lines(folder, "--clamd", str(folder / "no.ctl"))
    assert code == 3
    assert {one["verdict"] for one in objects} == {"not-assessed"}


def test_what_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = run("inspect", tmp_path / "none")
    assert done.code == 2 and "is not there" in done.err
    assert run("inspect").code == 2
    assert run("inspect", tmp_path, "--clamd", "a b").code == 2


@pytest.mark.skipif(not SPECIMENS.is_dir(), reason="the specimens are not beside the checkout")
def test_specimens_are_judged_as_the_engine_in_this_process_judges_them() -> None:
    from leadglass.journeys.receive import KEEP
    from leadglass.malware.anatomy import FileInspector
    from leadglass.malware.verdict import verdict_of

    paths = sorted(path for path in SPECIMENS.rglob("*.dcm") if path.stat().st_size < 500_000)[::4]
    _, objects = lines(*paths, "--jobs", "2")
    told = {one["path"]: one["verdict"] for one in objects}
    assert len(told) == len(paths) > 20
    for path, verdict in told.items():
        inspector = FileInspector(keep=KEEP)
        inspector.feed(Path(path).read_bytes())
        assert verdict == verdict_of(inspector.finish()).value, path
