"""The catalogue comes back from the files: asked for, and by itself when it is gone or damaged."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from daq.core import RunOutcome, RunStop, RunSummary, Script
from daq.storage import Rebuilding, Storage
from daq.storage.catalogue.catalogue import Catalogue
from tests.unit.storage.test_storage import T0, event, start, storing

OUTCOMES = (RunOutcome.COMPLETED, RunOutcome.STOPPED, RunOutcome.FAILED)
METADATA = {"sample": "Au µ", "angles": [1.5, 2.0], "deep": {"a": None}, "number": 7}
SCRIPT = Script("s1", "edge", "record(1)", "ab", 5, {"by": "ada"}, (), "")


async def record(storage: Storage, number: int) -> RunSummary:
    begin = replace(
        start(f"run{number}", f"scan {number}", metadata=METADATA, execution_id=f"e{number}"),
        started_ns=T0 + number * 10**9,
        script_name="edge",
    )
    run = await storage.open_run(begin)
    for i in range(number):
        await run.append(event(i))
    outcome = OUTCOMES[number % 3]
    return await run.close(RunStop(outcome, T0 + (number + 1) * 10**9, "why", "bob"))


async def rebuild(storage: Storage) -> list[Rebuilding]:
    async with aclosing(storage.rebuild_catalogue()) as steps:
        return [step async for step in steps]


async def listed(storage: Storage, count: int) -> list[RunSummary]:
    """What is listed, as soon as it is `count` runs."""
    with trio.fail_after(20):
        while (page := await storage.list_runs())[1] < count:
            await trio.sleep(0.005)
    return page[0]


async def bench(directory: Path) -> list[RunSummary]:
    """Five runs, newest first, and a script."""
    async with storing(directory) as storage:
        runs = [await record(storage, number) for number in range(5)]
        await storage.ledger.save_script(SCRIPT)
    return runs[::-1]


async def test_a_catalogue_that_was_deleted_comes_back_by_itself(tmp_path: Path) -> None:
    runs = await bench(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    (tmp_path / "catalogue.sqlite-wal").write_bytes(b"of the one that is gone")
    async with storing(tmp_path) as storage:
        assert await listed(storage, 5) == runs
        assert storage.warnings == ()


def overwritten(data: bytes) -> bytes:
    return b"not a database" * 500


def with_a_damaged_middle(data: bytes) -> bytes:
    """The pages behind the first two: the schema is sound, a table is not."""
    return data[:8192] + b"\xa5" * 4096 + data[12288:]


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [overwritten, with_a_damaged_middle, cut_short])
async def test_a_catalogue_that_was_damaged_is_set_aside_and_comes_back(
    tmp_path: Path, damage
) -> None:
    runs = await bench(tmp_path)
    path = tmp_path / "catalogue.sqlite"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    async with storing(tmp_path) as storage:
        assert await listed(storage, 5) == runs
        (warning,) = storage.warnings
        assert "was damaged" in warning
        assert "catalogue.sqlite.damaged-1" in warning
        assert await storage.ledger.load_scripts() in ([], [SCRIPT])
        await record(storage, 9)
    assert path.with_name("catalogue.sqlite.damaged-1").read_bytes() == damaged
    async with storing(tmp_path) as storage:
        assert storage.warnings == ()
        assert (await storage.list_runs())[1] == 6


async def test_scripts_are_taken_over_from_a_damaged_catalogue(tmp_path: Path) -> None:
    await bench(tmp_path)
    path = tmp_path / "catalogue.sqlite"
    with sqlite3.connect(path) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'runs_by_name_and_order'"
        ).fetchone()
    database.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    async with storing(tmp_path) as storage:
        await listed(storage, 5)
        assert await storage.ledger.load_scripts() == [SCRIPT]


async def test_it_is_rebuilt_on_request_while_a_run_is_open(tmp_path: Path) -> None:
    runs = await bench(tmp_path)
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start("open"))
        await run.append(event(0))
        await storage._database.execute(
            lambda db: db.execute("UPDATE runs SET points = 0, reason = 'wrong', metadata = '{}'")
        )
        await storage._database.execute(lambda db: db.execute("DELETE FROM runs WHERE points = 4"))
        steps = await rebuild(storage)
        assert [step.done for step in steps] == [5, 5]
        assert steps[-1] == Rebuilding(5, 5, 0)
        page, total = await storage.list_runs()
        assert total == 6
        assert [r for r in page if r.run_id != "open"] == runs
        assert (await run.close(RunStop(RunOutcome.COMPLETED, T0))).points == 1


async def test_runs_that_were_not_listed_are_counted(tmp_path: Path) -> None:
    await bench(tmp_path)
    async with storing(tmp_path) as storage:
        await storage._database.execute(lambda db: db.execute("DELETE FROM runs WHERE points > 2"))
        assert (await rebuild(storage))[-1] == Rebuilding(5, 5, 2)


async def test_a_damaged_file_is_told_of_and_the_others_are_listed(tmp_path: Path) -> None:
    runs = await bench(tmp_path)
    cut, wrong, gone = (Path(run.path) for run in runs[:3])
    cut.write_bytes(cut.read_bytes()[:2000])
    wrong.write_bytes(b"a poem")
    gone.unlink()
    copy = Path(runs[3].path).with_name("another.h5")
    shutil.copy(runs[3].path, copy)
    (tmp_path / "catalogue.sqlite").unlink()
    async with storing(tmp_path) as storage:
        assert {run.run_id for run in await listed(storage, 2)} == {"run0", "run1"}
        problems = [problem for step in await rebuild(storage) for problem in step.problems]
    assert len(problems) == 3
    assert any(f"{cut}: the file cannot be read" in problem for problem in problems)
    assert any(f"{wrong}: the file cannot be read" in problem for problem in problems)
    assert any("holds the same run as" in problem for problem in problems)


async def test_a_run_whose_file_is_not_there_stays_listed(tmp_path: Path) -> None:
    runs = await bench(tmp_path)
    Path(runs[1].path).unlink()
    async with storing(tmp_path) as storage:
        steps = await rebuild(storage)
        assert steps[-1].problems == (f"{runs[1].path}: the file of run run3 is not there",)
        assert (await storage.list_runs())[1] == 5


async def test_a_rebuilding_that_was_cut_off_is_done_again_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await bench(tmp_path)
    (tmp_path / "catalogue.sqlite").unlink()
    put = Catalogue.put_all

    async def put_two(self: Catalogue, found: list[RunSummary]) -> int:
        if (await self.page())[1] == 2:
            await trio.sleep_forever()
        return await put(self, found)

    with monkeypatch.context() as patch:
        patch.setattr("daq.storage.catalogue.rebuild._BATCH", 1)
        patch.setattr(Catalogue, "put_all", put_two)
        async with storing(tmp_path) as storage:
            assert await listed(storage, 2) == runs[:2], "the newest come first"
    async with storing(tmp_path) as storage:
        assert await listed(storage, 5) == runs
