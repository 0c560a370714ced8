"""After a crash: the catalogue says which staged objects were acknowledged; those are promoted, the rest removed."""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.audit import AuditEvent, AuditKind
from leadglass.journeys.ports import Blobs, Catalogue, Clock


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found in staging."""

    promoted: int = 0
    removed: int = 0


def recover(catalogue: Catalogue, blobs: Blobs, clock: Clock) -> Recovered:
    """Settle what a crash left behind. Run while nobody receives."""
    promoted = removed = 0
    for object_id in blobs.staged():
        staging = blobs.resume(object_id)
        if catalogue.has_object(object_id):
            staging.promote()
            promoted += 1
        else:
            staging.discard()
            removed += 1
    if promoted or removed:
        catalogue.record(
            AuditEvent(
                kind=AuditKind.HUB_RECOVERED,
                at_us=clock.now_us(),
                actor="hub",
                subject=None,
                outcome="recovered",
                detail={"promoted": promoted, "removed": removed},
            )
        )
    return Recovered(promoted, removed)
