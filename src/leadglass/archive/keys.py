"""What the site's keys are, how each is wrapped by the one above it, and what is derived from them.

root → site key (versioned) → patient key → study scope key → an object's data key (in its header,
`envelope.py`). Quarantine, index and record keys lie beside the patients, under the site key, so that a
rotation re-wraps rows and changes no object, record or search token. docs/spec/envelope.md, "Key rows".

Randomness comes in as a callable; nothing here reads a clock, a file or a database. Keys print as •••.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from leadglass.errors import ConfigurationError, IntegrityError, NotFound

KEY_BYTES = 32
ID_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
TOKEN_BYTES = 16

RECORD_NONCE_BYTES = 24
RECORD_OVERHEAD_BYTES = RECORD_NONCE_BYTES + TAG_BYTES

ROOT_ID = bytes(ID_BYTES)
"""Parent id of a site key: the root has no row."""

RandomSource = Callable[[int], bytes]
"""Gives that many unpredictable bytes; `os.urandom` at the edge, a counter in a test."""


@dataclass(frozen=True, slots=True)
class Key:
    """32 secret bytes that never print."""

    value: bytes

    def __post_init__(self) -> None:
        assert len(self.value) == KEY_BYTES

    def __repr__(self) -> str:
        return "Key(•••)"

    def derive(self, label: str) -> Key:
        """Derive an independent key for one use, named by its label."""
        kdf = HKDF(hashes.SHA256(), KEY_BYTES, salt=b"", info=label.encode())
        return Key(kdf.derive(self.value))


class KeyKind(IntEnum):
    """What a key is for; the number is part of the row's associated data."""

    SITE = 1
    PATIENT = 2
    STUDY = 3
    QUARANTINE = 4
    INDEX = 5
    RECORD = 6


_CHILDREN = {
    KeyKind.SITE: frozenset({KeyKind.PATIENT, KeyKind.QUARANTINE, KeyKind.INDEX, KeyKind.RECORD}),
    KeyKind.PATIENT: frozenset({KeyKind.STUDY}),
}
_SINGLE = (KeyKind.QUARANTINE, KeyKind.INDEX, KeyKind.RECORD)


