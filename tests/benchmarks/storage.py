"""The disk: rows, frames, recovery and the list of runs."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import h5py
import numpy as np
import trio

from daq.bus import Bus
from daq.core import Column, Event, RunOutcome, RunStart, RunStop, RunSummary
from daq.storage import RunRecorder, Storage
from daq.storage.catalogue.database import Database
from daq.storage.files.directories import Directories
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.run_journal import begin_journal
from tests.benchmarks.table import Row, summary

ROW = tuple(Column(f"c{n}", "V", "<f8", (), f"c{n}") for n in range(4))
FRAME = (Column("camera", "counts", "<u2", (1024, 1024), "camera"),)
DONE = RunStop(RunOutcome.COMPLETED, 1)
RUNS = 100_000
PAGE = 50


async def measure(*, quick: bool) -> list[Row]:
    """All rows; `quick` shortens the series, not the path."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        rows = [await _rows(directory / "rows", 500 if quick else 20_000)]
        rows += await _frames(directory / "frames", 40 if quick else 400, 1 if quick else 3)
        rows += [await _recovery(directory / "recovery", 40 if quick else 500)]
        rows += [await _rebuilding(directory / "rebuilding", 20 if quick else 300)]
        return [*rows, *await _listing(directory / "listing", 5 if quick else 50)]


@asynccontextmanager
async def _storing(directory: Path) -> AsyncIterator[Storage]:
    storage = Storage(directory, Bus())
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        await storage.wait_recovered()
        yield storage
        nursery.cancel_scope.cancel()


def _row(number: int) -> Event:
    values = {column.name: number * 0.5 for column in ROW}
    return Event("primary", number, number, ROW, values, dict.fromkeys(values, number))


async def _rows(directory: Path, count: int) -> Row:
    events = [_row(number) for number in range(count)]
    async with _storing(directory) as storage:
        run = await storage.open_run(RunStart("rows", "rows", 1))
        spent = []
        for event in events:
            began = time.perf_counter()
            await run.append(event)
            spent.append(time.perf_counter() - began)
        await run.close(DONE)
    peer = await trio.to_thread.run_sync(_h5py_rows, directory / "peer.h5", min(count, 3000))
    return Row(
        "acknowledged row of 4 columns",
        summary(spent, "us"),
        f"h5py append and flush: {peer * 1e6:.0f} µs",
        statistics.median(spent) / peer,
        "<= 10 µs",
    )


def _h5py_rows(path: Path, count: int) -> float:
    """Seconds a row, the median, of appending to four datasets and flushing under SWMR."""
    spent = []
    with h5py.File(path, "w", libver="latest") as file:
        columns = [
            file.create_dataset(c.name, (0,), "<f8", maxshape=(None,), chunks=(1024,)) for c in ROW
        ]
        file.swmr_mode = True
        for number in range(count):
            began = time.perf_counter()
            for column in columns:
                column.resize(number + 1, axis=0)
                column[number] = number * 0.5
            for column in columns:
                column.flush()
            spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 4096, FRAME[0].shape, dtype="<u2") for _ in range(min(count, 8))]


async def _frames(directory: Path, count: int, rounds: int) -> list[Row]:
    images = _images(count)
    rates: dict[str, list[float]] = {"ours": [], "h5py": [], "raw": []}
    for number in range(rounds):
        folder = directory / str(number)
        for name, work in (("h5py", _h5py_frames), ("raw", _raw_frames)):
            folder.mkdir(parents=True, exist_ok=True)
            rates[name].append(await trio.to_thread.run_sync(work, folder / name, images, count))
            (folder / name).unlink()
        rates["ours"].append(await _our_frames(folder / "ours", images, count))
    best = {name: max(series) for name, series in rates.items()}
    return [
        Row(
            "frames of 2 MiB, each acknowledged, on disk at the end",
            f"{best['ours']:.2f} GB/s",
            f"{what}: {best[name]:.2f} GB/s",
            best[name] / best["ours"],
            goal,
        )
        for name, what, goal in (
            ("h5py", "h5py direct chunks, fsync", "<= 1.25"),
            ("raw", "a raw file, fsync", ""),
        )
    ]


