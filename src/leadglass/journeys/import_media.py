"""A medium comes in: every candidate on it goes through the same reception as an object off the wire.

A disc is another sender, named IMPORT in the policy and in records. One bad file never stops the others;
a full disk stops the import, because nothing after it could be kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import LimitExceeded, PeerError, Refused, StorageError
from leadglass.finding import Finding
from leadglass.journeys.clean import disarmed
from leadglass.journeys.inspection_ports import Candidate
from leadglass.journeys.receive import Archived, Held, Outcome, Receiver, Reception, Rejected
from leadglass.malware.disarm import Disarmer
from leadglass.malware.rebuild.changes import change_findings

IMPORT_SOURCE = "IMPORT"
"""What routes call the source of imported objects (docs/spec/policy.md)."""


SETTLE_EVERY = 128
"""Files between two settlings: a process may have about a thousand open."""


class Fate(StrEnum):
    """How one file ended."""

    IMPORTED = "imported"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    HELD = "held"
    DISARMED = "disarmed"
    """Held, and a harmless copy with the same pixels is archived."""
    REJECTED = "rejected"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class ImportLine:
    """What became of one file."""

    label: str
    fate: Fate
    length_bytes: int
    object_id: bytes | None = None
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    copy: str = ""
    """What became of its harmless copy, where one was asked for; `object_id` is then that of the copy."""


@dataclass(frozen=True, slots=True)
class Importer:
    """Take in the files of a medium, one by one.

    `settle` gives what was committed its place; whoever imports outside a running hub, which does that by itself,
    passes it, for until then each object keeps a file open. `is_stopping` is asked between files. With a `disarmer`
    a harmless copy of what is held is archived beside it, where one can be made and proved.
    """

    receiver: Receiver
    actor: str
    settle: Callable[[], object] = lambda: None
    source: str = IMPORT_SOURCE
    is_stopping: Callable[[], bool] = lambda: False
    disarmer: Disarmer | None = None

    def take(self, files: Iterable[Candidate]) -> Generator[ImportLine]:
        """Receive each file and tell what became of it; the end of the import is recorded with its counts.

        Raises StorageFull or StorageError, after which nothing further is read.
        """
        fates: Counter[str] = Counter()
        outcome = "stopped"
        try:
            for file in files:
                if self.is_stopping():
                    break
                line = self._take(file)
                fates[line.fate.value] += 1
                if fates.total() % SETTLE_EVERY == 0:
                    self.settle()
                yield line
            outcome = "stopped" if self.is_stopping() else "done"
        finally:
            self._record(fates, outcome)
            self.settle()

    def _take(self, file: Candidate) -> ImportLine:
        reception = self.receiver.begin_file(self.source)
        length_bytes = 0
        try:
            for piece in file.pieces():
                length_bytes += len(piece)
                reception.feed(piece)
        except PeerError as error:
            reception.abort(error.message)
            fate = Fate.REJECTED if isinstance(error, LimitExceeded) else Fate.UNREADABLE
            return ImportLine(file.label, fate, length_bytes, reason=error.message)
        except BaseException:
            _abandon(reception)
            raise
        line = _line(file.label, length_bytes, reception.finish())
        return line if line.fate is not Fate.HELD or self.disarmer is None else self._disarm(file, line, self.disarmer)

    def _disarm(self, file: Candidate, held: ImportLine, disarmer: Disarmer) -> ImportLine:
        """Archive a harmless copy of what was held; the original stays in the quarantine, whatever comes of it."""
        assert held.object_id is not None
        try:
            copy = disarmed(disarmer, file.pieces()).copy
        except (Refused, PeerError) as error:
            self._note(held.object_id, "refused", {"reason": error.message})
            return replace(held, copy=f"There is no harmless copy: {error.message}")
        reception = self.receiver.begin_file(self.source, change_findings(copy.changes))
        try:
            for piece in copy.content:
                reception.feed(piece)
        except BaseException:
            _abandon(reception)
            raise
        line = _line(file.label, copy.length_bytes, reception.finish())
        if line.object_id is None:
            return replace(held, copy=f"There is no harmless copy: {line.reason}")
        if line.fate is Fate.HELD:
            return replace(held, copy=f"Its copy is held too, as {line.object_id.hex()}.")
        self._note(line.object_id, "disarmed", {"held": held.object_id.hex(), "changes": len(copy.changes)})
        self._note(held.object_id, "disarmed", {"copy": line.object_id.hex(), "changes": len(copy.changes)})
        told = f"A harmless copy is archived; the original is held as {held.object_id.hex()}."
        return replace(held, fate=Fate.DISARMED, object_id=line.object_id, copy=told)

    def _note(self, subject: bytes, outcome: str, detail: dict[str, str | int]) -> None:
        at_us = self.receiver.clock.now_us()
        event = AuditEvent(AuditKind.OBJECT_DISARMED, at_us, self.actor, subject, outcome, detail)
        self.receiver.catalogue.record(event)

    def _record(self, fates: Mapping[str, int], outcome: str) -> None:
        self.receiver.catalogue.record(
            AuditEvent(
                kind=AuditKind.IMPORTED,
                at_us=self.receiver.clock.now_us(),
                actor=self.actor,
                subject=None,
                outcome=outcome,
                detail=dict(fates),
            )
        )


def _abandon(reception: Reception) -> None:
    with suppress(StorageError):  # the disk that just failed may not take the record either
        reception.abort("The import was stopped.")


def _line(label: str, length_bytes: int, outcome: Outcome) -> ImportLine:
    match outcome:
        case Archived(object_id=object_id, is_duplicate=is_duplicate, is_conflict=is_conflict):
            fate = Fate.CONFLICT if is_conflict else Fate.DUPLICATE if is_duplicate else Fate.IMPORTED
            reason = "Another content already carries this SOP Instance UID; both are kept." if is_conflict else ""
            return ImportLine(label, fate, length_bytes, object_id, reason)
        case Held(object_id=object_id, reason=reason, findings=findings):
            return ImportLine(label, Fate.HELD, length_bytes, object_id, reason, findings)
        case Rejected(reason=reason, findings=findings):
            return ImportLine(label, Fate.REJECTED, length_bytes, None, reason, findings)
        case unreachable:
            assert_never(unreachable)
