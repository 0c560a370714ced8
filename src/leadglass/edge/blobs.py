"""Where sealed objects lie: a local folder, or any object store by URL (through obstore).

Both write to a local staging folder first; what lies there is sealed from its first byte. A staged file is named
by its object id. Files are made ahead, in batches whose names are synced together, so that an object costs one sync
of its own. They are locked while their writer lives, so that a start beside another process leaves them alone.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from leadglass.edge.clock import system_random
from leadglass.errors import NotFound, StorageError, StorageFull
from leadglass.journeys.ports import Blobs, Staging

FILES_AHEAD = 64
WRITE_BACK_BYTES = 256 << 10
"""What was written is pushed to the disk in steps while more arrives, so that the last sync is short."""

_SYNCS = ThreadPoolExecutor(8, "sync")
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _fail(error: OSError, action: str) -> NoReturn:
    if error.errno in _FULL:
        raise StorageFull(
            f"No space left while {action}.", hint="Free space on the site's disk, or move the storage folder."
        )
    raise StorageError(f"The disk failed while {action}: {error.strerror}.", hint="Run `leadglass doctor`.")


def start_write_back(fd: int, offset: int, length: int) -> None:
    """Ask the kernel to begin writing a range to the disk, where it knows how (Linux); no promise is made by it."""
    push = getattr(_LIBC, "sync_file_range", None)
    if push is not None:
        push(fd, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


class LocalStaging:
    """One sealed object being written into the staging folder."""

    def __init__(self, object_id: bytes, path: Path, target: Path, fd: int) -> None:
        self._object_id = object_id
        self._path = path
        self._target = target
        self._fd = fd
        self._written = self._pushed = 0
        self._syncing: Future[None] | None = None

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
        self._written += written
        if self._written - self._pushed >= WRITE_BACK_BYTES:
            start_write_back(self._fd, self._pushed, self._written - self._pushed)
            self._pushed = self._written

    def write_header(self, header: bytes) -> None:
        """Overwrite the first bytes of the file."""
        try:
            os.pwrite(self._fd, header, 0)
        except OSError as error:
            _fail(error, "writing an object's header")

    def begin_sync(self) -> None:
        """Begin to sync in another thread; `sync` waits for it."""
        self._syncing = _SYNCS.submit(os.fdatasync, self._fd)

    def sync(self) -> None:
        """Return when the bytes would survive a power cut; the name was made durable before."""
        try:
            if self._syncing is None:
                os.fdatasync(self._fd)
            else:
                self._syncing.result()
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

    def _close(self) -> None:
        if self._fd >= 0:
            if self._syncing is not None:
                wait([self._syncing])
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            os.close(fd)


class StagingFolder:
    """The folder of objects that are still arriving, the files made ahead for them, and the space kept free."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._ahead: deque[tuple[bytes, int]] = deque()
        self._lock = threading.Lock()
        self._making = threading.Semaphore()

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve."""
        space = os.fstatvfs(self._fd)
        return space.f_bavail * space.f_frsize - self._reserve_bytes

    def take(self, expected_bytes: int) -> tuple[bytes, int]:
        """Give a fresh object id and its open, locked file; raises StorageFull when the reserve would be touched."""
        if self.free_bytes() < expected_bytes:
            raise StorageFull(
                "The disk has reached the space it keeps in reserve.",
                hint="Free space, or lower [storage] disk_reserve_bytes.",
            )
        with suppress(IndexError):
            taken = self._ahead.popleft()
            if len(self._ahead) < FILES_AHEAD // 2 and self._making.acquire(blocking=False):
                threading.Thread(target=self._make_more, name="stage-ahead", daemon=True).start()
            return taken
        with self._lock:
            if not self._ahead:
                self._make_ahead()
            return self._ahead.popleft()

    def _make_more(self) -> None:
        try:
            with self._lock, suppress(StorageError):  # whoever needs a file next makes it, and tells of the failure
                self._make_ahead()
        finally:
            self._making.release()

    def _make_ahead(self) -> None:
        made: list[tuple[bytes, int]] = []
        try:
            for _ in range(FILES_AHEAD):
                object_id = system_random(16)
                fd = os.open(self.folder / object_id.hex(), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
                made.append((object_id, fd))
            os.fsync(self._fd)
        except OSError as error:
            for object_id, fd in made:
                os.close(fd)
                (self.folder / object_id.hex()).unlink(missing_ok=True)
            _fail(error, "beginning an object")
        self._ahead.extend(made)

    def resume(self, object_id: bytes) -> int:
        """Open and lock what was staged before a restart."""
        try:
            fd = os.open(self.folder / object_id.hex(), os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            _fail(error, "taking up an object")
        return fd

    def staged(self) -> Sequence[bytes]:
        """List the object ids of staged files that no living process is writing."""
        names = [entry.name for entry in os.scandir(self.folder)]
        return [bytes.fromhex(name) for name in names if len(name) == 32 and self._is_abandoned(name)]

    def _is_abandoned(self, name: str) -> bool:
        try:
            fd = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Remove the files made ahead."""
        with self._lock:
            while self._ahead:
                object_id, fd = self._ahead.popleft()
                (self.folder / object_id.hex()).unlink(missing_ok=True)
                os.close(fd)
        os.close(self._fd)


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

    def close(self) -> None:
        """Remove the files made ahead."""
        self._staging.close()


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

    def staged(self) -> Sequence[bytes]:
        """List what a crash left in staging."""
        return self._staging.staged()

    def free_bytes(self) -> int:
        """Tell the free space beyond the reserve, in the staging folder."""
        return self._staging.free_bytes()

    def close(self) -> None:
        """Remove the files made ahead."""
        self._staging.close()


def open_blobs(location: str, base: Path, staging: Path, *, reserve_bytes: int) -> Blobs:
    """Open the blob store of a site: a folder (relative to the site) or an obstore URL such as s3://bucket/prefix."""
    if "://" not in location:
        return LocalBlobs(base / location, staging, reserve_bytes=reserve_bytes)
    from obstore.store import from_url

    return RemoteBlobs(from_url(location), staging, reserve_bytes=reserve_bytes)
