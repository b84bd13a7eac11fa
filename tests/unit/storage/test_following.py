"""A run followed while it grows: every event once, in order, to the end, in bounded memory."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import trio

from daq.core import Column, Event, NotFoundError, RunOutcome, RunStop
from daq.storage import Storage
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_file import partial_path
from daq.storage.journal import replay
from daq.storage.journal.replay import JournalReplay
from tests.unit.storage.test_storage import T0, event, start, storing

DONE = RunStop(RunOutcome.COMPLETED, T0 + 10**9)
FRAME = Column("camera", "counts", "<u2", (300, 200), "camera")


def frame_event(number: int) -> Event:
    values = {"camera": np.full(FRAME.shape, number, "<u2")}
    return Event("frames", number, T0 + number, (FRAME,), values, {"camera": T0 + number + 1})


async def follow(storage: Storage, run_id: str, into: list) -> None:
    async with aclosing(storage.follow_run(run_id)) as blocks:
        async for block in blocks:
            into.append(block)  # noqa: PERF401 - one by one, since it may be cancelled


def numbers(blocks: list, stream: str) -> list[int]:
    rows = [range(b.first, b.first + len(b.timestamps)) for b in blocks if b.stream == stream]
    return [number for row in rows for number in row]


async def test_every_event_comes_once_and_in_order_whenever_it_is_written(tmp_path: Path) -> None:
    followers: list[list] = [[], [], []]
    async with storing(tmp_path) as storage, trio.open_nursery() as nursery:
        run = await storage.open_run(start())
        nursery.start_soon(follow, storage, "abc123", followers[0])
        for number in range(30):
            await run.append(event(number))
            await run.append(frame_event(number))
            if number == 12:
                nursery.start_soon(follow, storage, "abc123", followers[1])
                while not followers[0]:
                    await trio.sleep(0.001)
        await run.close(DONE)
        await follow(storage, "abc123", followers[2])
    for blocks in followers:
        assert numbers(blocks, "primary") == numbers(blocks, "frames") == list(range(30))
        frames = np.concatenate([b.values["camera"] for b in blocks if b.stream == "frames"])
        assert frames[:, 0, 0].tolist() == list(range(30))
        read = np.concatenate([b.column_times["camera"] for b in blocks if b.stream == "frames"])
        assert read.tolist() == [T0 + number + 1 for number in range(30)]


async def test_what_is_closed_while_a_follower_sleeps_is_taken_from_the_file(
    tmp_path: Path,
) -> None:
    """The journal and the place of its frames are gone by then."""
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        await run.append(frame_event(0))
        async with aclosing(storage.follow_run("abc123")) as blocks:
            first = await anext(blocks)
            for number in range(1, 5):
                await run.append(frame_event(number))
            await run.close(DONE)
            rest = [block async for block in blocks]
    assert numbers([first, *rest], "frames") == [0, 1, 2, 3, 4]


async def test_a_follower_that_leaves_takes_nothing_with_it(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        await run.append(event(0))
        with trio.move_on_after(0.2):
            await follow(storage, "abc123", [])
        await run.append(event(1))
        assert (await run.close(DONE)).points == 2


async def test_an_unknown_run_cannot_be_followed(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        with pytest.raises(NotFoundError):
            await follow(storage, "nobody", [])


async def test_frames_are_fetched_some_at_a_time_however_many_a_journal_tells_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 MiB of a journal may tell of 40,000 frames: they must not be in memory together."""
    monkeypatch.setattr(replay, "_PART_BYTES", 3 * 300 * 200 * 2)
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        for number in range(10):
            await run.append(frame_event(number))
        placed = partial_path(Directories(tmp_path).run_file(start()))
        with JournalReplay(run.path, placed) as journal:
            (_, *batches) = list(journal.read() or ())
        await run.close(DONE)
    assert [len(batch.timestamps) for batch in batches] == [3, 3, 3, 1]
    assert [batch.first for batch in batches] == [0, 3, 6, 9]
