"""Objects into the catalogue: the commit that makes an inspected, sealed object exist, and its changes of state.

Everything that costs (JSON, sealing, tokens) is made ready before the transaction, in the sender's own thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.engine import Connection

from leadglass.archive.catalogue import decode_description
from leadglass.archive.levels import ISSUER, PATIENT_ID
from leadglass.audit import AuditEvent, AuditKind
from leadglass.edge.database_filing import Place, Shelves
from leadglass.edge.database_ledger import Evidence
from leadglass.edge.database_store import Prepared, Store
from leadglass.edge.database_vault import KEY_COLUMNS, Filed, Vault
from leadglass.edge.schema import DELIVERIES, INSTANCES, KEYS, NOT_ARCHIVED, PATIENTS
from leadglass.errors import NotFound, Refused
from leadglass.journeys.ports import (
    Admission,
    AdmissionResult,
    Admitted,
    Conflicted,
    DeliveryState,
    Duplicate,
    ObjectRecord,
    ObjectState,
)

AnyRow = Row[tuple[object, ...]]
"""Named here, because inside the class `object` is the catalogue's word."""

_WITH_KEYS = (
    select(INSTANCES, *KEY_COLUMNS)
    .outerjoin(PATIENTS, PATIENTS.c.id == INSTANCES.c.patient_id)
    .outerjoin(KEYS, KEYS.c.id == PATIENTS.c.key_id)
)
_ARCHIVED, _HELD, _DISCARDED = ObjectState.ARCHIVED.value, ObjectState.HELD.value, ObjectState.DISCARDED.value


@dataclass(frozen=True, slots=True)
class _Filing:
    """An admission made ready outside the transaction: tokens and sealed bytes."""

    values: dict[str, object]
    record: ObjectRecord
    event: AuditEvent
    sealed_event: bytes
    deliver_to: tuple[str, ...]
    filed: Filed | None
    place: Place | None


