"""The ledger: scripts, executions and their output, kept across restarts of the daemon.

Nothing is interpreted here: an execution that was running when the daemon died is given back as
running, and whoever loads it decides what that means now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from daq.core import (
    ExecutionRecord,
    ExecutionState,
    OutputLine,
    Script,
    ScriptParameter,
    Transition,
)
from daq.core.values import from_json, strict_json, to_jsonable
from daq.storage.catalogue.database import Database
from daq.storage.journal.records import clean_text, known_fields

__all__ = ["Ledger"]

T = TypeVar("T")

_EXECUTIONS = 10_000


class Ledger:
    """Scripts and executions, in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_script(self, script: Script) -> None:
        """Add a script, or replace the one of the same id."""
        await self._put(
            "scripts (id, uploaded_ns, document)", script.id, script.uploaded_ns, script
        )

    async def load_scripts(self) -> list[Script]:
        """Every script, oldest upload first."""
        return await self._documents("scripts", "ORDER BY uploaded_ns, id", _script)

    async def save_execution(self, record: ExecutionRecord, result: object = None) -> None:
        """Add an execution, or replace what is known of it; with it what `main` returned."""
        if result is not None:  # first: an execution that is over has its result on record
            statement = "INSERT OR REPLACE INTO results VALUES (?, ?)"
            await self._database.execute(
                lambda db: db.execute(statement, (record.id, strict_json(to_jsonable(result))))
            )
        created = record.transitions[0].timestamp_ns
        await self._put("executions (id, created_ns, document)", record.id, created, record)

    async def load_result(self, execution_id: str) -> Any:
        """What `main` of an execution returned; None when it returned nothing.

        Results may be large and are rarely asked for, so they are loaded one by one.
        """
        statement = "SELECT document FROM results WHERE execution_id = ?"

        def load(db: sqlite3.Connection) -> Any:
            row = db.execute(statement, (execution_id,)).fetchone()
            return None if row is None else from_json(row[0])

        return await self._database.execute(load)

    async def load_executions(self, limit: int = _EXECUTIONS) -> list[ExecutionRecord]:
        """The newest executions, at most `limit`, oldest first."""
        tail = f"ORDER BY created_ns DESC, id DESC LIMIT {int(limit)}"
        return (await self._documents("executions", tail, _execution))[::-1]

    async def append_output(self, execution_id: str, lines: Sequence[OutputLine]) -> None:
        """Add what an execution printed or logged."""
        statement = (
            "INSERT INTO output (execution_id, timestamp_ns, level, text, line) "
            "VALUES (?, ?, ?, ?, ?)"
        )
        # Made into rows in the database's thread: a flood has a hundred thousand lines.
        rows = ((execution_id, o.timestamp_ns, o.level, clean_text(o.text), o.line) for o in lines)
        await self._database.execute(lambda db: db.executemany(statement, rows))

    async def load_output(self, execution_id: str, after: int, limit: int) -> list[OutputLine]:
        """At most `limit` lines of an execution, without its first `after`, oldest first."""
        statement = (
            "SELECT timestamp_ns, level, text, line FROM output WHERE execution_id = ? "
            "ORDER BY number LIMIT ? OFFSET ?"
        )
        rows = await self._database.execute(
            lambda db: db.execute(statement, (execution_id, limit, after)).fetchall()
        )
        return [OutputLine(*row) for row in rows]

    async def _put(self, table: str, key: str, when: int, value: Script | ExecutionRecord) -> None:
        document = strict_json(to_jsonable(_fields(value)))
        statement = f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)"  # noqa: S608
        await self._database.execute(lambda db: db.execute(statement, (key, when, document)))

    async def _documents(
        self, table: str, tail: str, read: Callable[[dict[str, Any]], T]
    ) -> list[T]:
        """The documents of a table; one that is none is set aside."""

        def load(db: sqlite3.Connection) -> list[T]:
            found = []
            rows = db.execute(f"SELECT id, document FROM {table} {tail}").fetchall()  # noqa: S608
            for key, document in rows:
                try:
                    found.append(read(from_json(document)))
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    self._database.set_aside(db, table, key, f"{type(error).__name__}: {error}")
            return found

        return await self._database.execute(load)


def _fields(value: Script | ExecutionRecord) -> dict[str, Any]:
    fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
    for name in ("parameters", "transitions"):
        if isinstance(fields.get(name), tuple):
            fields[name] = [asdict(item) for item in fields[name]]
    return fields


def _script(fields: dict[str, Any]) -> Script:
    parameters = tuple(
        ScriptParameter(**known_fields(ScriptParameter, p)) for p in fields["parameters"]
    )
    return Script(**known_fields(Script, fields) | {"parameters": parameters})


def _execution(fields: dict[str, Any]) -> ExecutionRecord:
    transitions = tuple(
        Transition(**known_fields(Transition, t) | {"state": ExecutionState(t["state"])})
        for t in fields["transitions"]
    )
    exact = {"transitions": transitions, "run_ids": tuple(fields["run_ids"])}
    return ExecutionRecord(**known_fields(ExecutionRecord, fields) | exact)
