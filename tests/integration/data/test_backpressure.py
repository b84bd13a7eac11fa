"""A disk that stalls: nothing is lost, it is said, the loop goes on, and for ever is a failure."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import trio

from daq.bus import Bus
from daq.core import (
    Column,
    Event,
    Measurement,
    RunOutcome,
    RunStart,
    RunStop,
    StorageError,
)
from daq.storage import Storage
from daq.storage.journal import run_journal

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1.0"))
START = RunStart("stalled", "stalled", 1_700_000_000_000_000_000)
DONE = RunStop(RunOutcome.COMPLETED, START.started_ns + 1)
COLUMNS = (Column("stage", "mm", "<f8", (), "stage", "positioner"),)
SAMPLES = 100_000


class StallingDisk:
    """Takes no byte of a journal while it stalls, neither by write nor by fsync."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes = threading.Event()
        self.goes.set()
        self._loop = threading.get_ident()
        self.waited_on_loop = 0
        for name in ("pwritev", "fdatasync"):
            real = getattr(os, name)
            monkeypatch.setattr(os, name, lambda *a, real=real: self._through(real, *a))

    def _through(self, real, *arguments):
        if not self.goes.is_set() and threading.get_ident() == self._loop:
            self.waited_on_loop += 1  # and go on: a test that hangs tells nothing
        else:
            self.goes.wait(60)
        return real(*arguments)


async def digitize(bus: Bus, blocks: int, period_s: float, published: list[int]) -> None:
    """10 MS/s in blocks of 10 ms when the period is that."""
    for number in range(blocks):
        first = number * SAMPLES
        times = np.arange(first, first + SAMPLES)
        values = np.full(SAMPLES, number, "<i2")
        await bus.publish(Measurement("digitizer", times, values, "V", first))
        published.append(number)
        await trio.sleep(period_s)


async def heartbeat(delays: list[float]) -> None:
    while True:
        began = trio.current_time()
        await trio.sleep(0.005)
        delays.append(trio.current_time() - began - 0.005)


def event(number: int) -> Event:
    return Event("primary", number, START.started_ns, COLUMNS, {"stage": number / 2}, {})


async def stall(
    directory: Path,
    disk: StallingDisk,
    seconds: float,
    buffer_bytes: int,
    is_settled: Callable[[], bool] = lambda: True,
) -> tuple[int, list[float], int]:
    """A stall in the middle of a run: blocks published, delays of the loop, blocks meant."""
    bus, published, delays = Bus(), [], []
    storage = Storage(directory, bus, buffer_bytes=buffer_bytes)
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        run = await storage.open_run(START)
        async with trio.open_nursery() as working:
            working.start_soon(heartbeat, delays)
            async with trio.open_nursery() as acquiring:
                blocks = round(seconds / 0.02) + 20
                acquiring.start_soon(digitize, bus, blocks, 0.01, published)
                for number in range(10):
                    await run.append(event(number))
                disk.goes.clear()
                # Until the recorder feels it: what comes later must find the loop free.
                while disk.goes.is_set() or not run._journal._disk_is_slow():
                    await trio.sleep(0.001)
                acquiring.start_soon(run.append, event(10))
                await trio.sleep(seconds)
                assert run.points == 10, "nothing is acknowledged that the disk did not take"
                disk.goes.set()
            with trio.fail_after(60):
                while not is_settled():
                    await trio.sleep(0.01)
            working.cancel_scope.cancel()
        summary = await run.close(DONE)
        assert summary.outcome is RunOutcome.COMPLETED
        assert summary.points == 11
        nursery.cancel_scope.cancel()
    with h5py.File(summary.path) as file:
        stored = file["entry/monitors/digitizer/value"]
        assert len(stored) == len(published) * SAMPLES
        assert stored[::SAMPLES].tolist() == published
    return len(published), delays, blocks


@pytest.mark.slow
async def test_a_disk_that_stalls_for_five_seconds_loses_nothing(tmp_path, monkeypatch, caplog):
    disk = StallingDisk(monkeypatch)
    seconds = max(5 * FACTOR, 1.5)
    published, delays, blocks = await stall(tmp_path, disk, seconds, 1 << 30)
    assert published == blocks, "within the buffer no instrument waits"
    assert disk.waited_on_loop == 0
    assert max(delays) < seconds / 2, "the loop went on meanwhile"


async def test_instruments_wait_for_a_full_buffer_and_people_are_told(
    tmp_path, monkeypatch, caplog
):
    """10 blocks of a MB each fit; the stall lasts until the producer stands still."""
    monkeypatch.setattr(run_journal, "_SLOW_SYNC_S", 0.0)
    disk = StallingDisk(monkeypatch)
    with caplog.at_level(logging.WARNING):
        published, _, blocks = await stall(
            tmp_path, disk, 1.2, 10 << 20, lambda: "has caught up" in caplog.text
        )
    assert published == blocks
    assert disk.waited_on_loop == 0
    assert "the disk does not keep up" in caplog.text


async def test_a_disk_that_never_comes_back_fails_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_journal, "_WRITE_TIMEOUT_S", 0.3)
    bus = Bus()
    storage = Storage(tmp_path, bus)
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        run = await storage.open_run(START)
        await run.append(event(0))
        disk = StallingDisk(monkeypatch)
        disk.goes.clear()
        with trio.fail_after(30):
            published: list[int] = []
            nursery.start_soon(digitize, bus, 3, 0.01, published)
            while run._journal.failure is None:
                await trio.sleep(0.01)
        with pytest.raises(StorageError, match="took no data for"):
            await run.append(event(1))
        disk.goes.set()
        summary = await run.close(DONE)
        nursery.cancel_scope.cancel()
    assert summary.outcome is RunOutcome.FAILED
    assert "took no data for" in summary.reason
    assert summary.points == 1
