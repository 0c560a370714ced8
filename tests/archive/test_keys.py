"""Keys open under their own parent, in their own place, and nowhere else; rotation changes no value."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from leadglass.archive.keys import (
    Key,
    KeyKind,
    KeyRow,
    KeyState,
    KeyTree,
    change_root,
    first_rows,
    next_site_row,
    unwrap_row,
)
from leadglass.errors import ConfigurationError, IntegrityError, NotFound

ROOT = Key(bytes(range(32)))


@pytest.fixture
def rows() -> tuple[KeyRow, ...]:
    return first_rows(ROOT, os.urandom, 1)


def test_keys_never_print(rows: tuple[KeyRow, ...]) -> None:
    tree = KeyTree(ROOT, rows, os.urandom)
    _, patient = tree.new_patient(1)
    _, scope = tree.new_study(patient, 1)
    for secret in (ROOT, tree.record, tree.index, patient, scope, tree.quarantine):
        text = repr(secret)
        assert ROOT.value.hex() not in text and repr(ROOT.value) not in text
    assert scope.key.hex() not in repr(scope) and repr(scope.key) not in repr(scope)


def test_a_site_opens_again_to_the_same_keys(rows: tuple[KeyRow, ...]) -> None:
    tree = KeyTree(ROOT, rows, os.urandom)
    patient_row, patient = tree.new_patient(1)
    study_row, scope = tree.new_study(patient, 1)
    sealed = patient.record.seal(b"place", b"value")
    again = KeyTree(ROOT, rows, os.urandom)
    opened = again.open_patient(patient_row)
    assert again.open_study(study_row, opened) == scope
    assert opened.record.open(b"place", sealed) == b"value"
    assert again.index.token("study", "1.2") == tree.index.token("study", "1.2")


def test_tokens_differ_by_label_text_and_site(rows: tuple[KeyRow, ...]) -> None:
    index = KeyTree(ROOT, rows, os.urandom).index
    other = KeyTree(ROOT, first_rows(ROOT, os.urandom, 1), os.urandom).index
    tokens = {index.token("a", "bc"), index.token("ab", "c"), index.token("a", "b"), other.token("a", "bc")}
    assert len(tokens) == 4


def test_records_open_only_in_their_place(rows: tuple[KeyRow, ...]) -> None:
    record = KeyTree(ROOT, rows, os.urandom).record
    sealed = record.seal(b"study|1", b"secret")
    assert b"secret" not in sealed
    flipped = bytes([sealed[0] ^ 1]) + sealed[1:]
    for place, damaged in ((b"study|2", sealed), (b"study|1", sealed[:-1]), (b"study|1", flipped), (b"study|1", b"")):
        with pytest.raises(IntegrityError):
            record.open(place, damaged)


def test_a_row_that_was_altered_or_moved_is_refused(rows: tuple[KeyRow, ...]) -> None:
    tree = KeyTree(ROOT, rows, os.urandom)
    row, _ = tree.new_patient(1)
    _, other = tree.new_patient(1)
    study, _ = tree.new_study(other, 1)
    for changed in (replace(row, id=bytes(16)), replace(row, version=9), replace(row, wrapped=row.wrapped[:-1])):
        with pytest.raises(IntegrityError):
            tree.open_patient(changed)
    with pytest.raises(IntegrityError):
        tree.open_study(study, tree.open_patient(row))
    with pytest.raises(IntegrityError):
        tree.open_study(replace(study, parent_id=row.id), other)
    with pytest.raises(IntegrityError):
        KeyTree(Key(bytes(32)), rows, os.urandom)


def test_an_erased_key_is_gone(rows: tuple[KeyRow, ...]) -> None:
    tree = KeyTree(ROOT, rows, os.urandom)
    row, _ = tree.new_patient(1)
    erased = row.erased()
    assert erased.wrapped == b"" and erased.state is KeyState.ERASED
    with pytest.raises(NotFound):
        tree.open_patient(erased)
    sites = next_site_row(ROOT, rows, os.urandom, 2)
    rotated = KeyTree(ROOT, [*sites, *(row for row in rows if row.kind is not KeyKind.SITE)], os.urandom)
    assert list(rotated.rewrap([erased])) == [], "a rotation passes over what is gone"


def test_rotation_rewraps_rows_and_changes_no_value(rows: tuple[KeyRow, ...]) -> None:
    tree = KeyTree(ROOT, rows, os.urandom)
    patient_row, patient = tree.new_patient(1)
    everything = [*rows, patient_row]
    new_sites = {row.id: row for row in next_site_row(ROOT, everything, os.urandom, 2)}
    everything = [*new_sites.values(), *(row for row in everything if row.id not in new_sites)]
    rotated = KeyTree(ROOT, everything, os.urandom)
    assert rotated.site_version == tree.site_version + 1
    moved = {row.id: row for row in rotated.rewrap(everything)}
    final = [moved.get(row.id, row) for row in everything]
    active = next(row for row in final if row.kind is KeyKind.SITE and row.state is KeyState.ACTIVE)
    assert all(row.parent_id == active.id for row in moved.values())
    final = [row.erased() if row.state is KeyState.RETIRED else row for row in final]
    after = KeyTree(ROOT, final, os.urandom)
    assert after.open_patient(moved[patient_row.id]).key == patient.key
    assert after.index.token("a", "b") == tree.index.token("a", "b")
    assert not list(after.rewrap(final)), "a rotation that is done has nothing left"


def test_a_new_root_opens_what_the_old_one_did(rows: tuple[KeyRow, ...]) -> None:
    new = Key(bytes([9] * 32))
    moved = {row.id: row for row in change_root(rows, ROOT, new, os.urandom)}
    site = next(row for row in rows if row.kind is KeyKind.SITE)
    assert unwrap_row(moved[site.id], new) == unwrap_row(site, ROOT)
    KeyTree(new, [moved.get(row.id, row) for row in rows], os.urandom)


def test_a_site_without_its_keys_says_what_to_do(rows: tuple[KeyRow, ...]) -> None:
    for missing in (KeyKind.SITE, KeyKind.INDEX, KeyKind.QUARANTINE, KeyKind.RECORD):
        with pytest.raises((ConfigurationError, IntegrityError)) as caught:
            KeyTree(ROOT, [row for row in rows if row.kind is not missing], os.urandom)
        assert caught.value.hint
