"""The site's database connection: group commit for writers, short reads for everybody else.

Writers submit work; whoever gets the write lock first commits the work of all that wait, in one transaction,
so four senders cost one sync and a single sender never changes threads. SQLite runs in WAL with
synchronous=NORMAL: a commit outlives the process, and after `flush`, which syncs the log, a power cut too. Several
processes may open one site; each transaction takes the write lock at its start.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import ClauseElement

from leadglass.errors import ConfigurationError, IntegrityError, StorageError, StorageFull

BATCH_MAX = 256
BUSY_SECONDS = 30
LOG_PAGES_MAX = 16_384
"""Pages (4 KiB) of the log after which a commit checkpoints by itself; `checkpoint` is called long before that."""

_LEDGER_LOCK = 0x4C474C31
"""Advisory lock of PostgreSQL that stands for SQLite's single writer ("LGL1")."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL_CLASSES = ("DiskFull", "OutOfMemory")

R = TypeVar("R")


class Prepared:
    """A Core statement compiled once and run by the driver alone: a fifth of the cost of `Connection.execute`.

    Parameters are the names of its `bindparam`s; constants of the statement (a LIMIT) need no value.
    """

    __slots__ = ("_constants", "_is_query", "_names", "_sql")

    def __init__(self, statement: ClauseElement, dialect: Dialect, *, is_query: bool = False) -> None:
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._names: tuple[str, ...] | None = None
        self._is_query = is_query
        positions = getattr(compiled, "positiontup", None)
        if positions is not None:
            self._names = tuple(positions)

    def run(self, connection: Connection, values: Mapping[str, object]) -> list[tuple[object, ...]]:
        """Execute; gives the rows of a query."""
        if self._constants:
            values = {**self._constants, **values}
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._sql, values if self._names is None else tuple([values[name] for name in self._names]))
            return list(cursor.fetchall()) if self._is_query else []
        finally:
            cursor.close()


class _Submission(Generic[R]):
    __slots__ = ("error", "is_done", "is_durable", "result", "work")

    def __init__(self, work: Callable[[Connection], R], *, is_durable: bool) -> None:
        self.work = work
        self.is_durable = is_durable
        self.is_done = False
        self.result: list[R] = []
        self.error: BaseException | None = None


