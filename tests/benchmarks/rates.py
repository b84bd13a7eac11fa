"""Rates: raised until the recorder says that it cannot keep up, or whoever produces comes late."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import trio

from daq.bus import Bus, LossySubscription, feed_ring
from daq.bus.ring import RingReader, RingWriter
from daq.core import Measurement, RunOutcome, RunStart, RunStop
from daq.storage import Storage
from tests.benchmarks.table import Row

START = RunStart("rates", "rates", 1_700_000_000_000_000_000)
DONE = RunStop(RunOutcome.COMPLETED, START.started_ns + 1)
CHANNELS = tuple(f"sensor.c{number}" for number in range(1000))
BLOCK_S = 0.05
STEP = 1.25
LATE_S = 0.5
RING_S = 60.0
FRAME = (1024, 1024)

Produce = Callable[[Bus], Awaitable[dict[str, int]]]


@dataclass
class Acquired:
    """What came of it, in samples by channel."""

    produced: dict[str, int] = field(default_factory=dict)
    delivered: int = 0
    dropped: int = 0
    seconds: float = 0.0
    path: str = ""
    """The run's file."""
    ring: RingReader | None = None
    """It has ended; its newest blocks can still be read."""

    async def watch(self, view: LossySubscription) -> None:
        """Somebody who watches all of it, and keeps up or is told."""
        async for first in view:
            block: Measurement | None = first
            while block is not None:
                self.delivered += len(block)
                block = view.receive_nowait()
            self.dropped = view.dropped

    def stored(self) -> dict[str, int]:
        with h5py.File(self.path) as file:
            logs = file["entry/monitors"].values()
            return {str(log.attrs["channel"]): len(log["value"]) for log in logs}


async def acquire(directory: Path, produce: Produce, buffer_bytes: int = 256 << 20) -> Acquired:
    """Record, view and keep in the ring what `produce` publishes."""
    bus, acquired = Bus(), Acquired()
    storage = Storage(directory, bus, buffer_bytes=buffer_bytes)
    ring = RingWriter(directory / "ring", 64 << 20)
    acquired.ring = RingReader(ring.path)
    async with trio.open_nursery() as storing:
        await storing.start(storage.run)
        await storing.start(feed_ring, bus, ring)
        run = await storage.open_run(START)
        with bus.view(capacity=1 << 20, capacity_bytes=1 << 30) as view:
            async with trio.open_nursery() as watching:
                watching.start_soon(acquired.watch, view)
                began = trio.current_time()
                acquired.produced = await produce(bus)
                acquired.seconds = trio.current_time() - began
                view.close()
        acquired.path = (await run.close(DONE)).path
        with trio.move_on_after(RING_S):
            await _ring_has_all(acquired)
        storing.cancel_scope.cancel()
    return acquired


async def _ring_has_all(acquired: Acquired) -> None:
    """The ring comes after everybody else: what is still on its way to it arrives in the end."""
    for channel, count in acquired.produced.items():
        while (newest := acquired.ring.latest(channel)) and newest.sequence + len(newest) < count:
            await trio.sleep(0.01)


async def _paced(seconds: float, period_s: float, publish: Callable[[int], Awaitable[None]]) -> int:
    """Publish on time for as long; who is held up goes on as soon as possible."""
    began, rounds = trio.current_time(), max(1, round(seconds / period_s))
    for number in range(rounds):
        await publish(number)
        await trio.sleep_until(began + (number + 1) * period_s)
    return rounds


async def scalars(rate_hz: float, seconds: float, bus: Bus, *, block: int = 1) -> dict[str, int]:
    """1,000 channels, each sampled at this rate; `block` samples of one are published together."""

    async def publish(number: int) -> None:
        first = number * block
        times, values = START.started_ns + np.arange(first, first + block), np.full(block, number)
        for channel in CHANNELS:
            await bus.publish(Measurement(channel, times, values, "V", first))

    rounds = await _paced(seconds, block / rate_hz, publish)
    return dict.fromkeys(CHANNELS, rounds * block)


