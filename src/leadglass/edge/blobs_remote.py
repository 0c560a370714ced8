"""Sealed objects in S3, Azure, Google Cloud Storage, or whatever obstore opens by URL; imported only then."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from leadglass.edge.staging import LocalStaging, StagingFolder
from leadglass.errors import NotFound, StorageError
from leadglass.journeys.ports import Staging


class _RemoteStaging(LocalStaging):
    """A staged object that is uploaded when it is synced: the store is durable, or nothing is acknowledged."""

    def __init__(self, object_id: bytes, path: Path, fd: int, store: ObjectStore) -> None:
        super().__init__(object_id, path, path, fd)
        self._store = store

    def begin_sync(self) -> None:
        """Leave it to `sync`."""

    def sync(self) -> None:
        """Upload the object (multipart when large)."""
        try:
            self._store.put(_blob_key(self._object_id), self._path)
        except (BaseError, OSError) as error:
            raise StorageError(
                f"The object store refused an object: {type(error).__name__}.",
                hint="Check [storage] blobs and its credentials.",
            ) from error

    def promote(self) -> None:
        """Drop the local copy; the store has the object."""
        super().discard()

    def discard(self) -> None:
        """Drop the local copy and what was uploaded."""
        super().discard()
        with suppress(BaseError, FileNotFoundError):
            self._store.delete(_blob_key(self._object_id))


def _blob_key(object_id: bytes) -> str:
    name = object_id.hex()
    return f"objects/{name[:2]}/{name}"


class RemoteBlobs:
    """Sealed objects in S3, Azure, Google Cloud Storage, or whatever obstore opens by URL."""

    def __init__(self, store: ObjectStore, staging: Path, *, reserve_bytes: int) -> None:
        self._store = store
        self._staging = StagingFolder(staging, reserve_bytes)

    def stage(self, *, expected_bytes: int = 0) -> Staging:
        """Begin an object in the local staging folder."""
        return self._staged(*self._staging.take(expected_bytes))

    def resume(self, object_id: bytes) -> Staging:
        """Take up a staged object after a restart."""
        return self._staged(object_id, self._staging.resume(object_id))

    def _staged(self, object_id: bytes, fd: int) -> _RemoteStaging:
        return _RemoteStaging(object_id, self._staging.folder / object_id.hex(), fd, self._store)

    def size(self, object_id: bytes) -> int:
        """Give the sealed length; raises NotFound."""
        try:
            return int(self._store.head(_blob_key(object_id))["size"])
        except FileNotFoundError:
            raise NotFound("The sealed object is not in the object store.") from None
        except BaseError as error:
            raise StorageError(f"The object store failed: {type(error).__name__}.") from error

    def read_at(self, object_id: bytes, offset: int, length: int) -> bytes:
        """Read sealed bytes; short only at the end."""
        size = self.size(object_id)
        end = min(size, offset + length)
        if offset >= end:
            return b""
        try:
            return bytes(self._store.get_range(_blob_key(object_id), start=offset, end=end))
        except BaseError as error:
            raise StorageError(f"The object store failed: {type(error).__name__}.") from error

    def delete(self, object_id: bytes) -> None:
        """Remove a blob; no error when it is gone."""
        with suppress(FileNotFoundError):
            self._store.delete(_blob_key(object_id))

    def is_placed(self, object_id: bytes) -> bool:
        """Tell whether the store has an object; its upload is its sync."""
        try:
            self._store.head(_blob_key(object_id))
        except FileNotFoundError:
            return False
        except BaseError as error:
            raise StorageError(f"The object store failed: {type(error).__name__}.") from error
        return True

    def staged(self) -> Sequence[bytes]:
        """List what a crash left in staging."""
        return self._staging.staged()

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve, in the staging folder."""
        return self._staging.free_bytes()

    def close(self) -> None:
        """Remove the files made ahead."""
        self._staging.close()


def open_remote(url: str, staging: Path, *, reserve_bytes: int) -> RemoteBlobs:
    """Open the object store at a URL such as s3://bucket/prefix."""
    return RemoteBlobs(from_url(url), staging, reserve_bytes=reserve_bytes)
