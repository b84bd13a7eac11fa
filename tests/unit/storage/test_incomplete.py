"""Runs whose HDF5 file could not be completed: read from their journal, and completed later."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import trio

from daq.core import NotFoundError, RunOutcome, RunStop, StateError, StorageError
from daq.storage import RunRecorder, Storage, recorder
from daq.storage.files.hdf5_file import RunFile
from tests.unit.storage.test_following import follow, frame_event, numbers
from tests.unit.storage.test_storage import T0, column, event, read_all, start, storing

DONE = RunStop(RunOutcome.COMPLETED, T0 + 10**9, "the script ended")


def refuse(self: RunFile, stop: RunStop) -> None:
    raise OSError(28, "No space left on device")


@asynccontextmanager
async def incomplete(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Storage, list]]:
    """A run of 5 events and 3 frames whose file found no room, and what a follower saw of it."""
    seen: list = []
    async with storing(directory) as storage:
        run = await storage.open_run(start())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, storage, "abc123", seen)
            for number in range(5):
                await run.append(event(number))
            for number in range(3):
                await run.append(frame_event(number))
            with monkeypatch.context() as patch:
                patch.setattr(RunFile, "finish", refuse)
                with pytest.raises(StorageError, match="No space left"):
                    await run.close(DONE)
        yield storage, seen


async def test_it_is_described_read_and_followed_from_its_journal(tmp_path, monkeypatch):
    async with incomplete(tmp_path, monkeypatch) as (storage, seen):
        summary = await storage.find_run("abc123")
        assert (summary.outcome, summary.events) == (RunOutcome.COMPLETED, 8)
        assert "No space left on device" in summary.reason
        run = await storage.describe_run("abc123")
        assert [(s.name, s.points) for s in run.streams] == [("primary", 5), ("frames", 3)]
        assert run.start == replace(start(), order_ns=T0)
        assert column(await read_all(storage, "abc123"), "stage") == [0.0, 0.5, 1.0, 1.5, 2.0]
        frames = np.concatenate(
            [b.values["camera"] for b in await read_all(storage, "abc123", "frames")]
        )
        assert frames[:, 0, 0].tolist() == [0, 1, 2]
        with pytest.raises(NotFoundError, match="no stream 'other'"):
            await read_all(storage, "abc123", "other")
        later: list = []
        await follow(storage, "abc123", later)
    for blocks in (seen, later):  # one saw it open, the other afterwards
        assert numbers(blocks, "primary") == [0, 1, 2, 3, 4]
        assert numbers(blocks, "frames") == [0, 1, 2]


async def test_it_has_no_hdf5_file_until_rebuilding_completes_it(tmp_path, monkeypatch):
    async with incomplete(tmp_path, monkeypatch) as (storage, _):
        with pytest.raises(StateError, match="could not be completed: it has no HDF5 file yet"):
            async with aclosing(storage.read_file("abc123")) as chunks:
                await anext(chunks)
        run = await storage.describe_run("abc123")
        assert storage.file_of(run).suffix == ".h5"
        async with aclosing(storage.rebuild_catalogue()) as steps:
            (*_, last) = [step async for step in steps]
        assert (last.files, last.added, last.problems) == (1, 0, ())
        summary = await storage.find_run("abc123")
        assert (summary.outcome, summary.reason) == (RunOutcome.COMPLETED, "the script ended")
        assert summary.path == str(storage.file_of(run))
    with h5py.File(summary.path) as file:
        assert file["entry/frames/camera"][:, 0, 0].tolist() == [0, 1, 2]
    assert [p.name for p in Path(summary.path).parent.iterdir()] == [Path(summary.path).name]
    assert list((tmp_path / "journal").iterdir()) == []


async def test_a_disk_without_room_for_a_new_file_fails_the_run_and_nothing_else(
    tmp_path, monkeypatch
):
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        await run.append(event(0))

        def refuse(self: RunFile, *_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(RunFile, "__init__", refuse)
            patch.setattr(RunFile, "finish", refuse)
            with pytest.raises(StorageError, match="No space left"):
                await run.close(DONE)
        again = await storage.open_run(start("other"))
        await again.append(event(0))
        assert (await again.close(DONE)).points == 1


class HungDisk:
    """An fsync of the file that never returns, until `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self._hang)
        monkeypatch.setattr(recorder, "_STUCK_S", 0.2)

    def _hang(self, fd: int) -> None:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            self.go.wait(60)
        self._real(fd)

    async def come_back(self, path: Path) -> None:
        """Return, and wait for what that sets off."""
        self.go.set()
        with trio.fail_after(20):
            while not path.exists():
                await trio.sleep(0.01)


@pytest.fixture
def hung_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[HungDisk]:
    disk = HungDisk(monkeypatch)
    yield disk
    disk.go.set()


async def close_on(disk: HungDisk, run: RunRecorder) -> None:
    for number in range(3):
        await run.append(event(number))
        await run.append(frame_event(number))
    with (
        trio.fail_after(20),
        pytest.raises(StorageError, match=r"did nothing for 0\.2 s") as caught,
    ):
        await run.close(DONE)
    assert "its 6 events are in the journal" in caught.value.message


async def test_an_fsync_that_never_returns_does_not_hold_up_who_closes(tmp_path, hung_disk):
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        await close_on(hung_disk, run)
        summary = await storage.find_run("abc123")
        assert summary.outcome is RunOutcome.COMPLETED
        assert "the disk did nothing for 0.2 s while the run was being closed" in summary.reason
        assert summary.events == 6
        assert column(await read_all(storage, "abc123"), "stage") == [0.0, 0.5, 1.0]
        # Its thread may come back at any time: what it holds is left to it.
        async with aclosing(storage.rebuild_catalogue()) as steps:
            assert [step.files async for step in steps] == [0]
        path = storage.file_of(await storage.describe_run("abc123"))
        await hung_disk.come_back(path)
    async with storing(tmp_path) as storage:
        (recovered,) = storage.recovered
        assert (recovered.events, recovered.reason) == (6, "the script ended")
        frames = np.concatenate(
            [b.values["camera"] for b in await read_all(storage, "abc123", "frames")]
        )
        assert frames[:, 0, 0].tolist() == [0, 1, 2]
    assert list((tmp_path / "journal").iterdir()) == []


async def test_the_answer_does_not_wait_for_the_list_of_runs_either(
    tmp_path, hung_disk, monkeypatch
):
    monkeypatch.setattr(recorder, "_MARK_S", 0.2)
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start())
        put, asked = storage._catalogue.put, trio.Event()

        async def hang(summary) -> None:
            asked.set()
            await trio.to_thread.run_sync(hung_disk.go.wait)
            await put(summary)

        monkeypatch.setattr(storage._catalogue, "put", hang)
        await close_on(hung_disk, run)
        assert asked.is_set()
        await hung_disk.come_back(storage._directories.run_file(start()))
        with trio.fail_after(20):
            while (await storage.find_run("abc123")).outcome is None:
                await trio.sleep(0.01)
