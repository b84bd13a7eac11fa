"""Every hostile script through the real queue: it ends, its device stops, the daemon answers."""

from __future__ import annotations

import math

import pytest
import trio

from daq.core import StopOutcome
from tests.benchmarks.hostile import Heartbeat, meet
from tests.benchmarks.lab import open_lab
from tests.hostile_scripts import HOSTILE, PREFACE_LINES, REFUSED, Yields

LONGEST_FORCE_S = 2.0
RESPONSIVE_S = 1.0
"""Far above what is measured, for machines that do other things too."""
STATES = {
    Yields.TO_STOP: {"STOPPED"},
    Yields.TO_FORCE: {"KILLED"},
    Yields.TO_EITHER: {"STOPPED", "KILLED", "ERROR"},
    Yields.BY_ITSELF: {"ERROR", "KILLED"},
}


@pytest.mark.parametrize("force", [False, True], ids=["graceful", "force"])
async def test_every_hostile_script_ends_with_its_device_stopped(force) -> None:
    problems = []
    async with open_lab() as lab, trio.open_nursery() as nursery:
        heartbeat = Heartbeat()
        nursery.start_soon(heartbeat.run)
        for script in HOSTILE.values():
            heartbeat.take()
            meeting = await meet(lab, script, force=force)
            problem = _problem(meeting, script, force=force, delay_s=heartbeat.take())
            if problem:
                problems.append(f"{script.name}: {problem}; {meeting}")
        assert await open_runs(lab) == []
        assert await lab.run("print('still there')") == ["still there"]
        nursery.cancel_scope.cancel()
    assert problems == [], "\n".join(problems)


async def open_runs(lab) -> list[str]:
    runs, _ = await lab.storage.list_runs(limit=1_000_000)
    return [run.name for run in runs if run.outcome is None]


def _problem(meeting, script, *, force, delay_s) -> str:
    ended_by_force = force and script.yields is not Yields.BY_ITSELF
    expected = {"KILLED"} if ended_by_force else STATES[script.yields]
    if meeting.state not in expected:
        return f"not {' or '.join(sorted(expected))}"
    if not meeting.message:
        return "no message"
    if delay_s > RESPONSIVE_S:
        return f"the daemon was delayed by {delay_s:.3f} s"
    report = meeting.report
    if report is None:
        return ""
    if math.isnan(meeting.hardware_s):
        return "its device was not stopped"
    if {d.device for d in report.devices} < {"slow_stage"}:
        return "its device is not in the answer"
    if any(d.outcome not in (StopOutcome.STOPPED, StopOutcome.IDLE) for d in report.devices):
        return "a device was not stopped"
    if force and report.duration_s > LONGEST_FORCE_S:
        return "it took too long"
    if report.line <= PREFACE_LINES:
        return "the answer does not say where it stood"
    return ""


@pytest.mark.parametrize("name", REFUSED)
async def test_some_do_not_even_start(name, sandbox) -> None:
    async with sandbox() as box:
        check = await box.check(REFUSED[name], "s.py")
    assert not check.accepted
    assert all(d.message and d.line for d in check.diagnostics)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "i = 0\nwhile True:\n    i += 1\n    record('meter', **{f'c{i}': 1})",
            "got other columns 256 times, which is the limit",
        ),
        ("record('meter', x=[[1], [1, 2]])", "a list of lists of different lengths cannot be kept"),
        ("record('meter', x={1: 2})", "record(x=...): a mapping cannot be kept"),
        (
            "x = []\nx.append(x)\nrecord('meter', x=x)",
            "nested more than 32 deep, or inside of itself",
        ),
        ("record('meter', x='a' * (1 << 25))", "more than the limit of 16 MB for one request"),
        ("def f(): f()\nf()", "functions may be nested 1000 deep"),
        ("x = [0] * 10**10", "more than its 512 MB of memory (memory_mb)"),
        ("sleep(float('nan'))", "sleep() takes a number of seconds"),
    ],
)
async def test_what_goes_too_far_is_told_in_words(source, message) -> None:
    async with open_lab() as lab:
        execution_id = await lab.submit(source)
        with trio.fail_after(60):
            assert await lab.finish(execution_id) == "ERROR"
        record = lab.queue.view(execution_id).record
    assert message in record.message
    assert message in record.traceback
