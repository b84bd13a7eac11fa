"""Thousands of executions with random stops, hostile ones among them: nothing is left behind."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import ctypes
import gc
import os
import random
import statistics
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import trio

from daq.core import DaqError, RunOutcome, RunSummary, StateError
from tests.benchmarks.hostile import meet
from tests.benchmarks.lab import Lab, open_lab
from tests.hostile_scripts import HOSTILE

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1"))
RUNS = max(100, round(10_000 * FACTOR))
HOSTILE_SHARE = 0.1
WARM_UP = 150
"""More than are kept in memory after their end."""
KB_PER_RUN = 6
"""What one line of history may cost, with the allocator's leftovers."""
SLACK_MB = 32
SAMPLES = 20
"""How often memory is looked at."""
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


OUTCOMES = {
    "COMPLETED": RunOutcome.COMPLETED,
    "ERROR": RunOutcome.FAILED,
    "STOPPED": RunOutcome.STOPPED,
    "KILLED": RunOutcome.KILLED,
}


@dataclass(frozen=True)
class Possessions:
    """What a leak would add to."""

    descriptors: int
    threads: int
    children: int
    """Of this process: the zygote."""
    scripts: int
    """Of the zygote."""
    zygote_descriptors: int
    zygote_threads: int
    tasks: int


async def possessions(lab: Lab) -> Possessions:
    gc.collect()
    zygote = lab.sandbox.statistics().zygote_pid
    with trio.fail_after(PATIENCE_S):
        while children_of(zygote):  # dead, but the zygote has yet to look
            await trio.sleep(0.002)
    return Possessions(
        len(list(Path("/proc/self/fd").iterdir())),
        sum(not t.name.startswith("Trio thread") for t in threading.enumerate()),
        children_of(os.getpid()),
        children_of(zygote),
        len(list(Path(f"/proc/{zygote}/fd").iterdir())),
        len(list(Path(f"/proc/{zygote}/task").iterdir())),
        trio.lowlevel.current_statistics().tasks_living,
    )


def children_of(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(len((task / "children").read_text().split()) for task in tasks)


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


def slope_kb(samples: Sequence[tuple[int, dict[str, int]]], who: str) -> float:
    """How much memory one more execution costs, KB: the straight line through the samples."""
    numbers = [number for number, _ in samples]
    return statistics.linear_regression(numbers, [kb[who] for _, kb in samples]).slope


def agrees(run: RunSummary, ended: Mapping[str, str]) -> bool:
    """A run ends as its execution did, unless the script had closed it before."""
    return run.outcome in (
        RunOutcome.COMPLETED,
        RunOutcome.FAILED,
        OUTCOMES[ended[run.execution_id]],
    )


@pytest.mark.slow
async def test_thousands_of_executions_leave_nothing_behind() -> None:
    choice = random.Random(7)
    ends: Counter[str] = Counter()
    memory: list[tuple[int, dict[str, int]]] = []
    async with open_lab() as lab:
        for number in range(WARM_UP):
            await one(lab, choice, number)
        before = await possessions(lab)
        for number in range(RUNS):
            if number % (RUNS // SAMPLES) == 0:
                memory.append((number, memory_kb(lab)))
                print(number, dict(ends), memory[-1][1], await possessions(lab), flush=True)
            ends[await one(lab, choice, number)] += 1
        memory.append((RUNS, memory_kb(lab)))
        after = await possessions(lab)
        assert await lab.run("print('still there')") == ["still there"]
        runs, total = await lab.storage.list_runs(limit=1_000_000)
    print(f"{RUNS} executions: {dict(ends)}, {total} runs; {before} before, {after} after")
    print({who: f"{slope_kb(memory, who):.2f} KB per execution" for who in memory[0][1]})
    assert set(ends) == {"COMPLETED", "ERROR", "STOPPED", "KILLED"}
    assert asdict(after) == asdict(before)
    grown = {who: memory[-1][1][who] - kb for who, kb in memory[0][1].items()}
    assert {who: kb for who, kb in grown.items() if kb > SLACK_MB * 1024 + RUNS * KB_PER_RUN} == {}
    assert total > RUNS / 10
    assert [run.name for run in runs if run.outcome is None] == []
    ended = {each: lab.queue.view(each).record.state.value for each in lab.queue.matching()}
    wrong = [(r.outcome, ended[r.execution_id], r.reason) for r in runs if not agrees(r, ended)]
    assert wrong == []
