"""Thousands of executions with random stops, hostile ones among them: nothing is left behind."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import ctypes
import gc
import os
import random
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import trio

from daq.core import DaqError, StateError
from tests.benchmarks.hostile import meet
from tests.benchmarks.lab import Lab, open_lab
from tests.hostile_scripts import HOSTILE

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1"))
RUNS = max(100, round(10_000 * FACTOR))
HOSTILE_SHARE = 0.1
WARM_UP = 150
"""More than are kept in memory after their end."""
KB_PER_RUN = 20
"""What one line of history may cost, with the allocator's leftovers."""
SLACK_MB = 48
PATIENCE_S = 60
ORDINARY = (
    "print('hello')",
    "scan(['meter'], 'stage', 0, 1, 20)",
    "with open_run('steps', sample='none'):\n    for x in linspace(0, 1, 10):\n        device('stage').move_abs(x)\n        record('stage', 'meter', x=x)",
    "try:\n    device('slow_stage').move_abs(0.05)\nfinally:\n    device('stage').move_abs(0)",
    "for i in range(5):\n    sleep(0.002)\n    print(i)",
    "with open_run('fails'):\n    record('meter')\n    1 / 0",
    "import numpy as np\nrecord('meter', wave=np.zeros(1000))",
    "def main():\n    fly_scan(['meter'], 'slow_stage', 0, 0.02, interval=0.002)\n    return {'x': [1, 2, 3]}",
)  # fmt: skip


@dataclass(frozen=True)
class Possessions:
    """What a leak would add to."""

    descriptors: int
    threads: int
    scripts: int
    zygote_descriptors: int
    tasks: int


async def possessions(lab: Lab) -> Possessions:
    gc.collect()
    zygote = lab.sandbox.statistics().zygote_pid
    children = Path(f"/proc/{zygote}/task/{zygote}/children")
    with trio.fail_after(PATIENCE_S):
        while children.read_text():  # dead, but the zygote has yet to look
            await trio.sleep(0.002)
    return Possessions(
        len(list(Path("/proc/self/fd").iterdir())),
        sum(not t.name.startswith("Trio thread") for t in threading.enumerate()),
        len(children.read_text().split()),
        len(list(Path(f"/proc/{zygote}/fd").iterdir())),
        trio.lowlevel.current_statistics().tasks_living,
    )


def resident_kb(pid: int | str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


def memory_kb(lab: Lab) -> dict[str, int]:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return {
        "daemon": resident_kb("self"),
        "zygote": resident_kb(lab.sandbox.statistics().zygote_pid),
    }


async def disturb(lab: Lab, execution_id: str, choice: random.Random) -> None:
    """What a person at a bench may do to it, at any moment of its life."""
    await trio.sleep(choice.choice([0, 0, 0.001, 0.005, 0.02]))
    action = choice.choice(["leave", "leave", "stop", "force", "both", "pause"])
    try:
        match action:
            case "stop":
                await lab.queue.stop(execution_id, grace_s=5)
            case "force":
                await lab.queue.stop(execution_id, force=True)
            case "both":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lab.queue.stop, execution_id)
                    nursery.start_soon(lambda: lab.queue.stop(execution_id, force=True))
            case "pause":
                await lab.queue.pause(execution_id)
                await lab.queue.stop(execution_id)
    except StateError:
        pass  # it had ended, or has not begun


async def ordinary(lab: Lab, choice: random.Random) -> str:
    execution_id = await lab.submit(choice.choice(ORDINARY))
    await disturb(lab, execution_id, choice)
    try:
        return await lab.finish(execution_id)
    except DaqError as error:
        raise AssertionError(execution_id) from error


async def one(lab: Lab, choice: random.Random, number: int) -> str:
    with trio.fail_after(PATIENCE_S):
        if choice.random() < HOSTILE_SHARE:
            script = list(HOSTILE.values())[number % len(HOSTILE)]
            return (await meet(lab, script, force=choice.random() < 0.7)).state
        if choice.random() < 0.1:  # some wait behind another one
            ends: list[str] = []

            async def another() -> None:
                ends.append(await ordinary(lab, choice))

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(another)
            return ends[-1]
        return await ordinary(lab, choice)


@pytest.mark.slow
async def test_thousands_of_executions_leave_nothing_behind() -> None:
    choice = random.Random(7)
    ends: Counter[str] = Counter()
    async with open_lab() as lab:
        for number in range(WARM_UP):
            await one(lab, choice, number)
        before, memory = await possessions(lab), memory_kb(lab)
        for number in range(RUNS):
            ends[await one(lab, choice, number)] += 1
        after, grown = await possessions(lab), memory_kb(lab)
        assert await lab.run("print('still there')") == ["still there"]
        runs, total = await lab.storage.list_runs(limit=1_000_000)
    assert set(ends) == {"COMPLETED", "ERROR", "STOPPED", "KILLED"}
    assert asdict(after) == asdict(before)
    allowed = SLACK_MB * 1024 + RUNS * KB_PER_RUN
    assert {who: kb - memory[who] for who, kb in grown.items() if kb - memory[who] > allowed} == {}
    assert total > RUNS / 10
    assert [run.name for run in runs if run.outcome is None] == []
