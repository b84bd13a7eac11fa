"""Stopping scripts that do their worst: how long it takes, and what the daemon feels meanwhile."""

from __future__ import annotations

import math
import queue
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from daq.core import StopOutcome, StopReport
from tests.benchmarks.lab import Lab, open_lab
from tests.benchmarks.table import Row, summary
from tests.hostile_scripts import HOSTILE, PREFACE_LINES, Hostile, Yields

__all__ = ["Heartbeat", "Meeting", "measure", "meet"]

ROOT = Path(__file__).parents[2]
GRACE_S = 0.1
"""For those that only force ends."""
PATIENT_GRACE_S = 30.0
PATIENCE_S = 60.0
BLOCKED_ROUNDS = 10
PEER_PATIENCE_S = 3.0
"""A plan that an abort has not ended after this time is counted as never ended."""
PEER_PLANS = {
    "normal": "flood of calls",
    "sleep": "sleep",
    "hung device": "move",
    "busy": "empty loop",
    "busy in C": "sum",
    "blocking driver": "",
}
"""The peer's plans, and the script of ours that does the same."""


class Heartbeat:
    """Measures how late a task of the daemon's Trio run is woken up."""

    PERIOD_S = 0.002

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = trio.current_time() + self.PERIOD_S
            await trio.sleep(self.PERIOD_S)
            self.worst_s = max(self.worst_s, trio.current_time() - due)

    def take(self) -> float:
        """The worst delay since the last look, seconds."""
        worst, self.worst_s = self.worst_s, 0.0
        return worst


@dataclass
class Meeting:
    """How one run of a hostile script ended."""

    execution_id: str
    state: str
    message: str
    report: StopReport | None = None
    """None when it ended by itself."""
    hardware_s: float = math.nan
    """From the stop to the stopped device; nan when it was not stopped."""


async def meet(lab: Lab, script: Hostile, *, force: bool, after_s: float = 0.02) -> Meeting:
    """Start a script, wait until it does its worst, and stop it."""
    lab.slow_stage.stopped_at = None
    execution_id = await lab.submit(script.source)
    with trio.fail_after(PATIENCE_S):
        if script.yields is Yields.BY_ITSELF:
            await lab.finish(execution_id)
        else:
            await _wait_for_worst(lab, execution_id)
    report, began = None, trio.current_time()
    if script.yields is not Yields.BY_ITSELF:
        await trio.sleep(after_s)
        began = trio.current_time()
        grace = PATIENT_GRACE_S if script.yields is Yields.TO_STOP else GRACE_S
        report = await lab.queue.stop(execution_id, force=force, grace_s=grace)
    record = lab.queue.view(execution_id).record
    meeting = Meeting(execution_id, record.state.value, record.message, report)
    if lab.slow_stage.stopped_at is not None:
        meeting.hardware_s = lab.slow_stage.stopped_at - began
    return meeting


async def _wait_for_worst(lab: Lab, execution_id: str) -> None:
    """Until it has printed something, and stands behind its preface."""
    version = -1
    while True:
        view = lab.queue.view(execution_id)
        lines, _ = await lab.queue.output(execution_id)
        if lines or view.record.state.is_final:
            break
        version = await lab.queue.wait_changed(execution_id, version)
    while not lab.queue.view(execution_id).record.state.is_final:
        if await lab.queue.locate(execution_id) > PREFACE_LINES:
            return
        await trio.sleep(0.001)


@dataclass
class _Series:
    seconds: list[float] = field(default_factory=list)
    hardware: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)


async def measure(*, quick: bool) -> list[Row]:
    """A row for each script and kind of stop, and the peer's aborts beside them."""
    rounds = 1 if quick else 100
    chosen = [s for s in HOSTILE.values() if s.yields is not Yields.BY_ITSELF]
    if quick:
        chosen = [s for n, s in enumerate(chosen) if s.name in PEER_PLANS.values() or n % 12 == 5]
    series = {(s.name, force): _Series() for s in chosen for force in (False, True)}
    async with open_lab() as lab, trio.open_nursery() as nursery:
        heartbeat = Heartbeat()
        nursery.start_soon(heartbeat.run)
        for _ in range(rounds):
            for script in chosen:
                for force in (False, True):
                    await _one(lab, heartbeat, script, series[script.name, force], force=force)
        blocked = [await _stop_blocked(lab) for _ in range(min(rounds, BLOCKED_ROUNDS))]
        nursery.cancel_scope.cancel()
    peers = await _peers(rounds, together=quick)
    return [*_rows(chosen, series, peers), _blocked_row(blocked, peers), _total(series)]


