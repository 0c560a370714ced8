"""What the catalogue promises of objects, nodes, deliveries, commitments and the ledger, on a real file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.edge.catalogued import CLOCK, NAME, PATIENT_ID, admitted, event, opened, record

from leadglass.archive.keys import Key
from leadglass.archive.ledger import Tree, sign_head
from leadglass.archive.query import Query
from leadglass.audit import AuditKind
from leadglass.edge.database import SqlCatalogue
from leadglass.errors import IntegrityError, NotFound, Refused
from leadglass.finding import Finding, Severity
from leadglass.gateway.node import Node, NodeState, Permission
from leadglass.journeys.ports import Admitted, Conflicted, Duplicate, ObjectState


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[SqlCatalogue]:
    catalogue = opened(tmp_path)
    yield catalogue
    catalogue.close()


# --- admission ----------------------------------------------------------------------------------------


def test_what_is_admitted_is_there_as_it_was(catalogue: SqlCatalogue) -> None:
    finding = Finding("LG-STR-001", "structure", Severity.LOW, "odd length", 1, 2, "(0010,0010)", "DCM-INSPECT")
    first = replace(record(), findings=(finding,))
    assert admitted(catalogue, first) == Admitted()
    assert catalogue.object(first.object_id) == first
    assert catalogue.instance(first.sop_instance_uid) == first
    assert catalogue.has_object(first.object_id)
    assert catalogue.counts()["archived"] == 1


def test_the_same_content_again_is_one_object(catalogue: SqlCatalogue) -> None:
    first, again = record(), record()
    admitted(catalogue, first)
    assert admitted(catalogue, again) == Duplicate(first.object_id)
    assert not catalogue.has_object(again.object_id)
    line = catalogue.ledger(limit=1)[0]
    assert (line.kind, line.subject) == (AuditKind.OBJECT_DUPLICATE, first.object_id)
    assert catalogue.counts()["archived"] == 1


def test_other_content_under_one_uid_is_kept_beside_and_never_served(catalogue: SqlCatalogue) -> None:
    first, other, again = record(), record(content="x"), record(content="x")
    admitted(catalogue, first)
    assert admitted(catalogue, other) == Conflicted(first.object_id)
    assert catalogue.object(other.object_id).state is ObjectState.CONFLICT
    assert catalogue.instance(first.sop_instance_uid).object_id == first.object_id
    assert [r.object_id for r in catalogue.instances(Query("STUDY", {}))] == [first.object_id]
    assert [r.object_id for r in catalogue.objects(ObjectState.CONFLICT)] == [other.object_id]
    assert admitted(catalogue, again) == Duplicate(other.object_id), "a sender that repeats does not fill the disk"
    kinds = [line.kind for line in catalogue.ledger(subject=other.object_id)]
    assert kinds == [AuditKind.OBJECT_DUPLICATE, AuditKind.OBJECT_CONFLICT]


def test_another_transfer_syntax_is_other_content(catalogue: SqlCatalogue) -> None:
    first = record()
    admitted(catalogue, first)
    other = replace(record(), transfer_syntax_uid="1.2.840.10008.1.2.4.90")
    assert admitted(catalogue, other) == Conflicted(first.object_id)


def test_a_held_object_is_in_quarantine_alone(catalogue: SqlCatalogue) -> None:
    held, again = record(state=ObjectState.HELD), record(state=ObjectState.HELD)
    assert admitted(catalogue, held) == Admitted()
    assert admitted(catalogue, again) == Duplicate(held.object_id)
    assert catalogue.objects(ObjectState.HELD) == [held]
    assert list(catalogue.find(Query("STUDY", {}))) == []
    assert catalogue.studies() == []
    with pytest.raises(NotFound):
        catalogue.instance(held.sop_instance_uid)
    assert admitted(catalogue, record(2)) == Admitted()
    assert catalogue.studies()[0].held_count == 1


def test_a_held_object_tells_nothing_into_the_study(catalogue: SqlCatalogue) -> None:
    admitted(catalogue, record(state=ObjectState.HELD, attributes={NAME: "MALLORY"}))
    admitted(catalogue, record(2))
    assert catalogue.studies()[0].attributes[NAME] == "DOE^JOHN"


def test_a_released_object_is_admitted_beside_its_held_self(catalogue: SqlCatalogue) -> None:
    held = record(state=ObjectState.HELD)
    admitted(catalogue, held)
    released = record()
    assert admitted(catalogue, released) == Admitted()
    catalogue.change_state(held.object_id, ObjectState.DISCARDED, event(AuditKind.QUARANTINE_RELEASED, held.object_id))
    assert not catalogue.has_object(held.object_id)
    assert catalogue.object(held.object_id).state is ObjectState.DISCARDED, "the row and its history stay"
    assert catalogue.counts()["held"] == 0


# --- changes of state ---------------------------------------------------------------------------------


def test_a_discarded_object_leaves_counts_and_lists(catalogue: SqlCatalogue) -> None:
    ct, mr = record(1), record(2, series="1.2.3.100.9", sop_class="1.2.840.10008.5.1.4.1.1.4")
    for one in (ct, mr):
        admitted(catalogue, one)
    assert catalogue.studies()[0].attributes[0x00080061] == "CT\\MR"
    catalogue.change_state(mr.object_id, ObjectState.DISCARDED, event())
    line = catalogue.studies()[0]
    assert (line.instance_count, line.length_bytes, line.attributes[0x00080061]) == (1, 1000, "CT")
    assert line.attributes[0x00201206] == "1"
    catalogue.change_state(ct.object_id, ObjectState.DISCARDED, event())
    assert catalogue.studies() == []
    catalogue.change_state(ct.object_id, ObjectState.ARCHIVED, event())
    assert catalogue.studies()[0].instance_count == 1
    assert admitted(catalogue, record(3)) == Admitted()
    assert catalogue.studies()[0].instance_count == 2


def test_one_of_two_conflicting_objects_is_served(catalogue: SqlCatalogue) -> None:
    first, other = record(), record(content="x")
    for one in (first, other):
        admitted(catalogue, one)
    before = catalogue.counts()["ledger"]
    with pytest.raises(Refused):
        catalogue.change_state(other.object_id, ObjectState.ARCHIVED, event())
    assert catalogue.counts()["ledger"] == before, "a refused change leaves no entry that says it happened"
    catalogue.change_state(first.object_id, ObjectState.DISCARDED, event())
    catalogue.change_state(other.object_id, ObjectState.ARCHIVED, event())
    assert catalogue.instance(first.sop_instance_uid).object_id == other.object_id


def test_a_held_object_cannot_be_shown_without_release(catalogue: SqlCatalogue) -> None:
    held = record(state=ObjectState.HELD)
    admitted(catalogue, held)
    with pytest.raises(Refused):
        catalogue.change_state(held.object_id, ObjectState.ARCHIVED, event())
    with pytest.raises(NotFound):
        catalogue.change_state(os.urandom(16), ObjectState.DISCARDED, event())


# --- keys ---------------------------------------------------------------------------------------------


def test_a_study_keeps_its_key_over_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    scope = first.scope("1.2.3", "P", "")
    assert first.scope("1.2.3", "P", "") == scope
    assert first.scope("1.2.4", "P", "").key != scope.key
    quarantine = first.quarantine_scope()
    first.close()
    second = opened(tmp_path)
    assert second.scope("1.2.3", "P", "") == scope
    assert second.scope_key(scope.scope_id) == scope.key
    assert second.quarantine_scope() == quarantine
    assert second.scope_key(quarantine.scope_id) == quarantine.key
    with pytest.raises(NotFound):
        second.scope_key(bytes(16))
    second.close()


def test_a_study_uid_of_two_patients_is_two_studies(catalogue: SqlCatalogue) -> None:
    a, b = record(1, patient="A"), record(2, patient="B")
    for one in (a, b):
        admitted(catalogue, one)
    scopes = {catalogue.scope(a.study_instance_uid, patient, "").scope_id for patient in "AB"}
    assert len(scopes) == 2
    found = list(catalogue.find(Query("STUDY", {PATIENT_ID: "", 0x00201208: ""})))
    assert sorted((match[PATIENT_ID], match[0x00201208]) for match in found) == [("A", "1"), ("B", "1")]
    assert len(catalogue.instances(Query("STUDY", {0x0020000D: a.study_instance_uid}))) == 2


def test_studies_without_a_patient_id_are_not_one_patient(catalogue: SqlCatalogue) -> None:
    """Found with two real files that leave it empty: the second study was shown under the first one's name."""
    names = {"1.2.3.1": "DOE^JANE", "1.2.3.2": "ROE^RICHARD"}
    for study, name in names.items():
        for number in (1, 2):
            admitted(catalogue, record(number, study=study, patient="", attributes={NAME: name}))
    found = list(catalogue.find(Query("STUDY", {NAME: "", 0x00201208: ""})))
    assert {match[0x0020000D]: match[NAME] for match in found} == names
    assert [match[0x00201208] for match in found] == ["2", "2"]
    assert len({catalogue.scope(study, "", "").scope_id for study in names}) == 2


