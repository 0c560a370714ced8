"""What people and web clients do, written to the ledger: no record, no action.

Looking at a study makes hundreds of requests (one a picture); the ledger holds one entry for each person, study and
kind of access in `_WINDOW_US`, and one for every retrieval of whole objects.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from leadglass.audit import AuditEvent, AuditKind
from leadglass.console.services import ConsoleCatalogue
from leadglass.journeys.ports import Clock

__all__ = ["Journal"]

_WINDOW_US = 600 * 1_000_000
_REMEMBERED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Journal:
    """Writes events; thread-safe."""

    catalogue: ConsoleCatalogue
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _looked: OrderedDict[tuple[str, str, str], int] = field(default_factory=OrderedDict)

    def event(
        self, kind: AuditKind, actor: str, outcome: str, detail: Mapping[str, str | int], subject: bytes | None = None
    ) -> AuditEvent:
        """Make an event of now."""
        return AuditEvent(
            kind=kind, at_us=self.clock.now_us(), actor=actor, subject=subject, outcome=outcome, detail=dict(detail)
        )

    def note(self, kind: AuditKind, actor: str, outcome: str, detail: Mapping[str, str | int]) -> None:
        """Record an event; raises StorageError when the ledger cannot take it."""
        self.catalogue.record(self.event(kind, actor, outcome, detail))

    def looked(self, actor: str, study_instance_uid: str, how: str) -> None:
        """Record that somebody looked into a study, once in ten minutes."""
        now, key = self.clock.now_us(), (actor, study_instance_uid, how)
        with self._lock:
            if now - self._looked.get(key, -_WINDOW_US) < _WINDOW_US:
                return
        self.note(AuditKind.STUDY_VIEWED, actor, "shown", {"study": study_instance_uid, "how": how})
        with self._lock:
            self._looked[key] = now
            self._looked.move_to_end(key)
            while len(self._looked) > _REMEMBERED_MAX:
                self._looked.popitem(last=False)