async def _peers(rounds: int, *, together: bool) -> dict[str, list[float]]:
    """The peer's plans one after the other, so that none disturbs another, unless `together`."""
    found: dict[str, list[float]] = {}
    limiter = trio.CapacityLimiter(len(PEER_PLANS) if together else 1)

    async def ask(plan: str) -> None:
        found[plan] = await trio.to_thread.run_sync(_peer, plan, rounds, limiter=limiter)

    async with trio.open_nursery() as nursery:
        for plan in PEER_PLANS:
            nursery.start_soon(ask, plan)
    return found


async def _one(
    lab: Lab, heartbeat: Heartbeat, script: Hostile, series: _Series, *, force: bool
) -> None:
    await trio.sleep(0.01)
    heartbeat.take()
    meeting = await meet(lab, script, force=force)
    series.delays.append(heartbeat.take())
    if meeting.report is not None:
        series.seconds.append(meeting.report.duration_s)
        series.hardware.append(meeting.hardware_s)
        series.ends.append(meeting.state)


def _rows(
    chosen: Sequence[Hostile],
    series: dict[tuple[str, bool], _Series],
    peers: dict[str, list[float]],
) -> Iterator[Row]:
    plans = {ours: plan for plan, ours in PEER_PLANS.items() if ours}
    for script in chosen:
        for force in (False, True):
            found = series[script.name, force]
            if not found.seconds:
                continue
            peer, ratio = "", None
            if script.name in plans:
                aborts = peers[plans[script.name]]
                peer, ratio = _shown(plans[script.name], aborts), _ratio(found.seconds, aborts)
            yield Row(
                f"{'force' if force else 'stop'}: {script.name}",
                _described(found),
                peer,
                ratio,
                _goal(script, force=force),
            )


async def _stop_blocked(lab: Lab) -> tuple[float, float]:
    """Stop a script whose device is stuck in a thread; seconds to the answer and to the others."""
    lab.slow_stage.stopped_at = None
    execution_id = await lab.submit(
        "device('slow_stage').position()\nprint('go')\ndevice('stuck_stage').move_abs(1.0)"
    )
    await lab.stuck_stage.is_stuck.wait()
    began = trio.current_time()
    report = await lab.queue.stop(execution_id)
    outcomes = {stop.device: stop.outcome for stop in report.devices}
    assert outcomes["stuck_stage"] is StopOutcome.UNREACHABLE, outcomes
    stopped_at = lab.slow_stage.stopped_at
    assert stopped_at is not None
    lab.stuck_stage.let_go.set()
    while not lab.supervisor.device("stuck_stage").snapshot().state.is_online:
        await trio.sleep(0.01)
    return report.duration_s, stopped_at - began


def _blocked_row(ours: list[tuple[float, float]], peers: dict[str, list[float]]) -> Row:
    answers, others = zip(*ours, strict=True)
    return Row(
        "stop: a driver stuck in a thread; the other devices",
        f"{summary(answers)}, told as unreachable; others {summary(others)}",
        _shown("driver that blocks", peers["blocking driver"]),
        goal="2 s always",
    )


def _described(series: _Series) -> str:
    stopped = sum(not math.isnan(value) for value in series.hardware)
    ends = "/".join(sorted(set(series.ends)))
    return (
        f"{summary(series.seconds)} {ends}; device stopped {stopped}/{len(series.hardware)}; "
        f"daemon delayed {max(series.delays) * 1e3:.1f} ms at worst"
    )


def _goal(script: Hostile, *, force: bool) -> str:
    if force:
        return "<= 50 ms, 2 s always"
    return "" if script.yields is Yields.TO_STOP else f"grace here: {GRACE_S * 1e3:.0f} ms"


def _shown(plan: str, aborts: list[float]) -> str:
    label = f"bluesky RE.abort(), {plan}: "
    if math.inf in aborts:
        return f"{label}never (killed after {PEER_PATIENCE_S:g} s)"
    return label + summary(aborts)


def _ratio(ours: list[float], theirs: list[float]) -> float | None:
    return None if math.inf in theirs else statistics.median(ours) / statistics.median(theirs)


def _total(series: dict[tuple[str, bool], _Series]) -> Row:
    forced = [s for (_, force), found in series.items() if force for s in found.hardware]
    delays = [delay for found in series.values() for delay in found.delays]
    return Row(
        "force to hardware stopped, all hostile scripts",
        f"{summary(forced)}; daemon delayed: {summary(delays)}",
        goal="<= 50 ms median, 2 s always",
    )


def _peer(plan: str, rounds: int) -> list[float]:
    """Seconds for each abort; infinity ends the list where one never ended."""
    said: queue.Queue[str] = queue.Queue()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bluesky_stop", plan],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: [said.put(line) for line in process.stdout or ()])
    reader.start()
    found: list[float] = []
    try:
        said.get(timeout=PATIENCE_S)
        while len(found) < rounds:
            said.get(timeout=PEER_PATIENCE_S)  # ready, which a busy plan does not let it say
            found.append(float(said.get(timeout=PEER_PATIENCE_S)))
    except queue.Empty:
        found.append(math.inf)
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
    return found
