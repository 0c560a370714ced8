"""The DICOMDIR of a disc: which files it names (PS3.3 annex F, PS3.10 §8).

A DICOMDIR is a claim by whoever wrote the disc. It is walked by the bounded walker like any hostile data set,
its file ids are compared with what the medium really holds, and never used to open anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from leadglass import limits
from leadglass.dicom.part10 import Part10Reader
from leadglass.dicom.visitor import Buffer
from leadglass.errors import PeerError
from leadglass.finding import Finding, Severity

_REFERENCED_FILE_ID = 0x00041500
_COMPONENTS_MAX = 32
"""PS3.10 §8.2 allows 8; burners that copy deep folders write more."""

FileId = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileIds:
    """What a DICOMDIR names: file ids inside the medium, and how many point outside of it."""

    inside: frozenset[FileId]
    outside: int
    first_outside: str = ""


class _Collector:
    """Take the Referenced File IDs out of a walk, at whatever depth they are."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._value = bytearray()

    def begin_element(self, tag: int, vr: bytes, length: int, offset: int) -> bool:
        self._value.clear()
        return tag == _REFERENCED_FILE_ID

    def value(self, data: Buffer, is_last: bool) -> None:
        self._value += data
        if is_last:
            if len(self.values) >= limits.MEDIA_FILES_MAX:
                raise PeerError("The DICOMDIR names more files than a medium holds.", code="media-files")
            self.values.append(bytes(self._value))

    def begin_sequence(self, tag: int, vr: bytes, offset: int) -> None:
        pass

    def end_sequence(self) -> None:
        pass

    def begin_item(self, offset: int) -> None:
        pass

    def end_item(self) -> None:
        pass


def read_file_ids(pieces: Iterable[bytes]) -> FileIds:
    """Read the file ids out of a DICOMDIR. Raises PeerError when it is not one that can be walked to its end."""
    collector = _Collector()
    reader = Part10Reader(visitor=collector)
    length_bytes = 0
    for piece in pieces:
        length_bytes += len(piece)
        if length_bytes > limits.MEDIA_DIRECTORY_BYTES_MAX:
            raise PeerError("It is larger than any disc needs.", code="media-directory")
        reader.feed(piece)
    reader.finish()
    inside: set[FileId] = set()
    outside: list[str] = []
    for value in collector.values:
        untrusted_id = tuple(part.strip(" \0") for part in value.decode("latin-1").split("\\"))
        if _stays_inside(untrusted_id):
            inside.add(untrusted_id)
        elif any(untrusted_id):
            outside.append("\\".join(untrusted_id))
    return FileIds(frozenset(inside), len(outside), outside[0] if outside else "")


def compare(ids: FileIds, present: frozenset[FileId]) -> Iterator[Finding]:
    """Hold what the DICOMDIR names against what is there; names match in any case, as burners and mounts change it."""
    if ids.outside:
        yield Finding(
            "LG-MED-001",
            "media",
            Severity.HIGH,
            f"The DICOMDIR names {ids.outside} file(s) outside the medium: path traversal. Nothing outside was read.",
            element="(0004,1500)",
            control="DCM-INSPECT",
        )
    folded = {_fold(name) for name in present}
    missing = sum(_fold(name) not in folded for name in ids.inside)
    if missing:
        yield Finding(
            "LG-MED-002",
            "media",
            Severity.MEDIUM,
            f"The DICOMDIR names {missing} file(s) that the medium does not hold: the copy may be incomplete.",
            element="(0004,1500)",
            control="DCM-INSPECT",
        )
    unnamed = len(folded - {_fold(name) for name in ids.inside})
    if unnamed:
        yield Finding(
            "LG-MED-003",
            "media",
            Severity.INFO,
            f"The medium holds {unnamed} DICOM file(s) that its DICOMDIR does not name; they were read as well.",
            control="DCM-INSPECT",
        )


def unreadable(error: PeerError) -> Finding:
    """Make the finding about a DICOMDIR that could not be walked."""
    return Finding(
        "LG-MED-004",
        "media",
        Severity.MEDIUM,
        f"The DICOMDIR cannot be read ({error.message.rstrip('.')}); the medium was searched without it.",
        control="DCM-INSPECT",
    )


def _stays_inside(untrusted_id: FileId) -> bool:
    return len(untrusted_id) <= _COMPONENTS_MAX and all(
        part not in ("", ".", "..") and not any(c in "/:\\\0" for c in part) for part in untrusted_id
    )


def _fold(name: FileId) -> FileId:
    return tuple(part.casefold().removesuffix(";1").rstrip(".") for part in name)
