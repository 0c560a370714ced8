"""Read the archive: find, open, and read ranges of sealed objects.

An object is opened by its envelope, which authenticates its end before any byte of it is believed;
a frame of a large object is read without the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leadglass.archive.envelope import Opener
from leadglass.archive.query import Query
from leadglass.dicom.pixels import Ranges
from leadglass.journeys.ports import Attributes, Blobs, Catalogue, ObjectRecord


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """One object, opened: its record and its plaintext, which is a Part 10 file."""

    record: ObjectRecord
    _opener: Opener

    @property
    def length(self) -> int:
        """Give the length of the Part 10 file in bytes."""
        return self._opener.footer.plaintext_length

    @property
    def dataset_offset(self) -> int:
        """Give where the data set begins, after preamble and file meta information."""
        return self._opener.footer.dataset_offset

    @property
    def frames(self) -> Sequence[Ranges]:
        """Give the (offset, length) ranges of each frame in the file; empty where it is not laid out by frames."""
        return self._opener.footer.frames

    def read(self, offset: int, length: int) -> bytes:
        """Read a range of the file; raises IntegrityError when the sealed bytes were altered."""
        return self._opener.read(offset, length)

    def frame(self, index: int) -> bytes:
        """Read one frame's bytes as stored (native bytes, or the code stream), counting from 0."""
        return b"".join(self.read(offset, length) for offset, length in self.frames[index])

    def stream(self, offset: int = 0, length: int | None = None) -> Iterator[bytes | memoryview]:
        """Read the file, or a range of it, in pieces."""
        return self._opener.stream(offset, length)

    def stream_dataset(self) -> Iterator[bytes | memoryview]:
        """Read the data set alone in pieces."""
        return self._opener.stream(self.dataset_offset)

    def verify(self) -> None:
        """Read and authenticate every byte; raises IntegrityError."""
        self._opener.verify()


@dataclass(frozen=True, slots=True)
class Archive:
    """The read side of the catalogue and the blobs."""

    catalogue: Catalogue
    blobs: Blobs

    def find(self, query: Query) -> Iterator[Attributes]:
        """Answer a query at its level."""
        return self.catalogue.find(query)

    def instances(self, query: Query) -> list[ObjectRecord]:
        """List the archived objects a query selects."""
        return self.catalogue.instances(query)

    def open(self, object_id: bytes) -> OpenedObject:
        """Open an object in any state; raises NotFound or IntegrityError."""
        return self.open_record(self.catalogue.object(object_id))

    def open_record(self, record: ObjectRecord) -> OpenedObject:
        """Open the object of a record already at hand."""
        object_id = record.object_id
        size = self.blobs.size(object_id)

        def read_at(offset: int, length: int) -> bytes:
            return self.blobs.read_at(object_id, offset, length)

        return OpenedObject(record, Opener(read_at, size, self.catalogue.scope_key, expected_object_id=object_id))
