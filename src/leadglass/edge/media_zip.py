"""Zip files as media: members are streamed out, bounded, and their names are never paths (APPNOTE 6.3.10).

The central directory is measured before Python reads it whole; members that overlap (one stream counted many
times, the "better zip bomb") refuse the file; a member that inflates out of proportion ends itself. A zip in
a zip is not entered.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from leadglass import limits
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
from leadglass.errors import LimitExceeded, PeerError, UsageError
from leadglass.finding import Finding, Severity

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL_HEADER_BYTES = 30
_GRACE_BYTES = 1 << 20
_UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, ValueError)


def walk_zip(path: Path, medium: Label, sort: Sort = sort_file) -> Iterator[Entry]:
    """Give every member of a zip file, sorted into candidates and what is left out and why."""
    measure_directory(path)
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise UsageError(
            f"{medium} cannot be read as a zip file ({type(error).__name__}).",
            hint="Ask for the file again; this copy is damaged.",
        ) from error
    # Not closed here: a member may be read after the walk; the archive ends with the last entry that knows it.
    members = [member for member in archive.infolist() if not member.is_dir()]
    if overlap(members):
        yield MediaReport(
            medium,
            Finding(
                "LG-MED-005",
                "media",
                Severity.HIGH,
                "The zip file's members share the same bytes, as only a decompression bomb does; none was read.",
                control="DCM-INSPECT",
            ),
        )
        return
    unsafe = sum(_is_unsafe(member.filename) for member in members)
    if unsafe:
        yield MediaReport(
            medium,
            Finding(
                "LG-MED-006",
                "media",
                Severity.HIGH,
                f"{unsafe} member(s) of the zip file have a name that climbs out of a folder (zip slip). "
                "Names are not used as paths; the members were read.",
                control="DCM-INSPECT",
            ),
        )
    budget = _Budget()
    for member in members:
        yield _sort_member(archive, member, medium, budget, sort)


def _sort_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, medium: Label, budget: _Budget, sort: Sort
) -> Entry:
    label = printable(f"{medium}!{member.filename}")
    components = tuple(part for part in PurePosixPath(member.filename.replace("\\", "/")).parts if part != "/")
    if stat.S_ISLNK(member.external_attr >> 16):
        return Skipped(label, Reason.LINK)
    if member.flag_bits & 0x1:
        return Skipped(label, Reason.ENCRYPTED)

    def pieces() -> Pieces:
        return _inflate(archive, member, budget)

    return sort(MediaFile(label, member.file_size, pieces, components))


class _Budget:
    """Bytes one zip file may still give."""

    def __init__(self) -> None:
        self.left_bytes = limits.ZIP_BYTES_MAX

    def spend(self, length_bytes: int) -> None:
        self.left_bytes -= length_bytes
        if self.left_bytes < 0:
            raise LimitExceeded("The zip file gives more than an import may read.", code="zip-size")


def _inflate(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: _Budget) -> Pieces:
    given = 0
    ceiling = _GRACE_BYTES + limits.ZIP_RATIO_MAX * member.compress_size
    try:
        with archive.open(member) as stream:
            while piece := stream.read(PIECE_BYTES):
                given += len(piece)
                if given > ceiling:
                    raise LimitExceeded(
                        f"The member inflates beyond {limits.ZIP_RATIO_MAX} : 1, as no image does.", code="zip-ratio"
                    )
                budget.spend(len(piece))
                yield piece
    except _UNREADABLE as error:
        raise PeerError(
            f"The member cannot be unpacked ({type(error).__name__}).",
            code="zip-member",
            hint="Ask for the file again; this copy is damaged.",
        ) from error


def measure_directory(path: Path) -> None:
    """Refuse a central directory that would fill the memory, found the way `zipfile` finds it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        tail_start = max(0, size - _END.size - 65_536 - _END64_LOCATOR.size)
        file.seek(tail_start)
        tail = file.read(_END.size + 65_536 + _END64_LOCATOR.size)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise UsageError("The file begins like a zip file but has no end.", hint="Ask for the file again.")
        _, _, _, _, count, directory_bytes, _, _ = _END.unpack_from(tail, at)
        locator = tail[at - _END64_LOCATOR.size : at] if at >= _END64_LOCATOR.size else b""
        if locator[:4] == b"PK\6\7":
            file.seek(_END64_LOCATOR.unpack(locator)[2])
            record = file.read(_END64.size)
            if len(record) == _END64.size and record[:4] == b"PK\6\6":
                _, _, _, _, _, _, _, count, directory_bytes, _ = _END64.unpack(record)
    if count > limits.ZIP_MEMBERS_MAX or directory_bytes > limits.ZIP_DIRECTORY_BYTES_MAX:
        raise UsageError(
            f"The zip file claims {count} members; at most {limits.ZIP_MEMBERS_MAX} are read.",
            hint="Split it, or unpack it into a folder and import the folder.",
        )


def overlap(members: list[zipfile.ZipInfo]) -> bool:
    end = 0
    for member in sorted(members, key=lambda item: item.header_offset):
        if member.header_offset < end:
            return True
        end = member.header_offset + _LOCAL_HEADER_BYTES + member.compress_size
    return False


def _is_unsafe(name: str) -> bool:
    path = name.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/") or path[1:2] == ":"