class ObjectRows:
    """Admit objects and look them up by id."""

    def __init__(self, store: Store, vault: Vault, evidence: Evidence) -> None:
        self._store, self._vault, self._evidence = store, vault, evidence
        self._shelves = Shelves(store, vault)
        same = select(INSTANCES.c.object_id, INSTANCES.c.digest_token, INSTANCES.c.state).where(
            INSTANCES.c.token == bindparam("token"), INSTANCES.c.state != bindparam("gone")
        )
        self._same = Prepared(same, store.dialect, is_query=True)
        self._insert = Prepared(insert(INSTANCES).values({name: bindparam(name) for name in _COLUMNS}), store.dialect)

    # --- in -----------------------------------------------------------------------------------------

    def admit(self, admission: Admission) -> AdmissionResult:
        """Commit an object, its deliveries and its ledger entry together; durable once `flush` was called."""
        filing = self._prepare(admission)
        result, place = self._store.write(lambda connection: self._file(connection, filing), is_durable=False)
        if place is not None and filing.filed is not None:
            self._shelves.remember(filing.filed, filing.record, place)
        self._evidence.sign_when_due()
        return result

    def _prepare(self, admission: Admission) -> _Filing:
        record, token = admission.record, self._vault.token
        filed, place, key = None, None, self._vault.record
        values: dict[str, object] = dict.fromkeys(_COLUMNS)
        if record.state is ObjectState.HELD:
            values["held_study_token"] = token("study", record.study_instance_uid)
        else:
            filed = self._vault.filed(
                record.study_instance_uid, record.attributes.get(PATIENT_ID, ""), record.attributes.get(ISSUER, "")
            )
            key, place = filed.patient.record, self._shelves.known(filed, record)
            values |= {"study_id": filed.study_row_id, "patient_id": filed.patient_row_id}
        values |= {
            "object_id": record.object_id,
            "token": token("instance", record.sop_instance_uid),
            "state": record.state.value,
            "digest_token": token("digest", record.transfer_syntax_uid + record.digest.hex()),
            "length": record.length_bytes,
            "received_at": record.received_at_us,
            "sealed": key.seal(b"instance|" + record.object_id, admission.description),
        }
        sealed_event = self._evidence.sealed(admission.event)
        return _Filing(values, record, admission.event, sealed_event, admission.deliver_to, filed, place)

    def _file(self, connection: Connection, filing: _Filing) -> tuple[AdmissionResult, Place | None]:
        values, record = filing.values, filing.record
        result: AdmissionResult = Admitted()
        event, sealed_event = filing.event, filing.sealed_event
        for object_id, digest_token, state in self._same.run(
            connection, {"token": values["token"], "gone": _DISCARDED}
        ):
            assert isinstance(object_id, bytes)
            if (state == _HELD) is not (record.state is ObjectState.HELD):
                continue
            if digest_token == values["digest_token"]:
                event = replace(event, kind=AuditKind.OBJECT_DUPLICATE, outcome="already here", subject=object_id)
                self._evidence.append(connection, event, self._evidence.sealed(event))
                return Duplicate(object_id), None
            if state == _ARCHIVED and record.state is ObjectState.ARCHIVED:
                result = Conflicted(object_id)
        if isinstance(result, Conflicted):
            values = {**values, "state": ObjectState.CONFLICT.value}
            event = replace(event, kind=AuditKind.OBJECT_CONFLICT, outcome="kept beside")
            sealed_event = self._evidence.sealed(event)
        place = filing.place
        if filing.filed is not None:
            if place is None:
                is_shown = values["state"] == _ARCHIVED
                place = self._shelves.find(connection, filing.filed, record, is_shown=is_shown)
            values = {**values, "series_id": place.series_id}
        self._insert.run(connection, values)
        if values["state"] == _ARCHIVED:
            assert place is not None
            self._shelves.count(connection, place, 1, record.length_bytes, record.received_at_us)
            for node in filing.deliver_to:
                queue(connection, [record.object_id], node, record.received_at_us)
        self._evidence.append(connection, event, sealed_event)
        return result, place if values["state"] == _ARCHIVED else None

    # --- by id --------------------------------------------------------------------------------------

    def has_object(self, object_id: bytes) -> bool:
        """Tell whether the catalogue knows an object and means to keep its blob."""
        query = select(INSTANCES.c.state).where(INSTANCES.c.object_id == object_id)
        with self._store.reading() as connection:
            state = connection.execute(query).scalar()
        return state is not None and state != _DISCARDED

    def object(self, object_id: bytes) -> ObjectRecord:
        """Give an object in any state; raises NotFound."""
        with self._store.reading() as connection:
            row = connection.execute(_WITH_KEYS.where(INSTANCES.c.object_id == object_id)).first()
        if row is None:
            raise NotFound("The catalogue knows no such object.")
        return self.record_of(row)

    def instance(self, sop_instance_uid: str) -> ObjectRecord:
        """Give the archived object of a SOP Instance UID; raises NotFound."""
        token = self._vault.token("instance", sop_instance_uid)
        query = _WITH_KEYS.where(INSTANCES.c.token == token, INSTANCES.c.state == _ARCHIVED)
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound("The archive holds no object of that SOP Instance UID.")
        return self.record_of(row)

    def objects(self, state: ObjectState, *, limit: int = 1000) -> list[ObjectRecord]:
        """List objects in one state, newest first. Those of an erased patient are left out."""
        query = _WITH_KEYS.where(INSTANCES.c.state == state.value).order_by(INSTANCES.c.id.desc()).limit(limit)
        if state is not ObjectState.ARCHIVED:
            query = query.where(NOT_ARCHIVED)  # named so that the partial index serves
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        records = []
        for row in rows:
            try:
                records.append(self.record_of(row))
            except NotFound:
                continue
        return records

    def record_of(self, row: AnyRow) -> ObjectRecord:
        """Open an instance row; raises NotFound where its patient was erased."""
        key = self._vault.record_of(row)
        described = decode_description(key.open(b"instance|" + row.object_id, row.sealed))
        return ObjectRecord(
            object_id=described.object_id,
            state=ObjectState(row.state),
            sop_instance_uid=described.sop_instance_uid,
            sop_class_uid=described.sop_class_uid,
            transfer_syntax_uid=described.transfer_syntax_uid,
            study_instance_uid=described.study_instance_uid,
            series_instance_uid=described.series_instance_uid,
            source=described.source,
            received_at_us=described.received_at_us,
            length_bytes=described.length_bytes,
            digest=described.digest,
            attributes=described.attributes,
            findings=described.findings,
            reason=described.reason,
            frames=described.frames,
        )

    # --- changes ------------------------------------------------------------------------------------

    def change_state(self, object_id: bytes, state: ObjectState, event: AuditEvent) -> None:
        """Move an object to another state together with its ledger entry.

        Raises NotFound; Refused for a held object that should become visible (it is sealed to the quarantine:
        release seals it anew and admits that), and for a second archived object of one SOP Instance UID.
        """
        sealed, record = self._evidence.sealed(event), self.object(object_id)

        def change(connection: Connection) -> None:
            row = connection.execute(_WITH_KEYS.where(INSTANCES.c.object_id == object_id)).one()
            if row.state != state.value:
                self._check_change(connection, row, state)
                values = {"state": state.value}
                connection.execute(update(INSTANCES).where(INSTANCES.c.id == row.id).values(values))
                if row.series_id is not None and _ARCHIVED in (row.state, state.value):
                    self._shelves.move(connection, row, record, is_shown=state is ObjectState.ARCHIVED)
            self._evidence.append(connection, event, sealed)

        self._store.write(change)

    def _check_change(self, connection: Connection, row: AnyRow, state: ObjectState) -> None:
        if state is not ObjectState.ARCHIVED:
            return
        if row.patient_id is None:
            raise Refused(
                "A held object is sealed to the quarantine.", hint="`leadglass quarantine release` admits it."
            )
        query = select(INSTANCES.c.id).where(INSTANCES.c.token == row.token, INSTANCES.c.state == _ARCHIVED)
        if connection.execute(query).first() is not None:
            raise Refused(
                "Another object of that SOP Instance UID is archived.",
                hint="Discard one of the two: only one is served.",
            )


_COLUMNS = ("object_id", "token", "series_id", "study_id", "patient_id", "held_study_token", "state", "digest_token",
            "length", "received_at", "sealed")  # fmt: skip


def queue(connection: Connection, object_ids: Sequence[bytes], node: str, due_at_us: int) -> None:
    """Put objects on their way to a node."""
    rows: list[Mapping[str, object]] = [
        {
            "object_id": object_id,
            "node": node,
            "attempts": 0,
            "due_at": due_at_us,
            "state": DeliveryState.WAITING.value,
            "sealed": None,
        }
        for object_id in object_ids
    ]
    if rows:
        connection.execute(insert(DELIVERIES), rows)
