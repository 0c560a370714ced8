"""Every file under some paths, for inspection: what is no image too, the members of zip files, and what a disc claims.

As `media.py`, but nothing is left out for being no DICOM file. Members of a zip file come before the zip file itself,
and a DICOMDIR last of its folder, so that what is known of the parts is known when the whole is judged. A zip file in
a zip file is handed on as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from leadglass.edge.media import media_file, walk_folder
from leadglass.edge.media_directory import FileId, compare, read_file_ids, unreadable
from leadglass.edge.media_sort import Entry, MediaFile, MediaReport, Skipped
from leadglass.edge.media_zip import walk_zip
from leadglass.errors import LimitExceeded, PeerError, UsageError
from leadglass.finding import Finding

_SNIFF_BYTES = 4_096
_DIRECTORY_NAME = "DICOMDIR"
_DIRECTORY_CLASS = b"1.2.840.10008.1.3.10"
_ZIP_STARTS = (b"PK\3\4", b"PK\5\6")


@dataclass(frozen=True, slots=True)
class Found:
    """A file to inspect. `path` is untrusted text for a person and for programs, never opened.

    `archive` is the path of the zip file it is a member of; `is_archive` tells that members came before it.
    """

    file: MediaFile
    path: str
    archive: str = ""
    is_archive: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that is there and was not read, and why."""

    path: str
    skipped: Skipped
    archive: str = ""


def every_file(paths: Iterable[Path]) -> Iterator[Found | Unread]:
    """Give every file under the paths. Raises LimitExceeded when there are too many."""
    for path in paths:
        if stat.S_ISDIR(path.stat().st_mode):
            yield from _folder(path)
        else:
            yield from _entered(media_file(path.resolve(), path.name, (path.name,)), path.resolve(), shown(path))


def shown(path: Path | str) -> str:
    """Write a path whole, so that a terminal or a program can take it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))


def _folder(root: Path) -> Iterator[Found | Unread]:
    directories: list[tuple[MediaFile, Path]] = []
    present: set[FileId] = set()
    for entry in walk_folder(root, _as_it_is):
        if isinstance(entry, Skipped):
            yield Unread(shown(root / entry.label), entry)
        elif isinstance(entry, MediaFile):
            path = root.joinpath(*entry.components)
            head = _head(path)
            if _is_directory(head):
                directories.append((entry, path))
                continue
            if head[128:132] == b"DICM":
                present.add(entry.components)
            yield from _entered(entry, path, shown(path), head)
    for directory, path in directories:
        yield Found(directory, shown(path), findings=_compared(directory, present))


def _entered(file: MediaFile, path: Path, name: str, head: bytes | None = None) -> Iterator[Found | Unread]:
    """Give a file, and before it what is in it, where it is a zip file that can be read as one."""
    head = _head(path) if head is None else head
    if head[128:132] == b"DICM" or not head.startswith(_ZIP_STARTS):
        yield Found(file, name)
        return
    findings: list[Finding] = []
    try:
        for entry in walk_zip(path, "", _as_it_is):
            if isinstance(entry, MediaReport):
                findings.append(entry.finding)
            elif isinstance(entry, Skipped):
                yield Unread(shown(name + entry.label), entry, name)
            else:
                yield Found(entry, shown(name + entry.label), name)
    except UsageError:
        pass  # not a zip file after all, or a damaged one: it is judged as the bytes it is
    yield Found(file, name, is_archive=True, findings=tuple(findings))


def _compared(directory: MediaFile, present: set[FileId]) -> tuple[Finding, ...]:
    """Hold what a DICOMDIR names against what is there; one by another name lies beside its disc's files, not on it."""
    *base, name = directory.components
    is_named = name.upper() == _DIRECTORY_NAME
    under = frozenset(one[len(base) :] for one in present if one[: len(base)] == tuple(base))
    try:
        ids = read_file_ids(directory.pieces())
        return tuple(compare(ids, under if is_named else ids.inside))
    except LimitExceeded:
        raise
    except PeerError as error:
        return (unreadable(error),) if is_named else ()


def _as_it_is(file: MediaFile) -> Entry:
    return file


def _head(path: Path) -> bytes:
    """Read what tells a zip file and a DICOMDIR; nothing where the file cannot be read, which its reader will say."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.read(descriptor, _SNIFF_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
        finally:
            os.close(descriptor)
    except OSError:
        return b""


def _is_directory(head: bytes) -> bool:
    return head[128:132] == b"DICM" and _DIRECTORY_CLASS in head
