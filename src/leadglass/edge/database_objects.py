"""Objects into the catalogue: the commit that makes an inspected, sealed object exist, and its changes of state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.engine import Connection, Row

from leadglass.archive.catalogue import (
    decode_description,
    encode_attributes,
    encode_description,
    level_attributes,
)
from leadglass.archive.keys import RecordKey
from leadglass.archive.levels import ACCESSION, ISSUER, MODALITY, PATIENT_ID, STUDY_DATE, Level
from leadglass.audit import AuditEvent, AuditKind
from leadglass.edge.database_ledger import Evidence
from leadglass.edge.database_store import Prepared, Store
from leadglass.edge.database_vault import Recent, Vault
from leadglass.edge.schema import DELIVERIES, INSTANCES, PATIENTS, SERIES, STUDIES
from leadglass.errors import NotFound
from leadglass.journeys.ports import (
    Admission,
    AdmissionResult,
    Admitted,
    Conflicted,
    Duplicate,
    ObjectRecord,
    ObjectState,
)

PLACES_KNOWN_MAX = 8_192


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an object is filed: row ids of patient, study and series."""

    patient_id: int
    study_id: int
    series_id: int


@dataclass(frozen=True, slots=True)
class _Filing:
    """An admission made ready outside the transaction: tokens and sealed bytes."""

    values: dict[str, object]
    record: ObjectRecord
    event: AuditEvent
    sealed_event: bytes
    deliver_to: tuple[str, ...]
    place: _Place | None


