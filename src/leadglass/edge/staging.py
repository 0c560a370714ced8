"""Objects that are still arriving: files made ahead, written, pushed to the disk, synced, and given their place.

What lies in the staging folder is sealed from its first byte. A staged file is named by its object id. Files are
made in batches whose names are synced together, so that an object costs one sync of its own. They are locked while
their writer lives, so that a start beside another process leaves them alone.
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

from leadglass.edge.clock import system_random
from leadglass.errors import StorageError, StorageFull

FILES_AHEAD = 64
WRITE_BACK_BYTES = 256 << 10
"""What was written is pushed to the disk in steps while more arrives, so that the last sync is short."""

_SYNCS = ThreadPoolExecutor(8, "sync")
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fail(error: OSError, action: str) -> NoReturn:
    """Raise our error for the disk's: StorageFull where space is short, else StorageError."""
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
        self._syncing: list[Future[None]] = []

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
            fail(error, "writing an object")
        self._written += written
        if self._written - self._pushed >= WRITE_BACK_BYTES:
            start_write_back(self._fd, self._pushed, self._written - self._pushed)
            self._pushed = self._written

    def write_header(self, header: bytes) -> None:
        """Overwrite the first bytes of the file."""
        try:
            os.pwrite(self._fd, header, 0)
        except OSError as error:
            fail(error, "writing an object's header")

    def begin_sync(self) -> None:
        """Begin to sync in another thread what was written so far; `sync` waits for every sync begun."""
        self._syncing.append(_SYNCS.submit(os.fdatasync, self._fd))

    def sync(self) -> None:
        """Return when the bytes would survive a power cut; the name was made durable before."""
        try:
            if not self._syncing:
                os.fdatasync(self._fd)
            for syncing in self._syncing:
                syncing.result()
        except OSError as error:
            fail(error, "making an object durable")

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
                fail(error, "promoting an object")
        except OSError as error:
            fail(error, "promoting an object")

    def discard(self) -> None:
        """Remove the file if it is still staged."""
        self._close()
        self._path.unlink(missing_ok=True)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read back staged bytes (an object-store upload, a check)."""
        return os.pread(self._fd, length, offset)

    def _close(self) -> None:
        if self._fd >= 0:
            wait(self._syncing)
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
            fail(error, "beginning an object")
        self._ahead.extend(made)

    def resume(self, object_id: bytes) -> int:
        """Open and lock what was staged before a restart."""
        try:
            fd = os.open(self.folder / object_id.hex(), os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            fail(error, "taking up an object")
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
