"""Where sealed objects lie: a local folder, or any object store by URL (through obstore).

Both write to a local staging folder first; what lies there is sealed from its first byte. A staged file
is named by its object id, so that after a crash the catalogue alone says whether it was acknowledged:
promote it, or remove it. The local folder syncs data and directory before an object is acknowledged.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from leadglass.errors import NotFound, StorageError, StorageFull
from leadglass.journeys.ports import Blobs, Staging

WRITE_BACK_BYTES = 16 << 20
"""A large object is pushed to the disk in steps while it still arrives, so that the last sync is short."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _fail(error: OSError, action: str) -> NoReturn:
    if error.errno in _FULL:
        raise StorageFull(
            f"No space left while {action}.", hint="Free space on the site's disk, or move the storage folder."
        )
    raise StorageError(f"The disk failed while {action}: {error.strerror}.", hint="Run `leadglass doctor`.")


class LocalStaging:
    """One sealed object being written into the staging folder."""

    def __init__(self, object_id: bytes, path: Path, target: Path, folder_fd: int, *, exists: bool = False) -> None:
        self._object_id = object_id
        self._path = path
        self._target = target
        self._folder_fd = folder_fd
        self._unsynced = 0
        self._write_back: threading.Thread | None = None
        flags = os.O_RDWR if exists else os.O_CREAT | os.O_EXCL | os.O_RDWR
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _fail(error, "beginning an object")

    @property
    def object_id(self) -> bytes:
        """Give the id under which the object will be readable."""
        return self._object_id

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append sealed bytes; raises StorageFull or StorageError."""
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                view = memoryview(data)
                while written < len(view):
                    written += os.write(self._fd, view[written:])
        except OSError as error:
            _fail(error, "writing an object")
        self._unsynced += written
        if self._unsynced >= WRITE_BACK_BYTES and (self._write_back is None or not self._write_back.is_alive()):
            self._unsynced = 0
            self._write_back = threading.Thread(target=self._push, name="write-back")
            self._write_back.start()

    def _push(self) -> None:
        with suppress(OSError):  # the last sync, in the foreground, reports what fails
            os.fdatasync(self._fd)

    def write_header(self, header: bytes) -> None:
        """Overwrite the first bytes of the file."""
        try:
            os.pwrite(self._fd, header, 0)
        except OSError as error:
            _fail(error, "writing an object's header")

    def sync(self) -> None:
        """Return when the file and its name would survive a power cut."""
        try:
            self._join()
            os.fdatasync(self._fd)
            os.fsync(self._folder_fd)
        except OSError as error:
            _fail(error, "making an object durable")

    def promote(self) -> None:
        """Move the file to its place; again is harmless."""
        self._close()
        try:
            os.rename(self._path, self._target)
        except FileNotFoundError:
            if self._target.exists():
                return
            try:
                self._target.parent.mkdir(mode=0o700, exist_ok=True)
                os.rename(self._path, self._target)
            except OSError as error:
                _fail(error, "promoting an object")
        except OSError as error:
            _fail(error, "promoting an object")

    def discard(self) -> None:
        """Remove the file if it is still staged."""
        self._close()
        self._path.unlink(missing_ok=True)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read back staged bytes (an object-store upload, a check)."""
        return os.pread(self._fd, length, offset)

    def _join(self) -> None:
        if self._write_back is not None:
            self._write_back.join()
            self._write_back = None

    def _close(self) -> None:
        if self._fd >= 0:
            self._join()
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            os.close(fd)


class _StagingFolder:
    """The folder of objects that are still arriving, and the space kept free beside it."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self.folder = folder
        self.reserve_bytes = reserve_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve."""
        space = os.fstatvfs(self.fd)
        return space.f_bavail * space.f_frsize - self.reserve_bytes

    def require(self, expected_bytes: int) -> None:
        """Raise StorageFull when the reserve would be touched."""
        if self.free_bytes() < expected_bytes:
            raise StorageFull(
                "The disk has reached the space it keeps in reserve.",
                hint="Free space, or lower [storage] disk_reserve_bytes.",
            )

    def staged(self) -> Sequence[bytes]:
        """List the object ids of staged files."""
        names = (entry.name for entry in os.scandir(self.folder))
        return [bytes.fromhex(name) for name in names if len(name) == 32]


class LocalBlobs:
    """Sealed objects in a folder, spread over 256 sub-folders by the first byte of their random id."""

    def __init__(self, folder: Path, staging: Path, *, reserve_bytes: int) -> None:
        self._folder = folder
        self._staging = _StagingFolder(staging, reserve_bytes)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, object_id: bytes) -> Path:
        name = object_id.hex()
        return self._folder / name[:2] / name

    def stage(self, object_id: bytes, *, expected_bytes: int = 0) -> Staging:
        """Begin an object; raises StorageFull when the reserve would be touched."""
        self._staging.require(expected_bytes)
        return self._open(object_id, exists=False)

    def resume(self, object_id: bytes) -> Staging:
        """Take up a staged object after a restart."""
        return self._open(object_id, exists=True)

    def _open(self, object_id: bytes, *, exists: bool) -> LocalStaging:
        path = self._staging.folder / object_id.hex()
        return LocalStaging(object_id, path, self._path(object_id), self._staging.fd, exists=exists)

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
            _fail(error, "reading an object")
        finally:
            os.close(fd)

    def _open_blob(self, object_id: bytes) -> int:
        for _ in range(2):  # an object may move from staging to its place between the look and the open
            with suppress(FileNotFoundError):
                try:
                    return os.open(self._find(object_id), os.O_RDONLY | os.O_CLOEXEC)
                except PermissionError as error:
                    _fail(error, "reading an object")
        raise NotFound("The sealed object is not in the storage folder.")

    def delete(self, object_id: bytes) -> None:
        """Remove a blob; no error when it is gone."""
        self._find(object_id).unlink(missing_ok=True)

    def staged(self) -> Sequence[bytes]:
        """List what a crash left in staging."""
        return self._staging.staged()

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve."""
        return self._staging.free_bytes()


class _RemoteStaging(LocalStaging):
    """A staged object that is uploaded when it is synced: the store is durable, or nothing is acknowledged."""

    def __init__(self, object_id: bytes, path: Path, folder_fd: int, store: ObjectStore, *, exists: bool) -> None:
        super().__init__(object_id, path, path, folder_fd, exists=exists)
        self._store = store

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
        self._staging = _StagingFolder(staging, reserve_bytes)

    def stage(self, object_id: bytes, *, expected_bytes: int = 0) -> Staging:
        """Begin an object in the local staging folder."""
        self._staging.require(expected_bytes)
        return _RemoteStaging(
            object_id, self._staging.folder / object_id.hex(), self._staging.fd, self._store, exists=False
        )

    def resume(self, object_id: bytes) -> Staging:
        """Take up a staged object after a restart."""
        return _RemoteStaging(
            object_id, self._staging.folder / object_id.hex(), self._staging.fd, self._store, exists=True
        )

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

    def staged(self) -> Sequence[bytes]:
        """List what a crash left in staging."""
        return self._staging.staged()

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve, in the staging folder."""
        return self._staging.free_bytes()


def open_blobs(location: str, base: Path, staging: Path, *, reserve_bytes: int) -> Blobs:
    """Open the blob store of a site: a folder (relative to the site) or an obstore URL such as s3://bucket/prefix."""
    if "://" not in location:
        return LocalBlobs(base / location, staging, reserve_bytes=reserve_bytes)
    from obstore.store import from_url

    return RemoteBlobs(from_url(location), staging, reserve_bytes=reserve_bytes)
