"""The sandbox and the stop: start, call, point, graceful, force."""

from __future__ import annotations

import statistics
import sys
import time

import trio

from tests.benchmarks.lab import Lab, open_lab
from tests.benchmarks.table import Row, summary

FIRST_LINE = "from time import perf_counter\nprint(perf_counter())"

CALLS = """
from time import perf_counter
stage = device("stage")
stage.position()
spent = []
for i in range({calls}):
    t = perf_counter()
    stage.position()
    spent.append(perf_counter() - t)
for s in spent:
    print(s)
"""

SCAN = """
from time import perf_counter
t = perf_counter()
scan(["meter"], "stage", 0.0, 1.0, {points})
print((perf_counter() - t) / {points})
"""

STEPS = """
from time import perf_counter
stage, meter = device("stage"), device("meter")
t = perf_counter()
with open_run("steps"):
    for x in linspace(0.0, 1.0, {points}):
        stage.move_abs(x)
        record(stage, meter)
print((perf_counter() - t) / {points})
"""

STOPPABLE = {
    "moving": "device('slow_stage').move_abs(1e5)",
    "looping": "device('slow_stage').position()\nwhile True:\n    pass",
    "busy in C": "device('slow_stage').position()\nsum(range(10**12))",
    "endless cleanup": (
        "try:\n    device('slow_stage').move_abs(1e5)\nfinally:\n    while True:\n        pass"
    ),
}


async def measure(*, quick: bool) -> list[Row]:
    """All rows; `quick` shortens the series, not the path."""
    runs, calls, points, stops = (5, 300, 200, 3) if quick else (50, 5000, 1000, 50)
    async with open_lab() as lab:
        rows = [*await _start(lab, runs), await _call(lab, calls)]
        rows += await _points(lab, points, 1 if quick else 5)
        for name, source in STOPPABLE.items():
            rows.append(await _stop(lab, name, source, stops, force=True))
            if name in ("moving", "looping"):
                rows.append(await _stop(lab, name, source, stops, force=False))
    return rows


async def _start(lab: Lab, runs: int) -> list[Row]:
    checked, started = [], []
    for number in range(runs):
        began = time.perf_counter()
        script = await lab.upload(
            f"from time import perf_counter\nprint(perf_counter())  # {number}"
        )
        checked.append(time.perf_counter() - began)
        began = time.perf_counter()
        (first,) = await lab.printed(await lab.start(script))
        started.append(float(first) - began)
    return [
        Row("a script uploaded: checked and kept", summary(checked)),
        Row("start to the first script line", summary(started), goal="<= 10 ms"),
    ]


async def _call(lab: Lab, calls: int) -> Row:
    spent = [float(text) for text in await lab.run(CALLS.format(calls=calls))]
    return Row("device call from a script", summary(spent, "us"), goal="<= 100 µs median")


async def _points(lab: Lab, points: int, rounds: int) -> list[Row]:
    """In turn with the peer, so that both see the same machine."""
    scans, steps, peer = [], [], []
    for _ in range(rounds):
        scans.append(float((await lab.run(SCAN.format(points=points)))[-1]))
        steps.append(float((await lab.run(STEPS.format(points=points)))[-1]))
        command = [sys.executable, "-m", "tests.benchmarks.peers", str(points)]
        done = await trio.run_process(command, capture_stdout=True)
        peer.append(float(done.stdout))
    theirs = statistics.median(peer)
    return [
        Row(
            what,
            f"{statistics.median(ours) * 1e6:.0f} µs",
            f"bluesky RunEngine, bare devices, no storage: {theirs * 1e6:.0f} µs",
            statistics.median(ours) / theirs,
            "<= 0.33",
        )
        for what, ours in (
            ("scan point, sandboxed, stored: scan()", scans),
            ("scan point, sandboxed, stored: move_abs, record", steps),
        )
    ]


async def _stop(lab: Lab, name: str, source: str, stops: int, *, force: bool) -> Row:
    spent = []
    for _ in range(stops):
        execution_id = await lab.submit(source)
        while not lab.queue.view(execution_id).record.line:
            await trio.sleep(0.005)
        await trio.sleep(0.02)
        lab.slow_stage.stopped_at = None
        began = trio.current_time()
        await lab.queue.stop(execution_id, force=force, grace_s=5.0)
        stopped_at = lab.slow_stage.stopped_at
        assert stopped_at is not None, "the stage was not stopped"
        spent.append(stopped_at - began)
    kind = "force stop" if force else "graceful stop"
    return Row(f"{kind} to hardware stopped: {name}", summary(spent), goal="<= 50 ms, 2 s always")
