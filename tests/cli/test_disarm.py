"""`leadglass disarm` from the command line: copies, the list of changes, exit codes; originals untouched."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from tests.cli.conftest import run
from tests.malware.rebuild.objects import head, image, text

from leadglass.journeys.clean import Cleaner


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A folder with an image, one with a passenger, and one in a folder below."""
    folder = tmp_path / "disc"
    (folder / "DICOM").mkdir(parents=True)
    (folder / "DICOM/IM1").write_bytes(image())
    (folder / "DICOM/IM2").write_bytes(b"MZ" + image(after=b"PK\3\4" + bytes(60))[2:])
    (folder / "IM3.dcm").write_bytes(image(before=text(0x00081030, "LO", "Chest ")))
    return folder


def test_a_folder_is_copied_without_its_passengers(disc: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in disc.rglob("*") if path.is_file()}
    told = run("disarm", disc, "--to", tmp_path / "clean", "--report", tmp_path / "removed.json")
    assert told.code == 0
    assert "3 copies" in told.out
    clean = (tmp_path / "clean/DICOM/IM1").read_bytes()
    assert (tmp_path / "clean/DICOM/IM2").read_bytes() == clean
    assert {path: path.read_bytes() for path in before} == before
    report = {line["path"]: line for line in json.loads((tmp_path / "removed.json").read_text())}
    assert len(report) == 3
    changed = next(line for path, line in report.items() if path.endswith("IM2"))
    assert {(change["action"], change["element"]) for change in changed["changes"]} == {
        ("zeroed", "preamble"),
        ("removed", "after the data set"),
    }
    assert all(set(change) == {"action", "element", "bytes", "why"} for change in changed["changes"])


def test_bad_files_are_refused_one_by_one(disc: Path, tmp_path: Path) -> None:
    (disc / "cut.dcm").write_bytes(image()[:-4])
    (disc / "DICOMDIR").write_bytes(head(sop_class="1.2.840.10008.1.3.10") + text(0x00041130, "CS", "DISC"))
    (disc / "READ.ME").write_text("hello, this is a text and no image")
    told = run("disarm", disc, "--to", tmp_path / "clean", "--json")
    assert told.code == 1
    assert (told.json["written"], told.json["refused"]) == (3, 3)
    reasons = {Path(line["path"]).name: line["reason"] for line in told.json["files"] if line["outcome"] == "refused"}
    assert reasons.keys() == {"cut.dcm", "DICOMDIR", "READ.ME"}
    assert not (tmp_path / "clean/cut.dcm").exists()
    assert sorted(path.name for path in (tmp_path / "clean").rglob("*") if path.is_file()) == ["IM1", "IM2", "IM3.dcm"]


def test_an_identity_is_changed_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(image(before=text(0x00080050, "SH", "<script>")))
    told = run("disarm", path, "--to", tmp_path / "a")
    assert told.code == 1
    assert "--new-identity" in told.out
    assert run("disarm", path, "--to", tmp_path / "b", "--new-identity").code == 0
    assert b"NEW-" in (tmp_path / "b/x.dcm").read_bytes()


def test_usage_errors_are_2(disc: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("surprise = 1")
    (tmp_path / "there.json").touch()
    assert run("disarm", tmp_path / "nowhere", "--to", tmp_path / "o").code == 2
    assert run("disarm", disc, "--to", disc).code == 2
    assert run("disarm", disc, "--to", disc / "clean").code == 2
    assert not (disc / "clean").exists()
    assert run("disarm", disc, "--to", disc.parent, "--report", tmp_path / "new.json").code == 2
    assert not (tmp_path / "new.json").exists()
    assert run("disarm", disc).code == 2
    assert run("disarm", disc, "--to", tmp_path / "o", "--policy", tmp_path / "policy.toml").code == 2
    assert run("disarm", disc, "--to", tmp_path / "o", "--policy", tmp_path / "none.toml").code == 2
    assert run("disarm", disc, "--to", tmp_path / "o", "--report", tmp_path / "there.json").code == 2
    assert run("disarm", disc, "--to", tmp_path / "o", "--report", tmp_path / "no/such/folder.json").code == 2


def test_a_policy_of_ones_own_is_used(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(
        '[[private]]\ncreator = "ACME"\nsource = "x"\nelements = ["(0043,xx01) SH 16"]'
    )
    private = text(0x00430010, "LO", "ACME") + text(0x00431001, "SH", "WANTED")
    (tmp_path / "x.dcm").write_bytes(image(middle=private))
    assert run("disarm", tmp_path / "x.dcm", "--to", tmp_path / "a").code == 0
    assert run("disarm", tmp_path / "x.dcm", "--to", tmp_path / "b", "--policy", tmp_path / "policy.toml").code == 0
    assert b"WANTED" not in (tmp_path / "a/x.dcm").read_bytes()
    assert b"WANTED" in (tmp_path / "b/x.dcm").read_bytes()


def test_ctrl_c_leaves_whole_copies(disc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Cleaner.clean

    def interrupted(self: Cleaner, file: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return honest(self, file)  # type: ignore[arg-type]

    monkeypatch.setattr(Cleaner, "clean", interrupted)
    assert run("disarm", disc, "--to", tmp_path / "clean").code == 130
    assert len([path for path in (tmp_path / "clean").rglob("*") if path.is_file()]) == 1


def test_every_field_of_the_answer_is_documented(disc: Path, tmp_path: Path) -> None:
    """docs/spec/disarm.md has a row for each, and no row that is in no answer."""
    (disc / "cut.dcm").write_bytes(image()[:-4])
    told = run("disarm", disc, "--to", tmp_path / "clean", "--json").json
    parts = [told, *told["files"], *(change for line in told["files"] for change in line.get("changes", ()))]
    fields = {key for part in parts for key in part}
    text = (Path(__file__).parents[2] / "docs/spec/disarm.md").read_text().split("## JSON")[1]
    rows = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    documented = {name for row in rows for name in re.findall("`([a-z_0-9]+)`", row)}
    assert documented == fields


def test_the_example_of_a_policy_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/spec/disarm.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "ours.toml").write_text(example)
    (tmp_path / "x.dcm").write_bytes(image())
    told = run("disarm", tmp_path / "x.dcm", "--to", tmp_path / "o", "--policy", tmp_path / "ours.toml")
    assert told.code == 0
