"""The catalogue: one row a run, quick to page through however many there are."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from daq.core import (
    AmbiguousError,
    NotFoundError,
    RunOutcome,
    RunSummary,
    StorageError,
    did_you_mean,
)
from daq.core.values import from_json, strict_json, to_jsonable
from daq.storage.catalogue.database import Database
from daq.storage.journal.records import clean_text

__all__ = ["Catalogue", "RunQuery"]

_COLUMNS = (
    "run_id, name, started_ns, ended_ns, outcome, reason, stopped_by, user, execution_id, "
    "script_name, points, path, metadata, incomplete, other_points, order_ns"
)
_MARKS = ", ".join("?" * len(_COLUMNS.split(", ")))
_PUT = f"INSERT OR REPLACE INTO runs ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608
_LAST_NS = 2**63 - 1
"""The end of time, as SQLite counts."""
_OPEN = "open"
_SHOWN = 5
_RECENT = 100
"""Runs whose names are compared with one that there is not."""
_MOST_METADATA = 4 << 20
"""Characters in a page of runs: what is beyond is on the next one."""

_log = logging.getLogger(__name__)


class RunQuery(TypedDict, total=False):
    """Which runs are asked for; what is left out, empty or 0 is no filter."""

    limit: int
    """At most so many; 100 unless it is said."""
    offset: int
    name: str
    """A glob pattern."""
    outcome: str
    """One of the outcomes, or `open`."""
    since_ns: int
    until_ns: int
    execution_id: str
    before_order_ns: int
    """Before this place among the runs."""


class Catalogue:
    """Summaries of runs, in SQLite."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: dict[str, RunSummary] = {}
        """What found no room on the disk: newer than what is there, and written with the next."""

    async def put(self, summary: RunSummary) -> None:
        """Add a run, or replace what is known of it."""
        await self.put_all([*self._unwritten.values(), summary])

    async def put_or_keep(self, summary: RunSummary) -> None:
        """As `put`; what the disk refuses is kept in memory until it takes something again."""
        try:
            await self.put(summary)
        except StorageError as error:
            _log.error("run %s: %s", summary.run_id, error.message)
            self._unwritten[summary.run_id] = summary

    async def put_all(self, summaries: Iterable[RunSummary]) -> int:
        """Add runs, or replace what is known of them; returns how many were not known."""
        runs = {summary.run_id: summary for summary in summaries}

        def put(db: sqlite3.Connection) -> int:
            known_paths = [replace(run, path=self._relative(run.path)) for run in runs.values()]
            rows = [_to_row(run) for run in known_paths]  # here: metadata may be megabytes
            count = "SELECT count(*) FROM runs WHERE run_id = ?"
            known = sum(int(db.execute(count, row[:1]).fetchone()[0]) for row in rows)
            db.executemany(_PUT, rows)
            return len(rows) - known

        added = await self._database.execute(put)
        for run_id in runs:
            self._unwritten.pop(run_id, None)
        return added

    async def put_points(self, run: RunSummary) -> None:
        """Note how far an open run has come."""
        statement = "UPDATE runs SET points = ?, other_points = ? WHERE run_id = ?"
        values = (run.points, strict_json(dict(run.other_points)), run.run_id)
        await self._database.execute(lambda db: db.execute(statement, values))

    async def last_order_ns(self) -> int:
        """The place of the newest run; 0 when there is none."""
        statement = "SELECT max(order_ns) FROM runs"
        return await self._database.execute(lambda db: db.execute(statement).fetchone()[0] or 0)

    async def page(self, **query: Unpack[RunQuery]) -> tuple[list[RunSummary], int]:
        """Runs, newest first, and how many fit in all."""
        conditions: list[tuple[str, Any]] = [
            ("name GLOB ?", query.get("name")),
            ("outcome = ?", query.get("outcome")),
            ("started_ns >= ?", min(query.get("since_ns", 0), _LAST_NS)),
            ("started_ns < ?", min(query.get("until_ns", 0), _LAST_NS)),
            ("execution_id = ?", query.get("execution_id")),
            ("order_ns < ?", min(query.get("before_order_ns", 0), _LAST_NS)),
        ]
        limit, offset = query.get("limit", 100), query.get("offset", 0)
        asked = [(text, value) for text, value in conditions if value]
        where = "WHERE " + " AND ".join(text for text, _ in asked) if asked else ""
        values = ["" if value == _OPEN else value for _, value in asked]
        runs, total = await self._database.execute(
            lambda db: self._page(db, where, values, limit, offset)
        )
        return self._newest(runs), total

    async def find(self, ref: str = "") -> RunSummary:
        """The run with this id, this unique beginning of an id, or this name (the newest of it).

        Empty for the newest of all. Raises NotFoundError, or AmbiguousError that lists the runs.
        """
        found = self._newest(
            await self._database.execute(lambda db: self._find(db, clean_text(ref)))
        )
        if not found:
            what = f"no run goes by {ref!r}" if ref else "there is no run yet"
            newest, _ = await self.page(limit=_RECENT)
            meant = did_you_mean(ref, [run.name for run in newest])
            raise NotFoundError(what, advice=meant or "list the runs to see their ids and names")
        if len(found) > 1:
            shown = ", ".join(f"{run.run_id} ({run.name})" for run in found[:_SHOWN])
            more = ", ..." if len(found) > _SHOWN else ""
            raise AmbiguousError(f"{ref!r} begins the ids of several runs: {shown}{more}")
        return found[0]

    async def get(self, run_id: str) -> RunSummary | None:
        """The run with exactly this id."""
        runs = await self._database.execute(
            lambda db: self._select(db, "WHERE run_id = ?", [run_id])
        )
        return self._newest(runs)[0] if runs else None

    def _newest(self, runs: Iterable[RunSummary]) -> list[RunSummary]:
        return [self._unwritten.get(run.run_id, run) for run in runs]

    async def list_files(self) -> list[tuple[str, str]]:
        """The id and the file of every run that has ended and has one."""
        statement = "SELECT run_id, path FROM runs WHERE outcome != '' AND path LIKE '%.h5'"
        found = await self._database.execute(lambda db: db.execute(statement).fetchall())
        return [(run_id, self._absolute(path)) for run_id, path in found]

    async def list_open(self) -> list[RunSummary]:
        """Every run that has not ended, oldest first."""
        return await self._database.execute(
            lambda db: self._select(db, "WHERE outcome = '' ORDER BY order_ns", [])
        )

    def _page(
        self, db: sqlite3.Connection, where: str, values: Sequence[Any], limit: int, offset: int
    ) -> tuple[list[RunSummary], int]:
        (total,) = db.execute(f"SELECT count(*) FROM runs {where}", values).fetchone()  # noqa: S608
        order, limit = "DESC, run_id", max(0, min(limit, total - offset))
        if offset > total // 2:  # a far page is nearer from the other end
            order, offset = "ASC, run_id DESC", total - offset - limit
        # The ids first: pages then skip along the index without touching the rows.
        inner = f"SELECT run_id FROM runs {where} ORDER BY order_ns {order} LIMIT ? OFFSET ?"  # noqa: S608
        rows = self._select(
            db,
            f"WHERE run_id IN ({inner}) ORDER BY order_ns DESC, run_id",
            [*values, limit, offset],
            _MOST_METADATA,
        )
        return rows, int(total)

    def _find(self, db: sqlite3.Connection, ref: str) -> list[RunSummary]:
        newest = "ORDER BY order_ns DESC LIMIT 1"
        if not ref:
            return self._select(db, newest, [])
        exact = self._select(db, "WHERE run_id = ?", [ref])
        if exact:
            return exact
        named = self._select(db, f"WHERE name = ? {newest}", [ref])
        return named or self._select(
            db,
            "WHERE run_id >= ? AND run_id < ? ORDER BY order_ns DESC LIMIT ?",
            [ref, f"{ref}\U0010ffff", _SHOWN + 1],
        )

    def _select(
        self, db: sqlite3.Connection, tail: str, values: Sequence[Any], characters: float = math.inf
    ) -> list[RunSummary]:
        """The runs, and no more of them once their metadata have so many characters."""
        rows, size = [], 0
        for row in db.execute(f"SELECT {_COLUMNS} FROM runs {tail}", values):  # noqa: S608
            rows.append(row)
            size += len(str(row[12]))
            if size > characters:
                break
        found = []
        for row in rows:
            try:
                found.append(self._from_row(row))
            except (ValueError, TypeError) as error:
                self._database.set_aside(db, "runs", row[0], str(error))
        return found

    def _from_row(self, row: Sequence[Any]) -> RunSummary:
        outcome = RunOutcome(row[4]) if row[4] else None
        path = self._absolute(row[11])
        others = json.loads(row[14])
        fields = [*row[:4], outcome, *row[5:11], path, from_json(row[12]), row[13], others, row[15]]
        return RunSummary(*fields)

    def _relative(self, path: str) -> str:
        """A path below the storage directory from there on: that may be moved."""
        inside = path and Path(path).is_relative_to(self._database.root)
        return str(Path(path).relative_to(self._database.root)) if inside else path

    def _absolute(self, path: str) -> str:
        return str(self._database.root / path) if path else ""


def _to_row(run: RunSummary) -> tuple[Any, ...]:
    fields = (
        run.run_id,
        run.name,
        run.started_ns,
        run.ended_ns,
        str(run.outcome or ""),
        run.reason,
        run.by,
        run.user,
        run.execution_id,
        run.script_name,
        run.points,
        run.path,
        strict_json(to_jsonable(run.metadata)),
        run.incomplete,
        strict_json(dict(run.other_points)),
        run.order_ns or run.started_ns,
    )
    return tuple(clean_text(value) if isinstance(value, str) else value for value in fields)
