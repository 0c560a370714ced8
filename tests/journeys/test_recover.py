"""After a crash or a power cut, at every point where it can matter: all that was acknowledged, and nothing half."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from leadglass.edge.staging import LocalStaging
from leadglass.errors import IntegrityError, StorageError
from leadglass.journeys.ports import ObjectState
from leadglass.journeys.receive import Archived, Held
from leadglass.journeys.recover import Recovered, recover
from tests.journeys.images import arrives, begun, content, image, uid_of
from tests.journeys.shelf import Shelf, shelf_in
from tests.simulation.power import Power, PowerGone

TRAILING = b"MZ\x90\0 and more that no element accounts for"
FORWARDS = '[[route]]\nname = "On"\nfrom = "*"\nforward_to = ["PACS"]\n'
SYNCS_MAX = 40


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a catalogue just made."""
    folder = tmp_path_factory.mktemp("empty")
    shelf_in(folder).close()
    return folder


def started(folder: Path) -> tuple[Shelf, Recovered]:
    """Open a folder as `leadglass serve` does."""
    shelf = shelf_in(folder, policy=FORWARDS)
    return shelf, recover(shelf.catalogue, shelf.blobs, shelf.clock, shelf.receiver.policy)


def morning(shelf: Shelf, acknowledged: list[tuple[bytes, ObjectState]], *, settles: bool = True) -> None:
    """Take in objects of every kind; note each when it would be acknowledged, with its data set."""

    def note(outcome: object, data: bytes) -> None:
        if isinstance(outcome, Archived):
            acknowledged.append((data, ObjectState.CONFLICT if outcome.is_conflict else ObjectState.ARCHIVED))
        elif isinstance(outcome, Held):
            acknowledged.append((data, ObjectState.HELD))

    note(arrives(shelf, 1), image(1))
    note(arrives(shelf, 2), image(2))
    if settles:
        shelf.settling.settle()
    note(arrives(shelf, 3), image(3))
    note(arrives(shelf, 3, seed=9), image(3, seed=9))
    note(arrives(shelf, 4, trailing=TRAILING), image(4, trailing=TRAILING))
    if settles:
        shelf.settling.settle()
    note(arrives(shelf, 5), image(5))
    note(arrives(shelf, 5), image(5))
    note(arrives(shelf, 1), image(1))


def check(shelf: Shelf, acknowledged: list[tuple[bytes, ObjectState]]) -> None:
    """Hold what is there against what was promised; whatever is listed opens to its last byte."""
    there = set()
    for state in (ObjectState.ARCHIVED, ObjectState.CONFLICT, ObjectState.HELD):
        for record in shelf.catalogue.objects(state):
            shelf.archive.open(record.object_id).verify()
            assert shelf.blobs.is_placed(record.object_id)
            there.add((content(shelf, record.object_id), state))
    assert set(acknowledged) <= there
    placed = {path.name for path in (shelf.folder / "objects").rglob("*") if path.is_file()}
    listed = {
        record.object_id.hex()
        for state in (ObjectState.ARCHIVED, ObjectState.CONFLICT, ObjectState.HELD)
        for record in shelf.catalogue.objects(state)
    }
    assert placed == listed
    assert list(shelf.blobs.staged()) == []
    shelf.catalogue.verify_ledger()


@pytest.mark.parametrize("is_torn", [False, True], ids=["lost", "torn"])
def test_a_power_cut_at_any_sync_loses_nothing_acknowledged(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_torn: bool
) -> None:
    """The power goes at the first sync, at the second, and so on, until it stays on through the whole morning."""
    restored = 0
    for goes_at in range(SYNCS_MAX):
        before, after = tmp_path / f"{goes_at}-before", tmp_path / f"{goes_at}-after"
        shutil.copytree(empty, before)
        acknowledged: list[tuple[bytes, ObjectState]] = []
        with monkeypatch.context() as patch:
            shelf = shelf_in(before, policy=FORWARDS)
            power = Power(before, patch, goes_at=goes_at)
            with suppress(PowerGone):
                morning(shelf, acknowledged)
            is_over = not power.is_gone
            power.is_gone = True
            power.leave(after, is_torn=is_torn)
        with suppress(PowerGone, StorageError, IntegrityError):
            shelf.catalogue.close()  # the old process is no more; this only gives back its descriptors
        shelf, found = started(after)
        restored += found.restored
        check(shelf, acknowledged)
        shelf.close()
        if is_over:
            assert len(acknowledged) == 8
            assert restored > 5
            return
    pytest.fail("The morning never ended.")


