"""Exported files are whole and durable or not there; nothing is written over."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from leadglass.edge.media_out import FolderSink, open_sink
from leadglass.errors import StorageError, UsageError

NAME = ("study-0001", "series-0001", "000001.dcm")


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    with open_sink(target, is_zip=False) as sink:
        sink.begin(NAME, 6)
        sink.write(b"abc")
        assert not target.joinpath(*NAME).exists()
        sink.write(memoryview(b"def"))
        sink.end()
    assert target.joinpath(*NAME).read_bytes() == b"abcdef"
    assert stat.S_IMODE(target.joinpath(*NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_a_dropped_file_leaves_nothing(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path)
    sink.begin(NAME, 6)
    sink.write(b"abc")
    sink.drop()
    sink.drop()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_zip_file_is_whole_or_gone(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    with open_sink(target, is_zip=True) as sink:
        sink.begin(NAME, 3)
        sink.write(b"abc")
        sink.end()
    with zipfile.ZipFile(target) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"/".join(NAME): b"abc"}
    broken = tmp_path / "broken.zip"
    with pytest.raises(StorageError), open_sink(broken, is_zip=True) as sink:
        sink.begin(NAME, 3)
        sink.write(b"abc")
        sink.drop()
        raise StorageError("The disk failed.")
    assert not broken.exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for target, is_zip in ((tmp_path, False), (tmp_path / "file", False), (tmp_path / "file", True)):
        with pytest.raises(UsageError), open_sink(target, is_zip=is_zip):
            pass
    assert (tmp_path / "file").read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    with open_sink(empty, is_zip=False):
        pass
