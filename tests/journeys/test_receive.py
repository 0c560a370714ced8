"""One object on its way in, on real edges: what is acknowledged is kept, what is not leaves nothing behind."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leadglass.audit import AuditEvent, AuditKind
from leadglass.edge.clock import system_random
from leadglass.edge.staging import LocalStaging
from leadglass.errors import LimitExceeded, NotFound, Refused, StorageError, StorageFull, UsageError
from leadglass.gateway.decision import STATUS_NOT_AUTHORIZED
from leadglass.gateway.policy import parse_policy
from leadglass.journeys.identity import Claim
from leadglass.journeys.ports import ObjectState
from leadglass.journeys.quarantine import Quarantine
from leadglass.journeys.receive import Archived, Held, Rejected
from leadglass.journeys.recover import Recovered, recover
from leadglass.journeys.settle import Settling
from tests.journeys.images import arrives, begun, content, image, uid_of
from tests.journeys.shelf import Shelf, shelf_in
from tests.peers.harness import objects
from tests.peers.harness.wire import CT, EXPLICIT

TRAILING = b"MZ\x90\0 and more that no element accounts for"
SHELVES = {
    "rejects": '[[route]]\nname = "Strict"\nfrom = "*"\n[route.on]\nsuspicious = "reject"\nmalicious = "reject"\n'
    'not_assessed = "reject"\n',
    "forwards": '[[route]]\nname = "On"\nfrom = "*"\nforward_to = ["PACS", "BACKUP"]\n',
    "takes CT1 alone": '[[route]]\nname = "One"\nfrom = ["CT1"]\n',
}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    opened = shelf_in(tmp_path)
    yield opened
    opened.close()


def kinds(shelf: Shelf) -> list[str]:
    return [line.kind for line in reversed(shelf.catalogue.ledger())]


def sealed_files(shelf: Shelf) -> list[str]:
    """Name the objects that have their place, and those staged with content."""
    placed = [path.name for path in (shelf.folder / "objects").rglob("*") if path.is_file()]
    staged = [path.name for path in (shelf.folder / "staging").iterdir() if path.stat().st_size]
    return sorted(placed + staged)


def failing(code: int = errno.EIO) -> Callable[[int], None]:
    """Make an fdatasync that fails for the first staged object it is called for."""
    failed: list[int] = []
    real = os.fdatasync

    def sync(fd: int) -> None:
        if not failed and Path(os.readlink(f"/proc/self/fd/{fd}")).parent.name == "staging":
            failed.append(fd)
            raise OSError(code, os.strerror(code))
        real(fd)

    return sync


def forget(shelf: Shelf) -> None:
    """Lose what the process held in memory, as its end would: the locks on staged files go with it."""
    fresh = Settling(shelf.catalogue, shelf.blobs)
    shelf.settling = fresh
    shelf.receiver = replace(shelf.receiver, settling=fresh)
    gc.collect()


# --- what is acknowledged -----------------------------------------------------------------------------


def test_an_acknowledged_object_is_recorded_and_opens_before_and_after_it_has_its_place(shelf: Shelf) -> None:
    outcome = arrives(shelf, 1)
    assert isinstance(outcome, Archived)
    assert not outcome.is_duplicate
    record = shelf.catalogue.instance(uid_of(1))
    assert (record.object_id, record.source, record.state) == (outcome.object_id, "CT1", ObjectState.ARCHIVED)
    assert kinds(shelf) == [AuditKind.OBJECT_RECEIVED]
    assert not shelf.blobs.is_placed(outcome.object_id)
    assert content(shelf, outcome.object_id) == image(1)
    assert shelf.settling.settle() == 1
    assert shelf.blobs.is_placed(outcome.object_id)
    assert content(shelf, outcome.object_id) == image(1)


def test_the_same_object_again_is_acknowledged_and_kept_once(shelf: Shelf) -> None:
    first = arrives(shelf, 1)
    assert isinstance(first, Archived)
    shelf.settling.settle()
    again = arrives(shelf, 1, source="CT2")
    assert again == Archived(first.object_id, first.length_bytes, is_duplicate=True)
    assert sealed_files(shelf) == [first.object_id.hex()]
    assert kinds(shelf) == [AuditKind.OBJECT_RECEIVED, AuditKind.OBJECT_DUPLICATE]


def test_another_content_under_the_same_uid_is_kept_beside_and_never_served(shelf: Shelf) -> None:
    first, second = arrives(shelf, 1), arrives(shelf, 1, seed=9)
    assert isinstance(first, Archived)
    assert isinstance(second, Archived)
    assert second.is_conflict
    assert shelf.catalogue.instance(uid_of(1)).object_id == first.object_id
    (kept,) = shelf.catalogue.objects(ObjectState.CONFLICT)
    assert kept.object_id == second.object_id
    assert content(shelf, kept.object_id) == image(1, seed=9)
    assert content(shelf, first.object_id) == image(1)
    assert AuditKind.OBJECT_CONFLICT in kinds(shelf)
    # The conflicting content again: the copy that is kept already answers for it.
    assert arrives(shelf, 1, seed=9) == Archived(second.object_id, second.length_bytes, is_duplicate=True)


# --- the policy's three answers -----------------------------------------------------------------------


def test_what_the_policy_holds_is_kept_in_quarantine_alone(shelf: Shelf) -> None:
    outcome = arrives(shelf, 1, trailing=TRAILING)
    assert isinstance(outcome, Held)
    assert outcome.findings
    (held,) = shelf.catalogue.objects(ObjectState.HELD)
    assert (held.object_id, held.reason) == (outcome.object_id, outcome.reason)
    assert held.findings == outcome.findings
    assert content(shelf, held.object_id) == image(1, trailing=TRAILING)
    with pytest.raises(NotFound):
        shelf.catalogue.instance(uid_of(1))
    assert kinds(shelf) == [AuditKind.OBJECT_HELD]


def test_what_the_policy_rejects_leaves_only_its_record(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, policy=SHELVES["rejects"])
    outcome = arrives(shelf, 1, trailing=TRAILING)
    assert isinstance(outcome, Rejected)
    assert outcome.status in (STATUS_NOT_AUTHORIZED, 0xC000)
    assert sealed_files(shelf) == []
    assert kinds(shelf) == [AuditKind.OBJECT_REJECTED]
    assert shelf.catalogue.counts()["archived"] == shelf.catalogue.counts()["held"] == 0
    assert isinstance(arrives(shelf, 1), Archived)
    shelf.close()


def test_what_no_route_takes_is_held(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, policy=SHELVES["takes CT1 alone"])
    assert isinstance(arrives(shelf, 1), Archived)
    stranger = arrives(shelf, 2, source="MR1")
    assert isinstance(stranger, Held)
    assert "MR1" in stranger.reason
    shelf.close()


def test_what_the_policy_forwards_is_queued_once_with_its_commit(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, policy=SHELVES["forwards"])
    outcome = arrives(shelf, 1)
    assert isinstance(outcome, Archived)
    arrives(shelf, 1)  # the same again
    arrives(shelf, 1, seed=9)  # a conflict goes nowhere
    arrives(shelf, 2, trailing=TRAILING)  # nor does what is held
    due = shelf.catalogue.due_deliveries(shelf.clock.now_us())
    assert sorted((d.node, d.object_id) for d in due) == [("BACKUP", outcome.object_id), ("PACS", outcome.object_id)]
    shelf.close()


# --- bounds -------------------------------------------------------------------------------------------


def test_an_object_larger_than_the_site_takes_ends_and_leaves_nothing(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path, object_bytes_max=3000)
    with pytest.raises(LimitExceeded):
        begun(shelf, 1, image(1)).finish()
    reception = shelf.receiver.begin("CT1", Claim(CT, uid_of(2), EXPLICIT))
    reception.feed(image(2)[:2000])
    reception.abort("The object is larger than the site takes.")
    assert sealed_files(shelf) == []
    assert kinds(shelf) == [AuditKind.OBJECT_ABORTED]
    shelf.close()


def test_a_data_set_beyond_a_limit_ends_while_it_arrives(shelf: Shelf) -> None:
    reception = shelf.receiver.begin("CT1", Claim(CT, uid_of(1), EXPLICIT))
    with pytest.raises(LimitExceeded) as caught:
        reception.feed(objects.nested(20_000))
    assert caught.value.code == "depth"
    reception.abort(caught.value.message)
    assert sealed_files(shelf) == []
    assert kinds(shelf) == [AuditKind.OBJECT_ABORTED]


def test_an_object_announced_under_another_name_is_held(shelf: Shelf) -> None:
    outcome = begun(shelf, 7, image(1)).finish()
    assert isinstance(outcome, Held)
    assert "LG-IDN-002" in {finding.id for finding in outcome.findings}


# --- a disk that fails --------------------------------------------------------------------------------


def test_bytes_that_do_not_reach_the_disk_withdraw_their_row(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    reception = begun(shelf, 1, image(1))
    monkeypatch.setattr(os, "fdatasync", failing(errno.ENOSPC))
    with pytest.raises(StorageFull):
        reception.finish()
    with pytest.raises(NotFound):
        shelf.catalogue.instance(uid_of(1))
    assert sealed_files(shelf) == []
    assert kinds(shelf)[-1] == AuditKind.OBJECT_REFUSED_FULL
    again = arrives(shelf, 1)
    assert isinstance(again, Archived)
    assert not again.is_duplicate


def test_a_row_that_cannot_be_withdrawn_is_settled_at_the_next_start(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes stay beside the row: a row alone would be an object that is listed and cannot be opened."""
    reception = begun(shelf, 1, image(1))

    def full(*_: object) -> None:
        raise StorageFull("No space is left for the catalogue.")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", failing())
        broken.setattr(shelf.catalogue, "change_state", full)
        with pytest.raises(StorageError):
            reception.finish()
    object_id = reception.object_id
    assert content(shelf, object_id) == image(1)
    del reception
    forget(shelf)
    assert object_id in shelf.blobs.staged()
    recover(shelf.catalogue, shelf.blobs, shelf.clock, shelf.receiver.policy)
    assert shelf.blobs.is_placed(object_id)


