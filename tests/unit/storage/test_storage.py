"""Runs from their opening to their file, through the one door."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import trio

from daq.bus import Bus
from daq.core import (
    Column,
    Event,
    EventBlock,
    Measurement,
    NotFoundError,
    Reading,
    RunOutcome,
    RunStart,
    RunStop,
    StateError,
    StorageError,
)
from daq.storage import RunRecorder, Storage
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_file import RunFile
from daq.storage.journal import records
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.framing import encode_record
from daq.storage.journal.journal import JournalWriter

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("power_meter", "W", "<f8", (), "power_meter"),
)
DONE = RunStop(RunOutcome.COMPLETED, T0 + SECOND, "the script ended", "ada")


def start(run_id: str = "abc123", name: str = "knife edge", **more: Any) -> RunStart:
    return RunStart(run_id, name, T0, "ada", **more)


def event(sequence: int, stream: str = "primary") -> Event:
    now = T0 + sequence * 1000
    return Event(
        stream,
        sequence,
        now,
        COLUMNS,
        {"stage": sequence * 0.5, "power_meter": 2.0},
        {"stage": now - 2, "power_meter": now - 1},
    )


@asynccontextmanager
async def storing(directory: Path, bus: Bus | None = None) -> AsyncIterator[Storage]:
    storage = Storage(directory, bus or Bus())
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        await storage.wait_recovered()
        yield storage
        nursery.cancel_scope.cancel()


async def read_all(storage: Storage, run_id: str, stream: str = "primary") -> list[EventBlock]:
    async with aclosing(storage.read_run(run_id, stream)) as blocks:
        return [block async for block in blocks]


def column(blocks: list[EventBlock], name: str) -> list[Any]:
    return [value for block in blocks for value in block.values[name].tolist()]


async def test_a_run_becomes_a_complete_file_and_its_journal_goes(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start(metadata={"sample": "none"}))
        for i in range(5):
            await recorder.append(event(i))
        assert recorder.points == 5
        summary = await recorder.close(DONE)
        assert summary.outcome is RunOutcome.COMPLETED
        assert (summary.points, summary.by, summary.reason) == (5, "ada", "the script ended")
        path = Path(summary.path)
        assert path == tmp_path / "runs/2023/11/20231114-221320_knife_edge_abc123.h5"
        assert list((tmp_path / "journal").iterdir()) == []
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        assert await storage.find_run("knife edge") == summary
        blocks = await read_all(storage, "abc123")
        assert column(blocks, "stage") == [0.0, 0.5, 1.0, 1.5, 2.0]


async def test_a_run_that_began_after_the_clock_was_set_back_is_the_newest(tmp_path: Path) -> None:
    for run_id, began in (("first", T0), ("second", T0 - 3600 * SECOND), ("third", T0 + 1)):
        async with storing(tmp_path) as storage:
            recorder = await storage.open_run(RunStart(run_id, "scan", began))
            await recorder.close(DONE)
            assert (await storage.find_run()).run_id == run_id
    async with storing(tmp_path) as storage:
        (tmp_path / "catalogue.sqlite").unlink()
    async with storing(tmp_path) as storage:  # listed from the files
        while (await storage.list_runs())[1] < 3:
            await trio.sleep(0.01)
        runs, _ = await storage.list_runs()
        assert [run.run_id for run in runs] == ["third", "second", "first"]


async def test_an_open_run_is_listed_and_can_be_read(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        await recorder.append(event(0))
        await recorder.append(event(0, "baseline"))
        await recorder.append(event(1))
        listed, total = await storage.list_runs(outcome="open")
        assert (total, listed[0].run_id, listed[0].ended_ns) == (1, "abc123", 0)
        found = await storage.find_run("abc")
        assert (found.points, found.other_points) == (2, {"baseline": 1})
        description = await storage.describe_run("abc123")
        assert [(s.name, s.points) for s in description.streams] == [
            ("primary", 2),
            ("baseline", 1),
        ]
        assert column(await read_all(storage, "abc123"), "stage") == [0.0, 0.5]
        await recorder.close(DONE)
        again = await storage.describe_run("abc123")
        assert again.streams == description.streams
        assert again.start == description.start
        assert (await storage.list_runs(outcome="open"))[1] == 0


async def test_a_run_begins_with_how_the_interlocks_are(tmp_path: Path) -> None:
    bus = Bus()
    for sequence, tripped in enumerate((0, 1)):
        reading = Reading(np.asarray(tripped, np.uint8), T0 - 10**12)
        await bus.publish(Measurement.single("interlock.hot", reading, "", sequence))
    async with storing(tmp_path, bus) as storage:
        recorder = await storage.open_run(start())
        reading = Reading(np.asarray(0, np.uint8), T0 + 10**9)
        await bus.publish(Measurement.single("interlock.hot", reading, "", 2))
        summary = await recorder.close(DONE)
    with h5py.File(summary.path) as file:
        log = file["entry/monitors/interlock.hot"]
        assert log["value"][:].tolist() == [1, 0]
        assert log["time"][:].tolist() == [T0, T0 + 10**9]


async def test_close_is_idempotent_and_nothing_can_be_added_afterwards(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        first = await recorder.close(DONE)
        second = await recorder.close(RunStop(RunOutcome.FAILED, T0, "too late"))
        assert first == second
        with pytest.raises(StateError, match="abc123 is not open"):
            await recorder.append(event(0))


async def test_what_the_bus_carries_beside_events_is_stored_losslessly(tmp_path: Path) -> None:
    bus = Bus()
    async with storing(tmp_path, bus) as storage:
        recorder = await storage.open_run(start())
        for i in range(300):
            block = Measurement.single("laser/power", Reading(float(i), T0 + i), "W", i)
            await bus.publish(block if i % 3 else block.in_event(i))
        frames = np.arange(4 * 128 * 96, dtype="<u2").reshape(4, 128, 96)
        await bus.publish(Measurement("camera", np.arange(4) + T0, frames, "counts", 0))
        summary = await recorder.close(DONE)
        await bus.publish(Measurement.single("laser/power", Reading(1.0, 1), "W", 300))
    with h5py.File(summary.path) as file:
        log = file["entry/monitors/laser_power"]
        assert log.attrs["channel"] == "laser/power"
        assert log["value"][:].tolist() == [float(i) for i in range(300) if i % 3]
        assert log["time"][0] == T0 + 1
        assert log["value"].attrs["units"] == "W"
        np.testing.assert_array_equal(file["entry/monitors/camera/value"][:], frames)


async def test_two_runs_may_be_open_at_once(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        one, two = await storage.open_run(start("one")), await storage.open_run(start("two"))
        await one.append(event(0))
        await two.append(event(0))
        await one.close(DONE)
        await two.append(event(1))
        assert (await two.close(DONE)).points == 2
        (tmp_path / "journal" / "three.journal").touch()
        with pytest.raises(StorageError, match="File exists"):
            await storage.open_run(start("three"))


async def test_a_run_that_nobody_closes_is_closed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daq.storage.storage._OWNERS_GRACE_S", 0.01)
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        await recorder.append(event(0))
    async with storing(tmp_path) as storage:
        assert storage.recovered == ()
        summary = await storage.find_run("abc123")
    assert summary.outcome is RunOutcome.INTERRUPTED
    assert (summary.points, summary.ended_ns) == (1, T0)
    assert summary.reason == "the daemon was shut down"


async def test_an_owner_still_closes_its_run_while_everything_is_cancelled(tmp_path: Path) -> None:
    storage = Storage(tmp_path, Bus())

    async def owner(recorder: RunRecorder) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await recorder.append(event(0))
                await recorder.close(RunStop(RunOutcome.STOPPED, T0 + 5, "SIGTERM"))

    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        await storage.wait_recovered()
        nursery.start_soon(owner, await storage.open_run(start()))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    async with storing(tmp_path) as storage:
        summary = await storage.find_run()
    assert (summary.outcome, summary.points) == (RunOutcome.STOPPED, 1)


async def test_a_caller_of_close_that_is_cancelled_leaves_a_complete_file(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        await recorder.append(event(0))
        with trio.CancelScope() as scope:
            scope.cancel()
            await recorder.close(DONE)
        assert (await recorder.close(DONE)).points == 1


async def test_a_second_daemon_is_kept_out(tmp_path: Path) -> None:
    async with storing(tmp_path):
        with pytest.raises(StorageError, match=f"process {os.getpid()}"):
            await Storage(tmp_path, Bus()).run()


async def test_nothing_opens_before_storage_runs(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be opened now"):
        await Storage(tmp_path, Bus()).open_run(start())


class FullDisk(JournalWriter):
    """A journal on a disk with room for a few thousand bytes."""

    def write(self, buffers: Any) -> None:
        if self._size + sum(map(len, buffers)) > 4000:
            raise StorageError(f"{self.path}: cannot be appended to: No space left on device")
        super().write(buffers)


async def record_without_end(recorder: RunRecorder) -> None:
    while True:
        await recorder.append(event(recorder.points))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daq.storage.journal.run_journal.JournalWriter", FullDisk)


async def test_a_full_disk_fails_the_run_and_keeps_what_was_acknowledged(
    tmp_path: Path, full_disk: None
) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        with pytest.raises(StorageError, match=r"abc123\.journal.*No space left"):
            await record_without_end(recorder)
        count = recorder.points
        with pytest.raises(StorageError, match="No space left"):
            await recorder.append(event(count))
        summary = await recorder.close(DONE)
        assert summary.outcome is RunOutcome.FAILED
        assert "No space left" in summary.reason
        assert summary.points == count > 0
        assert len(column(await read_all(storage, "abc123"), "stage")) == count


async def test_a_failing_hdf5_file_never_loses_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: RunFile, stop: RunStop) -> None:
        raise OSError(28, "No space left on device")

    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        for i in range(3):
            await recorder.append(event(i))
        with monkeypatch.context() as patch:
            patch.setattr(RunFile, "finish", refuse)
            with pytest.raises(StorageError, match="No space left"):
                await recorder.close(DONE)
        marked = await storage.find_run("abc123")
        assert "cannot be written" in marked.reason
    async with storing(tmp_path) as storage:
        (recovered,) = storage.recovered
        assert recovered.outcome is RunOutcome.COMPLETED
        assert (recovered.points, recovered.reason) == (3, "the script ended")
        assert column(await read_all(storage, "abc123"), "stage") == [0.0, 0.5, 1.0]


async def test_a_conversion_that_failed_on_the_way_starts_over_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    def break_once(self: RunFile, batch: Any) -> None:
        monkeypatch.undo()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(RunFile, "write_rows", break_once)
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        await recorder.append(event(0))
        await trio.sleep(2)
        await recorder.append(event(1))
        assert (await recorder.close(DONE)).points == 2


def crash(directory: Path, run: RunStart, events: int, torn: bytes = b"") -> None:
    """Leave a journal as a dead daemon does."""
    (directory / "journal").mkdir(parents=True, exist_ok=True)
    writer = JournalWriter(directory / "journal" / f"{run.run_id}.journal")
    writer.write(encode_record(records.Kind.START, records.encode_start(run)))
    encoder = RunEncoder()
    for i in range(events):
        writer.write(encoder.event(event(i)))
    writer.close()
    with writer.path.open("ab") as file:
        file.write(torn)


async def test_an_orphaned_run_is_recovered_with_its_points(tmp_path: Path) -> None:
    crash(tmp_path, start(), 4, torn=b"".join(encode_record(records.Kind.ROW, bytes(9)))[:20])
    async with storing(tmp_path) as storage:
        (summary,) = storage.recovered
        assert summary.outcome is RunOutcome.INTERRUPTED
        assert summary.points == 4
        assert summary.ended_ns == T0 + 3000
        assert "4 points recovered, 20 bytes of an unfinished record cut off" in summary.reason
        assert await storage.find_run("abc123") == summary
        assert column(await read_all(storage, "abc123"), "stage") == [0.0, 0.5, 1.0, 1.5]
    assert list((tmp_path / "journal").iterdir()) == []
    async with storing(tmp_path) as storage:
        assert storage.recovered == ()


async def test_a_journal_that_says_nothing_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "empty.journal").touch()
    (tmp_path / "journal" / "odd.journal").write_bytes(b"this is no journal at all")
    crash(tmp_path, start("good"), 1)
    async with storing(tmp_path) as storage:
        assert [run.run_id for run in storage.recovered] == ["good"]
    # What cannot be read is not ours to delete.
    assert [p.name for p in (tmp_path / "journal").iterdir()] == ["odd.unreadable"]


async def test_an_open_run_without_a_journal_is_closed(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        summary = await recorder.close(DONE)
        await storage._catalogue.put(replace(summary, ended_ns=0, outcome=None))
    async with storing(tmp_path) as storage:
        assert (await storage.find_run("abc123")).outcome is RunOutcome.INTERRUPTED


async def test_what_does_not_exist_is_named_with_what_does(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        with pytest.raises(NotFoundError, match="no run yet"):
            await storage.find_run()
        with pytest.raises(NotFoundError, match="'nothing'"):
            await read_all(storage, "nothing")
        recorder = await storage.open_run(start())
        await recorder.append(event(0))
        for _ in range(2):  # open, then closed
            with pytest.raises(NotFoundError, match=r"no stream 'other'\nit has primary"):
                await read_all(storage, "abc123", "other")
            with pytest.raises(NotFoundError, match=r"no column 'z'\nit has stage, power_meter"):
                async with aclosing(storage.read_run("abc123", columns=["z"])) as blocks:
                    await anext(blocks)
            await recorder.close(DONE)


async def test_a_run_without_events_reads_as_nothing(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        assert await read_all(storage, "abc123") == []
        assert (await recorder.close(DONE)).points == 0
        assert await read_all(storage, "abc123") == []


async def test_a_deleted_file_is_told_apart_from_an_unknown_run(tmp_path: Path) -> None:
    async with storing(tmp_path) as storage:
        recorder = await storage.open_run(start())
        await recorder.append(event(0))
        Path((await recorder.close(DONE)).path).unlink()
        with pytest.raises(StorageError, match="the file is not there"):
            await read_all(storage, "abc123")


async def test_large_events_and_small_ones_keep_their_order(tmp_path: Path) -> None:
    columns = (Column("wave", "V", "<f8", (20_000,), "digitizer"),)

    def wave(i: int) -> Mapping[str, Any]:
        return {"wave": np.full(20_000, float(i))}

    bus = Bus()
    async with storing(tmp_path, bus) as storage:
        recorder = await storage.open_run(start())
        async with trio.open_nursery() as nursery:
            for i in range(20):
                nursery.start_soon(
                    bus.publish, Measurement.single("t", Reading(float(i), T0 + i), "K", i)
                )
                await recorder.append(Event("waves", i, T0 + i, columns, wave(i), {}))
                await recorder.append(event(i))
        summary = await recorder.close(DONE)
        assert summary.events == 40
        waves = np.concatenate(
            [b.values["wave"] for b in await read_all(storage, "abc123", "waves")]
        )
        assert waves[:, 0].tolist() == [float(i) for i in range(20)]
        assert (waves == waves[:, :1]).all()


async def test_a_directory_that_cannot_be_locked_says_so(tmp_path: Path) -> None:
    (tmp_path / "daq.lock").mkdir()
    refusal = pytest.raises(StorageError, match="used as the storage directory: Is a directory")
    with refusal, Directories(tmp_path).locked():
        pass
