"""Compressed frames: smaller, the same, also after a crash."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
import trio

from daq.bus import Bus
from daq.core import Column, ConfigurationError, Event, RunOutcome, RunStart, RunStop
from daq.storage import Storage
from daq.storage.files import compression
from daq.storage.files.compression import compression_filters
from daq.storage.files.conversion import convert_journal
from daq.storage.files.directories import Directories
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.run_journal import begin_journal

START = RunStart("abc", "frames", 1_700_000_000_000_000_000)
COLUMNS = (
    Column("stage", "mm", "<f8", (), "stage", "positioner"),
    Column("camera", "counts", "<u2", (200, 300), "camera"),
)
NAMES = ["gzip", "lzf"] + ["blosc2", "bitshuffle", "zstd", "lz4"] * (
    find_spec("hdf5plugin") is not None
)


def frame(number: int) -> np.ndarray:
    return np.random.default_rng(number).poisson(50, (200, 300)).astype("<u2")


def event(number: int) -> Event:
    values = {"stage": number / 2, "camera": frame(number)}
    return Event("primary", number, START.started_ns + number, COLUMNS, values, {})


def check(path: Path, events: int) -> None:
    with h5py.File(path) as file:
        camera = file["entry/primary/camera"]
        assert camera.shape[0] == events
        for number in range(events):
            np.testing.assert_array_equal(camera[number], frame(number))
        assert camera.id.get_storage_size() < 0.9 * events * frame(0).nbytes
        assert file["entry/primary/stage"].compression is None


@pytest.mark.parametrize("name", NAMES)
async def test_frames_are_stored_compressed_and_read_back_the_same(
    tmp_path: Path, name: str
) -> None:
    storage = Storage(tmp_path, Bus(), compression=name)
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        await storage.wait_recovered()
        run = await storage.open_run(START)
        for number in range(4):
            await run.append(event(number))
        blocks = [block async for block in storage.read_run("abc")]
        np.testing.assert_array_equal(blocks[0].values["camera"][3], frame(3))
        summary = await run.close(RunStop(RunOutcome.COMPLETED, 2))
        blocks = [block async for block in storage.read_run("abc")]
        np.testing.assert_array_equal(blocks[0].values["camera"][3], frame(3))
        nursery.cancel_scope.cancel()
    check(Path(summary.path), 4)


def test_a_crashed_run_is_recovered_compressed(tmp_path: Path) -> None:
    directories = Directories(tmp_path)
    directories.create()
    journal = directories.journal("abc")
    writer, encoder = begin_journal(journal, START), RunEncoder()
    for number in range(3):
        writer.write(encoder.event(event(number)))
    writer.close()
    done = convert_journal(journal, directories, None, compression_filters("gzip"))
    assert done is not None
    assert done.points == 3
    check(done.path, 3)


def test_a_compression_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="'rar' is not known") as caught:
        compression_filters("rar")
    assert "gzip, lzf, bitshuffle" in caught.value.advice
    monkeypatch.setattr(compression, "load_filters", lambda: False)
    with pytest.raises(ConfigurationError, match="needs hdf5plugin"):
        compression_filters("blosc2")
    assert compression_filters("") == MappingProxyType({})
