"""A staged object is invisible until promoted, survives a restart either way, and never overfills the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leadglass.edge.blobs import LocalBlobs, open_blobs
from leadglass.errors import NotFound, StorageError, StorageFull
from leadglass.journeys.ports import Blobs


def local(folder: Path, reserve_bytes: int = 0) -> LocalBlobs:
    return LocalBlobs(folder / "objects", folder / "staging", reserve_bytes=reserve_bytes)


@pytest.fixture(params=["folder", "url"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs("objects", tmp_path, tmp_path / "staging", reserve_bytes=0)
    (tmp_path / "bucket").mkdir()
    return open_blobs(f"file://{tmp_path}/bucket", tmp_path, tmp_path / "staging", reserve_bytes=0)


def put(blobs: Blobs, body: bytes = b"....body", header: bytes = b"HEAD") -> bytes:
    staging = blobs.stage()
    staging.write(body)
    staging.write_header(header)
    staging.sync()
    staging.promote()
    return staging.object_id


def test_what_was_promoted_reads_back_in_ranges(blobs: Blobs) -> None:
    object_id = put(blobs)
    assert blobs.size(object_id) == 8
    assert blobs.read_at(object_id, 0, 8) == b"HEADbody"
    assert blobs.read_at(object_id, 4, 100) == b"body"
    assert blobs.read_at(object_id, 100, 4) == b""
    assert blobs.staged() == []


def test_a_discarded_object_leaves_nothing(blobs: Blobs) -> None:
    staging = blobs.stage()
    staging.write(b"x")
    staging.sync()
    staging.discard()
    staging.discard()
    assert blobs.staged() == []
    with pytest.raises(NotFound):
        blobs.size(staging.object_id)


def test_deleting_is_final_and_harmless_twice(blobs: Blobs) -> None:
    object_id = put(blobs)
    blobs.delete(object_id)
    blobs.delete(object_id)
    with pytest.raises(NotFound):
        blobs.read_at(object_id, 0, 1)


def test_files_made_ahead_go_when_the_store_closes(tmp_path: Path) -> None:
    blobs = local(tmp_path)
    blobs.stage().discard()
    assert list((tmp_path / "staging").iterdir())
    blobs.close()
    assert not list((tmp_path / "staging").iterdir())


def test_a_restart_leaves_a_living_writer_alone_and_finds_a_dead_one(tmp_path: Path) -> None:
    living = local(tmp_path)
    staging = living.stage()
    staging.write(b"body")
    staging.sync()
    again = local(tmp_path)
    assert again.staged() == []
    os.close(staging._fd)
    staging._fd = -1
    assert again.staged() == [staging.object_id]
    resumed = again.resume(staging.object_id)
    resumed.promote()
    resumed.promote()
    assert again.read_at(staging.object_id, 0, 4) == b"body"
    assert again.staged() == []


def test_a_committed_object_is_readable_before_it_is_promoted(tmp_path: Path) -> None:
    blobs = local(tmp_path)
    staging = blobs.stage()
    staging.write(b"body")
    assert blobs.read_at(staging.object_id, 0, 4) == b"body"
    staging.promote()
    assert blobs.read_at(staging.object_id, 0, 4) == b"body"


def test_the_reserve_refuses_before_anything_is_written(tmp_path: Path) -> None:
    space = os.statvfs(tmp_path)
    blobs = local(tmp_path, reserve_bytes=space.f_blocks * space.f_frsize)
    with pytest.raises(StorageFull):
        blobs.stage()
    assert not list((tmp_path / "staging").iterdir())


def test_a_full_disk_is_storage_full_and_other_faults_are_not(tmp_path: Path) -> None:
    staging = local(tmp_path).stage()
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, staging._fd)
    os.close(full)
    with pytest.raises(StorageFull):
        staging.write(b"x")
    os.close(staging._fd)
    with pytest.raises(StorageError) as caught:
        staging.write(b"x")
    assert not isinstance(caught.value, StorageFull)
    staging._fd = -1


def test_a_large_object_is_pushed_to_the_disk_while_it_arrives(tmp_path: Path) -> None:
    staging = local(tmp_path).stage()
    piece = bytes(8 << 20)
    for _ in range(5):
        staging.write(piece)
    staging.sync()
    staging.promote()
