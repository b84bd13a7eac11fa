"""Rates: what is produced is stored and delivered, to the last sample, for as long as it is asked.

`DAQ_SLOW_FACTOR` scales the minute. Where a machine cannot keep a rate, the producer is held up and
takes longer: the counts must still be equal, and the rate that was reached is printed.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import h5py
import pytest

from tests.benchmarks.rates import Acquired, Produce, acquire, camera, digitizer, scalars

pytestmark = pytest.mark.slow

SECONDS = 60 * float(os.environ.get("DAQ_SLOW_FACTOR", "1.0"))
FRAME_BYTES = 2 << 20


async def reached(directory: Path, produce: Produce) -> Acquired:
    """Acquire with a GiB of patience, and say how fast it was."""
    acquired = await acquire(directory, produce, buffer_bytes=1 << 30)
    total = sum(acquired.produced.values())
    print(f"\n{total:,} samples in {acquired.seconds:.1f} s: {total / acquired.seconds:,.0f}/s")
    assert acquired.stored() == acquired.produced
    assert acquired.delivered + acquired.dropped == total
    return acquired


def check_viewers(acquired: Acquired) -> None:
    """Nothing was dropped on the way to who watched, in this process or another."""
    assert acquired.dropped == 0
    with acquired.ring as ring:
        assert ring.statistics().dropped == 0
        newest = {name: ring.latest(name) for name in list(acquired.produced)[:10]}
    for name, block in newest.items():
        if block is not None:
            assert block.sequence + len(block) == acquired.produced[name]


async def test_a_thousand_scalar_channels_at_100_hz(tmp_path):
    check_viewers(await reached(tmp_path, partial(scalars, 100, SECONDS, block=10)))


async def test_a_thousand_scalar_channels_at_100_hz_with_every_sample_published_alone(tmp_path):
    check_viewers(await reached(tmp_path, partial(scalars, 100, SECONDS)))


async def test_a_digitizer_at_10_million_samples_a_second(tmp_path):
    check_viewers(await reached(tmp_path, partial(digitizer, 10e6, SECONDS)))


async def test_a_camera_of_a_megapixel_at_500_frames_a_second(tmp_path):
    """For as long as a third of what is free on the disk lasts."""
    seconds = min(SECONDS, free_bytes(tmp_path) / 3 / FRAME_BYTES / 500)
    acquired = await reached(tmp_path, partial(camera, 500, seconds))
    acquired.ring.close()
    with h5py.File(acquired.path) as file:
        frames = file["entry/monitors/camera/value"]
        for number in range(0, len(frames), max(1, len(frames) // 50)):
            assert (frames[number] == number % 8).all()
    Path(acquired.path).unlink()


def free_bytes(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
