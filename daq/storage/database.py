"""The one SQLite connection, and the one place that uses it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from daq.core import StorageError

__all__ = ["Database"]

T = TypeVar("T")

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


class Database:
    """Runs functions on the connection, in a worker thread, one at a time, each a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Database {self._path} {'open' if self._connection else 'closed'}>"

    async def open(self) -> None:
        """Open or create the file; raises StorageError when it is none of ours."""
        async with self._turn:
            self._connection = await trio.to_thread.run_sync(self._connect)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5.0)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise self._error(error) from error
        return connection

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

    def _error(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"{self._path}: {error}",
            advice="check the disk; without this file the list of runs is lost, but no data",
        )
