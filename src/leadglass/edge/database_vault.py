"""Keys, scopes and sealed records of the site's database: which key opens which row, and search tokens."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection, Row

from leadglass.archive.keys import IndexKey, Key, KeyKind, KeyRow, KeyState, KeyTree, Patient, RecordKey, first_rows
from leadglass.archive.keys import Scope as KeyScope
from leadglass.edge.database_store import Store
from leadglass.edge.schema import KEYS, PATIENTS, STUDIES
from leadglass.errors import NotFound
from leadglass.journeys.ports import Clock, Random, Scope

PATIENTS_OPEN_MAX = 20_000
SCOPES_OPEN_MAX = 4_096

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """A bounded map that forgets what was used longest ago. Thread-safe."""

    def __init__(self, length_max: int) -> None:
        super().__init__()
        self._length_max = length_max
        self._lock = threading.Lock()

    def recall(self, key: K, make: Callable[[], V]) -> V:
        """Give what is known, or make and keep it."""
        with self._lock:
            if key in self:
                self.move_to_end(key)
                return self[key]
        value = make()
        with self._lock:
            self[key] = value
            while len(self) > self._length_max:
                self.popitem(last=False)
        return value


class Vault:
    """The key side of the catalogue."""

    def __init__(self, store: Store, root: Key, clock: Clock, random: Random) -> None:
        self._store = store
        self._clock = clock
        self.tree = store.write(lambda connection: _open_tree(connection, root, clock, random))
        self.index: IndexKey = self.tree.index
        self.record: RecordKey = self.tree.record
        self._patients: Recent[bytes, Patient] = Recent(PATIENTS_OPEN_MAX)
        self._scopes: Recent[bytes, Scope] = Recent(SCOPES_OPEN_MAX)
        self.patient_keys: Recent[int, bytes] = Recent(PATIENTS_OPEN_MAX)
        """Key ids by the row id of the patient."""

    def patient(self, key_id: bytes) -> Patient:
        """Open a patient's key; raises NotFound when it was erased."""
        return self._patients.recall(key_id, lambda: self.tree.open_patient(self._row(key_id)))

    def _row(self, key_id: bytes) -> KeyRow:
        with self._store.reading() as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).first()
        if row is None:
            raise NotFound("The key is not in the database.")
        return _key_row(row)

    def scope_key(self, scope_id: bytes) -> bytes:
        """Unwrap a study's or the quarantine's key by its id."""
        if scope_id == self.tree.quarantine.scope_id:
            return self.tree.quarantine.key
        return self._scopes.recall(scope_id, lambda: self._open_scope(scope_id)).key

    def _open_scope(self, scope_id: bytes) -> Scope:
        row = self._row(scope_id)
        return _scope(self.tree.open_study(row, self.patient(row.parent_id)))

    def quarantine_scope(self) -> Scope:
        """Give the quarantine key."""
        return _scope(self.tree.quarantine)

    def scope(self, study_instance_uid: str, patient_id: str, issuer: str) -> Scope:
        """Give a study's key; at first sight make it, with its patient's, durably."""
        token = self.index.token("study", study_instance_uid)

        def make() -> Scope:
            with self._store.reading() as connection:
                known = connection.execute(select(STUDIES.c.scope_id).where(STUDIES.c.token == token)).scalar()
            if known is not None:
                return self._open_scope(known)
            return self._store.write(lambda connection: self._make_scope(connection, token, patient_id, issuer))

        return self._scopes.recall(token, make)

    def _make_scope(self, connection: Connection, token: bytes, patient_id: str, issuer: str) -> Scope:
        known = connection.execute(select(STUDIES.c.scope_id).where(STUDIES.c.token == token)).scalar()
        if known is not None:
            row = _key_row(connection.execute(select(KEYS).where(KEYS.c.id == known)).one())
            parent = _key_row(connection.execute(select(KEYS).where(KEYS.c.id == row.parent_id)).one())
            return _scope(self.tree.open_study(row, self.tree.open_patient(parent)))
        patient_row_id, patient = self._patient_of(connection, patient_id, issuer)
        now_us = self._clock.now_us()
        key_row, scope = self.tree.new_study(patient, now_us)
        connection.execute(insert(KEYS).values(_key_values(key_row)))
        connection.execute(
            insert(STUDIES).values(token=token, patient_id=patient_row_id, scope_id=scope.scope_id, received_at=now_us)
        )
        return _scope(scope)

    def _patient_of(self, connection: Connection, patient_id: str, issuer: str) -> tuple[int, Patient]:
        token = self.patient_token(patient_id, issuer)
        known = connection.execute(select(PATIENTS.c.id, PATIENTS.c.key_id).where(PATIENTS.c.token == token)).first()
        if known is not None:
            row = _key_row(connection.execute(select(KEYS).where(KEYS.c.id == known.key_id)).one())
            return known.id, self.tree.open_patient(row)
        key_row, patient = self.tree.new_patient(self._clock.now_us())
        connection.execute(insert(KEYS).values(_key_values(key_row)))
        added = connection.execute(
            insert(PATIENTS).values(token=token, id_token=self.index.token("patient-id", patient_id), key_id=key_row.id)
        )
        assert added.inserted_primary_key is not None
        return added.inserted_primary_key[0], patient

    def patient_token(self, patient_id: str, issuer: str) -> bytes:
        """Give the token of a patient: the id together with who issued it."""
        return self.index.token("patient", f"{patient_id}\x1f{issuer}")

    # --- records ------------------------------------------------------------------------------------

    def seal(self, place: bytes, value: Mapping[str, object]) -> bytes:
        """Seal a small JSON value under the site's record key."""
        return self.record.seal(place, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def open(self, place: bytes, sealed: bytes) -> dict[str, object]:
        """Open what `seal` sealed."""
        value: dict[str, object] = json.loads(self.record.open(place, sealed))
        return value


def _open_tree(connection: Connection, root: Key, clock: Clock, random: Random) -> KeyTree:
    site_level = [kind.value for kind in KeyKind if kind not in (KeyKind.PATIENT, KeyKind.STUDY)]
    rows = [_key_row(row) for row in connection.execute(select(KEYS).where(KEYS.c.kind.in_(site_level)))]
    if not rows:
        rows = list(first_rows(root, random, clock.now_us()))
        connection.execute(insert(KEYS), [_key_values(row) for row in rows])
    return KeyTree(root, rows, random)


def _key_row(row: Row[tuple[object, ...]]) -> KeyRow:
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


def key_rows(store: Store) -> Iterable[KeyRow]:
    """List every key row (rotation, backup)."""
    with store.reading() as connection:
        return [_key_row(row) for row in connection.execute(select(KEYS))]
