"""Every file of a medium is handed on for inspection, whatever it is; parts come before wholes."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from leadglass.edge.media_every import Found, Unread, every_file

CT = Path(str(get_testdata_file("CT_small.dcm")))
DISC = CT.parent / "dicomdirtests"


def seen(*paths: Path) -> list[Found | Unread]:
    return list(every_file(paths))


def names(entries: list[Found | Unread], root: Path) -> list[str]:
    return [entry.path.removeprefix(f"{root}/") for entry in entries]


def test_what_is_no_image_is_handed_on_too(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b/empty").write_bytes(b"")
    shutil.copy(CT, tmp_path / "b/image")
    entries = seen(tmp_path)
    assert names(entries, tmp_path) == ["a.txt", "b/empty", "b/image"]
    assert all(isinstance(entry, Found) for entry in entries)
    assert b"".join(entries[2].file.pieces()) == CT.read_bytes()  # type: ignore[union-attr]  # all are


def test_links_and_pipes_are_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    entries = seen(tmp_path)
    assert [(type(entry), entry.path) for entry in entries] == [
        (Unread, f"{tmp_path}/link"),
        (Unread, f"{tmp_path}/pipe"),
    ]


def test_members_come_before_their_archive(tmp_path: Path) -> None:
    path = tmp_path / "disc.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(CT, "DICOM/IM1")
        archive.writestr("readme.txt", "text")
        archive.writestr("inner.zip", b"PK\5\6" + bytes(18))
        archive.writestr("../../x", "climbs")
    entries = seen(tmp_path)
    assert names(entries, tmp_path) == [
        "disc.zip!DICOM/IM1", "disc.zip!readme.txt", "disc.zip!inner.zip", "disc.zip!../../x", "disc.zip",
    ]  # fmt: skip
    assert [entry.archive for entry in entries] == [str(path)] * 4 + [""]
    whole = entries[-1]
    assert isinstance(whole, Found) and whole.is_archive
    assert [finding.id for finding in whole.findings] == ["LG-MED-006"]
    assert b"".join(whole.file.pieces()) == path.read_bytes()


def test_a_broken_archive_is_judged_as_the_bytes_it_is(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4" + bytes(300))
    (entry,) = seen(tmp_path / "broken.zip")
    assert isinstance(entry, Found)
    assert b"".join(entry.file.pieces()).startswith(b"PK\3\4")


def test_a_protected_member_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    entries = seen(path)
    assert isinstance(entries[0], Unread) and entries[0].archive == str(path)


def test_a_directory_comes_last_with_what_it_claims(tmp_path: Path) -> None:
    shutil.copytree(DISC, tmp_path / "disc")
    shutil.rmtree(tmp_path / "disc/77654033")
    entries = seen(tmp_path / "disc")
    at = next(number for number, entry in enumerate(entries) if entry.path.endswith("/DICOMDIR"))
    directory = entries[at]
    assert isinstance(directory, Found)
    assert "LG-MED-002" in [finding.id for finding in directory.findings]
    assert all("DICOMDIR" in entry.path for entry in entries[at:])


def test_a_directory_by_another_name_is_no_disc(tmp_path: Path) -> None:
    shutil.copy(DISC / "DICOMDIR", tmp_path / "0098_DICOMDIR.dcm")
    (entry,) = seen(tmp_path)
    assert isinstance(entry, Found) and entry.findings == ()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\u202eb"])
def test_names_are_fit_to_be_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    (entry,) = seen(tmp_path)
    assert entry.path.isprintable()
