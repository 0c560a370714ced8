"""Whoever takes the folder reads nothing in it: no name, identifier, UID, date or modality, and no equal content."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.edge.catalogued import CLOCK, admitted, event, opened, record

from leadglass.archive.keys import ROOT_ID
from leadglass.audit import AuditKind
from leadglass.edge.database import SqlCatalogue
from leadglass.journeys.ports import DeliveryState, ObjectRecord, ObjectState

SECRETS = {
    0x00100010: "Zwetajewa^Marina",
    0x00100020: "PID-SECRET-4711",
    0x00100021: "ISSUER-SECRET",
    0x00100030: "18921008",
    0x00080020: "20240229",
    0x00080050: "ACC-SECRET-88",
    0x00081030: "KOPF NATIV GEHEIM",
    0x0008103E: "SERIES-GEHEIM",
    0x00080090: "Pasternak^Boris",
    0x00081010: "STATION-GEHEIM",
}
STUDY, SERIES = "1.2.826.0.1.991.1", "1.2.826.0.1.991.1.5"


def needles(records: Iterable[ObjectRecord]) -> set[str]:
    texts = {text for one in records for text in one.attributes.values() if len(text) >= 5}
    uids = {uid for one in records for uid in (one.sop_instance_uid, one.study_instance_uid, one.series_instance_uid)}
    return texts | uids | {one.sop_class_uid for one in records} | {one.digest.hex() for one in records}


def readable(folder: Path, wanted: Iterable[str]) -> list[tuple[str, str]]:
    """Search every byte of every file for texts, in UTF-8 and UTF-16 and as the bytes of a hexadecimal text."""
    found = []
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        for text in wanted:
            forms = {text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"), text.split("^")[0].encode()}
            if len(text) == 64:
                forms.add(bytes.fromhex(text))
            if any(form.lower() in data.lower() for form in forms):
                found.append((path.name, text))
    return found


def filled(folder: Path) -> tuple[SqlCatalogue, list[ObjectRecord]]:
    """Do everything a site does, with the secrets in each place where they can be."""
    catalogue = opened(folder)
    states = (ObjectState.ARCHIVED, ObjectState.ARCHIVED, ObjectState.HELD)
    records = [
        record(number, study=STUDY, series=SERIES, state=state, attributes=SECRETS)
        for number, state in enumerate(states, start=1)
    ]
    for one in records:
        admitted(catalogue, one, ["PACS"])
    records.append(record(1, study=STUDY, series=SERIES, content="other", attributes=SECRETS))
    admitted(catalogue, records[-1])
    uids = [(one.sop_class_uid, one.sop_instance_uid) for one in records]
    catalogue.put_commitment("CT1", STUDY + ".77", uids, event(AuditKind.STORAGE_COMMITMENT, uid=STUDY))
    delivery = catalogue.due_deliveries(CLOCK.now_us())[0]
    catalogue.delivery_failed(delivery.delivery_id, f"refused {STUDY}", None, event(why=SECRETS[0x00100010]))
    catalogue.record(event(AuditKind.QUERY, None, patient=SECRETS[0x00100020]))
    return catalogue, records


def test_nothing_is_readable_open_or_closed(tmp_path: Path) -> None:
    catalogue, records = filled(tmp_path)
    wanted = needles(records)
    assert len(wanted) > 15
    names = {path.name for path in tmp_path.iterdir()}
    assert {"catalogue.db", "catalogue.db-wal", "catalogue.db-shm"} <= names
    assert readable(tmp_path, wanted) == []
    list(catalogue.studies(text="marina"))
    catalogue.change_state(records[2].object_id, ObjectState.DISCARDED, event())
    catalogue.checkpoint()
    assert readable(tmp_path, wanted) == []
    catalogue.close()
    assert readable(tmp_path, wanted) == []


@pytest.mark.parametrize("text", [*SECRETS.values(), STUDY])
def test_the_search_would_have_seen_it(tmp_path: Path, text: str) -> None:
    catalogue, records = filled(tmp_path)
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        database.execute("UPDATE deliveries SET sealed = ?", (text.encode(),))
    assert {found for _, found in readable(tmp_path, needles(records))} >= {text}
    catalogue.close()


def test_equal_things_of_two_sites_have_nothing_in_common(tmp_path: Path) -> None:
    """Tokens and sealed bytes are keyed: a thief cannot ask whether a known object or patient is there."""
    blobs = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        catalogue, _ = filled(folder)
        catalogue.close()
        with sqlite3.connect(folder / "catalogue.db") as database:
            columns = [
                (table, column)
                for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall()
                if kind == "BLOB"
            ]
            blobs.append({
                bytes(value)
                for table, column in columns
                for (value,) in database.execute(f"SELECT {column} FROM {table}").fetchall()
                if value
            })  # fmt: skip
    alike = (blobs[0] & blobs[1]) - {ROOT_ID}
    assert len(alike) == 1, "only the public key, because the test gives both sites one root"
    assert all(len(blob) >= 16 for blob in blobs[0])


def test_clear_columns_hold_what_the_decision_says(tmp_path: Path) -> None:
    """Every text column of the schema, and what may stand in it (docs/adr/0003)."""
    catalogue, _ = filled(tmp_path)
    catalogue.close()
    allowed = {
        "instances.state": {"archived", "held", "conflict", "discarded"},
        "deliveries.node": {"PACS"},
        "deliveries.state": {state.value for state in DeliveryState},
        "commitments.node": {"CT1"},
        "commitments.state": {"waiting"},
        "nodes.name": set[str](),
        "ledger.kind": {kind.value for kind in AuditKind},
        "alembic_version.version_num": {"0001"},
    }
    with sqlite3.connect(tmp_path / "catalogue.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        seen: dict[str, set[str]] = {}
        for table in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                if kind == "TEXT" or kind.startswith("VARCHAR"):
                    values = database.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
                    seen[f"{table}.{column}"] = {value for (value,) in values}
    assert seen.keys() == allowed.keys()
    assert {column: values - allowed[column] for column, values in seen.items() if not values <= allowed[column]} == {}


def test_no_temporary_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    catalogue, _ = filled(tmp_path)
    with catalogue._store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA temp_store").scalar() == 2
    catalogue.close()
    assert os.listdir(tmp_path) == ["catalogue.db"]
