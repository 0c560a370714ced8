"""Keys, scopes and sealed records of the site's database: which key opens which row, and search tokens."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection, Row

from leadglass.archive.keys import Key, KeyKind, KeyRow, KeyState, KeyTree, Patient, RecordKey, first_rows
from leadglass.archive.keys import Scope as KeyScope
from leadglass.archive.matching import canonical
from leadglass.edge.database_store import Store
from leadglass.edge.schema import KEYS, PATIENTS, STUDIES
from leadglass.errors import NotFound
from leadglass.journeys.ports import Clock, Random, Scope

PATIENTS_OPEN_MAX = 20_000
SCOPES_OPEN_MAX = 4_096
STUDIES_FILED_MAX = 4_096

KEY_COLUMNS = (
    KEYS.c.id.label("key_id"),
    KEYS.c.parent_id.label("key_parent_id"),
    KEYS.c.version.label("key_version"),
    KEYS.c.wrapped.label("key_wrapped"),
    KEYS.c.created_at.label("key_created_at"),
    KEYS.c.state.label("key_state"),
)
"""A patient's key beside the rows it opens: no second query, and an erased key is seen at once by every process."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A bounded map that forgets what was used longest ago. Thread-safe; two may make the same value at once."""

    def __init__(self, length_max: int) -> None:
        self._known: OrderedDict[K, V] = OrderedDict()
        self._length_max = length_max
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Give what is known, or None."""
        with self._lock:
            value = self._known.get(key)
            if value is not None:
                self._known.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        with self._lock:
            self._known[key] = value
            if len(self._known) > self._length_max:
                self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()

    def recall(self, key: K, make: Callable[[], V]) -> V:
        """Give what is known, or make and keep it."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value


@dataclass(frozen=True, slots=True)
class Filed:
    """A study of a patient, with its rows and open keys."""

    patient_row_id: int
    study_row_id: int
    patient: Patient
    scope: Scope


