"""What was acknowledged survives kill -9 and a full disk."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import trio

from daq.bus import Bus
from daq.core import RunOutcome
from daq.storage import Storage

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1"))
PROGRAM = Path(__file__).with_name("recording_process.py")
ROOT = PROGRAM.parents[3]


def _load_program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recording_process", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recording = _load_program()


def record(directory: Path, kill_after_s: float | None, limit_bytes: int = 0) -> dict[str, int]:
    """Run the recording process until it is dead; returns stream -> events acknowledged."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(directory), str(limit_bytes)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        output = process.stdout.readline()
        assert output.startswith(b"primary 0")
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            process.kill()
        output += process.stdout.read()
        assert process.wait() == -signal.SIGKILL
    lines = output.decode().splitlines(keepends=True)
    said = [line.split(maxsplit=1) for line in lines if line.endswith("\n")]
    if limit_bytes:
        assert said[-1][0] == "refused"
        assert "victim.journal: cannot be appended to: File too large" in said[-1][1]
    return {stream: int(i) + 1 for stream, i in said if stream != "refused"}


async def check_recovery(directory: Path, acknowledged: dict[str, int]) -> None:
    storage = Storage(directory, Bus())
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        await storage.wait_recovered()
        (summary,) = storage.recovered
        assert summary.outcome is RunOutcome.INTERRUPTED
        description = await storage.describe_run("victim")
        points = {stream.name: stream.points for stream in description.streams}
        assert summary.events == sum(points.values())
        for stream, count in acknowledged.items():
            # One more may have been stored whose acknowledgement was killed on its way.
            assert count <= points[stream] <= count + 1
            await check_stream(storage, stream, points[stream])
        nursery.cancel_scope.cancel()
    assert list((directory / "journal").iterdir()) == []
    with h5py.File(summary.path) as file:
        assert file["entry"].attrs["outcome"] == "interrupted"
    assert not list((directory / "runs").rglob("*.partial"))


async def check_stream(storage: Storage, stream: str, points: int) -> None:
    seen = 0
    async with aclosing(storage.read_run("victim", stream)) as blocks:
        async for block in blocks:
            for row in range(len(block.timestamps)):
                for name, expected in recording.values(stream, seen).items():
                    assert np.array_equal(block.values[name][row], expected)
                seen += 1
    assert seen == points


@pytest.mark.parametrize("attempt", range(4))
async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, attempt: int) -> None:
    delay = random.Random(attempt).uniform(0.0, 1.2)
    acknowledged = await trio.to_thread.run_sync(record, tmp_path, delay)
    assert acknowledged["primary"] > 0
    await check_recovery(tmp_path, acknowledged)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(max(8, round(50 * FACTOR))))
async def test_kill_9_again_and_again(tmp_path: Path, attempt: int) -> None:
    delay = random.Random(100 + attempt).uniform(0.0, 2.0)
    await check_recovery(tmp_path, await trio.to_thread.run_sync(record, tmp_path, delay))


@pytest.mark.parametrize("limit_bytes", [300_000, 2_000_001])
async def test_a_disk_that_takes_no_more_refuses_loudly_and_keeps_the_rest(
    tmp_path: Path, limit_bytes: int
) -> None:
    acknowledged = await trio.to_thread.run_sync(record, tmp_path, None, limit_bytes)
    await check_recovery(tmp_path, acknowledged)
