"""Removable media: a file, a folder, a zip file or a disc with a DICOMDIR, read as if an enemy had burnt it.

Everything readable is looked at by its first bytes, whatever its name; links are not followed, devices and
pipes are not opened, and what a DICOMDIR or a zip file names is compared with what is there, never opened by
that name. Nothing is written. What is found goes to `journeys/import_media` piece by piece.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from leadglass import limits
from leadglass.edge.media_directory import FileId, compare, read_file_ids, unreadable
from leadglass.edge.media_sort import (
    PIECE_BYTES,
    Entry,
    Label,
    MediaFile,
    MediaReport,
    Pieces,
    Reason,
    Skipped,
    Sort,
    printable,
    sort_file,
)
from leadglass.edge.media_zip import walk_zip
from leadglass.errors import LimitExceeded, PeerError, UsageError

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def require_media(paths: Iterable[Path]) -> None:
    """Raise UsageError for a path that is not there, or is no file or folder: told before anything is read."""
    for path in paths:
        label = printable(str(path))
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise UsageError(f"{label} is not there: {error.strerror}.", hint="Check the path.") from None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UsageError(
                f"{label} is neither a file nor a folder.", hint="Mount the disc, then import the folder it appears in."
            )
        if not os.access(path, os.R_OK):
            raise UsageError(f"{label} may not be read by this user.", hint="Check its permissions.")


def walk_media(paths: Iterable[Path]) -> Iterator[Entry]:
    """Give every file under the paths: candidates, what is left out and why, and findings about the medium.

    Raises UsageError for a path that cannot be read at all, LimitExceeded when a medium holds too much.
    """
    for path in paths:
        yield from _with_directory(_walk(path))


def _walk(path: Path) -> Iterator[Entry]:
    label = printable(path.name or str(path))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            yield from walk_folder(path)
            return
        if not stat.S_ISREG(mode):
            raise UsageError(
                f"{label} is neither a file nor a folder.", hint="Mount the disc, then import the folder it appears in."
            )
        entry = sort_file(media_file(path.resolve(), label, (path.name,)))
    except FileNotFoundError:
        raise UsageError(f"{label} is not there.", hint="Check the path.") from None
    except PermissionError:
        raise UsageError(f"{label} may not be read by this user.", hint="Check its permissions.") from None
    if isinstance(entry, Skipped) and entry.reason is Reason.ARCHIVE:
        yield from walk_zip(path, label)
    else:
        yield entry


def walk_folder(root: Path, sort: Sort = sort_file) -> Iterator[Entry]:
    """Walk depth first, in the order of names, without recursion and without following links."""
    looked_at = 0
    waiting: list[tuple[Path, FileId]] = [(root, ())]
    while waiting:
        folder, above = waiting.pop()
        folders: list[tuple[Path, FileId]] = []
        try:
            with os.scandir(folder) as scan:
                found = sorted(islice(scan, limits.MEDIA_FILES_MAX + 1), key=lambda item: item.name)
        except OSError:
            yield Skipped(printable("/".join(above)), Reason.UNREADABLE)
            continue
        for item in found:
            looked_at += 1
            if looked_at > limits.MEDIA_FILES_MAX:
                raise LimitExceeded(
                    f"The medium holds more than {limits.MEDIA_FILES_MAX} files.",
                    code="media-files",
                    hint="Import its folders one by one.",
                )
            components = (*above, item.name)
            label = printable("/".join(components))
            if item.is_symlink():
                yield Skipped(label, Reason.LINK)
            elif item.is_dir(follow_symlinks=False):
                if len(components) > limits.MEDIA_DEPTH_MAX:
                    yield Skipped(label, Reason.TOO_DEEP)
                else:
                    folders.append((Path(item.path), components))
            elif not item.is_file(follow_symlinks=False):
                yield Skipped(label, Reason.NOT_A_FILE)
            else:
                yield _sort(Path(item.path), label, components, sort)
        waiting.extend(reversed(folders))


def _sort(path: Path, label: Label, components: FileId, sort: Sort) -> Entry:
    try:
        return sort(media_file(path, label, components))
    except OSError:
        return Skipped(label, Reason.UNREADABLE)


def media_file(path: Path, label: Label, components: FileId) -> MediaFile:
    """Make the candidate of a file that is not opened until it is read."""
    return MediaFile(label, path.stat(follow_symlinks=False).st_size, lambda: _read(path), components)


def _read(path: Path) -> Pieces:
    """Read a regular file; one that became a link or a pipe since it was listed is not opened."""
    try:
        fd = os.open(path, _OPEN_FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise PeerError("It is no longer a regular file.", code="media-file")
            while piece := os.read(fd, PIECE_BYTES):
                yield piece
        finally:
            os.close(fd)
    except OSError as error:
        raise PeerError(
            f"The file cannot be read ({error.strerror}).",
            code="media-file",
            hint="Clean the disc or ask for a new one, then import it again.",
        ) from error


def _with_directory(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Pass the entries on; where a DICOMDIR was among them, hold it against what was found."""
    present: set[FileId] = set()
    directories: list[MediaFile] = []
    for entry in entries:
        yield entry
        if isinstance(entry, MediaFile):
            present.add(entry.components)
        elif isinstance(entry, Skipped) and entry.directory is not None:
            directories.append(entry.directory)
    for directory in directories:
        base = directory.components[:-1]
        under = frozenset(name[len(base) :] for name in present if name[: len(base)] == base)
        try:
            findings = list(compare(read_file_ids(directory.pieces()), under))
        except PeerError as error:
            findings = [unreadable(error)]
        for finding in findings:
            yield MediaReport(directory.label, finding)