def test_a_copy_acknowledged_meanwhile_outlives_the_first_that_fails(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two senders, one object: the second was acknowledged as a duplicate while the first was still being synced."""
    first = begun(shelf, 1, image(1))
    second = begun(shelf, 1, image(1), source="CT2")
    real = LocalStaging.sync

    def sync(staging: LocalStaging) -> None:
        if staging.object_id == first.object_id:
            outcome = second.finish()
            assert isinstance(outcome, Archived)
            assert outcome.is_duplicate
            raise StorageError("The disk failed while making an object durable.")
        real(staging)

    monkeypatch.setattr(LocalStaging, "sync", sync)
    with pytest.raises(StorageError):
        first.finish()
    shelf.settling.settle()
    record = shelf.catalogue.instance(uid_of(1))
    assert record.source == "CT2"
    assert content(shelf, record.object_id) == image(1)
    shelf.settling.settle()
    assert shelf.blobs.is_placed(record.object_id)
    assert sealed_files(shelf) == [record.object_id.hex()]


def test_a_copy_goes_once_the_first_has_its_place(shelf: Shelf) -> None:
    first, second = arrives(shelf, 1), arrives(shelf, 1)
    assert isinstance(first, Archived)
    assert isinstance(second, Archived)
    assert second.is_duplicate
    assert len(sealed_files(shelf)) == 2
    assert shelf.settling.settle() == 2
    assert sealed_files(shelf) == [first.object_id.hex()]
    assert shelf.settling.settle() == 0


def test_nothing_has_its_place_before_its_commit_is_durable(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads settle at once; what is admitted while they flush waits for the next time."""
    arrives(shelf, 1)
    real = shelf.catalogue.flush
    late: list[bytes] = []

    def flush() -> None:
        real()
        if not late:
            late.append(b"")
            shelf.settling.settle()  # the other thread
            outcome = arrives(shelf, 2)
            assert isinstance(outcome, Archived)
            late.append(outcome.object_id)

    monkeypatch.setattr(shelf.catalogue, "flush", flush)
    shelf.settling.settle()
    assert not shelf.blobs.is_placed(late[1])
    assert shelf.settling.settle() == 1
    assert shelf.blobs.is_placed(late[1])


def test_what_could_not_be_given_its_place_is_tried_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = arrives(shelf, 1)
    assert isinstance(outcome, Archived)
    arrives(shelf, 2)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", full)
        with pytest.raises(StorageFull):
            shelf.settling.settle()
    assert content(shelf, outcome.object_id) == image(1)
    assert shelf.settling.settle() == 2
    assert shelf.blobs.is_placed(outcome.object_id)


# --- a person decides -----------------------------------------------------------------------------------

TO_PACS = parse_policy('[[route]]\nname = "All"\nfrom = "*"\nforward_to = ["PACS"]\n')


def quarantine_of(shelf: Shelf) -> Quarantine:
    return Quarantine(shelf.archive, shelf.clock, system_random, shelf.settling, lambda: TO_PACS)


def test_a_conflict_cannot_be_released_and_keeps_its_bytes(shelf: Shelf) -> None:
    served, other = arrives(shelf, 1), arrives(shelf, 1, seed=1)
    assert isinstance(served, Archived) and isinstance(other, Archived) and other.is_conflict
    shelf.settling.settle()
    before = content(shelf, other.object_id)
    with pytest.raises(Refused):
        quarantine_of(shelf).release(other.object_id, "anna", "Looked at it")
    assert content(shelf, other.object_id) == before
    assert shelf.catalogue.object(other.object_id).state is ObjectState.CONFLICT
    assert shelf.catalogue.instance(uid_of(1)).object_id == served.object_id


def test_a_decision_without_a_reason_is_none(shelf: Shelf) -> None:
    outcome = arrives(shelf, 1, trailing=TRAILING)
    assert isinstance(outcome, Held)
    for decide in (quarantine_of(shelf).release, quarantine_of(shelf).discard):
        with pytest.raises(UsageError):
            decide(outcome.object_id, "anna", "  ")
    assert shelf.catalogue.object(outcome.object_id).state is ObjectState.HELD


def test_a_released_object_is_sealed_anew_and_served(shelf: Shelf) -> None:
    outcome = arrives(shelf, 1, trailing=TRAILING)
    assert isinstance(outcome, Held)
    quarantine = quarantine_of(shelf)
    shelf.settling.settle()
    new_id = quarantine.release(outcome.object_id, "anna", "Looked at it")
    assert new_id != outcome.object_id
    record = shelf.catalogue.instance(uid_of(1))
    assert (record.object_id, record.findings) == (new_id, outcome.findings)
    assert content(shelf, new_id) == image(1, trailing=TRAILING)
    assert sealed_files(shelf) == [new_id.hex()]
    assert [delivery.node for delivery in shelf.catalogue.deliveries(new_id)] == ["PACS"]
    (line,) = shelf.catalogue.ledger(subject=new_id)
    assert (line.kind, line.actor, line.detail["reason"]) == (AuditKind.QUARANTINE_RELEASED, "anna", "Looked at it")
    with pytest.raises(Refused):
        quarantine.release(outcome.object_id, "anna", "Again")


def test_a_discarded_object_is_gone_and_its_history_stays(shelf: Shelf) -> None:
    outcome = arrives(shelf, 1, trailing=TRAILING)
    assert isinstance(outcome, Held)
    quarantine = quarantine_of(shelf)
    shelf.settling.settle()
    quarantine.discard(outcome.object_id, "anna", "Not ours")
    assert sealed_files(shelf) == []
    assert shelf.catalogue.object(outcome.object_id).findings == outcome.findings
    assert [line.kind for line in shelf.catalogue.ledger(subject=outcome.object_id)] == [
        AuditKind.QUARANTINE_DISCARDED, AuditKind.OBJECT_HELD
    ]  # fmt: skip
    archived = arrives(shelf, 2)
    assert isinstance(archived, Archived)
    with pytest.raises(Refused):
        quarantine.discard(archived.object_id, "anna", "An archived object is not in quarantine")


def test_a_discard_cut_short_does_not_stop_the_next_start(shelf: Shelf) -> None:
    """The row says discarded, the bytes are still staged: the start removes them."""
    outcome = arrives(shelf, 1, trailing=TRAILING)
    assert isinstance(outcome, Held)
    now_us = shelf.clock.now_us()
    event = AuditEvent(AuditKind.QUARANTINE_DISCARDED, now_us, "anna", outcome.object_id, "done", {})
    shelf.catalogue.change_state(outcome.object_id, ObjectState.DISCARDED, event)
    forget(shelf)
    done = recover(shelf.catalogue, shelf.blobs, shelf.clock, shelf.receiver.policy)
    assert done == Recovered(removed=1)
    assert sealed_files(shelf) == []
    assert shelf.catalogue.object(outcome.object_id).state is ObjectState.DISCARDED
