"""Held objects: why, and what a person decides. Release re-seals under the study's key; discard removes the blob.

The decision, who took it and why they say so, is in the ledger before anything changes hands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from leadglass.archive.catalogue import encode_description
from leadglass.archive.envelope import Sealer
from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import Refused, UsageError
from leadglass.gateway.policy import Policy
from leadglass.journeys.pixels import pixel_detail
from leadglass.journeys.ports import Admission, Clock, Duplicate, ObjectRecord, ObjectState, Random
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.settle import Settling

_PATIENT_ID, _ISSUER, _MODALITY = 0x00100020, 0x00100021, 0x00080060


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Decide about held objects."""

    archive: Archive
    clock: Clock
    random: Random
    settling: Settling
    policy: Callable[[], Policy]

    def release(self, object_id: bytes, actor: str, reason: str) -> bytes:
        """Let a held object into the archive and on its way to its route's destinations; gives its new object id.

        Raises Refused when it is not held, or is kept beside an archived object of the same SOP Instance UID:
        two contents cannot be served under one name.
        """
        held = self._decidable(object_id, reason)
        if held.state is ObjectState.CONFLICT:
            raise Refused(
                "Another content is already served under this SOP Instance UID, so this one cannot be released.",
                hint="Look at both with `leadglass show`; discard this one, or have it sent under a UID of its own.",
            )
        if not held.sop_instance_uid or not held.sop_class_uid:
            raise Refused(
                "An object without a SOP Instance UID cannot be archived.",
                hint="Ask its sender for a whole one, then discard it.",
            )
        catalogue, blobs = self.archive.catalogue, self.archive.blobs
        opened = self.archive.open(object_id)
        staging = blobs.stage(expected_bytes=opened.length)
        new_id = staging.object_id
        try:
            sealer = Sealer(object_id=new_id, data_key=self.random(32), salt=self.random(32), write=staging.write)
            for piece in opened.stream(0, opened.dataset_offset):
                sealer.update(piece)
            sealer.begin_data_set()
            for piece in opened.stream_dataset():
                sealer.update(piece)
            attributes = held.attributes
            scope = catalogue.scope(
                held.study_instance_uid, attributes.get(_PATIENT_ID, ""), attributes.get(_ISSUER, "")
            )
            record = replace(held, object_id=new_id, state=ObjectState.ARCHIVED, reason=reason)
            description = encode_description(record)
            sealed = sealer.finish(scope=scope, frames=opened.frames, description=description)
            staging.write_header(sealed.header)
            staging.sync()
            detail = {"held_as": object_id.hex(), **pixel_detail(held.frames)}
            event = self._event(AuditKind.QUARANTINE_RELEASED, new_id, actor, reason, detail)
            admission = Admission(record, description, event, self._destinations(held))
            result = catalogue.admit(admission)
        except BaseException:
            staging.discard()
            raise
        if isinstance(result, Duplicate):
            self.settling.add_copy(staging, admission, result.object_id)
        else:
            self.settling.add(staging)
            self.settling.settle()
        gone = self._event(AuditKind.QUARANTINE_RELEASED, object_id, actor, reason, {"released_as": new_id.hex()})
        catalogue.change_state(object_id, ObjectState.DISCARDED, gone)
        blobs.delete(object_id)
        return result.object_id if isinstance(result, Duplicate) else new_id

    def discard(self, object_id: bytes, actor: str, reason: str) -> None:
        """Remove a held object; its row, findings and history stay. Raises Refused when it is not held."""
        self._decidable(object_id, reason)
        event = self._event(AuditKind.QUARANTINE_DISCARDED, object_id, actor, reason, {})
        self.archive.catalogue.change_state(object_id, ObjectState.DISCARDED, event)
        self.archive.blobs.delete(object_id)

    def _destinations(self, held: ObjectRecord) -> tuple[str, ...]:
        route = self.policy().route_for(held.source, held.sop_class_uid, held.attributes.get(_MODALITY, ""))
        return () if route is None else route.forward_to

    def _decidable(self, object_id: bytes, reason: str) -> ObjectRecord:
        if not reason.strip():
            raise UsageError("A decision needs a reason.", hint="Say in a few words why: it stands in the ledger.")
        record = self.archive.catalogue.object(object_id)
        if record.state not in (ObjectState.HELD, ObjectState.CONFLICT):
            raise Refused("The object is not in quarantine.", hint="`leadglass quarantine list` shows what is.")
        return record

    def _event(
        self, kind: AuditKind, subject: bytes, actor: str, reason: str, detail: dict[str, str | int]
    ) -> AuditEvent:
        return AuditEvent(kind, self.clock.now_us(), actor, subject, "done", {"reason": reason, **detail})