def test_a_power_cut_while_recovering_loses_nothing_either(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start after the cut is cut short at each of its own syncs, then there is power."""
    shutil.copytree(empty, tmp_path / "first")
    acknowledged: list[tuple[bytes, ObjectState]] = []
    with monkeypatch.context() as patch:
        shelf = shelf_in(tmp_path / "first", policy=FORWARDS)
        power = Power(tmp_path / "first", patch)
        morning(shelf, acknowledged, settles=False)
        power.leave(tmp_path / "cut", is_torn=True)
    for goes_at in range(SYNCS_MAX):
        before, after = tmp_path / f"{goes_at}-before", tmp_path / f"{goes_at}-after"
        shutil.copytree(tmp_path / "cut", before)
        with monkeypatch.context() as patch:
            shelf = shelf_in(before, policy=FORWARDS)
            power = Power(before, patch, goes_at=goes_at)
            with suppress(PowerGone):
                recover(shelf.catalogue, shelf.blobs, shelf.clock, shelf.receiver.policy)
            is_over = not power.is_gone
            power.is_gone = True
            power.leave(after, is_torn=True)
        shelf, _ = started(after)
        check(shelf, acknowledged)
        shelf.close()
        if is_over:
            assert goes_at > 10
            return
    pytest.fail("The start never ended.")


@pytest.mark.parametrize("is_torn", [False, True], ids=["lost", "torn"])
def test_a_kill_and_then_a_power_cut_lose_nothing_together(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_torn: bool
) -> None:
    """A kill leaves rows and bytes that no sync has reached; the start that gives them their place must reach them."""
    shutil.copytree(empty, tmp_path / "first")
    acknowledged: list[tuple[bytes, ObjectState]] = []
    with monkeypatch.context() as patch:
        shelf = shelf_in(tmp_path / "first", policy=FORWARDS)
        power = Power(tmp_path / "first", patch)
        morning(shelf, acknowledged)
        unfinished = begun(shelf, 6, image(6))
        with patch.context() as kill, suppress(PowerGone):
            # The kill comes while the last one is being synced: its row is written, and all of its bytes.
            kill.setattr(LocalStaging, "discard", lambda _: None)
            power.is_gone = True
            unfinished.finish()
        later = power.survive(tmp_path / "second", patch)
        shelf, _ = started(tmp_path / "second")
        check(shelf, acknowledged)
        later.leave(tmp_path / "third", is_torn=is_torn)
    shelf, _ = started(tmp_path / "third")
    check(shelf, acknowledged)
    shelf.close()


def test_a_restored_object_is_what_it_was_and_goes_on_its_way(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row, attributes, source, findings, reason and deliveries come back from the sealed object and the policy."""
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(empty, before)
    with monkeypatch.context() as patch:
        shelf = shelf_in(before, policy=FORWARDS)
        power = Power(before, patch)
        arrives(shelf, 1)
        arrives(shelf, 2, trailing=TRAILING)
        records = {r.object_id: r for state in ObjectState for r in shelf.catalogue.objects(state)}
        power.leave(after, is_torn=False)
    shelf, found = started(after)
    assert found.restored == len(records) == 2
    assert {r.object_id: r for state in ObjectState for r in shelf.catalogue.objects(state)} == records
    first = shelf.catalogue.instance(uid_of(1)).object_id
    assert [delivery.node for delivery in shelf.catalogue.deliveries(first)] == ["PACS"]
    assert [line.kind for line in shelf.catalogue.ledger(limit=1)] == ["hub-recovered"]
    assert "restored" in shelf.catalogue.ledger(subject=first)[0].detail
    shelf.close()


def test_an_object_cut_short_is_removed_and_was_never_listed(empty: Path, tmp_path: Path) -> None:
    """Half an object in staging, with a row or without, is gone after a start; the ledger says so."""
    shutil.copytree(empty, tmp_path / "site")
    shelf = shelf_in(tmp_path / "site", policy=FORWARDS)
    half = begun(shelf, 1, image(1))
    whole = arrives(shelf, 2)
    assert isinstance(whole, Archived)
    staged = tmp_path / "site/staging" / whole.object_id.hex()
    data = staged.read_bytes()
    staged.write_bytes(data[:-1])
    half_id = half.object_id
    shelf.catalogue.close()
    shutil.copytree(tmp_path / "site", tmp_path / "again")  # the locks of the process that is no more stay behind
    shelf, found = started(tmp_path / "again")
    assert (found.promoted, found.restored) == (0, 0)
    assert found.removed >= 2
    assert not shelf.catalogue.has_object(half_id)
    assert shelf.catalogue.object(whole.object_id).state is ObjectState.DISCARDED
    assert shelf.catalogue.ledger(subject=whole.object_id)[0].outcome == "withdrawn"
    assert list(shelf.blobs.staged()) == []
    check(shelf, [])
    shelf.close()


def test_a_start_with_nothing_to_settle_writes_nothing(empty: Path, tmp_path: Path) -> None:
    shutil.copytree(empty, tmp_path / "site")
    shelf, found = started(tmp_path / "site")
    assert found == Recovered()
    assert shelf.catalogue.ledger() == []
    shelf.close()
