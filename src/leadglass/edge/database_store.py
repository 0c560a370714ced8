"""The site's database connection: group commit for writers, short reads for everybody else.

Writers submit work; whoever gets the write lock first commits the work of all that wait, in one transaction,
so four senders cost one sync and a single sender never changes threads. SQLite runs in WAL with
synchronous=FULL; several processes may open one site, and each transaction takes the write lock at its start.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, NoReturn, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection, CursorResult, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from leadglass.errors import StorageError, StorageFull

BATCH_MAX = 256
BUSY_SECONDS = 30

R = TypeVar("R")


class Prepared:
    """A Core statement compiled once: the hot path pays for the driver alone."""

    __slots__ = ("_constants", "_names", "_sql")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        positions: list[str] | None = getattr(compiled, "positiontup", None)
        self._names = positions

    def run(self, connection: Connection, values: Mapping[str, object]) -> CursorResult[Any]:
        """Execute with values by parameter name."""
        values = {**self._constants, **values}
        if self._names is None:
            return connection.exec_driver_sql(self._sql, values)
        return connection.exec_driver_sql(self._sql, tuple(values[name] for name in self._names))


class _Submission(Generic[R]):
    __slots__ = ("error", "is_done", "result", "work")

    def __init__(self, work: Callable[[Connection], R]) -> None:
        self.work = work
        self.is_done = False
        self.result: R | None = None
        self.error: BaseException | None = None


class Store:
    """One open database."""

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = (
            {"connect_args": {"check_same_thread": False, "timeout": BUSY_SECONDS}} if is_sqlite else {}
        )
        self._writer: Engine = create_engine(url, pool_size=1, max_overflow=1, **options)
        self._reader: Engine = create_engine(url, pool_size=8, max_overflow=56, **options)
        if is_sqlite:
            for engine, begin in ((self._writer, "BEGIN IMMEDIATE"), (self._reader, "BEGIN")):
                _tune_sqlite(engine, begin)
        else:
            event.listen(self._writer, "begin", _lock_ledger)
        self._waiting: deque[_Submission[Any]] = deque()
        self._write_lock = threading.Lock()

    @property
    def dialect(self) -> Dialect:
        """Give the SQL dialect, for prepared statements."""
        return self._writer.dialect

    @property
    def writer_engine(self) -> Engine:
        """Give the engine for migrations."""
        return self._writer

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a short read transaction."""
        try:
            with self._reader.connect() as connection:
                yield connection
        except DBAPIError as error:
            _fail(error)

    def write(self, work: Callable[[Connection], R]) -> R:
        """Run work in a transaction that is durable on return, possibly together with others' work.

        Work may be run again if something it shared a transaction with failed, so it must not act outside it.
        """
        mine = _Submission(work)
        self._waiting.append(mine)
        with self._write_lock:
            if not mine.is_done:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
                self._commit(batch)
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]  # set by `_commit` whenever `error` is not

    def _commit(self, batch: list[_Submission[Any]]) -> None:
        try:
            with self._writer.begin() as connection:
                for submission in batch:
                    submission.result = submission.work(connection)
        except BaseException as error:
            if len(batch) > 1:
                for submission in batch:
                    self._commit([submission])
                return
            batch[0].error = _translated(error)
        for submission in batch:
            submission.is_done = True

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()


def _tune_sqlite(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "temp_store=MEMORY",
            "secure_delete=FAST",
            "cache_size=-32768",
            "mmap_size=0",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _lock_ledger(connection: Connection) -> None:
    connection.exec_driver_sql("LOCK TABLE ledger IN EXCLUSIVE MODE")


def _translated(error: BaseException) -> BaseException:
    if not isinstance(error, DBAPIError):
        return error
    text = str(error.orig)
    if "full" in text or "No space" in text:
        full = StorageFull("No space is left for the catalogue.", hint="Free space on the site's disk.")
        full.__cause__ = error
        return full
    failed = StorageError(f"The database failed: {text}.", hint="Run `leadglass doctor`.")
    failed.__cause__ = error
    return failed


def _fail(error: DBAPIError) -> NoReturn:
    raise _translated(error)