class ObjectRows:
    """Admit objects and look them up by id."""

    def __init__(self, store: Store, vault: Vault, evidence: Evidence) -> None:
        self._store, self._vault, self._evidence = store, vault, evidence
        self._places: Recent[bytes, _Place] = Recent(PLACES_KNOWN_MAX)
        dialect = store.dialect
        self._same = Prepared(
            select(INSTANCES.c.object_id, INSTANCES.c.digest_token, INSTANCES.c.state).where(
                INSTANCES.c.token == bindparam("token"), INSTANCES.c.state != ObjectState.DISCARDED.value
            ),
            dialect,
        )
        self._insert = Prepared(insert(INSTANCES).values({name: bindparam(name) for name in _COLUMNS}), dialect)

    # --- in -----------------------------------------------------------------------------------------

    def admit(self, admission: Admission) -> AdmissionResult:
        """Commit an object, its deliveries and its ledger entry together; durable once `flush` was called."""
        filing = self._prepare(admission)
        return self._store.write(lambda connection: self._file(connection, filing), is_durable=False)

    def _prepare(self, admission: Admission) -> _Filing:
        record, token = admission.record, self._vault.index.token
        place, key = None, self._vault.record
        if record.state is not ObjectState.HELD:
            place = self._place_of(record)
            key = self._patient_record(place.patient_id)
        values: dict[str, object] = {
            "object_id": record.object_id,
            "token": token("instance", record.sop_instance_uid),
            "study_id": None if place is None else place.study_id,
            "series_id": None if place is None else place.series_id,
            "patient_id": None if place is None else place.patient_id,
            "state": record.state.value,
            "digest_token": token("digest", record.transfer_syntax_uid + record.digest.hex()),
            "length": record.length_bytes,
            "received_at": record.received_at_us,
            "sealed": key.seal(b"instance|" + record.object_id, encode_description(record)),
        }
        sealed_event = self._evidence.sealed(admission.event)
        return _Filing(values, record, admission.event, sealed_event, admission.deliver_to, place)

    def _file(self, connection: Connection, filing: _Filing) -> AdmissionResult:
        values, state = dict(filing.values), filing.record.state
        result: AdmissionResult = Admitted()
        event, sealed_event = filing.event, filing.sealed_event
        for object_id, digest_token, known_state in self._same.run(connection, {"token": values["token"]}).all():
            if (known_state == ObjectState.HELD.value) is not (state is ObjectState.HELD):
                continue
            if digest_token == values["digest_token"]:
                event = _renamed(event, AuditKind.OBJECT_DUPLICATE, "already here", object_id)
                self._evidence.append(connection, event, self._evidence.sealed(event))
                return Duplicate(object_id)
            if known_state == ObjectState.ARCHIVED.value and state is ObjectState.ARCHIVED:
                result = Conflicted(object_id)
        if isinstance(result, Conflicted):
            values["state"] = ObjectState.CONFLICT.value
            event = _renamed(event, AuditKind.OBJECT_CONFLICT, "kept beside", filing.record.object_id)
            sealed_event = self._evidence.sealed(event)
        self._insert.run(connection, values)
        if values["state"] == ObjectState.ARCHIVED.value:
            for node in filing.deliver_to:
                queue(connection, [filing.record.object_id], node, filing.record.received_at_us)
        self._evidence.append(connection, event, sealed_event)
        return result

    def _place_of(self, record: ObjectRecord) -> _Place:
        token = self._vault.index.token("series", f"{record.study_instance_uid}\x1f{record.series_instance_uid}")
        return self._places.recall(token, lambda: self._find_place(record, token))

    def _find_place(self, record: ObjectRecord, series_token: bytes) -> _Place:
        attributes = record.attributes
        self._vault.scope(record.study_instance_uid, attributes.get(PATIENT_ID, ""), attributes.get(ISSUER, ""))
        study_token = self._vault.index.token("study", record.study_instance_uid)

        def place(connection: Connection) -> _Place:
            study = connection.execute(
                select(
                    STUDIES.c.id,
                    STUDIES.c.patient_id,
                    STUDIES.c.sealed,
                    PATIENTS.c.sealed.label("patient"),
                    PATIENTS.c.key_id,
                )
                .join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id)
                .where(STUDIES.c.token == study_token)
            ).one()
            key = self._vault.patient(study.key_id).record
            if study.patient is None:
                sealed = key.seal(
                    _place("patient", study.patient_id), encode_attributes(level_attributes(attributes, Level.PATIENT))
                )
                connection.execute(update(PATIENTS).where(PATIENTS.c.id == study.patient_id).values(sealed=sealed))
            if study.sealed is None:
                connection.execute(
                    update(STUDIES).where(STUDIES.c.id == study.id).values(self._study_values(study.id, key, record))
                )
            series_id = connection.execute(select(SERIES.c.id).where(SERIES.c.token == series_token)).scalar()
            if series_id is None:
                series_id = self._add_series(connection, study.id, series_token, key, attributes)
            return _Place(study.patient_id, study.id, series_id)

        return self._store.write(place)

    def _study_values(self, study_id: int, key: RecordKey, record: ObjectRecord) -> dict[str, object]:
        attributes, token = record.attributes, self._vault.index.token
        accession, month = attributes.get(ACCESSION, "").strip(), attributes.get(STUDY_DATE, "").replace(".", "")[:6]
        return {
            "sealed": key.seal(_place("study", study_id), encode_attributes(level_attributes(attributes, Level.STUDY))),
            "accession_token": token("accession", accession) if accession else None,
            "month_token": token("month", month) if len(month) == 6 else None,
            "received_at": record.received_at_us,
        }

    def _add_series(
        self, connection: Connection, study_id: int, series_token: bytes, key: RecordKey, attributes: Mapping[int, str]
    ) -> int:
        modality = attributes.get(MODALITY, "").strip()
        sealed = key.seal(b"series|" + series_token, encode_attributes(level_attributes(attributes, Level.SERIES)))
        modality_token = self._vault.index.token("modality", modality) if modality else None
        values = {"token": series_token, "study_id": study_id, "modality_token": modality_token, "sealed": sealed}
        added = connection.execute(insert(SERIES).values(values))
        assert added.inserted_primary_key is not None
        series_id: int = added.inserted_primary_key[0]
        return series_id

    # --- by id --------------------------------------------------------------------------------------

    def has_object(self, object_id: bytes) -> bool:
        """Tell whether the catalogue knows an object and means to keep its blob."""
        query = select(INSTANCES.c.state).where(INSTANCES.c.object_id == object_id)
        with self._store.reading() as connection:
            state = connection.execute(query).scalar()
        return state is not None and state != ObjectState.DISCARDED.value

    def object(self, object_id: bytes) -> ObjectRecord:
        """Give an object in any state; raises NotFound."""
        with self._store.reading() as connection:
            row = connection.execute(select(INSTANCES).where(INSTANCES.c.object_id == object_id)).first()
        if row is None:
            raise NotFound("The catalogue knows no such object.")
        return self.record_of(row)

    def instance(self, sop_instance_uid: str) -> ObjectRecord:
        """Give the archived object of a SOP Instance UID; raises NotFound."""
        token = self._vault.index.token("instance", sop_instance_uid)
        query = select(INSTANCES).where(INSTANCES.c.token == token, INSTANCES.c.state == ObjectState.ARCHIVED.value)
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound("The archive holds no object of that SOP Instance UID.")
        return self.record_of(row)

    def objects(self, state: ObjectState, *, limit: int = 1000) -> list[ObjectRecord]:
        """List objects in one state, newest first."""
        query = select(INSTANCES).where(INSTANCES.c.state == state.value).order_by(INSTANCES.c.id.desc()).limit(limit)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [self.record_of(row) for row in rows]

    def change_state(self, object_id: bytes, state: ObjectState, event: AuditEvent) -> None:
        """Move an object to another state together with its ledger entry."""
        sealed = self._evidence.sealed(event)

        def change(connection: Connection) -> None:
            changed = connection.execute(
                update(INSTANCES).where(INSTANCES.c.object_id == object_id).values(state=state.value)
            )
            if changed.rowcount != 1:
                raise NotFound("The catalogue knows no such object.")
            self._evidence.append(connection, event, sealed)

        self._store.write(change)

    def record_of(self, row: Row[tuple[object, ...]]) -> ObjectRecord:
        """Open an instance row."""
        key = self._vault.record if row.patient_id is None else self._patient_record(row.patient_id)
        known = decode_description(key.open(b"instance|" + row.object_id, row.sealed))
        return ObjectRecord(
            object_id=row.object_id,
            state=ObjectState(row.state),
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
        )

    def _patient_record(self, patient_row_id: int) -> RecordKey:
        return self._vault.patient(self._key_id(patient_row_id)).record

    def _key_id(self, patient_row_id: int) -> bytes:
        return self._vault.patient_keys.recall(patient_row_id, lambda: self._read_key_id(patient_row_id))

    def _read_key_id(self, patient_row_id: int) -> bytes:
        with self._store.reading() as connection:
            key_id: bytes = connection.execute(
                select(PATIENTS.c.key_id).where(PATIENTS.c.id == patient_row_id)
            ).scalar_one()
        return key_id


_COLUMNS = ("object_id", "token", "study_id", "series_id", "patient_id", "state", "digest_token", "length",
            "received_at", "sealed")  # fmt: skip


def _place(table: str, row_id: int) -> bytes:
    return f"{table}|{row_id}".encode()


def _renamed(event: AuditEvent, kind: AuditKind, outcome: str, subject: bytes) -> AuditEvent:
    return AuditEvent(kind, event.at_us, event.actor, subject, outcome, event.detail)


def queue(connection: Connection, object_ids: Sequence[bytes], node: str, due_at_us: int) -> None:
    """Put objects on their way to a node."""
    rows = [{"object_id": o, "node": node, "attempts": 0, "due_at": due_at_us, "state": "waiting"} for o in object_ids]
    if rows:
        connection.execute(insert(DELIVERIES), rows)
