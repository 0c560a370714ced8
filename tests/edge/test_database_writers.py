"""Nothing acknowledged is lost and nothing half-done is left: many threads, many processes, kills and full disks."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import Connection
from tests.edge.catalogued import admitted, event, opened, record

from leadglass.archive.query import Query
from leadglass.audit import AuditKind
from leadglass.edge.database_store import Store
from leadglass.edge.schema import LEDGER
from leadglass.errors import StorageError, StorageFull
from leadglass.journeys.ports import Admitted, Duplicate

ROOT_FOLDER = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from tests.edge.catalogued import admitted, event, opened, record
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
catalogue = opened(folder)
for number in range(count):
    one = record(number, study=f"1.2.{name}.{number // 10}")
    admitted(catalogue, one)
    print(one.object_id.hex(), flush=True)
    catalogue.record(event())
catalogue.close()
"""


def writer(folder: Path, name: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(name), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT_FOLDER,
        env={**os.environ, "PYTHONPATH": str(ROOT_FOLDER)},
    )


def test_four_threads_lose_nothing_and_the_chain_holds(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    shared = [record(number, study="1.9") for number in range(50)]
    outcomes: list[object] = []

    def send(thread: int) -> None:
        for number in range(150):
            outcomes.append(admitted(catalogue, record(number, study=f"1.{thread}.{number // 50}")))
        outcomes.extend(admitted(catalogue, record(number, study="1.9")) for number in range(50))

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 800
    assert sum(outcome == Admitted() for outcome in outcomes) == 650
    assert sum(isinstance(outcome, Duplicate) for outcome in outcomes) == 150
    assert catalogue.verify_ledger() == 800
    assert {line.study_instance_uid: line.instance_count for line in catalogue.studies()} == {
        **{f"1.{thread}.{part}": 50 for thread in range(4) for part in range(3)},
        "1.9": len(shared),
    }
    catalogue.close()


def test_two_processes_append_to_one_chain(tmp_path: Path) -> None:
    writers = [writer(tmp_path, name, 40) for name in (1, 2)]
    acknowledged = [line for one in writers for line in one.communicate(timeout=60)[0].split()]
    assert [one.returncode for one in writers] == [0, 0]
    catalogue = opened(tmp_path)
    assert catalogue.verify_ledger() == 160
    assert len(acknowledged) == 80
    assert all(catalogue.has_object(bytes.fromhex(one)) for one in acknowledged)
    assert catalogue.counts()["archived"] == 80
    catalogue.close()


@pytest.mark.parametrize("after", [1, 7, 23])
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path, after: int) -> None:
    process = writer(tmp_path, 1, 100_000)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.read().split()
    process.wait()
    acknowledged = [one for one in acknowledged if len(one) == 32]
    catalogue = opened(tmp_path)
    for one in acknowledged:
        assert catalogue.object(bytes.fromhex(one)).object_id.hex() == one
    found = catalogue.instances(Query("IMAGE", {}))
    assert len(found) - len(acknowledged) in (0, 1), "at most the one that was committed but not yet told"
    assert catalogue.verify_ledger() >= len(found)
    assert sum(line.instance_count for line in catalogue.studies(limit=10_000)) == len(found)
    assert admitted(catalogue, record(1, study="1.7")) == Admitted()
    catalogue.close()


# --- a full disk --------------------------------------------------------------------------------------


@contextlib.contextmanager
def small(monkeypatch: pytest.MonkeyPatch, pages: int) -> Iterator[None]:
    """Give databases opened inside a bound in pages; SQLite then answers as on a full disk."""
    connect = sqlite3.connect

    def bounded(*args: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)  # type: ignore[call-overload]
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr("sqlite3.dbapi2.connect", bounded)
        yield


def test_a_full_disk_refuses_keeps_what_was_acknowledged_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged = []
    opened(tmp_path).close()
    with small(monkeypatch, 80):
        catalogue = opened(tmp_path)
        with pytest.raises(StorageFull):
            for number in range(1000):
                one = record(number)
                admitted(catalogue, one)
                acknowledged.append(one)
        with pytest.raises(StorageFull):
            admitted(catalogue, record(9999, attributes={0x00081030: "x" * 500}))
        assert acknowledged
        assert catalogue.verify_ledger() == len(acknowledged)
        assert [one.object_id for one in catalogue.instances(Query("STUDY", {}))] == [r.object_id for r in acknowledged]
        with contextlib.suppress(StorageFull):
            catalogue.close()
    catalogue = opened(tmp_path)
    assert admitted(catalogue, record(9999)) == Admitted()
    assert catalogue.counts()["archived"] == len(acknowledged) + 1
    assert catalogue.verify_ledger() == len(acknowledged) + 1
    catalogue.close()


