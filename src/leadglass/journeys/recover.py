"""After a crash or a power cut: what was acknowledged is there, what was not is gone, and nobody has to do anything.

A staged object that opens to its last byte is promoted; where its row is missing, which a power cut can do to one
that was acknowledged, the row is made again from the description in the sealed object. Anything else never arrived
whole, or a person discarded it: it is removed, and its row, if it had one, is withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from leadglass.archive.catalogue import decode_description, encode_description
from leadglass.archive.envelope import Opener
from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import IntegrityError, NotFound
from leadglass.finding import Assessed
from leadglass.gateway.decision import Forward, decide
from leadglass.gateway.policy import Policy
from leadglass.journeys.pixels import pixel_detail
from leadglass.journeys.ports import Admission, Blobs, Catalogue, Clock, Duplicate, ObjectRecord, ObjectState
from leadglass.malware.verdict import verdict_of

_MODALITY = 0x00080060


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found in staging."""

    promoted: int = 0
    restored: int = 0
    removed: int = 0


def recover(catalogue: Catalogue, blobs: Blobs, clock: Clock, policy: Callable[[], Policy]) -> Recovered:
    """Settle what a crash left behind. Only the serving process does it, before it serves.

    Objects with a row come first: a staged copy of one may go only when that one is known to be whole.
    """
    promoted = restored = removed = 0
    rowless: list[tuple[int, bytes]] = []
    for object_id in blobs.staged():
        known = _described(catalogue, blobs, object_id)
        state = _state(catalogue, object_id)
        if known is None or state is ObjectState.DISCARDED:
            if catalogue.has_object(object_id):
                _withdraw(catalogue, clock, object_id)
            blobs.resume(object_id).discard()
            removed += 1
        elif state is None:
            rowless.append((known.received_at_us, object_id))
        else:
            _promote(catalogue, blobs, object_id)
            promoted += 1
    for _, object_id in sorted(rowless):  # as they arrived, so that of two contents the first is served again
        known = _described(catalogue, blobs, object_id)
        if known is None or isinstance(catalogue.admit(_admission(known, clock, policy())), Duplicate):
            blobs.resume(object_id).discard()
            removed += 1
        else:
            _promote(catalogue, blobs, object_id)
            restored += 1
    if promoted or restored or removed:
        detail: dict[str, str | int] = {"promoted": promoted, "restored": restored, "removed": removed}
        catalogue.record(AuditEvent(AuditKind.HUB_RECOVERED, clock.now_us(), "hub", None, "recovered", detail))
    return Recovered(promoted, restored, removed)


def _promote(catalogue: Catalogue, blobs: Blobs, object_id: bytes) -> None:
    """Give an object its place, row and bytes first made durable: a crash of the hub alone synced neither."""
    staging = blobs.resume(object_id)
    staging.sync()
    catalogue.flush()
    staging.promote()


def _state(catalogue: Catalogue, object_id: bytes) -> ObjectState | None:
    try:
        return catalogue.object(object_id).state
    except NotFound:
        return None


def _withdraw(catalogue: Catalogue, clock: Clock, object_id: bytes) -> None:
    event = AuditEvent(AuditKind.OBJECT_ABORTED, clock.now_us(), "hub", object_id, "withdrawn", {})
    with suppress(NotFound):  # its patient was erased
        catalogue.change_state(object_id, ObjectState.DISCARDED, event)


def _described(catalogue: Catalogue, blobs: Blobs, object_id: bytes) -> ObjectRecord | None:
    """Read what a staged object says of itself, None where it is not whole."""
    try:
        opener = Opener(
            lambda offset, length: blobs.read_at(object_id, offset, length),
            blobs.size(object_id),
            catalogue.scope_key,
            expected_object_id=object_id,
        )
        opener.verify()
        known = decode_description(opener.footer.description)
    except (IntegrityError, NotFound):
        return None
    is_held = opener.scope_id == catalogue.quarantine_scope().scope_id
    return ObjectRecord(
        object_id=object_id,
        state=ObjectState.HELD if is_held else ObjectState.ARCHIVED,
        sop_instance_uid=known.sop_instance_uid,
        sop_class_uid=known.sop_class_uid,
        transfer_syntax_uid=known.transfer_syntax_uid,
        study_instance_uid=known.study_instance_uid,
        series_instance_uid=known.series_instance_uid,
        source=known.source,
        received_at_us=known.received_at_us,
        length_bytes=known.length_bytes,
        digest=known.digest,
        attributes=known.attributes,
        findings=known.findings,
        reason=known.reason,
        frames=known.frames,
    )


def _admission(record: ObjectRecord, clock: Clock, policy: Policy) -> Admission:
    is_held = record.state is ObjectState.HELD
    kind = AuditKind.OBJECT_HELD if is_held else AuditKind.OBJECT_RECEIVED
    detail: dict[str, str | int] = {
        "length": record.length_bytes,
        "restored": "from the sealed object",
        **pixel_detail(record.frames),
    }
    event = AuditEvent(kind, clock.now_us(), record.source, record.object_id, record.state.value, detail)
    inspection = Assessed(record.findings)
    decision = decide(
        policy,
        source_node=record.source,
        sop_class=record.sop_class_uid,
        modality=record.attributes.get(_MODALITY, ""),
        inspection=inspection,
        verdict=verdict_of(inspection),
        now_us=clock.now_us(),
    )
    deliver_to = decision.destinations if isinstance(decision, Forward) and not is_held else ()
    return Admission(record, encode_description(record), event, deliver_to)
