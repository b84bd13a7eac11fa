"""All features at once, at random: whatever clients do, the daemon stays well and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import h5py
import pytest
from grpclib.client import Channel
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest

from daq.client import AsyncClient
from daq.core import DaqError, ExecutionView, NotFoundError, OfflineError, RunOutcome, RunSummary

from .chaos_bench import DEVICES, ChaosDaemon, Instruments, suspicious
from .chaos_deeds import Findings, Vandal
from .daemon_process import DaemonProcess

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1"))
QUIET_S = 60.0
"""What may go on for a while after the last order has this time to end."""
END_S = 60.0
ANSWER_S = 20.0
"""The daemon says that it is well within this time, on a machine that has other things to do."""
SPARE_DESCRIPTORS = 12
"""Files that are kept open once they were needed: threads' and caches' own."""


@pytest.mark.parametrize(
    ("seconds", "clients"),
    [
        pytest.param(2.0, 3, id="quick"),
        pytest.param(600.0 * FACTOR, 6, id="long", marks=pytest.mark.slow),
    ],
)
def test_random_clients_do_no_harm(tmp_path, monkeypatch, seconds, clients):
    seed = int(os.environ.get("DAQ_CHAOS_SEED", "0")) or random.randrange(1, 10**9)
    print(f"repeat with DAQ_CHAOS_SEED={seed}")
    monkeypatch.setenv("PYTHONWARNINGS", "default")  # the daemon shows what it forgot to close
    findings = Findings()
    with Instruments(tmp_path) as instruments, ChaosDaemon(tmp_path, instruments) as daemon:
        try:
            _run(_rampage(daemon, instruments, tmp_path, findings, seed, seconds, clients))
            family = daemon.family()
            began = time.monotonic()
            assert daemon.end(timeout=END_S) == 0
            print(f"ended in {time.monotonic() - began:.1f} s")
        finally:
            _tell(findings)
        leftover = [pid for pid in family if Path(f"/proc/{pid}").exists()]
        assert not leftover, "processes were left behind"
        assert not suspicious(daemon.log)
    with DaemonProcess(tmp_path / "data") as again:
        _run(_find_nothing_to_recover(again.address))
    assert not findings.wrong


def _run(story: Coroutine[Any, Any, None]) -> None:
    # Where trio-asyncio is imported, asyncio.run makes a loop of its kind.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(story)


async def _find_nothing_to_recover(address: str) -> None:
    async with AsyncClient(address) as client:
        assert (await client.info()).counters["storage.recovered_runs"] == 0
        assert all(run.outcome for run in (await client.runs.list(limit=100_000)).runs)


async def _rampage(
    daemon: ChaosDaemon,
    instruments: Instruments,
    directory: Path,
    findings: Findings,
    seed: int,
    seconds: float,
    clients: int,
) -> None:
    until = time.monotonic() + seconds
    async with AsyncClient(daemon.address) as client:
        await client.scripts.wait(await _started(client, "count(['meter'], 3)"))
        before = daemon.descriptors()
        prober = asyncio.create_task(_probe(daemon.address, findings))
        vandals = [
            Vandal(daemon, instruments, directory, findings, random.Random(f"{seed} {number}"))
            for number in range(clients)
        ]
        async with asyncio.TaskGroup() as group:
            for vandal in vandals:
                group.create_task(vandal.rage(until))
        await _restore_order(daemon, client)
        prober.cancel()
        await asyncio.wait([prober])
        runs = (await client.runs.list(limit=100_000)).runs
        executions = {v.record.id: v for v in await client.scripts.executions(limit=100_000)}
    for run in runs:
        _judge_run(run, executions.get(run.execution_id), findings)
    await _until(lambda: daemon.descriptors() <= before + SPARE_DESCRIPTORS, "descriptors")


async def _started(client: AsyncClient, source: str) -> str:
    script = await client.scripts.upload(source, name="well")
    return await client.scripts.start(script.id)


async def _probe(address: str, findings: Findings) -> None:
    """Ask without end whether the daemon is well, on a connection of its own."""
    host, _, port = address.rpartition(":")
    channel = Channel(host, int(port))
    try:
        async with AsyncClient(address) as client:
            while True:
                began = time.monotonic()
                async with asyncio.timeout(ANSWER_S):
                    answer = await HealthStub(channel).Check(HealthCheckRequest())
                    await client.info()
                findings.worst_s = max(findings.worst_s, time.monotonic() - began)
                findings.questions += 1
                if answer.status != answer.SERVING:
                    findings.wrong.append(f"health: {answer.status}")
                await asyncio.sleep(0.05)
    except (DaqError, OSError, TimeoutError) as error:
        findings.wrong.append(f"health: {type(error).__name__}: {error}")
    finally:
        channel.close()


async def _restore_order(daemon: ChaosDaemon, client: AsyncClient) -> None:
    """Stop everything, take every device into use: the daemon does what it always did."""
    daemon.configure()
    with contextlib.suppress(NotFoundError):
        await client.runs.stop()  # also one whose client left before it learnt its id
    for view in await client.scripts.executions(limit=100_000):
        if not view.record.state.is_final:
            await client.scripts.stop(view.record.id, force=True)
    await client.bench.reload(force=True)
    for device in DEVICES:
        if (await client.devices.state(device)).state == "disabled":
            await client.bench.enable(device)
    await _all_in_use(client)
    await client.devices.forced.move_abs("slow_stage", 0.0)
    view = await client.scripts.wait(await _started(client, "scan(['meter'], 'esp', 0, 1, 3)"))
    assert view.record.state == "COMPLETED", view.record.message


async def _all_in_use(client: AsyncClient) -> None:
    """A plug that was pulled in a poll is noticed when that gives up: until then it is `ready`."""
    deadline = time.monotonic() + QUIET_S
    while True:
        await _all_ready(client)
        try:
            for device in DEVICES:
                await client.devices.read(device)
        except OfflineError:
            assert time.monotonic() < deadline
        else:
            return


async def _all_ready(client: AsyncClient) -> None:
    deadline = time.monotonic() + QUIET_S
    while True:
        listing = await client.devices.list()
        bad = {d.id: d.snapshot.reason for d in listing.devices if d.snapshot.state != "ready"}
        if not bad and not listing.failures:
            return
        assert time.monotonic() < deadline, f"not ready again: {bad} {listing.failures}"
        await asyncio.sleep(0.2)


async def _until(condition, what: str) -> None:
    deadline = time.monotonic() + QUIET_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: it did not come true"
        await asyncio.sleep(0.1)


FITTING = {
    "COMPLETED": {RunOutcome.COMPLETED},
    "ERROR": {RunOutcome.COMPLETED, RunOutcome.FAILED},
    "STOPPED": {RunOutcome.COMPLETED, RunOutcome.STOPPED, RunOutcome.FAILED},
    "KILLED": {RunOutcome.COMPLETED, RunOutcome.KILLED, RunOutcome.FAILED, RunOutcome.STOPPED},
}
"""How runs of an execution can have ended, by how it has."""


def _judge_run(run: RunSummary, execution: ExecutionView | None, findings: Findings) -> None:
    """It is closed, its outcome fits, and its file holds as many points as the catalogue says."""
    name = f"run {run.run_id} {run.name!r}"
    if run.outcome is None or not run.ended_ns:
        findings.wrong.append(f"{name} is open")
        return
    manual = {RunOutcome.COMPLETED, RunOutcome.STOPPED, RunOutcome.FAILED}
    state = execution.record.state.value if execution else ""
    if run.outcome not in (FITTING[state] if execution else manual):
        findings.wrong.append(f"{name} of {state} ended {run.outcome}: {run.reason}")
    if execution and run.run_id not in execution.record.run_ids:
        findings.wrong.append(f"{name} is unknown to its execution")
    try:
        with h5py.File(run.path) as file:
            stored = sum(
                len(group["time"])
                for key, group in file["entry"].items()
                if isinstance(group, h5py.Group) and "time" in group and key != "data"
            )
    except Exception as error:
        findings.wrong.append(f"{name}: {run.path!r}: {error}: {run.outcome} {run.reason}")
        return
    if stored != run.events:
        findings.wrong.append(f"{name} holds {stored} points, not {run.events}")


def _tell(findings: Findings) -> None:
    print(f"{findings.questions} questions, the slowest took {findings.worst_s * 1e3:.0f} ms")
    print("deeds:", dict(findings.deeds.most_common()))
    print("refused:", dict(findings.errors.most_common()))
    for wrong in findings.wrong:
        print("WRONG:", wrong[:2000])
