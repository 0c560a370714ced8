"""Where exported files are written: a folder or one zip file, never over anything that is already there."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn, Protocol

from leadglass.errors import StorageError, StorageFull, UsageError

_DIRECTORY_MODE, _FILE_MODE = 0o700, 0o600


class _Sink(Protocol):
    """What an export writes to (`journeys/export.Sink`)."""

    def begin(self, name: tuple[str, ...], length_bytes: int) -> None: ...
    def write(self, data: bytes | memoryview) -> None: ...
    def end(self) -> None: ...
    def drop(self) -> None: ...


@contextmanager
def open_sink(target: Path, *, is_zip: bool) -> Iterator[_Sink]:
    """Open a folder (new, or empty) or a new zip file. Raises UsageError when something is in the way."""
    if is_zip:
        with _open_zip(target) as sink:
            yield sink
        return
    try:
        target.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        is_empty = next(os.scandir(target), None) is None
    except OSError as error:
        raise UsageError(f"{target} cannot be made ({error.strerror}).", hint="Choose another folder.") from error
    if not is_empty:
        raise UsageError(f"{target} is not empty.", hint="Export into a new folder: nothing is ever written over.")
    yield FolderSink(target)


@contextmanager
def _open_zip(target: Path) -> Iterator[ZipSink]:
    try:
        target.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _FILE_MODE)
    except FileExistsError:
        raise UsageError(f"{target} is already there.", hint="Choose another name.") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be made ({error.strerror}).", hint="Choose another place.") from error
    try:
        with os.fdopen(fd, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                yield ZipSink(archive)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        target.unlink(missing_ok=True)
        _fail(error)
    except BaseException:
        target.unlink(missing_ok=True)  # half a zip file opens nowhere
        raise


class FolderSink:
    """Files in folders; each is written beside itself, synced and renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._path = folder
        self._partial = folder

    def begin(self, name: tuple[str, ...], length_bytes: int) -> None:
        """Start a file."""
        self._path = self._folder.joinpath(*name)
        self._partial = self._path.with_name(self._path.name + ".part")
        try:
            self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            fd = os.open(self._partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)
            self._file = os.fdopen(fd, "wb", buffering=1 << 20)
        except OSError as error:
            _fail(error)

    def write(self, data: bytes | memoryview) -> None:
        """Append to it."""
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            _fail(error)

    def end(self) -> None:
        """Finish it."""
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.rename(self._path)
        except OSError as error:
            _fail(error)
        self._file = None

    def drop(self) -> None:
        """Remove what was written of it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._partial.unlink(missing_ok=True)


class ZipSink:
    """Members of one zip file, stored: pixel data hardly shrinks, and what is compressed already not at all."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._member: IO[bytes] | None = None

    def begin(self, name: tuple[str, ...], length_bytes: int) -> None:
        """Start a member."""
        info = zipfile.ZipInfo("/".join(name))
        info.external_attr = _FILE_MODE << 16
        self._member = self._archive.open(info, "w", force_zip64=length_bytes >= 1 << 31)

    def write(self, data: bytes | memoryview) -> None:
        """Append to it."""
        assert self._member is not None
        self._member.write(data)

    def end(self) -> None:
        """Finish it."""
        assert self._member is not None
        self._member.close()
        self._member = None

    def drop(self) -> None:
        """Close what was written of it; the whole zip file is removed by whoever opened it."""
        if self._member is not None:
            self._member.close()
            self._member = None


def _fail(error: OSError) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StorageFull("The target of the export is full.", hint="Free space there, then export again.") from error
    raise StorageError(f"The export cannot be written ({error.strerror}).", hint="Check the target.") from error
