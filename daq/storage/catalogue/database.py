"""The one SQLite connection, and the one place that uses it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TypeVar

import trio

from daq.core import RunOutcome, StorageError
from daq.storage.files.place import Place

__all__ = ["Database"]

T = TypeVar("T")

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
VERSION = 3
"""`user_version`: 1, and 0 for one that did not list every run yet, were without `facts`,
`set_aside` and `incomplete`, and with the whole path of each run."""
_ADDED = (
    ("incomplete", "TEXT", "''"), ("other_points", "TEXT", "'{}'"), ("order_ns", "INTEGER", "0"),
)  # fmt: skip
"""Columns of runs that older versions are without, with their default."""
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
    metadata TEXT NOT NULL,
    incomplete TEXT NOT NULL DEFAULT '',
    other_points TEXT NOT NULL DEFAULT '{}',
    order_ns INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
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
CREATE TABLE IF NOT EXISTS facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_aside (
    number INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    row TEXT NOT NULL,
    reason TEXT NOT NULL
);
"""
_INDEXES = """
CREATE INDEX IF NOT EXISTS runs_by_start ON runs (started_ns);
CREATE INDEX IF NOT EXISTS runs_by_order ON runs (order_ns);
CREATE INDEX IF NOT EXISTS runs_by_name_and_order ON runs (name, order_ns);
CREATE INDEX IF NOT EXISTS runs_by_outcome_and_order ON runs (outcome, order_ns);
CREATE INDEX IF NOT EXISTS runs_by_execution_and_order ON runs (execution_id, order_ns);
DROP INDEX IF EXISTS runs_by_name;
DROP INDEX IF EXISTS runs_by_outcome;
DROP INDEX IF EXISTS runs_by_execution;
"""
_OUTCOMES = ", ".join(f"'{outcome}'" for outcome in ("", *RunOutcome))
_DAMAGED = {
    "runs": "NOT json_valid(metadata) OR NOT json_valid(other_points)"
    f" OR outcome NOT IN ({_OUTCOMES})"
    " OR typeof(started_ns) || typeof(ended_ns) || typeof(points) != 'integerintegerinteger'",
    "scripts": "CASE WHEN json_valid(document) THEN json_type(document) != 'object' ELSE 1 END",
    "executions": "CASE WHEN json_valid(document) THEN json_type(document) != 'object' ELSE 1 END",
    "results": "NOT json_valid(document)",
}
"""By table, which rows cannot be what was written."""


_log = logging.getLogger(__name__)


class Database:
    """Runs functions on the connection, in a worker thread, one at a time, each a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = ""
        """What was wrong with the file, and where it is now; empty when it was sound."""
        self._set_aside: list[str] = []
        self._connection: sqlite3.Connection | None = None
        self.place: Place | None = None
        """The file, while it is open."""
        self._turn = trio.Lock()

    def __repr__(self) -> str:
        return f"<Database {self._path} {'open' if self._connection else 'closed'}>"

    @property
    def problems(self) -> tuple[str, ...]:
        """What somebody should know of the file."""
        rows = ", ".join(self._set_aside)
        aside = f"{self._path}: damaged rows were moved to its table set_aside: {rows}"
        return tuple(filter(None, (self.damage, aside if rows else "")))

    @property
    def root(self) -> Path:
        """The storage directory: paths in the file are relative to it."""
        return self._path.parent

    async def open(self) -> None:
        """Open or create the file; an older one is brought to today's form.

        One that is damaged is set aside and begun anew; what is still readable of the scripts and
        executions is taken over. A damaged row is set aside alone. Raises StorageError when the
        disk refuses, and for a file of a newer version, which is left as it is.
        """
        async with self._turn:
            self._connection = await trio.to_thread.run_sync(self._open)
            self.place = await trio.to_thread.run_sync(Place, self._path)

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
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise StorageError(
                    f"{self._path}: is of version {version}, which a newer daq wrote; this one "
                    f"reads up to version {VERSION}",
                    advice="start the newer version, or choose another storage directory: "
                    "nothing was changed",
                )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _corrupt(verdict)
            connection.executescript(_SCHEMA)
            with connection:
                if version < VERSION:
                    self._migrate(connection, version)
                connection.executescript(_INDEXES)
                self._sort_out(connection)
        except (sqlite3.Error, StorageError):
            connection.close()
            raise
        return connection

    def _migrate(self, db: sqlite3.Connection, version: int) -> None:
        """From an older version, or from nothing: paths become relative to the directory."""
        columns = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        for name, kind, default in _ADDED:
            if name not in columns:
                db.execute(f"ALTER TABLE runs ADD COLUMN {name} {kind} NOT NULL DEFAULT {default}")
        db.execute("UPDATE runs SET order_ns = started_ns WHERE order_ns = 0")
        for run_id, path in db.execute("SELECT run_id, path FROM runs").fetchall():
            db.execute("UPDATE runs SET path = ? WHERE run_id = ?", (_relative(path), run_id))
        if version == 1:
            db.execute("INSERT OR REPLACE INTO facts VALUES ('whole', '1')")
        db.execute(f"PRAGMA user_version = {VERSION}")

    def _sort_out(self, db: sqlite3.Connection) -> None:
        """Move the rows away that nobody could read."""
        for table, condition in _DAMAGED.items():
            key = _key_of(table)
            rows = db.execute(f"SELECT * FROM {table} WHERE {condition}").fetchall()  # noqa: S608
            for row in rows:
                self._move(db, table, key, row, "it is damaged")
            if rows and table == "runs":  # their files are still there
                db.execute("DELETE FROM facts WHERE name = 'whole'")
        moved = db.execute("SELECT source, id FROM set_aside ORDER BY number").fetchall()
        self._set_aside = [f"{source} {key}" for source, key in moved]

    def _move(
        self, db: sqlite3.Connection, table: str, key: str, row: Sequence[object], why: str
    ) -> None:
        db.execute(
            "INSERT INTO set_aside (source, id, row, reason) VALUES (?, ?, ?, ?)",
            (table, str(row[0]), repr(row), why),
        )
        db.execute(f"DELETE FROM {table} WHERE {key} = ?", row[:1])  # noqa: S608
        _log.error("%s: row %s of %s was set aside: %s", self._path, row[0], table, why)

    def set_aside(self, db: sqlite3.Connection, table: str, ident: str, why: str) -> None:
        """Move a row away that says something else than it should; part of a transaction."""
        key = _key_of(table)
        found = db.execute(f"SELECT * FROM {table} WHERE {key} = ?", (ident,))  # noqa: S608
        for row in found.fetchall():
            self._move(db, table, key, row, why)
            self._set_aside.append(f"{table} {ident}")

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
        statement = "SELECT count(*) FROM facts WHERE name = 'whole'"
        return await self.execute(lambda db: bool(db.execute(statement).fetchone()[0]))

    async def mark_whole(self) -> None:
        """Every run is listed from now on."""
        statement = "INSERT OR REPLACE INTO facts VALUES ('whole', '1')"
        await self.execute(lambda db: db.execute(statement))

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
        if self._connection is None or self.place is None:
            raise StorageError(f"{self._path}: the database is closed")
        self.place.require()
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


def _key_of(table: str) -> str:
    return {"runs": "run_id", "results": "execution_id"}.get(table, "id")


def _relative(path: str) -> str:
    """The end of a path of version 1, from the storage directory on, wherever that is now."""
    parts = Path(path).parts
    for folder, depth in (("runs", 4), ("journal", 2)):
        if len(parts) > depth and parts[-depth] == folder:
            return str(Path(*parts[-depth:]))
    return path


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
