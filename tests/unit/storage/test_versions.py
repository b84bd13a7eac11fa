"""What is stored carries its version: an older one is brought up, a newer one is left alone."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from daq.bus import Bus
from daq.core import RunOutcome, RunStop, StorageError
from daq.storage import Storage
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.catalogue.database import VERSION, Database
from daq.storage.files.conversion import Conversion
from daq.storage.files.summaries import summarize
from daq.storage.journal.journal import JournalWriter
from tests.unit.storage.test_incomplete import RunFile, refuse
from tests.unit.storage.test_old_data import old_data  # noqa: F401
from tests.unit.storage.test_storage import T0, column, crash, event, read_all, start, storing

DONE = RunStop(RunOutcome.COMPLETED, T0 + 10**9, "the script ended")


def change(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / "catalogue.sqlite")) as db, db:
        for statement in statements:
            db.execute(statement)


def ask(directory: Path, statement: str) -> list:
    with closing(sqlite3.connect(directory / "catalogue.sqlite")) as db:
        return db.execute(statement).fetchall()


async def test_an_old_catalogue_is_migrated_and_finds_its_files_where_they_are_now(
    old_data,  # noqa: F811
):
    async with storing(old_data) as storage:
        run = await storage.find_run("knife_edge")
        assert column(await read_all(storage, run.run_id), "label") == ["x"] * 5
    assert Path(run.path).is_relative_to(old_data)
    assert ask(old_data, "PRAGMA user_version") == [(VERSION,)]
    assert ask(old_data, "SELECT path FROM runs WHERE name = 'knife_edge'") == [
        (str(Path(run.path).relative_to(old_data)),)
    ]


async def test_a_data_directory_may_be_moved(tmp_path):
    async with storing(tmp_path / "before") as storage:
        run = await storage.open_run(start())
        await run.append(event(0))
        await run.close(DONE)
    (tmp_path / "before").rename(tmp_path / "after")
    async with storing(tmp_path / "after") as storage:
        assert column(await read_all(storage, "abc123"), "stage") == [0.0]


async def test_a_newer_catalogue_is_refused_and_left_as_it_is(tmp_path):
    async with storing(tmp_path):
        pass
    change(tmp_path, f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / "catalogue.sqlite").read_bytes()
    with pytest.raises(ExceptionGroup) as caught:
        async with storing(tmp_path):
            pass
    assert caught.group_contains(StorageError, match=f"version {VERSION + 1}, which a newer daq")
    assert (tmp_path / "catalogue.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE runs SET metadata = '{' WHERE run_id = 'abc123'",
        "UPDATE runs SET outcome = 'odd' WHERE run_id = 'abc123'",
        "UPDATE runs SET points = 'many' WHERE run_id = 'abc123'",
        "UPDATE runs SET metadata = x'00ff' WHERE run_id = 'abc123'",
    ],
)
async def test_a_damaged_row_of_a_run_is_set_aside_and_the_run_listed_from_its_file(
    tmp_path, damage, caplog
):
    async with storing(tmp_path) as storage:
        for name in ("abc123", "other"):
            run = await storage.open_run(start(name, metadata={"a": 1}))
            await run.append(event(0))
            await run.close(DONE)
    change(tmp_path, damage)
    async with storing(tmp_path) as storage:
        with trio.fail_after(10):
            while (await storage.list_runs())[1] < 2:
                await trio.sleep(0.01)
        found = await storage.find_run("abc123")
        assert (found.outcome, found.points, found.metadata) == (RunOutcome.COMPLETED, 1, {"a": 1})
        assert any("set_aside: runs abc123" in warning for warning in storage.warnings)
    assert "row abc123 of runs was set aside" in caplog.text


@pytest.mark.parametrize("table", ["scripts", "executions"])
@pytest.mark.parametrize("document", ["{", "[]", "{}", '{"id": 3}', "null"])
async def test_a_damaged_document_keeps_nobody_from_starting(
    old_data,  # noqa: F811
    table,
    document,
):
    (first, second) = (row[0] for row in ask(old_data, f"SELECT id FROM {table}"))
    change(old_data, f"UPDATE {table} SET document = '{document}' WHERE id = '{first}'")
    async with storing(old_data) as storage:
        load = storage.ledger.load_scripts if table == "scripts" else storage.ledger.load_executions
        assert [found.id for found in await load()] == [second]
        assert any(f"{table} {first}" in warning for warning in storage.warnings)


async def test_fields_of_a_newer_version_are_left_out(old_data):  # noqa: F811
    for table in ("scripts", "executions"):
        for key, text in ask(old_data, f"SELECT id, document FROM {table}"):
            document = json.loads(text) | {"colour": "blue"}
            for inner in (*document.get("transitions", ()), *document.get("parameters", ())):
                if isinstance(inner, dict):
                    inner["mood"] = "good"
            with closing(sqlite3.connect(old_data / "catalogue.sqlite")) as db, db:
                statement = f"UPDATE {table} SET document = ? WHERE id = ?"
                db.execute(statement, (json.dumps(document), key))
    async with storing(old_data) as storage:
        assert len(await storage.ledger.load_scripts()) == 2
        assert len(await storage.ledger.load_executions()) == 2
        assert storage.warnings == ()


@pytest.fixture
def held(monkeypatch):
    """A recovery that does not come on until it is let go."""
    go = threading.Event()
    real = Conversion.advance

    def advance(self, end=None):
        go.wait(30)
        return real(self, end)

    monkeypatch.setattr(Conversion, "advance", advance)
    yield go
    go.set()


async def test_the_start_waits_for_no_recovery_and_the_run_says_that_it_is_recovered(
    tmp_path, held
):
    crash(tmp_path, start(), 4)
    crash(tmp_path, start("second"), 2)
    storage = Storage(tmp_path, Bus())
    await register(tmp_path)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(5):
            await nursery.start(storage.run)
        run = await storage.find_run("abc123")
        assert run.outcome is None
        assert re.fullmatch(r"being recovered from its journal: \d % of 0\.0 MB", run.reason)
        (listed,), _ = await storage.list_runs()
        assert (listed.run_id, listed.path) == ("abc123", run.path)
        assert listed.reason.startswith("being recovered from its journal: ")
        assert any("; 1 more wait" in warning for warning in storage.warnings)
        assert column(await read_all(storage, "abc123"), "stage") == [0.0, 0.5, 1.0, 1.5]
        assert (await storage.describe_run("abc123")).streams[0].points == 4
        other = await storage.open_run(start("new"))
        await other.append(event(0))
        held.set()
        await storage.wait_recovered()
        run = await storage.find_run("abc123")
        assert (run.outcome, run.points) == (RunOutcome.INTERRUPTED, 4)
        assert storage.warnings == ()
        await other.close(DONE)
        nursery.cancel_scope.cancel()


async def register(directory: Path) -> None:
    """As the dead daemon had: an open run is in the catalogue."""
    database = Database(directory / "catalogue.sqlite")
    await database.open()
    await Catalogue(database).put(summarize(start()))
    await database.close()


async def test_the_end_of_the_daemon_waits_for_no_recovery(tmp_path, held):
    crash(tmp_path, start(), 4)
    storage = Storage(tmp_path, Bus())
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(storage.run)
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    held.set()
    async with storing(tmp_path) as storage:
        assert (await storage.find_run("abc123")).points == 4


async def test_a_run_that_failed_stays_failed_and_its_stale_reason_goes(tmp_path, monkeypatch):
    """Its file found no room, and neither did the record of its end."""
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        await run.append(event(0))

        def full(self, buffers):
            raise StorageError("journal: No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(JournalWriter, "write", full)
            patch.setattr(RunFile, "finish", refuse)
            with pytest.raises(StorageError, match="No space left"):
                await run.append(event(1))
            with pytest.raises(StorageError, match="cannot be written"):
                await run.close(DONE)
        marked = await storage.find_run("abc123")
        assert marked.outcome is RunOutcome.FAILED
        assert marked.incomplete
        assert marked.reason.endswith(marked.incomplete)
    async with storing(tmp_path) as storage:
        again = await storage.find_run("abc123")
        assert again == replace(
            marked,
            reason="journal: No space left on device",
            incomplete="",
            path=again.path,
        )
        assert Path(again.path).suffix == ".h5"
