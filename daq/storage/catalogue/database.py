"""The one SQLite connection, and the one place that uses it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TypeVar

import trio

from daq.core import StorageError

__all__ = ["Database"]

T = TypeVar("T")

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_WHOLE = 1
"""`user_version` of a database that lists every run; a new one is rebuilt from the files first."""
_DOCUMENTS = ("scripts", "executions", "results")
"""Tables of which there is no other copy; the runs are in their files."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    stopped_by TEXT NOT NULL,
    user TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    script_name TEXT NOT NULL,
    points INTEGER NOT NULL,
    path TEXT NOT NULL,
    metadata TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_by_start ON runs (started_ns);
CREATE INDEX IF NOT EXISTS runs_by_name ON runs (name, started_ns);
CREATE INDEX IF NOT EXISTS runs_by_outcome ON runs (outcome, started_ns);
CREATE INDEX IF NOT EXISTS runs_by_execution ON runs (execution_id, started_ns);
CREATE TABLE IF NOT EXISTS scripts (
    id TEXT PRIMARY KEY,
    uploaded_ns INTEGER NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS executions (
    id TEXT PRIMARY KEY,
    created_ns INTEGER NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS executions_by_time ON executions (created_ns);
CREATE TABLE IF NOT EXISTS results (
    execution_id TEXT PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS output (
    number INTEGER PRIMARY KEY,
    execution_id TEXT NOT NULL,
    timestamp_ns INTEGER NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL,
    line INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS output_by_execution ON output (execution_id, number);
"""


_log = logging.getLogger(__name__)


class Database:
    """Runs functions on the connection, in a worker thread, one at a time, each a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = ""
        """What was wrong with the file, and where it is now; empty when it was sound."""
        self._connection: sqlite3.Connection | None = None
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Database {self._path} {'open' if self._connection else 'closed'}>"

    async def open(self) -> None:
        """Open or create the file.

        One that is damaged is set aside and begun anew; what is still readable of the scripts and
        executions is taken over. Raises StorageError when the disk refuses.
        """
        async with self._turn:
            self._connection = await trio.to_thread.run_sync(self._open)

    def _open(self) -> sqlite3.Connection:
        try:
            if not self._path.exists():
                self._forget_wal()
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in _DAMAGE:
                    raise
                return self._begin_anew(error)
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _corrupt(verdict)
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _begin_anew(self, error: sqlite3.Error) -> sqlite3.Connection:
        names = (self._path.with_name(f"{self._path.name}.damaged-{n}") for n in count(1))
        aside = next(name for name in names if not name.exists())
        self._path.rename(aside)
        self._forget_wal()
        connection = self._connect()
        taken = _take_over(aside, connection)
        self.damage = (
            f"{self._path} was damaged ({error}) and begun anew: the runs are listed from their "
            f"files, {taken} records of scripts and executions were taken over; what was there "
            f"before is in {aside.name}"
        )
        _log.error("%s", self.damage)
        return connection

    def _forget_wal(self) -> None:
        """Remove what a database that is not there any more has left beside it."""
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    async def is_whole(self) -> bool:
        """Whether every run is listed, as far as is known."""
        return await self.execute(
            lambda db: bool(db.execute("PRAGMA user_version").fetchone()[0] == _WHOLE)
        )

    async def mark_whole(self) -> None:
        """Every run is listed from now on."""
        await self.execute(lambda db: db.execute(f"PRAGMA user_version = {_WHOLE}"))

    async def close(self) -> None:
        """Let the file go. What is asked of the database afterwards raises StorageError."""
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                await trio.to_thread.run_sync(connection.close)

    async def execute(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction; a failure of SQLite becomes a StorageError."""
        async with self._turn:
            return await trio.to_thread.run_sync(self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise StorageError(f"{self._path}: the database is closed")
        try:
            with self._connection as connection:
                return work(connection)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error | OSError) -> StorageError:
        return StorageError(
            f"{self._path}: {error}",
            advice="check the disk; without this file the list of runs is lost, but no data",
        )


def _corrupt(verdict: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _take_over(damaged: Path, target: sqlite3.Connection) -> int:
    """Copy what can still be read of the documents; returns how many."""
    taken = 0
    with closing(sqlite3.connect(f"{damaged.as_uri()}?mode=ro", uri=True)) as source:
        for table in _DOCUMENTS:
            for row in _readable(source, table):
                marks = ", ".join("?" * len(row))
                target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
                taken += 1
    target.commit()
    return taken


def _readable(source: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...]]:
    """The rows before the first damaged page, whose document is one."""
    try:
        for row in source.execute(f"SELECT * FROM {table}"):  # noqa: S608
            json.loads(row[-1])
            yield row
    except (sqlite3.Error, ValueError, TypeError) as error:
        _log.warning("of the damaged table %s no more can be read: %s", table, error)
