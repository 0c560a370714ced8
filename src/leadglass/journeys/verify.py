"""Is everything there, and is it what was sealed? Read every byte back, and hold catalogue and storage together.

Both directions: each row has its sealed object, each sealed object has its row. What cannot be told is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from blake3 import blake3

from leadglass.audit import AuditEvent, AuditKind
from leadglass.dicom.frame_digests import digests_of
from leadglass.errors import IntegrityError, NotFound, StorageError
from leadglass.journeys.pixels import difference, differing_frames
from leadglass.journeys.ports import Clock, ObjectRecord, ObjectState
from leadglass.journeys.retrieve import Archive, OpenedObject


class Fault(StrEnum):
    """What is wrong with an object."""

    ALTERED = "altered"
    """The stored bytes are not what was sealed."""
    OTHER_CONTENT = "other-content"
    """What was sealed is not what the catalogue recorded."""
    OTHER_PIXELS = "other-pixels"
    """What was sealed has not the pixels that the ledger recorded when the object came."""
    MISSING = "missing"
    """The catalogue knows the object, the storage does not have it."""
    UNKNOWN = "unknown"
    """The storage has a sealed object that the catalogue does not know."""
    NO_KEY = "no-key"
    """No key of this site opens the object: its key was erased, or its header was altered to name another."""
    UNREADABLE = "unreadable"
    """The disk could not be read: no answer."""


@dataclass(frozen=True, slots=True)
class VerifyLine:
    """One object looked at; `fault` is None when every byte is right, or when nothing of it should be there."""

    object_id: bytes
    length_bytes: int
    fault: Fault | None = None
    message: str = ""
    is_discarded: bool = False


@dataclass(frozen=True, slots=True)
class Verifier:
    """Check stored objects."""

    archive: Archive
    clock: Clock
    actor: str

    def check(self, records: Iterable[ObjectRecord]) -> Iterator[VerifyLine]:
        """Read each object whole, authenticate every byte, and compare it with its row."""
        for record in records:
            if record.state is ObjectState.DISCARDED:
                yield self._discarded(record.object_id)
                continue
            fault, message = self._read(record)
            if fault is Fault.MISSING and self._state(record.object_id) is ObjectState.DISCARDED:
                yield self._discarded(record.object_id)  # by somebody, since the record was read
                continue
            yield VerifyLine(record.object_id, record.length_bytes, fault, message)

    def unknown(self, stored: Iterable[bytes]) -> Iterator[VerifyLine]:
        """Give the sealed objects among `stored` that the catalogue does not know, or has discarded."""
        for object_id in stored:
            state = self._state(object_id)
            if state is None:
                message = "No row of the catalogue belongs to this sealed object."
                yield VerifyLine(object_id, 0, Fault.UNKNOWN, message)
            elif state is ObjectState.DISCARDED and (line := self._discarded(object_id)).fault is not None:
                yield line

    def _state(self, object_id: bytes) -> ObjectState | None:
        try:
            return self.archive.catalogue.object(object_id).state
        except NotFound:
            return None

    def _discarded(self, object_id: bytes) -> VerifyLine:
        """Tell whether a discarded object is gone, as it should be."""
        try:
            self.archive.blobs.size(object_id)
        except NotFound:
            return VerifyLine(object_id, 0, is_discarded=True)
        except StorageError as error:
            return VerifyLine(object_id, 0, Fault.UNREADABLE, error.message)
        return VerifyLine(object_id, 0, Fault.UNKNOWN, "The object was discarded, but its bytes are still here.")

    def record(self, *, checked: int, faults: int, is_whole: bool = True) -> None:
        """Write down that the check was made and how it ended; one that was stopped proves no soundness."""
        self.archive.catalogue.record(
            AuditEvent(
                kind=AuditKind.VERIFIED,
                at_us=self.clock.now_us(),
                actor=self.actor,
                subject=None,
                outcome="faults" if faults else "sound" if is_whole else "stopped",
                detail={"checked": checked, "faults": faults},
            )
        )

    def _read(self, record: ObjectRecord) -> tuple[Fault | None, str]:
        try:
            self.archive.blobs.size(record.object_id)
        except NotFound as error:
            return Fault.MISSING, error.message
        except StorageError as error:
            return Fault.UNREADABLE, error.message
        content, opened = blake3(), None
        try:
            opened = self.archive.open_record(record)
            found = digests_of(opened.frames, _hashed(opened, content))
        except NotFound as error:
            return Fault.NO_KEY, error.message
        except IntegrityError as error:
            return Fault.ALTERED, error.message if opened is None else f"{error.message} {_lost_frames(opened)}".strip()
        except StorageError as error:
            return Fault.UNREADABLE, error.message
        pixels = difference(self.archive.catalogue, record, found)
        if content.digest() != record.digest or opened.length != record.length_bytes:
            message = "The sealed object is sound, but it is not the content its row records."
            if not pixels and record.frames is not None:
                message += " Every frame has the pixels that were received."
            return Fault.OTHER_CONTENT, f"{message} {pixels}".strip()
        return (Fault.OTHER_PIXELS, pixels) if pixels else (None, "")


def _hashed(opened: OpenedObject, content: blake3) -> Iterator[bytes | memoryview]:
    """Read an object whole, and hash its data set while its pieces pass."""
    skip = opened.dataset_offset
    for piece in opened.stream():
        content.update(piece[skip:])
        skip = max(0, skip - len(piece))
        yield piece


def _lost_frames(opened: OpenedObject) -> str:
    """Name the frames of an altered object that no longer open."""
    lost = []
    for index in range(len(opened.frames)):
        try:
            opened.frame(index)
        except IntegrityError:
            lost.append((index + 1, index + 1))
    return differing_frames(lost, len(opened.frames)) if lost else ""