class KeyState(IntEnum):
    """Where a row is in its life. Retired: opens what exists, wraps nothing new. Erased: the key is gone."""

    ACTIVE = 1
    RETIRED = 2
    ERASED = 3


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One wrapped key as the database holds it.

    `version` counts a site key's generations; for any other key it counts how often it was wrapped.
    `wrapped` is empty once the row is erased. `created_at` is microseconds since 1970.
    """

    id: bytes
    kind: KeyKind
    parent_id: bytes
    version: int
    wrapped: bytes
    created_at: int
    state: KeyState = KeyState.ACTIVE

    def __repr__(self) -> str:
        return f"KeyRow({self.kind.name}, id={self.id.hex()}, version={self.version}, {self.state.name})"

    def associated_data(self) -> bytes:
        """Bind the wrapped key to its kind, id, parent and version."""
        return b"LGK1" + bytes([self.kind]) + self.id + self.parent_id + self.version.to_bytes(4, "big")

    def erased(self) -> KeyRow:
        """Give the row without its key: everything under it can no longer be opened by anybody."""
        return replace(self, wrapped=b"", state=KeyState.ERASED)


def wrap_row(row: KeyRow, key: Key, parent: Key, nonce: bytes) -> KeyRow:
    """Give the row with `key` wrapped under its parent (a root, site or patient key)."""
    assert len(nonce) == NONCE_BYTES and len(row.id) == len(row.parent_id) == ID_BYTES
    sealed = AESGCM(parent.derive("leadglass wrap").value).encrypt(nonce, key.value, row.associated_data())
    return replace(row, wrapped=nonce + sealed)


def unwrap_row(row: KeyRow, parent: Key) -> Key:
    """Take the key out of its row.

    NotFound where it was erased; IntegrityError where the row was altered, moved, or belongs to another parent.
    """
    if row.state is KeyState.ERASED:
        raise NotFound(f"The {row.kind.name.lower()} key was erased; what it protected can no longer be read.")
    if len(row.wrapped) == WRAPPED_BYTES:
        aead = AESGCM(parent.derive("leadglass wrap").value)
        try:
            return Key(aead.decrypt(row.wrapped[:NONCE_BYTES], row.wrapped[NONCE_BYTES:], row.associated_data()))
        except InvalidTag:
            pass
    raise IntegrityError(
        f"The {row.kind.name.lower()} key row {row.id.hex()} does not open under its parent: altered, or another key.",
        hint="Restore the key rows from the last backup that verifies.",
    )


class RecordKey:
    """Seals small values one by one (docs/spec/envelope.md, "Records"); about 4 µs each."""

    __slots__ = ("_key", "_random")

    def __init__(self, key: Key, random: RandomSource) -> None:
        self._key = key.value
        self._random = random

    def __repr__(self) -> str:
        return "RecordKey(•••)"

    def seal(self, associated_data: bytes, plaintext: bytes) -> bytes:
        """Seal a value to the place `associated_data` names (table and row)."""
        nonce = self._random(RECORD_NONCE_BYTES)
        return nonce + self._one_time(nonce).encrypt(nonce[12:], plaintext, associated_data)

    def open(self, associated_data: bytes, sealed: bytes) -> bytes:
        """Open a value, or raise IntegrityError: altered, moved to another place, or sealed under another key."""
        if len(sealed) >= RECORD_OVERHEAD_BYTES:
            nonce = sealed[:RECORD_NONCE_BYTES]
            try:
                return self._one_time(nonce).decrypt(nonce[12:], sealed[RECORD_NONCE_BYTES:], associated_data)
            except InvalidTag:
                pass
        raise IntegrityError("A sealed record does not open: altered, moved, or under another key.")

    def _one_time(self, nonce: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._key, b"leadglass record" + nonce[:12], "sha256"))


class IndexKey:
    """Turns a searchable value into a token, so that equal values meet without being readable."""

    __slots__ = ("_key",)

    def __init__(self, key: Key) -> None:
        self._key = key.value

    def __repr__(self) -> str:
        return "IndexKey(•••)"

    def token(self, label: str, text: str) -> bytes:
        """Give 16 bytes for `text` under `label` (an attribute's name); the caller folds case and spaces first."""
        name = label.encode()
        assert len(name) < 256
        message = bytes([len(name)]) + name + text.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha256")[:TOKEN_BYTES]


@dataclass(frozen=True, slots=True)
class Scope:
    """An open scope: objects of one study, or of the quarantine, are sealed to it."""

    scope_id: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Patient:
    """An open patient key and the record key derived from it."""

    id: bytes
    key: Key
    record: RecordKey


class KeyTree:
    """The site's open keys; opens and makes the rows below them.

    Holds the few site-level keys only: patients and scopes are opened row by row, and a caller that wants
    a cache of them keeps one.
    """

    __slots__ = ("_active", "_random", "_sites", "index", "quarantine", "record")

    def __init__(self, root: Key, rows: Iterable[KeyRow], random: RandomSource) -> None:
        """Open all site-level rows (site, quarantine, index, record; others are passed over).

        ConfigurationError where one is missing, IntegrityError where one does not open.
        """
        rows = tuple(rows)
        live = [row for row in rows if row.kind is KeyKind.SITE and row.state is not KeyState.ERASED]
        active = [row for row in live if row.state is KeyState.ACTIVE]
        if not active:
            raise ConfigurationError("The database holds no active site key.", hint="Run `leadglass init` once.")
        self._random = random
        self._sites = {row.id: unwrap_row(row, root) for row in live}
        self._active = max(active, key=lambda row: row.version)
        found = {row.kind: row for row in rows if row.kind in _SINGLE and row.state is KeyState.ACTIVE}
        if len(found) != len(_SINGLE):
            raise ConfigurationError(
                "The database lacks a quarantine, index or record key.",
                hint="Restore the key rows from a backup; a new key cannot read what the old one sealed.",
            )
        self.quarantine = Scope(found[KeyKind.QUARANTINE].id, self._open(found[KeyKind.QUARANTINE]).value)
        self.index = IndexKey(self._open(found[KeyKind.INDEX]))
        self.record = RecordKey(self._open(found[KeyKind.RECORD]), random)

    @property
    def site_version(self) -> int:
        """Give the version of the site key that wraps new rows."""
        return self._active.version

    def new_patient(self, created_at: int) -> tuple[KeyRow, Patient]:
        """Make a patient's key and its row."""
        row, key = _new_row(KeyKind.PATIENT, self._active.id, self._sites[self._active.id], created_at, self._random)
        return row, self._patient(row.id, key)

    def open_patient(self, row: KeyRow) -> Patient:
        """Open a patient's row; NotFound where it was erased."""
        assert row.kind is KeyKind.PATIENT
        return self._patient(row.id, self._open(row))

    def new_study(self, patient: Patient, created_at: int) -> tuple[KeyRow, Scope]:
        """Make a study's scope key and its row, under the patient."""
        row, key = _new_row(KeyKind.STUDY, patient.id, patient.key, created_at, self._random)
        return row, Scope(row.id, key.value)

    def open_study(self, row: KeyRow, patient: Patient) -> Scope:
        """Open a study's row; NotFound where it was erased, IntegrityError where it is another patient's."""
        assert row.kind is KeyKind.STUDY
        return Scope(row.id, unwrap_row(row, patient.key).value)

    def rewrap(self, rows: Iterable[KeyRow]) -> Iterator[KeyRow]:
        """Give anew each row that lies under an older site key, wrapped under the active one.

        Rows that need nothing are left out, so a rotation that was interrupted is simply run again.
        """
        new = self._active
        for row in rows:
            movable = row.kind in _CHILDREN[KeyKind.SITE] and row.state is not KeyState.ERASED
            if movable and row.parent_id != new.id:
                moved = replace(row, parent_id=new.id, version=row.version + 1)
                yield wrap_row(moved, self._open(row), self._sites[new.id], self._random(NONCE_BYTES))

    def _open(self, row: KeyRow) -> Key:
        parent = self._sites.get(row.parent_id)
        if parent is None:
            raise IntegrityError(
                f"The site key that wraps the {row.kind.name.lower()} key row {row.id.hex()} is not here.",
                hint="Restore the key rows from the last backup that verifies.",
            )
        return unwrap_row(row, parent)

    def _patient(self, patient_id: bytes, key: Key) -> Patient:
        return Patient(patient_id, key, RecordKey(key.derive("leadglass record"), self._random))


def first_rows(root: Key, random: RandomSource, created_at: int) -> tuple[KeyRow, ...]:
    """Make the rows of a new site: site key version 1, quarantine, index and record keys."""
    site, key = _new_row(KeyKind.SITE, ROOT_ID, root, created_at, random)
    return (site, *(_new_row(kind, site.id, key, created_at, random)[0] for kind in _SINGLE))


def next_site_row(root: Key, rows: Iterable[KeyRow], random: RandomSource, created_at: int) -> tuple[KeyRow, ...]:
    """Begin a rotation: give a new active site row and the old ones retired.

    Store them, open a `KeyTree` on them, store what `rewrap` gives for every row, then erase the retired ones.
    """
    old = [row for row in rows if row.kind is KeyKind.SITE and row.state is not KeyState.ERASED]
    version = max(row.version for row in old) + 1
    new, _ = _new_row(KeyKind.SITE, ROOT_ID, root, created_at, random, version=version)
    return (new, *(replace(row, state=KeyState.RETIRED) for row in old))


def change_root(rows: Iterable[KeyRow], old: Key, new: Key, random: RandomSource) -> tuple[KeyRow, ...]:
    """Give every live site row wrapped under a new root (a new passphrase); nothing below changes."""
    return tuple(
        wrap_row(row, unwrap_row(row, old), new, random(NONCE_BYTES))
        for row in rows
        if row.kind is KeyKind.SITE and row.state is not KeyState.ERASED
    )


def _new_row(
    kind: KeyKind, parent_id: bytes, parent: Key, created_at: int, random: RandomSource, *, version: int = 1
) -> tuple[KeyRow, Key]:
    key = Key(random(KEY_BYTES))
    row = KeyRow(random(ID_BYTES), kind, parent_id, version, b"", created_at)
    return wrap_row(row, key, parent, random(NONCE_BYTES)), key
