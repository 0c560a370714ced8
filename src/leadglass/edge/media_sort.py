"""What a file on a medium is, by its first bytes: a DICOM file to hand on, or something left out and why.

Names say nothing: an image without an extension is an image, and `scan.dcm` may be a program.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from leadglass.dicom.part10 import SOP_CLASS, HeadReader
from leadglass.errors import LimitExceeded, PeerError
from leadglass.finding import Finding

Pieces = Generator[bytes, None, None]

PIECE_BYTES = 1 << 20
_SNIFF_BYTES = 4_096
_LABEL_CHARACTERS_MAX = 240
_DIRECTORY_CLASS = b"1.2.840.10008.1.3.10"

Label = str
"""Untrusted text for a person: printable, bounded, never a path."""


class Reason(StrEnum):
    """Why a file was left out."""

    NOT_DICOM = "not-dicom"
    DIRECTORY = "dicomdir"
    LINK = "link"
    NOT_A_FILE = "not-a-file"
    ARCHIVE = "archive"
    ENCRYPTED = "encrypted"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    TOO_DEEP = "too-deep"

    @property
    def sentence(self) -> str:
        """Say it to a person, with the next step where there is one."""
        return _SENTENCES[self]

    @property
    def may_be_image(self) -> bool:
        """Tell whether an image may have been left out with it; an empty file is what a failed copy leaves."""
        return self not in (Reason.NOT_DICOM, Reason.DIRECTORY, Reason.NOT_A_FILE)


_SENTENCES = {
    Reason.NOT_DICOM: "Not a DICOM file.",
    Reason.DIRECTORY: "The disc's table of contents; compared with what is there, not stored.",
    Reason.LINK: "A link; links are not followed.",
    Reason.NOT_A_FILE: "Not a regular file.",
    Reason.ARCHIVE: "An archive inside the medium is not entered: import it by itself.",
    Reason.ENCRYPTED: "Protected by a password: unpack it first, then import the folder.",
    Reason.EMPTY: "Empty.",
    Reason.UNREADABLE: "Could not be read; the medium may be damaged.",
    Reason.TOO_DEEP: "Folders nested deeper than any medium has.",
}


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A candidate: bytes that claim to be a DICOM file. `components` is where it lies, for comparing only."""

    label: Label
    length_bytes: int
    pieces: Callable[[], Pieces]
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file left out, and why. `directory` gives its pieces where it is a DICOMDIR."""

    label: Label
    reason: Reason
    directory: MediaFile | None = None


@dataclass(frozen=True, slots=True)
class MediaReport:
    """A finding about the medium itself."""

    label: Label
    finding: Finding


Entry = MediaFile | Skipped | MediaReport

Sort = Callable[[MediaFile], Entry]
"""Tells what a file is to be done with."""


def printable(untrusted_name: str) -> Label:
    """Make a name fit to be shown: no control or direction characters, no surrogates, bounded."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in untrusted_name)
    return shown if len(shown) <= _LABEL_CHARACTERS_MAX else "…" + shown[1 - _LABEL_CHARACTERS_MAX :]


def sort_file(file: MediaFile) -> MediaFile | Skipped:
    """Tell a candidate from what is left out, by its first bytes."""
    if file.length_bytes == 0:
        return Skipped(file.label, Reason.EMPTY)
    try:
        head = _head(file)
    except LimitExceeded:
        raise
    except PeerError:
        return Skipped(file.label, Reason.UNREADABLE)
    if not head:
        return Skipped(file.label, Reason.EMPTY)
    if head[128:132] != b"DICM" and head[:4] in (b"PK\3\4", b"PK\5\6"):
        return Skipped(file.label, Reason.ARCHIVE)
    reader = HeadReader()
    try:
        found = reader.feed(head) or reader.finish()
    except PeerError as error:
        # A head that is broken or goes on is for the inspector to judge; only what is no DICOM stays outside.
        return Skipped(file.label, Reason.NOT_DICOM) if error.code == "not-dicom" else file
    meta, _ = found
    if meta.values.get(SOP_CLASS, b"").rstrip(b"\0 ") == _DIRECTORY_CLASS:
        return Skipped(file.label, Reason.DIRECTORY, file)
    return file


def _head(file: MediaFile) -> bytes:
    head = b""
    with closing(file.pieces()) as pieces:
        for piece in pieces:
            head += piece[:_SNIFF_BYTES]
            if len(head) >= _SNIFF_BYTES:
                break
    return head
