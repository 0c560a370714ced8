"""Held objects: why, and what a person decides. Release re-seals under the study's key; discard removes the blob.

The decision, who took it and why they say so, is in the ledger before anything changes hands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from leadglass.archive.catalogue import encode_description
from leadglass.archive.envelope import Sealer
from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import Refused
from leadglass.journeys.ports import Admission, Clock, Duplicate, ObjectRecord, ObjectState, Random
from leadglass.journeys.retrieve import Archive
from leadglass.journeys.settle import Settling

_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Decide about held objects."""

    archive: Archive
    clock: Clock
    random: Random
    settling: Settling

    def release(self, object_id: bytes, actor: str, reason: str, deliver_to: tuple[str, ...] = ()) -> bytes:
        """Let a held object into the archive; gives its new object id. Raises Refused when it is not held."""
        held = self._held(object_id)
        if not held.sop_instance_uid or not held.sop_class_uid:
            raise Refused("An object without a SOP Instance UID cannot be archived.", hint="Export it, or discard it.")
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
            sealed = sealer.finish(
                scope=scope,
                frames=opened.frames,
                description=encode_description(record),
            )
            staging.write_header(sealed.header)
            staging.sync()
            event = self._event(AuditKind.QUARANTINE_RELEASED, new_id, actor, reason, {"held_as": object_id.hex()})
            admission = Admission(record, event, deliver_to)
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
        self._held(object_id)
        event = self._event(AuditKind.QUARANTINE_DISCARDED, object_id, actor, reason, {})
        self.archive.catalogue.change_state(object_id, ObjectState.DISCARDED, event)
        self.archive.blobs.delete(object_id)

    def _held(self, object_id: bytes) -> ObjectRecord:
        record = self.archive.catalogue.object(object_id)
        if record.state not in (ObjectState.HELD, ObjectState.CONFLICT):
            raise Refused("The object is not in quarantine.", hint="`leadglass quarantine list` shows what is.")
        return record

    def _event(
        self, kind: AuditKind, subject: bytes, actor: str, reason: str, detail: dict[str, str | int]
    ) -> AuditEvent:
        return AuditEvent(kind, self.clock.now_us(), actor, subject, "done", {"reason": reason, **detail})
