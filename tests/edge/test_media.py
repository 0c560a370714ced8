"""Whatever a medium holds, every file is told apart, nothing outside it is opened and nothing is written."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.filereader import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from leadglass import limits
from leadglass.edge.media import walk_media
from leadglass.edge.media_directory import read_file_ids
from leadglass.edge.media_sort import Entry, MediaFile, MediaReport, Reason, Skipped, printable
from leadglass.errors import LimitExceeded, PeerError, UsageError

CT = Path(str(get_testdata_file("CT_small.dcm")))
DISC = CT.parent / "dicomdirtests"


def candidates(entries: list[Entry]) -> list[MediaFile]:
    return [entry for entry in entries if isinstance(entry, MediaFile)]


def skipped(entries: list[Entry]) -> dict[str, Reason]:
    return {entry.label: entry.reason for entry in entries if isinstance(entry, Skipped)}


def findings(entries: list[Entry]) -> list[str]:
    return [entry.finding.id for entry in entries if isinstance(entry, MediaReport)]


def content(file: MediaFile) -> bytes:
    return b"".join(file.pieces())


def test_a_single_file_comes_whole_in_bounded_pieces(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(CT.read_bytes() + bytes(3 << 20))
    (entry,) = walk_media([large])
    assert isinstance(entry, MediaFile)
    pieces = list(entry.pieces())
    assert max(map(len, pieces)) <= 1 << 20
    assert b"".join(pieces) == large.read_bytes()


def test_files_are_told_apart_by_their_bytes_not_their_names(tmp_path: Path) -> None:
    shutil.copy(CT, tmp_path / "no extension")
    (tmp_path / "program.dcm").write_bytes(b"MZ" + bytes(300))
    (tmp_path / "empty.dcm").write_bytes(b"")
    shutil.copy(str(get_testdata_file("ExplVR_LitEndNoMeta.dcm")), tmp_path / "bare.dcm")
    (tmp_path / "inner.zip").write_bytes(b"PK\3\4" + bytes(300))
    os.mkfifo(tmp_path / "pipe")
    entries = list(walk_media([tmp_path]))
    assert [file.label for file in candidates(entries)] == ["bare.dcm", "no extension"]
    assert skipped(entries) == {
        "program.dcm": Reason.NOT_DICOM,
        "empty.dcm": Reason.EMPTY,
        "inner.zip": Reason.ARCHIVE,
        "pipe": Reason.NOT_A_FILE,
    }
    assert all(reason.sentence for reason in Reason)


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(CT, outside / "secret")
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "file").symlink_to(outside / "secret")
    (medium / "folder").symlink_to(outside)
    entries = list(walk_media([medium]))
    assert not candidates(entries)
    assert skipped(entries) == {"file": Reason.LINK, "folder": Reason.LINK}


def test_a_file_swapped_for_a_link_after_the_listing_is_not_opened(tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    shutil.copy(CT, medium / "a")
    (entry,) = candidates(list(walk_media([medium])))
    (medium / "a").unlink()
    (medium / "a").symlink_to(CT)
    with pytest.raises(PeerError):
        content(entry)


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        list(walk_media([tmp_path / "nowhere"]))


def test_a_flood_of_files_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(limits, "MEDIA_FILES_MAX", 10)
    with pytest.raises(LimitExceeded):
        list(walk_media([tmp_path]))


def test_names_are_made_fit_to_be_shown() -> None:
    assert printable("a\x1b[31mb\u202ec\udc80") == "a\ufffd[31mb\ufffdc\ufffd"
    assert len(printable("x" * 10_000)) <= 240


# --- discs with a DICOMDIR ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit"])
def test_a_real_dicomdir_names_what_pydicom_reads_in_it(name: str) -> None:
    expected = {
        tuple(record.ReferencedFileID)
        for record in dcmread(DISC / name).DirectoryRecordSequence
        if "ReferencedFileID" in record
    }
    assert expected
    ids = read_file_ids([(DISC / name).read_bytes()])
    assert ids.inside == expected
    assert ids.outside == 0


def test_a_disc_gives_all_its_files_named_or_not(tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    shutil.copytree(DISC, disc, ignore=shutil.ignore_patterns("DICOMDIR-*", "README*", "TINY_ALPHA"))
    entries = list(walk_media([disc]))
    assert skipped(entries).pop("DICOMDIR") is Reason.DIRECTORY
    complete = findings(entries)
    named = len(candidates(entries))
    assert "LG-MED-002" not in complete
    shutil.copy(CT, disc / "EXTRA")
    removed = next(path for path in (disc / "98892003").rglob("*") if path.is_file())
    removed.unlink()
    entries = list(walk_media([disc]))
    assert len(candidates(entries)) == named
    assert {"LG-MED-002", "LG-MED-003"} <= set(findings(entries))


def write_directory(path: Path, *file_ids: str) -> None:
    """Write a DICOMDIR whose records name these files, as a hostile burner would."""
    dataset = dcmread(DISC / "DICOMDIR")
    records = [record for record in dataset.DirectoryRecordSequence if "ReferencedFileID" in record]
    dataset.DirectoryRecordSequence = records[: len(file_ids)]
    for record, file_id in zip(dataset.DirectoryRecordSequence, file_ids, strict=True):
        record["ReferencedFileID"]._value = file_id.split("\\")
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path)


def test_a_dicomdir_that_points_outside_is_a_finding_and_opens_nothing(tmp_path: Path) -> None:
    shutil.copy(CT, tmp_path / "SECRET")
    disc = tmp_path / "disc"
    disc.mkdir()
    shutil.copy(CT, disc / "IMAGE")
    write_directory(disc / "DICOMDIR", "..\\SECRET", "IMAGE", "A\\..\\..\\SECRET")
    entries = list(walk_media([disc]))
    assert [file.label for file in candidates(entries)] == ["IMAGE"]
    (report,) = [entry for entry in entries if isinstance(entry, MediaReport)]
    assert report.finding.id == "LG-MED-001"
    assert "2 file(s)" in report.finding.claim


@pytest.mark.parametrize("damage", [1000, 5000])
def test_a_damaged_dicomdir_does_not_stop_the_import(tmp_path: Path, damage: int) -> None:
    shutil.copy(CT, tmp_path / "IMAGE")
    (tmp_path / "DICOMDIR").write_bytes((DISC / "DICOMDIR").read_bytes()[:damage])
    entries = list(walk_media([tmp_path]))
    assert len(candidates(entries)) == 1
    if "DICOMDIR" in skipped(entries) and skipped(entries)["DICOMDIR"] is Reason.DIRECTORY:
        assert findings(entries) == ["LG-MED-004"]


# --- zip files ---------------------------------------------------------------------------------------------


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_zip_members_come_out_whole_and_a_zip_inside_is_not_entered(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"ct": CT.read_bytes()})
    path = make_zip(
        tmp_path / "study.zip", {"a/b/CT": CT.read_bytes(), "inner.zip": inner.read_bytes(), "x.txt": b"x" * 500}
    )
    entries = list(walk_media([path]))
    (file,) = candidates(entries)
    assert file.label == "study.zip!a/b/CT"
    assert content(file) == CT.read_bytes()
    assert set(skipped(entries).values()) == {Reason.ARCHIVE, Reason.NOT_DICOM}


def test_zip_slip_is_a_finding_and_writes_nothing(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "slip.zip", {"../../escape": CT.read_bytes(), "/etc/absolute": CT.read_bytes()})
    before = sorted(tmp_path.parent.rglob("*"))
    entries = list(walk_media([path]))
    assert findings(entries) == ["LG-MED-006"]
    assert [content(file) for file in candidates(entries)] == [CT.read_bytes()] * 2
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_zip_bomb_ends_itself(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "bomb.zip", {"bomb": CT.read_bytes()[:132] + bytes(64 << 20)})
    (file,) = candidates(list(walk_media([path])))
    given = 0
    with pytest.raises(LimitExceeded) as caught:
        for piece in file.pieces():
            given += len(piece)
    assert caught.value.code == "zip-ratio"
    assert given < 16 << 20


def test_all_of_a_zip_together_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / "many.zip", {str(n): CT.read_bytes() for n in range(4)})
    monkeypatch.setattr(limits, "ZIP_BYTES_MAX", 100_000)
    with pytest.raises(LimitExceeded):
        list(walk_media([path]))


def test_members_that_share_bytes_refuse_the_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "overlap.zip", {"a": CT.read_bytes(), "b": CT.read_bytes()})
    raw = bytearray(path.read_bytes())
    second = raw.rfind(b"PK\1\2")
    raw[second + 42 : second + 46] = bytes(4)  # the second entry points at the first member
    path.write_bytes(raw)
    entries = list(walk_media([path]))
    assert findings(entries) == ["LG-MED-005"]
    assert not candidates(entries)


def test_a_directory_of_members_that_would_fill_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_zip(tmp_path / "many.zip", {str(number): b"" for number in range(20)})
    monkeypatch.setattr(limits, "ZIP_MEMBERS_MAX", 10)
    with pytest.raises(UsageError, match="20 members"):
        list(walk_media([path]))


def test_encrypted_members_and_links_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("locked", CT.read_bytes())
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = raw.rfind(signature)
        raw[at + offset] |= 1
    path.write_bytes(raw)
    assert set(skipped(list(walk_media([path]))).values()) == {Reason.LINK, Reason.ENCRYPTED}


def test_a_damaged_member_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "damaged.zip", {"a": CT.read_bytes(), "b": CT.read_bytes()})
    raw = bytearray(path.read_bytes())
    raw[200:260] = bytes(60)
    path.write_bytes(raw)
    entries = list(walk_media([path]))
    good = []
    for file in candidates(entries):
        try:
            good.append(content(file))
        except PeerError as error:
            assert error.code == "zip-member"
    assert CT.read_bytes() in good


@pytest.mark.parametrize("raw", [b"PK\3\4", b"PK\5\6" + bytes(10), b"PK\3\4" + bytes(100) + b"PK\5\6" + bytes(18)])
def test_a_broken_zip_is_told_in_one_sentence(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(raw)
    try:
        assert not candidates(list(walk_media([path])))
    except UsageError as error:
        assert error.hint