def test_another_root_opens_nothing(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(IntegrityError):
        opened(tmp_path, root=Key(bytes(32)))


def test_an_erased_patient_is_unreadable_at_once_in_every_process(tmp_path: Path) -> None:
    catalogue, other = opened(tmp_path), opened(tmp_path)
    mine, theirs = record(1, patient="A", study="1.2.1"), record(1, patient="B", study="1.2.2")
    for one in (mine, theirs):
        admitted(catalogue, one)
    assert len(list(other.find(Query("STUDY", {NAME: ""})))) == 2
    assert other.object(mine.object_id) == mine
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        key_id = database.execute(
            "SELECT key_id FROM patients p JOIN instances i ON i.patient_id = p.id WHERE object_id = ?",
            (mine.object_id,),
        ).fetchone()[0]
        database.execute("UPDATE keys SET wrapped = x'', state = 3 WHERE id = ?", (key_id,))
    for one in (catalogue, other):
        assert [match[0x0020000D] for match in one.find(Query("STUDY", {}))] == ["1.2.2"]
        assert [line.study_instance_uid for line in one.studies()] == ["1.2.2"]
        assert [r.object_id for r in one.instances(Query("IMAGE", {}))] == [theirs.object_id]
        with pytest.raises(NotFound):
            one.object(mine.object_id)
        one.close()


def test_rows_swapped_by_a_thief_do_not_open(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    first, second = record(1), record(2)
    for one in (first, second):
        admitted(catalogue, one)
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        sealed = database.execute("SELECT sealed FROM instances WHERE object_id = ?", (first.object_id,)).fetchone()[0]
        database.execute("UPDATE instances SET sealed = ? WHERE object_id = ?", (sealed, second.object_id))
    with pytest.raises(IntegrityError):
        catalogue.object(second.object_id)
    catalogue.close()


# --- nodes --------------------------------------------------------------------------------------------

NODE = Node(
    "PACS", NodeState.APPROVED, "10.0.0.9", 11112, "ab" * 32, ("10.0.0.0/8",),
    frozenset({Permission.QUERY, Permission.RETRIEVE}), True, 17, "second floor",
)  # fmt: skip


def test_nodes_are_put_replaced_and_removed_with_their_entries(catalogue: SqlCatalogue) -> None:
    catalogue.put_node(NODE, event(AuditKind.NODE_ADDED))
    catalogue.put_node(Node("CT1", NodeState.PENDING), event(AuditKind.NODE_PENDING))
    assert catalogue.nodes() == [Node("CT1", NodeState.PENDING), NODE]
    changed = replace(NODE, port=104)
    catalogue.put_node(changed, event(AuditKind.NODE_APPROVED))
    assert catalogue.node("PACS") == changed
    catalogue.remove_node("PACS", event(AuditKind.NODE_REMOVED))
    assert catalogue.node("PACS") is None
    before = catalogue.counts()["ledger"]
    with pytest.raises(NotFound):
        catalogue.remove_node("PACS", event(AuditKind.NODE_REMOVED))
    assert catalogue.counts()["ledger"] == before == 4


def test_whoever_writes_the_file_lets_no_node_in(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    catalogue.put_node(NODE, event())
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        database.execute("INSERT INTO nodes SELECT 'EVIL', sealed FROM nodes")
    with pytest.raises(IntegrityError):
        catalogue.node("EVIL")
    catalogue.close()


# --- outbox -------------------------------------------------------------------------------------------


def test_deliveries_are_tried_until_they_arrive(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    one = record()
    admitted(catalogue, one, ["PACS", "AI"])
    catalogue.close()
    catalogue = opened(tmp_path)
    now = CLOCK.now_us()
    due = catalogue.due_deliveries(now)
    assert [(d.object_id, d.node, d.attempts) for d in due] == [(one.object_id, "PACS", 0), (one.object_id, "AI", 0)]
    assert len(catalogue.due_deliveries(now, limit=1)) == 1
    catalogue.delivered(due[0].delivery_id, event(AuditKind.OBJECT_SENT))
    catalogue.delivery_failed(due[1].delivery_id, "no answer from 10.0.0.9", now + 5_000_000, event())
    assert catalogue.due_deliveries(now + 4_000_000) == []
    later = catalogue.due_deliveries(now + 5_000_000)
    assert [(d.node, d.attempts, d.error) for d in later] == [("AI", 1, "no answer from 10.0.0.9")]
    catalogue.delivery_failed(later[0].delivery_id, "gone", None, event())
    assert catalogue.due_deliveries(now + 10**12) == []
    assert [d.error for d in catalogue.deliveries(one.object_id)] == ["", "gone"]
    catalogue.enqueue([one.object_id], "PACS", event(AuditKind.SEND_REQUESTED))
    assert len(catalogue.due_deliveries(CLOCK.now_us())) == 1
    catalogue.close()


def test_a_conflicting_or_held_object_is_sent_nowhere(catalogue: SqlCatalogue) -> None:
    admitted(catalogue, record())
    admitted(catalogue, record(content="x"), ["PACS"])
    admitted(catalogue, record(5, state=ObjectState.HELD), ["PACS"])
    assert catalogue.due_deliveries(CLOCK.now_us()) == []


def test_commitments_survive_until_their_report_is_taken(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    references = (("1.2", "1.2.3"), ("1.2", "1.2.4"))
    for _ in range(3):
        catalogue.put_commitment("CT1", "1.9.9", references, event(AuditKind.STORAGE_COMMITMENT))
    catalogue.close()
    catalogue = opened(tmp_path)
    now = CLOCK.now_us()
    first, second, third = catalogue.due_commitments(now)
    assert (first.node, first.transaction_uid, first.references, first.attempts) == ("CT1", "1.9.9", references, 0)
    catalogue.commitment_done(first.commitment_id, event())
    catalogue.commitment_failed(second.commitment_id, "busy", now + 10, event())
    catalogue.commitment_failed(third.commitment_id, "busy", None, event())
    assert catalogue.due_commitments(now) == []
    assert [c.attempts for c in catalogue.due_commitments(now + 10)] == [1]
    catalogue.close()


# --- ledger -------------------------------------------------------------------------------------------


def test_every_act_has_its_entry_and_the_chain_verifies(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    one = record()
    admitted(catalogue, one)
    catalogue.record(event(AuditKind.QUERY, matches=3))
    newest, oldest = catalogue.ledger()
    assert (newest.seq, newest.kind, newest.actor, newest.outcome) == (2, "query", "CT1", "done")
    assert newest.detail == {"matches": 3}
    assert catalogue.ledger(newest_first=False)[0] == oldest
    assert catalogue.ledger(subject=one.object_id) == [oldest]
    assert catalogue.verify_ledger() == 2
    catalogue.close()
    catalogue = opened(tmp_path)
    assert catalogue.verify_ledger() == 2
    catalogue.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE ledger SET at_us = at_us + 1 WHERE seq = 2",
        "UPDATE ledger SET sealed = (SELECT sealed FROM ledger WHERE seq = 1) WHERE seq = 2",
        "DELETE FROM ledger WHERE seq = 2",
        "DELETE FROM ledger WHERE seq = 3",
        "UPDATE ledger SET kind = 'query' WHERE seq = 3",
        "UPDATE ledger_heads SET signature = zeroblob(64)",
        "UPDATE ledger_heads SET public_key = zeroblob(32)",
    ],
)
def test_a_ledger_that_was_touched_does_not_verify(tmp_path: Path, damage: str) -> None:
    catalogue = opened(tmp_path)
    for _ in range(3):
        catalogue.record(event(AuditKind.LOGIN))
    catalogue.close()
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        database.execute(damage)
    catalogue = opened(tmp_path)
    with pytest.raises(IntegrityError):
        catalogue.verify_ledger()
    catalogue.close()


def test_a_ledger_cut_short_and_signed_by_somebody_else_does_not_verify(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    for _ in range(3):
        catalogue.record(event(AuditKind.LOGIN))
    catalogue.close()
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        database.execute("DELETE FROM ledger WHERE seq = 3")
        tree = Tree()
        for (digest,) in database.execute("SELECT hash FROM ledger ORDER BY seq"):
            tree.add(digest)
        head = sign_head(tree, 1, Ed25519PrivateKey.generate())
        database.execute(
            "UPDATE ledger_heads SET size = ?, root = ?, at_us = ?, public_key = ?, signature = ?, peaks = ?",
            (head.size, head.root, head.at_us, head.public_key, head.signature, tree.peaks),
        )
    catalogue = opened(tmp_path)
    with pytest.raises(IntegrityError, match="another key"):
        catalogue.verify_ledger()
    catalogue.close()


def test_a_head_is_signed_when_enough_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadglass.edge.database_ledger.HEAD_EVERY", 10)
    catalogue = opened(tmp_path)
    for _ in range(25):
        catalogue.record(event())
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        assert [size for (size,) in database.execute("SELECT size FROM ledger_heads")] == [10, 20]
    catalogue.close()


def test_a_damaged_file_is_an_integrity_error(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    admitted(catalogue, record())
    catalogue.close()
    path = tmp_path / "catalogue.db"
    whole = path.read_bytes()
    path.write_bytes(b"\x00" * 4096 + whole[4096:])
    with pytest.raises(IntegrityError):
        opened(tmp_path)
