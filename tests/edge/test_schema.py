"""The migration scripts make exactly the tables that the code knows, once, whoever comes first."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from tests.edge.catalogued import opened

from leadglass.edge import migrations
from leadglass.edge.schema import METADATA, SCHEMA_HEAD, upgrade


def test_scripts_and_tables_agree(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        indexes = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'index'")).scalars().all()
    made = {str(index.name) for table in METADATA.tables.values() for index in table.indexes}
    assert made <= set(indexes)
    engine.dispose()


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE series DROP COLUMN archived"))
        assert compare_metadata(MigrationContext.configure(connection), METADATA) != []
    engine.dispose()


def test_the_head_is_the_last_script() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == SCHEMA_HEAD


def test_many_may_open_a_new_site_at_once(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            opened(tmp_path).close()
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
