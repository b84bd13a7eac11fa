"""Rates: what is produced is stored and delivered, to the last sample, for as long as it is asked.

`DAQ_SLOW_FACTOR` scales the minute. Where a machine cannot keep a rate, the producer is held up and
takes longer: the counts must still be equal, and the rate that was reached is printed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import trio

from daq.bus import Bus, LossySubscription, feed_ring
from daq.bus.ring import RingReader, RingWriter
from daq.core import Measurement, RunOutcome, RunStart, RunStop
from daq.storage import Storage

pytestmark = pytest.mark.slow

SECONDS = 60 * float(os.environ.get("DAQ_SLOW_FACTOR", "1.0"))
START = RunStart("rates", "rates", 1_700_000_000_000_000_000)
DONE = RunStop(RunOutcome.COMPLETED, START.started_ns + 1)


@dataclass
class Viewer:
    """Somebody who watches all of it, and keeps up or is told."""

    delivered: int = 0
    dropped: int = 0

    async def watch(self, view: LossySubscription) -> None:
        async for block in view:
            self.delivered += len(block)
            self.dropped = view.dropped


async def acquire(directory: Path, produce) -> tuple[dict[str, int], str, Viewer, RingReader]:
    """Record, view and keep in the ring what `produce` publishes; returns what it says."""
    bus, viewer = Bus(), Viewer()
    storage = Storage(directory, bus, buffer_bytes=1 << 30)
    ring = RingWriter(directory / "ring", 64 << 20)
    reader = RingReader(ring.path)
    async with trio.open_nursery() as storing:
        await storing.start(storage.run)
        await storing.start(feed_ring, bus, ring)
        run = await storage.open_run(START)
        with bus.view(capacity=1 << 20, capacity_bytes=1 << 30) as view:
            async with trio.open_nursery() as watching:
                watching.start_soon(viewer.watch, view)
                began = trio.current_time()
                produced = await produce(bus)
                spent = trio.current_time() - began
                view.close()
        summary = await run.close(DONE)
        storing.cancel_scope.cancel()
    total = sum(produced.values())
    print(f"\n{total:,} samples in {spent:.1f} s: {total / spent:,.0f}/s")
    return produced, summary.path, viewer, reader


def stored(path: str) -> dict[str, int]:
    with h5py.File(path) as file:
        monitors = file["entry/monitors"]
        return {str(log.attrs["channel"]): len(log["value"]) for log in monitors.values()}


def check(produced: dict[str, int], path: str, viewer: Viewer, reader: RingReader) -> None:
    assert stored(path) == produced
    assert viewer.delivered + viewer.dropped == sum(produced.values())
    assert viewer.dropped == 0
    with reader:
        assert reader.statistics().dropped == 0
        newest = {name: reader.latest(name) for name in list(produced)[:10]}
    for name, block in newest.items():
        if block is not None:
            assert block.sequence + len(block) == produced[name]


async def paced(period_s: float, rounds: int, publish) -> None:
    began = trio.current_time()
    for number in range(rounds):
        await publish(number)
        await trio.sleep_until(began + (number + 1) * period_s)


async def test_a_thousand_scalar_channels_at_100_hz(tmp_path):
    channels = [f"sensor.c{number}" for number in range(1000)]
    rounds = round(100 * SECONDS)

    async def produce(bus: Bus) -> dict[str, int]:
        async def publish(number: int) -> None:
            times = np.array([START.started_ns + number])
            values = np.array([float(number)])
            for channel in channels:
                await bus.publish(Measurement(channel, times, values, "V", number))

        await paced(0.01, rounds, publish)
        return dict.fromkeys(channels, rounds)

    check(*await acquire(tmp_path, produce))


async def test_a_digitizer_at_10_million_samples_a_second(tmp_path):
    rounds, samples = round(20 * SECONDS), 500_000

    async def produce(bus: Bus) -> dict[str, int]:
        wave = np.arange(samples, dtype="<i2")

        async def publish(number: int) -> None:
            first = number * samples
            times = np.arange(first, first + samples)
            await bus.publish(Measurement("digitizer", times, wave, "V", first))

        await paced(0.05, rounds, publish)
        return {"digitizer": rounds * samples}

    check(*await acquire(tmp_path, produce))


async def test_a_camera_of_a_megapixel_at_500_frames_a_second(tmp_path):
    rounds = min(round(500 * SECONDS), free_bytes(tmp_path) // 4 // (2 << 20))

    async def produce(bus: Bus) -> dict[str, int]:
        frames = [np.full((1, 1024, 1024), number, "<u2") for number in range(8)]

        async def publish(number: int) -> None:
            frame = frames[number % len(frames)]
            await bus.publish(Measurement("camera", np.array([number]), frame, "counts", number))

        await paced(0.002, rounds, publish)
        return {"camera": rounds}

    produced, path, viewer, reader = await acquire(tmp_path, produce)
    reader.close()
    assert stored(path) == produced
    assert viewer.delivered + viewer.dropped == produced["camera"]
    with h5py.File(path) as file:
        frames = file["entry/monitors/camera/value"]
        for number in range(0, len(frames), max(1, len(frames) // 50)):
            assert (frames[number] == number % 8).all()
    Path(path).unlink()


def free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
