"""The ring between processes: nothing torn, nothing uncounted, whatever the writer does."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from daq.bus import ring_layout
from daq.bus.ring import RingReader

PROGRAM = Path(__file__).with_name("ring_writer_process.py")
CAPACITY = 128 << 10


@contextmanager
def writing(path: Path, blocks: int, ending: str = "closed"):
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(path), str(CAPACITY), str(blocks), ending],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def begin(process: subprocess.Popen[str]) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


def wait_for_laps(reader: RingReader, laps: int) -> None:
    """Until the writer has come round so often, so that the reader has lost something."""
    deadline = time.monotonic() + 60
    while reader._words[ring_layout.HEAD] < laps * reader.capacity:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("ending", ["closed", "killed"])
def test_no_copy_is_torn_and_every_sample_is_accounted_for(tmp_path, ending):
    with (
        writing(tmp_path / "ring", 20_000, ending) as process,
        RingReader(tmp_path / "ring") as reader,
    ):
        begin(process)
        wait_for_laps(reader, 3)
        expected = 0
        for block in reader.follow():
            assert (block.values == block.sequence).all()
            assert (block.timestamps == block.sequence).all()
            assert block.sequence >= expected
            expected = block.sequence + len(block)
        written = int(process.stdout.readline())
        statistics = reader.statistics()
        assert expected == written
        assert statistics.overruns >= 1
        assert statistics.delivered + statistics.lost == written


def test_what_was_computed_from_an_intact_view_is_right(tmp_path):
    with (
        writing(tmp_path / "ring", 20_000) as process,
        RingReader(tmp_path / "ring") as reader,
    ):
        begin(process)
        wait_for_laps(reader, 2)
        intact = 0
        while not (reader.has_ended() and reader.statistics().behind_bytes == 0):
            view = reader.view()
            if view is None:
                continue
            mean, spread = view.block.values.mean(), np.ptp(view.block.timestamps)
            if view.is_intact():
                intact += 1
                assert mean == view.block.sequence
                assert spread == 0
        assert intact > 0


def test_the_newest_block_is_never_torn_either(tmp_path):
    with (
        writing(tmp_path / "ring", 5_000) as process,
        RingReader(tmp_path / "ring") as reader,
    ):
        begin(process)
        newest = -1
        while not reader.has_ended():
            block = reader.latest("fast")
            if block is not None:
                assert (block.values == block.sequence).all()
                assert block.sequence >= newest
                newest = block.sequence
        assert newest >= 0