class Store:
    """One open database."""

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        if is_sqlite:
            _create_private(make_url(url).database)
            arguments = {"check_same_thread": False, "timeout": BUSY_SECONDS}
            self._writer = create_engine(url, pool_size=1, max_overflow=0, connect_args=arguments)
            self._reader = create_engine(url, pool_size=8, max_overflow=56, connect_args=arguments)
            _tune_sqlite(self._writer, "")
            # Pooled, so that its end is not the last connection's: that would move the log unseen by `flush`.
            self._migrator = create_engine(url, pool_size=1, max_overflow=0, connect_args=arguments)
            _tune_sqlite(self._migrator, "BEGIN IMMEDIATE")
            self._checkpointer = create_engine(url, poolclass=NullPool, connect_args=arguments)
            _tune_sqlite(self._reader, "BEGIN")
            _tune_sqlite(self._checkpointer, "")
        else:
            self._writer = create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
            self._reader = create_engine(url, pool_size=8, max_overflow=56, pool_pre_ping=True)
            self._checkpointer, self._migrator = self._reader, self._writer
            event.listen(self._writer, "begin", _take_turn)
        database = self._writer.url.database
        self._log = f"{database}-wal" if is_sqlite and database else None
        self._waiting: deque[_Submission[object]] = deque()
        self._write_lock = threading.Lock()
        self._connection: Connection | None = None
        """SQLite's one writing connection, under the write lock."""

    @property
    def dialect(self) -> Dialect:
        """Give the SQL dialect, for prepared statements."""
        return self._writer.dialect

    @property
    def writer_engine(self) -> Engine:
        """Give the engine for migrations."""
        return self._migrator

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a short read transaction; raises StorageError, or IntegrityError for a damaged database."""
        with self.translating(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise our errors for the driver's."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise translated(error) from error

    def write(self, work: Callable[[Connection], R], *, is_durable: bool = True) -> R:
        """Run work in a transaction, possibly together with others' work; a durable one survives a power cut on return.

        Work may be run again if something it shared a transaction with failed, so it must not act outside it.
        Raises what the work raises, StorageFull or StorageError; then nothing of it is left.
        """
        mine = _Submission(work, is_durable=is_durable)
        self._waiting.append(mine)  # type: ignore[arg-type]  # the queue never looks at a result
        with self._write_lock:
            if not mine.is_done:
                self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))])
            while not mine.is_done:  # more than one batch waited before it
                self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))])
        if mine.error is not None:
            raise mine.error
        return mine.result[0]

    def _commit(self, batch: list[_Submission[object]]) -> None:
        error = self._attempt(batch)
        if error is not None and len(batch) > 1:
            for submission in batch:
                self._commit([submission])
            return
        for submission in batch:
            submission.error = error
            submission.is_done = True

    def _attempt(self, batch: list[_Submission[object]]) -> BaseException | None:
        try:
            with self._writing() as connection:
                for submission in batch:
                    submission.result = [submission.work(connection)]
            if any(submission.is_durable for submission in batch):
                self.flush()
        except (DBAPIError, sqlite3.Error) as error:
            failed = translated(error)
            failed.__cause__ = error
            return failed
        except BaseException as error:  # noqa: BLE001 -- given to the one who submitted the work
            return error
        return None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a write transaction. SQLite's is begun and ended by the driver, on one connection, which costs least."""
        if self._log is None:
            with self._writer.begin() as connection:
                yield connection
            return
        if self._connection is None:
            self._connection = self._writer.connect()
        connection = self._connection
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            driver.execute("BEGIN IMMEDIATE")
            yield connection
            driver.execute("COMMIT")
        except BaseException:
            if driver.in_transaction:
                driver.rollback()
            raise
        finally:
            if connection.in_transaction():
                connection.rollback()  # SQLAlchemy's own idea of it; for the database it is over

    def flush(self) -> None:
        """Make every commit so far survive a power cut; raises StorageError."""
        if self._log is None:
            return  # the server's own commits are durable
        try:
            handle = os.open(self._log, os.O_RDWR)  # SQLite holds no lock on the log, so closing it again is harmless
            try:
                os.fdatasync(handle)
            finally:
                os.close(handle)
        except FileNotFoundError:
            return  # checkpointed and closed: all of it is in the database file, synced
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    "No space is left for the catalogue.", hint="Free space on the site's disk."
                ) from error
            raise StorageError(
                "The catalogue's log does not reach the disk.", hint="Run `leadglass doctor`."
            ) from error

    def checkpoint(self) -> None:
        """Move the log into the database file, as far as nobody reads or writes it now."""
        if self._log is None:
            return
        with self.translating(), self._checkpointer.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close every connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._migrator.dispose()
        self._checkpointer.dispose()
        self._reader.dispose()
        self._writer.dispose()


def _create_private(path: str | None) -> None:
    """Create the database file for its owner alone; SQLite gives its log and index the same permissions."""
    if path and path != ":memory:":
        # Not opened where it exists: closing it again would drop SQLite's locks. Other faults SQLite tells itself.
        with suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _tune_sqlite(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "temp_store=MEMORY",
            "secure_delete=FAST",
            "cache_size=-16384",
            "mmap_size=0",
            f"wal_autocheckpoint={LOG_PAGES_MAX}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin:
            connection.exec_driver_sql(begin)


def _take_turn(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LEDGER_LOCK})")


def require_existing(url: str) -> None:
    """Raise ConfigurationError where a database file that must be there is not."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database and not Path(address.database).is_file():
        raise ConfigurationError(
            f"The catalogue {address.database} is missing.",
            hint="Is its disk mounted? Else restore it from a backup; `leadglass init` makes a new site, not this one.",
        )


def translated(error: DBAPIError | sqlite3.Error) -> StorageError | IntegrityError:
    """Give our error for a driver's: full, damaged, or otherwise failed."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or type(origin).__name__ in _FULL_CLASSES or "No space left" in str(origin):
        return StorageFull("No space is left for the catalogue.", hint="Free space on the site's disk.")
    if code in _DAMAGED:
        return IntegrityError(
            "The catalogue's database file is damaged.", hint="Restore it from the last backup that verifies."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError("The database stayed locked.", hint="Another process holds the site; try again.")
    return StorageError(f"The database failed: {type(origin).__name__}.", hint="Run `leadglass doctor`.")
