"""Sealed objects in a local folder, and the choice between that and an object store.

An object is written by `staging.py` and moved to its place; ranges of it are read where it lies, in staging too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from leadglass.edge.staging import LocalStaging, StagingFolder, fail
from leadglass.errors import NotFound
from leadglass.journeys.ports import Blobs, Staging


class LocalBlobs:
    """Sealed objects in a folder, spread over 256 sub-folders by the first byte of their random id."""

    def __init__(self, folder: Path, staging: Path, *, reserve_bytes: int) -> None:
        self._folder = folder
        self._staging = StagingFolder(staging, reserve_bytes)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, object_id: bytes) -> Path:
        name = object_id.hex()
        return self._folder / name[:2] / name

    def stage(self, *, expected_bytes: int = 0) -> Staging:
        """Begin an object; raises StorageFull when the reserve would be touched."""
        return self._staged(*self._staging.take(expected_bytes))

    def resume(self, object_id: bytes) -> Staging:
        """Take up a staged object after a restart."""
        return self._staged(object_id, self._staging.resume(object_id))

    def _staged(self, object_id: bytes, fd: int) -> LocalStaging:
        return LocalStaging(object_id, self._staging.folder / object_id.hex(), self._path(object_id), fd)

    def size(self, object_id: bytes) -> int:
        """Give the sealed length; raises NotFound."""
        try:
            return self._find(object_id).stat().st_size
        except FileNotFoundError:
            raise NotFound("The sealed object is not in the storage folder.") from None

    def _find(self, object_id: bytes) -> Path:
        path = self._path(object_id)
        if path.exists():
            return path
        return self._staging.folder / object_id.hex()  # committed, not yet promoted

    def read_at(self, object_id: bytes, offset: int, length: int) -> bytes:
        """Read sealed bytes; short only at the end."""
        fd = self._open_blob(object_id)
        try:
            return os.pread(fd, length, offset)
        except OSError as error:
            fail(error, "reading an object")
        finally:
            os.close(fd)

    def _open_blob(self, object_id: bytes) -> int:
        for _ in range(2):  # an object may move from staging to its place between the look and the open
            with suppress(FileNotFoundError):
                try:
                    return os.open(self._find(object_id), os.O_RDONLY | os.O_CLOEXEC)
                except PermissionError as error:
                    fail(error, "reading an object")
        raise NotFound("The sealed object is not in the storage folder.")

    def delete(self, object_id: bytes) -> None:
        """Remove a blob; no error when it is gone."""
        self._find(object_id).unlink(missing_ok=True)

    def is_placed(self, object_id: bytes) -> bool:
        """Tell whether an object was promoted."""
        return self._path(object_id).exists()

    def staged(self) -> Sequence[bytes]:
        """List what a crash left in staging."""
        return self._staging.staged()

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve."""
        return self._staging.free_bytes()

    def close(self) -> None:
        """Remove the files made ahead."""
        self._staging.close()


def open_blobs(location: str, base: Path, staging: Path, *, reserve_bytes: int) -> Blobs:
    """Open the blob store of a site: a folder (relative to the site) or an obstore URL such as s3://bucket/prefix."""
    if "://" not in location:
        return LocalBlobs(base / location, staging, reserve_bytes=reserve_bytes)
    from leadglass.edge.blobs_remote import open_remote

    return open_remote(location, staging, reserve_bytes=reserve_bytes)
