"""Objects leave in the open: Part 10 files under names of our own, each recorded before its first byte is given.

Names come from counting, never from an object: a UID or a patient's name is neither safe as a file name nor
anything a folder listing should tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from leadglass.audit import AuditEvent, AuditKind
from leadglass.journeys.ports import Clock, ObjectRecord
from leadglass.journeys.retrieve import Archive


class Sink(Protocol):
    """Where exported files go. `name` is made here and safe: lower-case letters, digits and hyphens."""

    def begin(self, name: tuple[str, ...], length_bytes: int) -> None:
        """Start a file."""

    def write(self, data: bytes | memoryview) -> None:
        """Append to it."""

    def end(self) -> None:
        """Finish it; on return it is durable."""

    def drop(self) -> None:
        """Remove what was written of it."""


@dataclass(frozen=True, slots=True)
class ExportLine:
    """One exported object and its name."""

    record: ObjectRecord
    name: tuple[str, ...]
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Exporter:
    """Write objects out."""

    archive: Archive
    clock: Clock
    actor: str

    def export(self, records: Iterable[ObjectRecord], sink: Sink, *, target: str) -> Iterator[ExportLine]:
        """Export each object in order; raises IntegrityError where stored bytes are not what was sealed.

        `target` is what the record says of where it went. A file is given whole or not at all.
        """
        namer = _Namer()
        for record in records:
            opened = self.archive.open_record(record)
            name = namer.name(record)
            self.archive.catalogue.record(
                AuditEvent(
                    kind=AuditKind.EXPORTED,
                    at_us=self.clock.now_us(),
                    actor=self.actor,
                    subject=record.object_id,
                    outcome="exported",
                    detail={"target": target, "length": opened.length},
                )
            )
            sink.begin(name, opened.length)
            try:
                for piece in opened.stream():
                    sink.write(piece)
                sink.end()
            except BaseException:
                sink.drop()
                raise
            yield ExportLine(record, name, opened.length)


class _Namer:
    """Count studies, series in each, instances in each."""

    def __init__(self) -> None:
        self._studies: dict[str, int] = {}
        self._series: dict[tuple[str, str], int] = {}
        self._series_of_study: dict[str, int] = {}
        self._instances: dict[tuple[str, str], int] = {}

    def name(self, record: ObjectRecord) -> tuple[str, ...]:
        study, pair = record.study_instance_uid, (record.study_instance_uid, record.series_instance_uid)
        study_number = self._studies.setdefault(study, len(self._studies) + 1)
        if pair not in self._series:
            self._series_of_study[study] = self._series[pair] = self._series_of_study.get(study, 0) + 1
        self._instances[pair] = self._instances.get(pair, 0) + 1
        return f"study-{study_number:04}", f"series-{self._series[pair]:04}", f"{self._instances[pair]:06}.dcm"
