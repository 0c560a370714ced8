"""The folder is listed without following anything out of it, and what is kept reads back as it was or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leadglass.edge.watched import Kept, Memory, WatchedFolder
from leadglass.errors import IntegrityError, PeerError, StorageError, UsageError
from leadglass.malware.ransom import FileState, Nature
from leadglass.malware.verdict import Verdict


class Reversing:
    """A seal that binds a value to its place and can be broken."""

    def seal_record(self, place: bytes, value: bytes) -> bytes:
        return place + value[::-1]

    def open_record(self, place: bytes, sealed: bytes) -> bytes:
        if not sealed.startswith(place):
            raise IntegrityError("Another place.")
        return sealed[len(place) :][::-1]


def test_links_pipes_and_devices_are_left_alone(tmp_path: Path) -> None:
    share = tmp_path / "share"
    (share / "a/b").mkdir(parents=True)
    (share / "a/b/one").write_bytes(b"1")
    (share / "two").write_bytes(b"22")
    (tmp_path / "secret").write_bytes(b"secret")
    (share / "link").symlink_to(tmp_path / "secret")
    (share / "folder").symlink_to(tmp_path)
    os.mkfifo(share / "pipe")
    folder = WatchedFolder(share)
    listed = {file.name: file for file in folder.files()}
    assert {name: file.length_bytes for name, file in listed.items()} == {"two": 2, "a/b/one": 1}
    assert b"".join(listed["two"].pieces()) == b"22"
    assert folder.skipped == 0


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / os.fsdecode(b"\xff\xfe.dcm")).write_bytes(b"1")
    (name,) = [file.name for file in WatchedFolder(share).files()]
    memory = Memory(tmp_path, bytes(16), Reversing())
    kept = Kept({name: FileState(1, 2, 3, "ab")}, {}, {name: 5}, 9)
    memory.write(kept)
    assert memory.read() == kept


def test_a_file_that_changes_or_goes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"1")
    (file,) = WatchedFolder(tmp_path).files()
    assert file.is_as_listed()
    path.write_bytes(b"22")
    assert not file.is_as_listed()
    path.unlink()
    assert not file.is_as_listed()
    with pytest.raises(PeerError):
        list(file.pieces())
    os.mkfifo(path)
    with pytest.raises(PeerError):
        list(file.pieces())


def test_a_folder_that_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        WatchedFolder(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError):
        WatchedFolder(tmp_path / "file")


def test_what_is_kept_reads_back_whole(tmp_path: Path) -> None:
    state = FileState(7, 8, 9, "ab" * 16, Nature.NATIVE, "cd" * 16, Verdict.SUSPICIOUS, 1, 3, "LG-RSM-002")
    kept = Kept({"a/b.dcm": state, "c": FileState(1, 2, 3, "")}, {"a": 5}, {"d": 6}, 77)
    memory = Memory(tmp_path, b"\1" * 16, Reversing())
    assert memory.read() is None
    memory.write(kept)
    memory.write(kept)
    assert memory.read() == kept
    assert len(list((tmp_path / "watch").iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: b"", lambda data: b"x" + data])
def test_what_was_altered_is_not_believed(tmp_path: Path, damage: object) -> None:
    memory = Memory(tmp_path, bytes(16), Reversing())
    memory.write(Kept({}, {}, {}, 1))
    (path,) = (tmp_path / "watch").iterdir()
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(IntegrityError, match="altered"):
        memory.read()


def test_the_state_of_another_folder_is_not_believed(tmp_path: Path) -> None:
    one, two = (Memory(tmp_path, bytes([n]) * 16, Reversing()) for n in (1, 2))
    one.write(Kept({}, {}, {}, 1))
    (path,) = (tmp_path / "watch").iterdir()
    path.rename(path.with_name((b"\2" * 16).hex()))
    with pytest.raises(IntegrityError):
        two.read()


def test_a_site_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "watch").write_bytes(b"in the way")
    with pytest.raises(StorageError):
        Memory(tmp_path, bytes(16), Reversing()).write(Kept({}, {}, {}, 1))