def test_a_full_disk_refuses_everyone_in_the_batch_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path).close()
    with small(monkeypatch, 90):
        catalogue = opened(tmp_path)
        outcomes: list[str] = []

        def send(thread: int) -> None:
            for number in range(60):
                try:
                    admitted(catalogue, record(number, study=f"1.{thread}"))
                    outcomes.append("in")
                except StorageFull:
                    outcomes.append("full")

        threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 240
        assert "full" in outcomes
        assert catalogue.counts()["archived"] == outcomes.count("in") == catalogue.verify_ledger()


# --- the store ----------------------------------------------------------------------------------------


def add(connection: Connection, seq: int) -> int:
    row = {"seq": seq, "at_us": 1, "kind": "x", "subject": None, "sealed": b"", "hash": b""}
    connection.execute(LEDGER.insert(), row)
    return seq


def test_one_failure_in_a_batch_is_one_senders_failure(tmp_path: Path) -> None:
    opened(tmp_path).close()
    store = Store(f"sqlite:///{tmp_path / 'catalogue.db'}")
    first, gathered = threading.Event(), threading.Event()
    results: dict[str, object] = {}

    def slow(connection: Connection) -> int:
        first.set()
        assert gathered.wait(30)
        return add(connection, 1)

    def submit(name: str, seq: int) -> None:
        try:
            results[name] = store.write(lambda connection: add(connection, seq))
        except StorageError:
            results[name] = "failed"

    leader = threading.Thread(target=lambda: results.update(leader=store.write(slow)))
    leader.start()
    assert first.wait(30)
    others = [threading.Thread(target=submit, args=(n, s)) for n, s in (("a", 2), ("double", 1), ("b", 3))]
    for thread in others:
        thread.start()
    while len(store._waiting) < 3:
        os.sched_yield()
    gathered.set()
    for thread in (leader, *others):
        thread.join()
    assert results == {"leader": 1, "a": 2, "b": 3, "double": "failed"}
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(LEDGER)).scalar() == 3
    store.close()


def test_work_that_raises_leaves_nothing_and_the_next_goes_on(tmp_path: Path) -> None:
    opened(tmp_path).close()
    store = Store(f"sqlite:///{tmp_path / 'catalogue.db'}")

    def work(connection: Connection) -> None:
        add(connection, 1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.write(work)
    assert store.write(lambda connection: add(connection, 1)) == 1
    store.close()


def test_a_database_that_stays_locked_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path).close()
    monkeypatch.setattr("leadglass.edge.database_store.BUSY_SECONDS", 0.05)
    catalogue = opened(tmp_path)
    holder = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        catalogue.record(event())
    assert list(catalogue.find(Query("STUDY", {}))) == [], "readers go on"
    holder.execute("ROLLBACK")
    catalogue.record(event(AuditKind.LOGIN))
    assert catalogue.verify_ledger() == 1
    holder.close()
    catalogue.close()


def test_what_must_last_is_synced_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An admission is synced by `flush`; every other act before it returns."""
    synced: list[str] = []
    sync = os.fdatasync

    def watched(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    catalogue = opened(tmp_path)
    one = record()
    catalogue.scope(one.study_instance_uid, "PID-1", "")
    monkeypatch.setattr(os, "fdatasync", watched)
    admitted(catalogue, one)
    assert synced == []
    catalogue.flush()
    catalogue.record(event())
    catalogue.scope("1.2.3.4.5", "new", "")
    assert synced == [str(tmp_path / "catalogue.db-wal")] * 3
    catalogue.close()


def test_checkpoints_keep_the_log_short_and_lose_nothing(tmp_path: Path) -> None:
    catalogue = opened(tmp_path)
    for part in range(3):
        for number in range(30):
            admitted(catalogue, record(number, study=f"1.{part}"))
        catalogue.checkpoint()
    assert (tmp_path / "catalogue.db-wal").stat().st_size < 2_000_000
    catalogue.close()
    assert not (tmp_path / "catalogue.db-wal").exists()
    catalogue = opened(tmp_path)
    assert catalogue.counts()["archived"] == 90 == catalogue.verify_ledger()
    catalogue.close()
