"""The catalogue finds runs however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daq.core import AmbiguousError, NotFoundError, RunOutcome, RunSummary, StorageError
from daq.storage.catalogue.catalogue import Catalogue, _to_row
from daq.storage.catalogue.database import Database


def run(number: int, **changes: object) -> RunSummary:
    fields: dict[str, object] = {
        "run_id": f"{number:08d}",
        "name": f"scan {number % 10}",
        "started_ns": 1000 + number,
        "order_ns": 1000 + number,
        "ended_ns": 2000 + number,
        "outcome": RunOutcome.COMPLETED,
        "points": number,
        "metadata": {"number": number},
    }
    return RunSummary(**fields | changes)  # type: ignore[arg-type]


@asynccontextmanager
async def catalogue(directory: Path, *runs: RunSummary) -> AsyncIterator[Catalogue]:
    database = Database(directory / "catalogue.sqlite")
    await database.open()
    found = Catalogue(database)
    for summary in runs:
        await found.put(summary)
    try:
        yield found
    finally:
        await database.close()


async def test_a_summary_comes_back_as_it_was_put(tmp_path: Path) -> None:
    whole = run(
        1,
        reason="enough",
        by="ada",
        user="bob",
        execution_id="e1",
        script_name="knife",
        path="/data/x.h5",
        metadata={"sample": "Au", "angles": [1.5, 2], "deep": {"a": None}},
    )
    still_open = run(2, ended_ns=0, outcome=None)
    async with catalogue(tmp_path, whole, still_open) as runs:
        assert await runs.get(whole.run_id) == whole
        assert await runs.get(still_open.run_id) == still_open
        assert await runs.list_open() == [still_open]
        assert await runs.get("none") is None


async def test_it_outlives_its_database_connection(tmp_path: Path) -> None:
    async with catalogue(tmp_path, run(1)):
        pass
    async with catalogue(tmp_path) as runs:
        assert await runs.find() == run(1)


async def test_pages_are_newest_first_and_filters_combine(tmp_path: Path) -> None:
    async with catalogue(
        tmp_path,
        *(run(i) for i in range(30)),
        run(30, outcome=RunOutcome.FAILED, execution_id="e7"),
        run(31, outcome=None, ended_ns=0, name="knife"),
    ) as runs:

        async def numbers(**filters: object) -> tuple[list[int], int]:
            found, total = await runs.page(**filters)  # type: ignore[arg-type]
            return [r.started_ns - 1000 for r in found], total

        assert await numbers(limit=3) == ([31, 30, 29], 32)
        assert await numbers(limit=3, offset=30) == ([1, 0], 32)
        pages = [(await numbers(limit=5, offset=first))[0] for first in range(0, 40, 5)]
        assert [number for page in pages for number in page] == list(range(31, -1, -1))
        assert await numbers(name="kn*") == ([31], 1)
        assert await numbers(name="scan 7") == ([27, 17, 7], 3)
        assert await numbers(outcome="failed") == ([30], 1)
        assert await numbers(outcome="open") == ([31], 1)
        assert await numbers(since_ns=1028, until_ns=1030) == ([29, 28], 2)
        assert await numbers(execution_id="e7") == ([30], 1)
        assert await numbers(execution_id="e7", outcome="completed") == ([], 0)


async def test_a_run_is_found_by_id_by_prefix_and_by_name(tmp_path: Path) -> None:
    async with catalogue(
        tmp_path,
        run(1, run_id="abc1", name="knife"),
        run(2, run_id="abd2", name="knife"),
        run(3, run_id="abc"),
    ) as runs:
        assert (await runs.find("abc")).run_id == "abc"  # exact before prefix
        assert (await runs.find("abd")).run_id == "abd2"
        assert (await runs.find("knife")).run_id == "abd2"  # the newest of that name
        assert (await runs.find("")).run_id == "abc"
        with pytest.raises(AmbiguousError, match=r"'ab' .* abc \(scan 3\), abd2 \(knife\), abc1"):
            await runs.find("ab")
        with pytest.raises(NotFoundError, match="'x_'"):
            await runs.find("x_")


@pytest.mark.parametrize(
    "ref", ["%", "_", "*", "'; DROP TABLE runs", "\ud800", "\U0010ffff", "a\0"]
)
async def test_strange_references_find_nothing(tmp_path: Path, ref: str) -> None:
    async with catalogue(tmp_path, run(1)) as runs:
        with pytest.raises(NotFoundError):
            await runs.find(ref)


async def test_text_that_is_no_utf8_is_kept_readable(tmp_path: Path) -> None:
    async with catalogue(tmp_path, run(1, name="a\ud800b\0")) as runs:
        assert (await runs.find()).name == "a\\ud800b\N{SYMBOL FOR NULL}"


async def test_what_the_disk_refuses_is_known_and_written_with_the_next(tmp_path: Path) -> None:
    begun, ended = run(1, ended_ns=0, outcome=None), run(1, reason="the disk is full")
    async with catalogue(tmp_path, begun) as runs:
        await runs._database.execute(lambda db: db.execute("PRAGMA query_only = 1"))
        await runs.put_or_keep(ended)
        with pytest.raises(StorageError, match="readonly"):
            await runs.put(run(2))
        assert await runs.get("00000001") == await runs.find("scan 1") == ended
        assert (await runs.page())[0] == [ended]
        await runs._database.execute(lambda db: db.execute("PRAGMA query_only = 0"))
        await runs.put(run(2))
    async with catalogue(tmp_path) as runs:
        assert (await runs.page())[0] == [run(2), ended]


async def test_points_of_an_open_run_are_updated(tmp_path: Path) -> None:
    async with catalogue(tmp_path, run(1, outcome=None)) as runs:
        await runs.put_points(run(1, outcome=None, points=77, other_points={"baseline": 2}))
        found = await runs.find()
        assert (found.points, found.other_points, found.events) == (77, {"baseline": 2}, 79)
        assert found.points_in_words == "77 points, baseline 2"


async def test_newest_is_what_began_last_whatever_the_clock_said(tmp_path: Path) -> None:
    early = run(3, started_ns=1, order_ns=5000)  # the clock was set back before it
    async with catalogue(tmp_path, run(1), early, run(2)) as runs:
        assert (await runs.find()) == early
        assert [found.run_id for found in (await runs.page())[0]] == [
            "00000003", "00000002", "00000001"
        ]  # fmt: skip
        before, total = await runs.page(before_order_ns=early.order_ns)
        assert ([found.run_id for found in before], total) == (["00000002", "00000001"], 2)


async def test_twenty_thousand_runs_are_paged_through_indices(tmp_path: Path) -> None:
    async with catalogue(tmp_path) as runs:
        rows = [_to_row(run(i)) for i in range(20_000)]
        marks = ", ".join("?" * len(rows[0]))
        await runs._database.execute(
            lambda db: db.executemany(f"INSERT INTO runs VALUES ({marks})", rows)
        )
        found, total = await runs.page(limit=50, offset=10_000)
        assert total == 20_000
        assert found[0].started_ns == 1000 + 9_999
        found, total = await runs.page(limit=50, name="scan 3", outcome="completed")
        assert (len(found), total) == (50, 2_000)
        for clause in ("", "WHERE name GLOB 'scan 3'", "WHERE outcome = ''"):
            plan = await runs._database.execute(
                lambda db, where=clause: db.execute(  # type: ignore[misc]
                    "EXPLAIN QUERY PLAN SELECT run_id FROM runs "
                    f"{where} ORDER BY started_ns DESC, run_id LIMIT 50"
                ).fetchall()
            )
            assert "USING" in plan[0][3]
            assert "INDEX" in plan[0][3]


async def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").mkdir()
    with pytest.raises(StorageError, match=r"catalogue\.sqlite: unable to open database file"):
        await Database(tmp_path / "catalogue.sqlite").open()


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the database is closed"):
        await Catalogue(Database(tmp_path / "x.sqlite")).find()


async def test_times_beyond_what_the_database_counts_find_what_they_should(tmp_path: Path) -> None:
    async with catalogue(tmp_path, run(1)) as runs:
        assert await runs.page(since_ns=2**64) == ([], 0)
        assert (await runs.page(until_ns=2**64))[1] == 1


async def test_a_page_of_heavy_metadata_is_a_short_page(tmp_path: Path) -> None:
    heavy = [run(n, metadata={"notes": "x" * 1_500_000}) for n in range(6)]
    async with catalogue(tmp_path, *heavy) as found:
        seen: list[str] = []
        while len(seen) < 6:
            page, total = await found.page(limit=100, offset=len(seen))
            assert (len(page) <= 3, total) == (True, 6)
            seen += [summary.run_id for summary in page]
        assert seen == [f"{n:08d}" for n in reversed(range(6))]
