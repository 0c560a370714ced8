"""A DICOM file as it arrives: preamble, prefix, file meta information, data set (PS3.10 §7).

File meta information is always explicit VR little endian. Its group length is a claim; the group ends where
another group begins, and where the two disagree `Part10.meta_gap` says so. Files without a preamble (a bare
data set) are read too, and told apart by `is_part10`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct, pack

from leadglass.dicom.dictionary import KEPT_BY_DEFAULT, LONG_VRS, SHORT_VRS
from leadglass.dicom.elements import DatasetWalker
from leadglass.dicom.structure import DatasetError, DatasetLimit, Structure, WalkLimits
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TransferSyntax, transfer_syntax
from leadglass.dicom.visitor import Buffer, Visitor
from leadglass.errors import UsageError

PREAMBLE_BYTES = 128
PREFIX = b"DICM"

META_BYTES_MAX = 1 << 20
"""File meta information. The standard's own is under 1 KB; private information (0002,0102) may be larger."""

META_ELEMENTS_MAX = 256
"""The standard defines 20. The head is read again as it grows, so this bounds the work as well."""

GROUP_LENGTH = 0x00020000
SOP_CLASS = 0x00020002
SOP_INSTANCE = 0x00020003
TRANSFER_SYNTAX = 0x00020010
IMPLEMENTATION_CLASS = 0x00020012
IMPLEMENTATION_VERSION = 0x00020013
SOURCE_AE_TITLE = 0x00020016

_HEADER = Struct("<HH2sH")
_LONG = Struct("<I")


@dataclass(frozen=True, slots=True)
class MetaElement:
    """One element of the file meta information; `offset` is that of its header in the file."""

    tag: int
    vr: bytes
    offset: int
    value: bytes


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What stands before the data set. `group_end` is where the group length says the group ends, or None."""

    preamble: bytes
    is_part10: bool
    elements: tuple[MetaElement, ...]
    dataset_offset: int
    group_end: int | None
    transfer_syntax: TransferSyntax
    is_syntax_stated: bool

    @property
    def values(self) -> Mapping[int, bytes]:
        """Give the value of each tag; of one that comes twice, the first."""
        found: dict[int, bytes] = {}
        for element in self.elements:
            found.setdefault(element.tag, element.value)
        return found

    @property
    def has_gap(self) -> bool:
        """Tell whether the group length points elsewhere than where the data set begins."""
        return self.group_end is not None and self.group_end != self.dataset_offset


@dataclass(frozen=True, slots=True)
class Part10:
    """A whole file, walked to its last byte. Offsets in `structure` count from `meta.dataset_offset`."""

    meta: FileMeta
    structure: Structure


class HeadReader:
    """Read what stands before the data set, from chunks of any size."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._need = PREAMBLE_BYTES + len(PREFIX) + 8

    def feed(self, data: Buffer) -> tuple[FileMeta, bytes] | None:
        """Read on; once the head is whole, give it and what of the data set came with it.

        Raises DatasetError ("not-dicom", "meta") or DatasetLimit ("meta-bytes").
        """
        self._head += data
        return self._read(is_last=False) if len(self._head) >= self._need else None

    def finish(self) -> tuple[FileMeta, bytes]:
        """Make the best of a short file; raises DatasetError ("truncated") where its head is not whole."""
        result = self._read(is_last=True)
        if result is None:
            raise _fault("truncated", "The file stops inside its file meta information.", len(self._head))
        return result

    def _read(self, *, is_last: bool) -> tuple[FileMeta, bytes] | None:
        head = bytes(self._head)
        is_part10 = head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == PREFIX
        if not is_part10 and not _looks_bare(head):
            raise _fault("not-dicom", "This is no DICOM file: no DICM at byte 128, and no data set at byte 0.", 0)
        parsed = read_meta(head, PREAMBLE_BYTES + len(PREFIX) if is_part10 else 0, is_last=is_last)
        if isinstance(parsed, int):
            self._need = parsed
            if parsed > META_BYTES_MAX:
                message = f"File meta information is longer than {META_BYTES_MAX} bytes."
                raise DatasetLimit(message, code="meta-bytes", clause="PS3.10 §7.1", offset=0)
            return None
        elements, dataset_offset = parsed
        return _file_meta(head, is_part10, elements, dataset_offset), head[dataset_offset:]


class Part10Reader:
    """Read one whole file; offsets of faults count from its start."""

    def __init__(
        self,
        *,
        keep: frozenset[int] = KEPT_BY_DEFAULT,
        visitor: Visitor | None = None,
        limits: WalkLimits = WalkLimits(),  # noqa: B008 — frozen
    ) -> None:
        self._keep = keep
        self._visitor = visitor
        self._limits = limits
        self._head = HeadReader()
        self.meta: FileMeta | None = None
        self.walker: DatasetWalker | None = None

    @property
    def values(self) -> Mapping[int, bytes]:
        """Give what is kept of the data set so far."""
        return {} if self.walker is None else self.walker.values

    def feed(self, data: Buffer) -> None:
        """Read on. Raises DatasetError or DatasetLimit."""
        if self.walker is not None:
            self._walk(self.walker, data)
        elif (head := self._head.feed(data)) is not None:
            self._walk(self._open(head[0]), head[1])

    def finish(self) -> Part10:
        """Close the file; raises DatasetError ("truncated") where it stops early."""
        if self.walker is None or self.meta is None:
            meta, rest = self._head.finish()
            walker = self._open(meta)
            self._walk(walker, rest)
        else:
            meta, walker = self.meta, self.walker
        try:
            return Part10(meta, walker.finish())
        except DatasetError as error:
            error.offset += meta.dataset_offset
            raise

    def _open(self, meta: FileMeta) -> DatasetWalker:
        self.meta = meta
        self.walker = DatasetWalker(meta.transfer_syntax, keep=self._keep, visitor=self._visitor, limits=self._limits)
        return self.walker

    def _walk(self, walker: DatasetWalker, data: Buffer) -> None:
        try:
            walker.feed(data)
        except (DatasetError, DatasetLimit) as error:
            error.offset += 0 if self.meta is None else self.meta.dataset_offset
            raise


