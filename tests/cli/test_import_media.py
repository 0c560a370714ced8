"""Every file of a medium is accounted for, and anything out of the ordinary is an exit code of 1."""

from __future__ import annotations

import os
import shutil
import signal
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from tests.cli.conftest import Verb

from leadglass.edge import media
from leadglass.errors import PeerError
from leadglass.journeys.receive import Receiver


def test_every_file_has_an_outcome(leadglass: Verb, medium: Path) -> None:
    told = leadglass("import", medium, "--json")
    assert told.code == 1
    assert told.json["counts"] == {"duplicate": 2, "held": 1, "skipped": 1}
    held = next(file for file in told.json["files"] if file["outcome"] == "held")
    assert held["file"] == "HOLIDAY"
    assert any(finding["class"] == "pe_preamble" for finding in held["findings"])
    assert told.json["skipped"] == [{"file": "READ.ME", "reason": "not-dicom"}]


def test_sound_files_are_fine(leadglass: Verb, tmp_path: Path) -> None:
    file = tmp_path / "us"
    shutil.copy(str(get_testdata_file("examples_palette.dcm")), file)
    told = leadglass("import", file)
    assert told.code == 0
    assert "imported" in told.out
    assert leadglass("import", file, "--json").json["counts"] == {"duplicate": 1, "skipped": 0}


def test_a_harmless_copy_of_what_is_held_is_archived_from_confined_processes(leadglass: Verb, tmp_path: Path) -> None:
    file = tmp_path / "HOLIDAY"
    file.write_bytes(b"MZ\x90\0" + Path(str(get_testdata_file("MR_small.dcm"))).read_bytes()[4:])
    told = leadglass("import", file, "--disarm", "--json")
    assert told.code == 1, "the original is held"
    assert told.json["counts"] == {"disarmed": 1, "skipped": 0}
    entries = leadglass("ledger", "list", "--limit", "10", "--json").json["entries"]
    copy, original = (entry["detail"] for entry in reversed(entries) if entry["kind"] == "object-disarmed")
    assert set(copy) == {"held", "changes"}
    assert set(original) == {"copy", "changes"}


def test_a_hostile_zip_is_told(leadglass: Verb, tmp_path: Path) -> None:
    path = tmp_path / "slip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(str(get_testdata_file("examples_palette.dcm")), "../../../escape")
    told = leadglass("import", path, "--json")
    assert told.code == 1
    assert told.json["counts"]["imported"] == 1
    assert [report["id"] for report in told.json["medium"]] == ["LG-MED-006"]


def test_a_path_that_is_not_there(leadglass: Verb, tmp_path: Path) -> None:
    told = leadglass("import", tmp_path / "nowhere")
    assert told.code == 2
    assert "not there" in told.err


def test_the_import_is_in_the_ledger_without_names(leadglass: Verb, medium: Path) -> None:
    leadglass("import", medium)
    entry = leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]
    assert entry["kind"] == "imported"
    assert entry["detail"] == {"duplicate": 2, "held": 1}


def sound(folder: Path, name: str = "us") -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(str(get_testdata_file("examples_palette.dcm")), folder / name))


