"""A staged object is invisible until promoted, survives a restart either way, and never overfills the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leadglass.edge.blobs import LocalBlobs, open_blobs
from leadglass.errors import NotFound, StorageError, StorageFull
from leadglass.journeys.ports import Blobs

ID = bytes(range(16))


def local(folder: Path, reserve_bytes: int = 0) -> LocalBlobs:
    return LocalBlobs(folder / "objects", folder / "staging", reserve_bytes=reserve_bytes)


@pytest.fixture(params=["folder", "url"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs("objects", tmp_path, tmp_path / "staging", reserve_bytes=0)
    (tmp_path / "bucket").mkdir()
    return open_blobs(f"file://{tmp_path}/bucket", tmp_path, tmp_path / "staging", reserve_bytes=0)


def put(blobs: Blobs, body: bytes = b"....body", header: bytes = b"HEAD") -> None:
    staging = blobs.stage(ID)
    staging.write(body)
    staging.write_header(header)
    staging.sync()
    staging.promote()


def test_what_was_promoted_reads_back_in_ranges(blobs: Blobs) -> None:
    put(blobs)
    assert blobs.size(ID) == 8
    assert blobs.read_at(ID, 0, 8) == b"HEADbody"
    assert blobs.read_at(ID, 4, 100) == b"body"
    assert blobs.read_at(ID, 100, 4) == b""
    assert blobs.staged() == []


def test_a_discarded_object_leaves_nothing(blobs: Blobs) -> None:
    staging = blobs.stage(ID)
    staging.write(b"x")
    staging.sync()
    staging.discard()
    staging.discard()
    assert blobs.staged() == []
    with pytest.raises(NotFound):
        blobs.size(ID)


def test_deleting_is_final_and_harmless_twice(blobs: Blobs) -> None:
    put(blobs)
    blobs.delete(ID)
    blobs.delete(ID)
    with pytest.raises(NotFound):
        blobs.read_at(ID, 0, 1)


def test_a_restart_finds_what_was_staged_and_can_promote_it(tmp_path: Path) -> None:
    staging = local(tmp_path).stage(ID)
    staging.write(b"body")
    staging.sync()
    del staging
    again = local(tmp_path)
    assert again.staged() == [ID]
    resumed = again.resume(ID)
    resumed.promote()
    resumed.promote()
    assert again.read_at(ID, 0, 4) == b"body"
    assert again.staged() == []


def test_a_committed_object_is_readable_before_it_is_promoted(tmp_path: Path) -> None:
    blobs = local(tmp_path)
    staging = blobs.stage(ID)
    staging.write(b"body")
    assert blobs.read_at(ID, 0, 4) == b"body"
    staging.promote()
    assert blobs.read_at(ID, 0, 4) == b"body"


def test_the_reserve_refuses_before_anything_is_written(tmp_path: Path) -> None:
    space = os.statvfs(tmp_path)
    blobs = local(tmp_path, reserve_bytes=space.f_blocks * space.f_frsize)
    with pytest.raises(StorageFull):
        blobs.stage(ID)
    assert blobs.staged() == []


def test_a_full_disk_is_storage_full_and_other_faults_are_not(tmp_path: Path) -> None:
    staging = local(tmp_path).stage(ID)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, staging._fd)  # noqa: SLF001 - the fault is planted where the disk would put it
    os.close(full)
    with pytest.raises(StorageFull):
        staging.write(b"x")
    os.close(staging._fd)
    with pytest.raises(StorageError) as caught:
        staging.write(b"x")
    assert not isinstance(caught.value, StorageFull)
    staging._fd = -1