class Vault:
    """The key side of the catalogue. It keeps open what was used lately; a restart forgets erased keys."""

    def __init__(self, store: Store, root: Key, clock: Clock, random: Random, *, is_new: bool = True) -> None:
        self._store = store
        self._clock = clock
        self.tree = store.write(lambda connection: _open_tree(connection, root, clock, random, is_new))
        self.record: RecordKey = self.tree.record
        """Seals what belongs to no patient."""
        self._patients: Recent[bytes, Patient] = Recent(PATIENTS_OPEN_MAX)
        self._scopes: Recent[bytes, Scope] = Recent(SCOPES_OPEN_MAX)
        self._studies: Recent[tuple[str, str, str], Filed] = Recent(STUDIES_FILED_MAX)

    def token(self, label: str, text: str) -> bytes:
        """Give the search token of a value."""
        return self.tree.index.token(label, canonical(text))

    def patient_token(self, patient_id: str, issuer: str, study_instance_uid: str) -> bytes:
        """Give the token of a patient: the id together with who issued it.

        Without an id nothing says that two studies are of one person: each study is a patient of its own.
        """
        known, whose = canonical(patient_id), canonical(issuer)
        told = f"{known}\x1f{whose}" if known else f"\x1f{whose}\x1f{canonical(study_instance_uid)}"
        return self.tree.index.token("patient", told)

    # --- patients and studies -------------------------------------------------------------------------

    def patient(self, key_id: bytes) -> Patient:
        """Open a patient's key; raises NotFound when it was erased."""
        return self._patients.recall(key_id, lambda: self.tree.open_patient(self._row(key_id)))

    def patient_of(self, row: Row[tuple[object, ...]]) -> Patient:
        """Open the patient's key in a row with `KEY_COLUMNS`; raises NotFound when it was erased."""
        known = self._patients.get(row.key_id)
        if known is None or row.key_state == KeyState.ERASED:
            known = self.tree.open_patient(
                KeyRow(
                    row.key_id,
                    KeyKind.PATIENT,
                    row.key_parent_id,
                    row.key_version,
                    row.key_wrapped,
                    row.key_created_at,
                    KeyState(row.key_state),
                )
            )
            self._patients.put(row.key_id, known)
        return known

    def record_of(self, row: Row[tuple[object, ...]]) -> RecordKey:
        """Give the key that sealed an object's record: its patient's, or the site's where it has no patient row."""
        return self.record if row.key_id is None else self.patient_of(row).record

    def _row(self, key_id: bytes) -> KeyRow:
        with self._store.reading() as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).first()
        if row is None:
            raise NotFound("The key is not in the database.")
        return key_row(row)

    def filed(self, study_instance_uid: str, patient_id: str, issuer: str) -> Filed:
        """Give a study of a patient, made durably at first sight.

        A Study Instance UID that comes with two patients is two studies: what is sealed for one patient is
        never read or erased with another's key.
        """
        place = (study_instance_uid, patient_id, issuer)
        known = self._studies.get(place)
        if known is None:
            study = self.token("study", study_instance_uid)
            patient = self.patient_token(patient_id, issuer, study_instance_uid)
            known = self._find(study, patient) or self._store.write(
                lambda connection: self._make(connection, study, patient, self.token("patient-id", patient_id))
            )
            self._studies.put(place, known)
        return known

    def _find(self, study_token: bytes, patient_token: bytes) -> Filed | None:
        query = (
            select(STUDIES.c.id, STUDIES.c.scope_id, PATIENTS.c.id.label("patient_id"), PATIENTS.c.key_id)
            .join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id)
            .where(STUDIES.c.token == study_token, PATIENTS.c.token == patient_token)
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Filed(row.patient_id, row.id, self.patient(row.key_id), self._scope(row.scope_id))

    def _make(self, connection: Connection, study_token: bytes, patient_token: bytes, id_token: bytes) -> Filed:
        patient_row_id, patient = self._patient_of(connection, patient_token, id_token)
        query = select(STUDIES.c.id, STUDIES.c.scope_id).where(
            STUDIES.c.token == study_token, STUDIES.c.patient_id == patient_row_id
        )
        known = connection.execute(query).first()
        if known is not None:
            return Filed(patient_row_id, known.id, patient, _scope(self._opened(connection, known.scope_id, patient)))
        now_us = self._clock.now_us()
        row, scope = self.tree.new_study(patient, now_us)
        connection.execute(insert(KEYS).values(_key_values(row)))
        values = {
            "token": study_token,
            "patient_id": patient_row_id,
            "scope_id": scope.scope_id,
            "archived": 0,
            "length": 0,
            "received_at": now_us,
        }
        added = connection.execute(insert(STUDIES).values(values)).inserted_primary_key
        assert added is not None
        return Filed(patient_row_id, added[0], patient, _scope(scope))

    def _opened(self, connection: Connection, scope_id: bytes, patient: Patient) -> KeyScope:
        row = connection.execute(select(KEYS).where(KEYS.c.id == scope_id)).one()
        return self.tree.open_study(key_row(row), patient)

    def _patient_of(self, connection: Connection, token: bytes, id_token: bytes) -> tuple[int, Patient]:
        known = connection.execute(select(PATIENTS.c.id, PATIENTS.c.key_id).where(PATIENTS.c.token == token)).first()
        if known is not None:
            row = connection.execute(select(KEYS).where(KEYS.c.id == known.key_id)).one()
            return known.id, self.tree.open_patient(key_row(row))
        made, patient = self.tree.new_patient(self._clock.now_us())
        connection.execute(insert(KEYS).values(_key_values(made)))
        values = {"token": token, "id_token": id_token, "key_id": made.id}
        added = connection.execute(insert(PATIENTS).values(values)).inserted_primary_key
        assert added is not None
        return added[0], patient

    # --- scopes ---------------------------------------------------------------------------------------

    def scope_key(self, scope_id: bytes) -> bytes:
        """Unwrap a study's or the quarantine's key by its id; raises NotFound (erased) or IntegrityError."""
        if scope_id == self.tree.quarantine.scope_id:
            return _scope(self.tree.quarantine).key
        return self._scope(scope_id).key

    def quarantine_scope(self) -> Scope:
        """Give the quarantine key."""
        return _scope(self.tree.quarantine)

    def _scope(self, scope_id: bytes) -> Scope:
        return self._scopes.recall(scope_id, lambda: self._open_scope(scope_id))

    def _open_scope(self, scope_id: bytes) -> Scope:
        row = self._row(scope_id)
        return _scope(self.tree.open_study(row, self.patient(row.parent_id)))

    # --- site records ---------------------------------------------------------------------------------

    def seal(self, place: bytes, value: Mapping[str, object]) -> bytes:
        """Seal a small JSON value under the site's record key."""
        return self.record.seal(place, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def open(self, place: bytes, sealed: bytes) -> dict[str, object]:
        """Open what `seal` sealed."""
        value: dict[str, object] = json.loads(self.record.open(place, sealed))
        return value


def _open_tree(connection: Connection, root: Key, clock: Clock, random: Random, is_new: bool) -> KeyTree:
    site_level = [kind.value for kind in KeyKind if kind not in (KeyKind.PATIENT, KeyKind.STUDY)]
    rows = [key_row(row) for row in connection.execute(select(KEYS).where(KEYS.c.kind.in_(site_level)))]
    if not rows and is_new:
        rows = list(first_rows(root, random, clock.now_us()))
        connection.execute(insert(KEYS), [_key_values(row) for row in rows])
    return KeyTree(root, rows, random)


def key_row(row: Row[tuple[object, ...]]) -> KeyRow:
    """Read one row of `keys`."""
    return KeyRow(
        row.id, KeyKind(row.kind), row.parent_id, row.version, row.wrapped, row.created_at, KeyState(row.state)
    )


def _key_values(row: KeyRow) -> dict[str, object]:
    return {
        "id": row.id,
        "kind": int(row.kind),
        "parent_id": row.parent_id,
        "version": row.version,
        "wrapped": row.wrapped,
        "created_at": row.created_at,
        "state": int(row.state),
    }


def _scope(scope: KeyScope) -> Scope:
    return Scope(scope.scope_id, scope.key)