def encrypted_zip(path: Path, members: int = 1) -> Path:
    """Make a zip file whose members say that a password protects them (APPNOTE 4.4.4, bit 0)."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            archive.writestr(f"image-{number:03}", b"x" * 200)
    raw = bytearray(path.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + at] |= 1
            place = raw.find(mark, place + 4)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kind", ["empty folder", "text", "encrypted", "damaged", "empty file"])
def test_nothing_readable_could_not_tell(leadglass: Verb, tmp_path: Path, kind: str) -> None:
    """Zero images from a medium is never a success: exit code 3, with the path and the next step."""
    folder = tmp_path / "disc"
    folder.mkdir()
    path = folder
    if kind == "text":
        (folder / "READ.ME").write_text("Hello")
    elif kind == "encrypted":
        path = encrypted_zip(folder / "exam.zip")
    elif kind == "damaged":
        path = folder / "exam.zip"
        path.write_bytes(b"PK\3\4" + bytes(100))
    elif kind == "empty file":
        path = folder / "image.dcm"
        path.touch()
    told = leadglass("import", path)
    assert told.code == 3
    assert path.name in told.out
    assert "Next:" in told.out


@pytest.mark.parametrize("others", [0, 1])
def test_a_file_the_medium_does_not_give(
    leadglass: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """A scratched disc: beside a sound file exit code 1, alone 3; the file is named."""
    read = media._read

    def scratched(path: Path) -> object:
        if path.name == "scratched":
            raise PeerError("The file cannot be read (Input/output error).", code="media-file")
        return read(path)

    monkeypatch.setattr(media, "_read", scratched)
    sound(tmp_path / "disc", "scratched")
    for number in range(others):
        sound(tmp_path / "disc", f"sound{number}")
    told = leadglass("import", tmp_path / "disc")
    assert told.code == (1 if others else 3)
    assert "scratched: Could not be read" in told.out


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user reads every file")
def test_an_unreadable_file_beside_a_sound_one(leadglass: Verb, tmp_path: Path) -> None:
    sound(tmp_path / "disc")
    sound(tmp_path / "disc", "locked").chmod(0)
    told = leadglass("import", tmp_path / "disc")
    assert told.code == 1
    assert "locked" in told.out


def test_what_was_not_taken_is_named_up_to_ten(leadglass: Verb, tmp_path: Path) -> None:
    sound(tmp_path / "disc")
    told = leadglass("import", tmp_path / "disc", encrypted_zip(tmp_path / "exam.zip", 13))
    assert told.code == 1
    assert "image-008" in told.out
    assert "image-009" not in told.out
    assert "… and 4 more" in told.out
    assert "exam.zip: No DICOM file" in told.out
    full = leadglass("import", tmp_path / "disc", tmp_path / "exam.zip", "--json").json
    assert len(full["not_taken"]) == 14


def test_a_path_that_gave_nothing_beside_one_that_did(leadglass: Verb, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    told = leadglass("import", sound(tmp_path / "disc"), tmp_path / "nothing")
    assert told.code == 1
    assert "nothing: No DICOM file is in it." in told.out


def test_a_path_that_is_not_there_is_told_before_anything_is_read(leadglass: Verb, tmp_path: Path) -> None:
    assert leadglass("import", sound(tmp_path / "disc"), tmp_path / "nowhere").code == 2
    assert leadglass("import", tmp_path / "disc", "--json").json["counts"] == {"imported": 1, "skipped": 0}


def test_a_conflict_is_told_with_its_next_step(leadglass: Verb, tmp_path: Path) -> None:
    first = sound(tmp_path / "disc")
    other = tmp_path / "other"
    raw = bytearray(first.read_bytes())
    raw[-1] ^= 1
    other.write_bytes(raw)
    told = leadglass("import", first, other)
    assert told.code == 1
    assert "quarantine list" in told.out


def test_ctrl_c_ends_in_order_between_two_files(leadglass: Verb, medium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file at work is finished, what was done is told, the rest is not looked at; exit code 130."""
    begin = Receiver.begin_file

    def interrupted(self: Receiver, source: str) -> object:
        signal.raise_signal(signal.SIGINT)
        return begin(self, source)

    monkeypatch.setattr(Receiver, "begin_file", interrupted)
    told = leadglass("import", medium)
    assert told.code == 130
    assert "duplicate" in told.out
    assert "Stopped" in told.out
    assert "Next: run the same import again" in told.out
    entry = leadglass("ledger", "list", "--limit", "1", "--json").json["entries"][0]
    assert (entry["outcome"], sum(entry["detail"].values())) == ("stopped", 1)


def test_a_second_ctrl_c_ends_at_once(leadglass: Verb, medium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Receiver, source: str) -> object:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("unreachable")

    monkeypatch.setattr(Receiver, "begin_file", interrupted)
    told = leadglass("import", medium)
    assert told.code == 130
    assert "Stopped at once" in told.err