async def _our_frames(directory: Path, images: list[np.ndarray], count: int) -> float:
    async with _storing(directory) as storage:
        run = await storage.open_run(RunStart("frames", "frames", 1))
        began = time.perf_counter()
        await _append_frames(run, images, count)
        await run.close(DONE)
        spent = time.perf_counter() - began
    return count * images[0].nbytes / spent / 1e9


async def _append_frames(run: RunRecorder, images: list[np.ndarray], count: int) -> None:
    for number in range(count):
        values = {"camera": images[number % len(images)]}
        await run.append(Event("primary", number, number, FRAME, values, {}))


def _h5py_frames(path: Path, images: list[np.ndarray], count: int) -> float:
    began = time.perf_counter()
    shape = FRAME[0].shape
    with h5py.File(path, "w", libver="latest") as file:
        camera = file.create_dataset(
            "camera", (0, *shape), "<u2", maxshape=(None, *shape), chunks=(1, *shape)
        )
        for number in range(count):
            camera.resize(number + 1, axis=0)
            camera.id.write_direct_chunk((number, 0, 0), images[number % len(images)])
    _sync(path)
    return count * images[0].nbytes / (time.perf_counter() - began) / 1e9


def _raw_frames(path: Path, images: list[np.ndarray], count: int) -> float:
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for number in range(count):
            file.write(images[number % len(images)].data)
    _sync(path)
    return count * images[0].nbytes / (time.perf_counter() - began) / 1e9


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


async def _recovery(directory: Path, count: int) -> Row:
    """A journal of rows with waveforms of 32 KiB, as a killed daemon leaves it."""
    wave = Column("digitizer", "V", "<f4", (8192,), "digitizer")
    data = np.zeros(wave.shape, "<f4")
    directories = Directories(directory)
    directories.create()
    writer, encoder = begin_journal(directories.journal("lost"), RunStart("lost", "r", 1)), None
    encoder = RunEncoder()
    for number in range(count * 64):
        values = {"digitizer": data}
        writer.write(encoder.event(Event("primary", number, number, (wave,), values, {})))
    size = writer.size
    writer.close()
    began = time.perf_counter()
    async with _storing(directory) as storage:
        spent = time.perf_counter() - began
        (found,) = storage.recovered
    assert found.points == count * 64
    return Row(
        f"recovery at the start, a journal of {size / 1e6:.0f} MB",
        f"{spent / size * 1e9:.2f} s/GB",
    )


async def _rebuilding(directory: Path, count: int) -> Row:
    """The catalogue from the files: runs of 10 rows."""
    async with _storing(directory) as storage:
        for number in range(count):
            run = await storage.open_run(RunStart(f"{number:08x}", "scan", 10**18))
            for row in range(10):
                await run.append(_row(row))
            await run.close(DONE)
        began = time.perf_counter()
        async with aclosing(storage.rebuild_catalogue()) as steps:
            (*_, last) = [step async for step in steps]
        spent = time.perf_counter() - began
    assert last.files == count
    return Row(f"catalogue rebuilt from {count} files", f"{spent / count * 1e3:.2f} ms a file")


async def _listing(directory: Path, rounds: int) -> list[Row]:
    directories = Directories(directory)
    directories.create()
    database = Database(directories.database)
    await database.open()
    await database.execute(_fill)
    await database.mark_whole()
    await database.close()
    async with _storing(directory) as storage:
        first, last, named = [], [], []
        for _ in range(rounds):
            first.append(await _timed_page(storage, limit=PAGE))
            last.append(await _timed_page(storage, limit=PAGE, offset=RUNS - PAGE))
            named.append(await _timed_page(storage, limit=PAGE, name="scan_7*"))
    return [
        Row(f"a page of {PAGE} of {RUNS} runs: {what}", summary(series), goal="<= 50 ms")
        for what, series in (("the newest", first), ("the oldest", last), ("by name", named))
    ]


async def _timed_page(storage: Storage, **asked) -> float:
    began = time.perf_counter()
    runs, _ = await storage.list_runs(**asked)
    assert len(runs) == PAGE
    return time.perf_counter() - began


def _fill(connection) -> None:
    from daq.storage.catalogue.catalogue import _PUT, _to_row

    rows = (
        _to_row(
            RunSummary(f"{n:032x}", f"scan_{n % 100}", n, n + 1, RunOutcome.COMPLETED, points=41,
                       metadata={"sample": "none"})
        )
        for n in range(RUNS)
    )  # fmt: skip
    connection.executemany(_PUT, rows)
