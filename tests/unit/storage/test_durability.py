"""`disk`: an acknowledgement means that the event survives a power cut."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from daq.bus import Bus
from daq.core import ParameterError, RunOutcome, RunStart, RunStop, StorageError
from daq.storage import Storage
from tests.unit.storage.test_storage import event, start, storing

DONE = RunStop(RunOutcome.COMPLETED, 2)


class Disk:
    """Counts what is forced to it; may be slow, or dead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.dead = False
        self.go = threading.Event()
        self.go.set()
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, fd: int) -> None:
        self.go.wait(30)
        self.syncs += 1
        if self.dead:
            raise OSError(5, "Input/output error")
        self._real(fd)


async def test_every_event_of_a_disk_run_is_synced_and_of_a_process_run_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storing(tmp_path) as storage:
        for durability, least, most in (("disk", 5, 5), ("process", 0, 1)):
            run = await storage.open_run(start(durability, durability=durability))
            disk = Disk(monkeypatch)
            for number in range(5):
                await run.append(event(number))
            assert least <= disk.syncs <= most, "the periodic one may come between"
            monkeypatch.undo()
            await run.close(DONE)
        description = await storage.describe_run("disk")
        assert description.start.durability == "disk"
        assert description.summary.points == 5


async def test_an_event_is_acknowledged_when_the_disk_has_it_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start(durability="disk"))
        disk = Disk(monkeypatch)
        disk.go.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.append, event(0))
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert run.points == 0
            disk.go.set()
        assert run.points == 1
        await run.close(DONE)


async def test_events_that_wait_together_share_an_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start(durability="disk"))
        disk = Disk(monkeypatch)
        disk.go.clear()
        async with trio.open_nursery() as nursery:
            for stream in range(20):
                nursery.start_soon(run.append, event(0, f"stream{stream}"))
            await trio.testing.wait_all_tasks_blocked(0.02)
            disk.go.set()
        assert run.points == 20
        assert disk.syncs <= 3
        await run.close(DONE)


async def test_a_disk_that_refuses_fails_the_run_and_what_it_had_taken_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start(durability="disk"))
        await run.append(event(0))
        disk = Disk(monkeypatch)
        disk.dead = True
        with pytest.raises(StorageError, match="cannot be forced to disk"):
            await run.append(event(1))
        with pytest.raises(StorageError, match="cannot be forced to disk"):
            await run.append(event(1))
        disk.dead = False
        summary = await run.close(DONE)
        assert summary.outcome is RunOutcome.FAILED
        assert "cannot be forced to disk" in summary.reason
        assert summary.points == 1


async def test_a_cancelled_caller_does_not_cancel_the_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storing(tmp_path) as storage:
        run = await storage.open_run(start(durability="disk"))
        disk = Disk(monkeypatch)
        disk.go.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.append, event(0))
            await trio.testing.wait_all_tasks_blocked(0.02)
            nursery.cancel_scope.cancel()
            disk.go.set()
        await run.append(event(1))
        assert (await run.close(DONE)).points == 2


async def test_another_durability_is_refused(tmp_path: Path) -> None:
    storage = Storage(tmp_path, Bus())
    with pytest.raises(ParameterError, match="'paper'"):
        await storage.open_run(RunStart("a", "a", 1, durability="paper"))