def read_meta(head: bytes, start: int, *, is_last: bool = True) -> tuple[tuple[MetaElement, ...], int] | int:
    """Read group 0002 from `start`: its elements and where it ends, or how many bytes must be there first."""
    elements: list[MetaElement] = []
    at = start
    while True:
        if len(head) < at + 8:
            if is_last and head[at : at + 2] == b"\2\0":
                raise _fault("truncated", "The file stops inside its file meta information.", at)
            return (tuple(elements), at) if is_last else at + 8
        group, element, vr, length = _HEADER.unpack_from(head, at)
        if group != 2:
            return tuple(elements), at
        tag, size = group << 16 | element, 8
        if vr not in SHORT_VRS:
            if vr not in LONG_VRS:
                raise _fault("meta", "File meta information holds an element without a known VR.", at)
            if len(head) < at + 12:
                if is_last:
                    raise _fault("truncated", "The file stops inside its file meta information.", at)
                return at + 12
            (length,) = _LONG.unpack_from(head, at + 8)
            size = 12
        beyond: int = at + size + length
        if len(head) < beyond:
            if is_last:
                raise _fault("truncated", "The file stops inside its file meta information.", at)
            return beyond
        elements.append(MetaElement(tag, vr, at, head[at + size : beyond]))
        at = beyond
        if len(elements) > META_ELEMENTS_MAX:
            raise _fault("meta", f"File meta information holds more than {META_ELEMENTS_MAX} elements.", at)


def encode_file_meta(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    implementation_class_uid: str,
    implementation_version_name: str = "",
    source_ae_title: str = "",
) -> bytes:
    """Write preamble (zeros), prefix and file meta information, ready for the data set to follow (PS3.10 §7.1).

    Raises UsageError for a value that is not ASCII or is longer than its element holds.
    """
    body = _element(0x00020001, b"OB", b"\0\1")
    for tag, vr, text in (
        (SOP_CLASS, b"UI", sop_class_uid),
        (SOP_INSTANCE, b"UI", sop_instance_uid),
        (TRANSFER_SYNTAX, b"UI", transfer_syntax_uid),
        (IMPLEMENTATION_CLASS, b"UI", implementation_class_uid),
        (IMPLEMENTATION_VERSION, b"SH", implementation_version_name),
        (SOURCE_AE_TITLE, b"AE", source_ae_title),
    ):
        if text or vr == b"UI":
            if not text.isascii() or len(text) > 0xFFFE:
                raise UsageError("A value of the file meta information must be short and ASCII.")
            pad = b"\0" if vr == b"UI" else b" "
            body += _element(tag, vr, text.encode() + pad * (len(text) & 1))
    return b"\0" * PREAMBLE_BYTES + PREFIX + _element(GROUP_LENGTH, b"UL", _LONG.pack(len(body))) + body


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    head = pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    tail = pack("<HI", 0, len(value)) if vr == b"OB" else pack("<H", len(value))
    return head + tail + value


def _looks_bare(head: bytes) -> bool:
    """Tell whether a data set, or file meta information without its preamble, begins at byte 0."""
    if len(head) < 8:
        return False
    group, element, vr, _length = _HEADER.unpack_from(head, 0)
    if group == 2:
        return vr in SHORT_VRS or vr in LONG_VRS
    return group in (4, 8) and (vr in SHORT_VRS or (element < 0x0100 and _LONG.unpack_from(head, 4)[0] <= 0xFFFF))


def _file_meta(head: bytes, is_part10: bool, elements: tuple[MetaElement, ...], dataset_offset: int) -> FileMeta:
    stated = next((e.value for e in elements if e.tag == TRANSFER_SYNTAX), b"").rstrip(b"\0 ").decode("latin-1")
    syntax = transfer_syntax(stated) if stated else _guessed(head[dataset_offset : dataset_offset + 8])
    group_end = next((e.offset + 12 + _LONG.unpack(e.value)[0] for e in elements if _is_group_length(e)), None)
    preamble = head[:PREAMBLE_BYTES] if is_part10 else b""
    return FileMeta(preamble, is_part10, elements, dataset_offset, group_end, syntax, bool(stated))


def _is_group_length(element: MetaElement) -> bool:
    return element.tag == GROUP_LENGTH and element.vr == b"UL" and len(element.value) == 4


def _guessed(first: bytes) -> TransferSyntax:
    """Choose a little endian syntax where none is stated, by whether a VR stands in the first element."""
    vr = first[4:6]
    return EXPLICIT_LITTLE if vr in SHORT_VRS or vr in LONG_VRS or vr == b"SQ" else IMPLICIT_LITTLE


def _fault(code: str, message: str, offset: int) -> DatasetError:
    return DatasetError(message, code=code, clause="PS3.10 §7.1", offset=offset)
