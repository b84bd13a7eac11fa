"""A callback that listens for hours: as many samples as an hour brings, faster."""

from __future__ import annotations

import os

import pytest

from daq.client import Bench
from daq.storage.memory import resident_mb

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1.0"))


@pytest.mark.slow
def test_memory_stays_flat_while_a_stream_is_read(bench: Bench) -> None:
    samples, wanted = 0, int(36_000_000 * FACTOR)  # an hour at 10 kHz
    with bench.digitizer("digitizer").acquire() as blocks:
        for _ in range(50):
            samples += len(next(blocks))
        before = resident_mb()
        while samples < wanted:
            samples += len(next(blocks))
    assert resident_mb() - before < 50