async def digitizer(rate_hz: float, seconds: float, bus: Bus) -> dict[str, int]:
    """One channel of 16 bits at this rate, in blocks of 50 ms."""
    samples = round(rate_hz * BLOCK_S)
    wave = np.arange(samples).astype("<i2")

    async def publish(number: int) -> None:
        first = number * samples
        times = np.arange(first, first + samples)
        await bus.publish(Measurement("digitizer", times, wave, "V", first))

    return {"digitizer": samples * await _paced(seconds, BLOCK_S, publish)}


async def camera(rate_hz: float, seconds: float, bus: Bus) -> dict[str, int]:
    """Frames of a megapixel of 16 bits at this rate; frame n is full of n modulo 8."""
    frames = [np.full((1, *FRAME), number, "<u2") for number in range(8)]

    async def publish(number: int) -> None:
        frame = frames[number % len(frames)]
        await bus.publish(Measurement("camera", np.array([number]), frame, "counts", number))

    return {"camera": await _paced(seconds, 1 / rate_hz, publish)}


SOURCES = (
    ("1,000 channels of scalars, one by one", scalars, 60.0, "Hz"),
    ("1,000 channels of scalars, ten at a time", partial(scalars, block=10), 200.0, "Hz"),
    ("a digitizer of 16 bits", digitizer, 4e6, "samples/s"),
    ("a camera of 1024 x 1024 x 16 bits", camera, 80.0, "frames/s"),
)


def measure(*, quick: bool) -> list[Row]:
    """A row each: the highest rate that held, and what gave way at the next."""
    return [
        trio.run(partial(_search, what, source, begin, units, 0.5 if quick else 10.0, quick=quick))
        for what, source, begin, units in SOURCES
    ]


async def _search(what, source, rate: float, units: str, seconds: float, *, quick: bool) -> Row:
    """Up from a rate that holds, or down to one."""
    verdict = await _try_twice(source, rate, seconds)
    while verdict and not quick:
        gave_way, rate = f"at {rate:,.0f} {units}: {verdict}", rate / STEP
        verdict = await _try_twice(source, rate, seconds)
        if not verdict:
            return _row(what, rate, units, seconds, gave_way)
    while not verdict and not quick:
        held, rate = rate, rate * STEP
        verdict = await _try_twice(source, rate, seconds)
    if quick:
        return _row(what, rate, units, seconds, verdict or "not raised any further")
    return _row(what, held, units, seconds, f"at {rate:,.0f} {units}: {verdict}")


def _row(what: str, held: float, units: str, seconds: float, gave_way: str) -> Row:
    said = f"{what}: produced = stored = delivered for {seconds:g} s"
    return Row(said, f"{held:,.0f} {units}", gave_way)


async def _try_twice(source, rate: float, seconds: float) -> str:
    """A machine that was busy with something else for a moment gets another chance."""
    return await _try(source, rate, seconds) and await _try(source, rate, seconds)


async def _try(source, rate: float, seconds: float) -> str:
    """What gave way at this rate; empty when nothing did."""
    said = _Said()
    logging.getLogger("daq.storage").addHandler(said)
    directory = Path(tempfile.mkdtemp())
    try:
        acquired = await acquire(directory, partial(source, rate, seconds))
        acquired.ring.close()
        assert acquired.stored() == acquired.produced
        assert acquired.delivered + acquired.dropped == sum(acquired.produced.values())
    finally:
        logging.getLogger("daq.storage").removeHandler(said)
        await trio.to_thread.run_sync(shutil.rmtree, directory)
    if said.is_behind:
        return "the recorder says that the disk does not keep up"
    if acquired.dropped:
        return f"the viewer missed {acquired.dropped:,} samples"
    late_s = acquired.seconds - seconds
    return f"produced {late_s:.1f} s late: the processor is busy" if late_s > LATE_S else ""


class _Said(logging.Handler):
    """Whether the recorder warned."""

    is_behind = False

    def emit(self, record: logging.LogRecord) -> None:
        self.is_behind = self.is_behind or "does not keep up" in record.getMessage()
