"""A disk that fails under HDF5: the file is given up, and the process lives."""

from __future__ import annotations

import errno
import gc
import os
from itertools import count

import h5py
import numpy as np
import pytest

from daq.core import Column, RunOutcome, RunStart, RunStop, StorageError
from daq.storage.files.hdf5_file import RunFile
from daq.storage.files.hdf5_sink import Hdf5Sink
from daq.storage.journal.row_records import RowBatch

START = RunStart("abc", "run", 10**18)
COLUMNS = (*(Column(f"c{n}", "V", "<f8") for n in range(20)), Column("t", "", "O"))
DONE = RunStop(RunOutcome.COMPLETED, 10**18 + 1)


class FullDisk:
    """Takes no more than so many bytes, whoever writes them; None for without end."""

    def __init__(self, monkeypatch):
        self.room = None
        self.code = errno.ENOSPC
        self._real = os.pwrite
        monkeypatch.setattr(os, "pwrite", self._write)

    def _write(self, fd, data, offset):
        if self.room is not None and self.room < len(data):
            raise OSError(self.code, os.strerror(self.code))
        if self.room is not None:
            self.room -= len(data)
        return self._real(fd, data, offset)


@pytest.fixture
def disk(monkeypatch):
    return FullDisk(monkeypatch)


def rows(first):
    values = {c.name: np.arange(50, dtype="f8") for c in COLUMNS[:-1]}
    values["t"] = np.array(["text" * 20] * 50, object)
    times = np.zeros((50, len(COLUMNS)), np.int64)
    return RowBatch("primary", COLUMNS, first, np.arange(50), times, values)


def write_without_end(file):
    for number in count():
        file.write_rows(rows(50 * number))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("room", [0, 3000, 20_000, 100_000, 300_000])
def test_an_error_of_the_disk_is_raised_once_and_hdf5_closes_in_peace(tmp_path, disk, room, code):
    disk.room, disk.code = room, code
    file = RunFile(tmp_path / "run.h5", START)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_without_end(file)
    file.abandon()
    del file
    gc.collect()
    disk.room = None
    again = RunFile(tmp_path / "run.h5", START)
    again.write_rows(rows(0))
    again.finish(DONE)
    with h5py.File(tmp_path / "run.h5") as found:
        assert found["entry/primary/c3"].shape == (50,)


def test_an_error_that_comes_in_the_close_leaves_no_complete_file(tmp_path, disk):
    file = RunFile(tmp_path / "run.h5", START)
    file.write_rows(rows(0))
    disk.room = 100
    with pytest.raises(StorageError, match="No space left"):
        file.finish(DONE)
    file.abandon()
    assert not (tmp_path / "run.h5").exists()


def test_what_the_disk_did_not_take_is_read_back_as_it_was_written(tmp_path, disk):
    sink = Hdf5Sink(tmp_path / "file")
    sink.write(memoryview(b"on the disk"))
    disk.room = 0
    sink.seek(3)
    sink.write(memoryview(b"NOT"))
    sink.seek(5)
    sink.write(memoryview(b"newer"))
    sink.seek(0)
    assert sink.read(14) == b"on NOnewersk"[:10] + b"k" + bytes(3)
    assert sink.failure is not None
    with pytest.raises(OSError, match="No space left"):
        sink.sync()
    sink.close()


def test_a_short_write_is_continued(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
    sink = Hdf5Sink(tmp_path / "file")
    sink.write(memoryview(b"in small bites"))
    sink.close()
    assert (tmp_path / "file").read_bytes() == b"in small bites"
