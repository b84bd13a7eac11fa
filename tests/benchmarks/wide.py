"""Runs of many columns: what they cost to close, on disk, to read, and to recover."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import trio

from daq.bus import Bus
from daq.core import Column, Event, RunOutcome, RunStart, RunStop
from daq.storage import Storage
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_reader import read_block
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.run_journal import begin_journal
from tests.benchmarks.table import Row

__all__ = ["measure"]

STOP = RunStop(RunOutcome.COMPLETED, 1)
BEAT_S = 0.005


async def measure(*, quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer columns."""
    widths = (100, 1000) if quick else (100, 1000, 4000, 10_000, 20_000)
    with tempfile.TemporaryDirectory() as name:
        rows = [await _closing(Path(name) / str(width), width, 3) for width in widths]
        lost = Path(name) / "lost"
        return [*rows, *await _recovering(lost, *((500, 20) if quick else (10_000, 300)))]


def _event(columns: tuple[Column, ...], number: int) -> Event:
    values = {column.name: float(number) for column in columns}
    return Event("primary", number, number, columns, values, {})


async def _closing(directory: Path, width: int, count: int) -> Row:
    columns = tuple(Column(f"c{n}", "V", "<f8") for n in range(width))
    storage, worst = Storage(directory, Bus()), [0.0]
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        run = await storage.open_run(RunStart("wide", "wide", 1))
        nursery.start_soon(_beat, worst)
        began = time.perf_counter()
        for number in range(count):
            await run.append(_event(columns, number))
        recorded, cpu = time.perf_counter(), time.process_time()
        path = Path((await run.close(STOP)).path)
        closed, cpu = time.perf_counter(), time.process_time() - cpu
        nursery.cancel_scope.cancel()
    began_reading = time.perf_counter()
    block = read_block(path, "primary", (), 0)
    read = time.perf_counter() - began_reading
    assert block is not None
    assert block.values[f"c{width - 1}"].tolist() == [0.0, 1.0, 2.0]
    return Row(
        f"{count} events of {width} columns",
        f"recorded in {recorded - began:.2f} s, closed in {closed - recorded:.2f} s "
        f"({cpu:.2f} s of the processor), read back in {read:.2f} s, "
        f"{path.stat().st_size / width:.0f} bytes a column; the loop was late by "
        f"{worst[0] * 1e3:.0f} ms",
        goal="<= 100 ms late",
    )


async def _beat(worst: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await trio.sleep(BEAT_S)
        worst[0] = max(worst[0], time.perf_counter() - began - BEAT_S)


async def _recovering(directory: Path, width: int, count: int) -> list[Row]:
    """Three journals, as a killed daemon leaves them."""
    directories = Directories(directory)
    directories.create()
    columns = tuple(Column(f"c{n}", "V", "<f8") for n in range(width))
    size = 0
    for run in "abc":
        writer = begin_journal(directories.journal(run), RunStart(run, "lost", ord(run)))
        encoder = RunEncoder()
        for number in range(count):
            writer.write(encoder.event(_event(columns, number)))
        size += writer.size
        writer.close()
    storage, worst = Storage(directory, Bus()), [0.0]
    async with trio.open_nursery() as nursery:
        began, cpu = time.perf_counter(), time.process_time()
        await nursery.start(storage.run)
        ready = time.perf_counter() - began
        nursery.start_soon(_beat, worst)
        await storage.wait_recovered()
        spent, cpu = time.perf_counter() - began, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    points = sum(run.points for run in storage.recovered)
    what = f"three journals of {width} columns, {size / 1e6:.0f} MB"
    return [
        Row(
            f"{what}: storage answers",
            f"{ready * 1e3:.0f} ms after its start; late by {worst[0] * 1e3:.0f} ms",
            goal="<= 100 ms late",
        ),
        Row(
            f"{what}: recovered",
            f"{spent / size * 1e9:.0f} s/GB ({cpu / size * 1e9:.0f} of the processor), "
            f"{points} of {3 * count} events",
        ),
    ]
