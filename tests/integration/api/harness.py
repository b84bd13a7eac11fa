"""A served API: real bus, supervisor, storage and simulated bench; a queue that runs no sandbox."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import trio

from daq.api import DaemonInfo, Parts, serve_api
from daq.bus import Bus
from daq.config import Config, DeviceConfig, GuardConfig
from daq.core import (
    Diagnostic,
    ExecutionRecord,
    ExecutionState,
    ExecutionView,
    NotFoundError,
    OutputLine,
    Script,
    ScriptCheck,
    StopReport,
    Transition,
    convert_parameters,
)
from daq.drivers import Timebase, build_drivers
from daq.experiment import ManualRuns
from daq.storage import Storage
from daq.supervision import Guard, Interlocks, Presets, Reloader, Supervisor

BENCH = {
    "stage": {"driver": "simulated.stage", "velocity": 50.0},
    "rotator": {"driver": "simulated.rotator"},
    "laser": {"driver": "simulated.laser"},
    "power_meter": {"driver": "simulated.power_meter"},
    "camera": {"driver": "simulated.camera", "resolution": [64, 48]},
}
EXECUTION = "e1f0"


class FakeQueue:
    """One script and one execution, which the test moves along by hand."""

    def __init__(self) -> None:
        source = "def main(points: int = 3):\n    for i in range(points):\n        print(i)\n"
        self.known = Script("5c0de", "knife.py", source, "00", 1, {"owner": "me"})
        self.lines: list[OutputLine] = []
        self.calls: list[tuple] = []
        self.changed = trio.Event()
        record = ExecutionRecord(
            EXECUTION,
            self.known.id,
            self.known.name,
            {"points": 3},
            "",
            (Transition(ExecutionState.PENDING, 1), Transition(ExecutionState.RUNNING, 2)),
        )
        self.current = ExecutionView(record, version=1)

    def change(self, *, state=None, output=None, **record) -> None:
        transitions = self.current.record.transitions
        if state is not None:
            transitions = (*transitions, Transition(state, len(transitions) + 1))
        if output is not None:
            self.lines.append(OutputLine(5, "output", output, 3))
        new = replace(self.current.record, transitions=transitions, **record)
        self.current = replace(self.current, record=new, version=self.current.version + 1)
        self.changed.set()
        self.changed = trio.Event()

    async def check(self, source: str, name: str, user: str = "") -> ScriptCheck:
        await trio.lowlevel.checkpoint()
        if "import os" in source:
            return ScriptCheck((Diagnostic(1, 1, 1, 10, "IMPORT", "no os here", "import os"),))
        return ScriptCheck(self.known.parameters, description="moves a knife")

    async def upload(self, source: str, name: str, metadata: Mapping[str, str], user: str = ""):
        check = await self.check(source, name)
        return (
            (replace(self.known, name=name, metadata=dict(metadata)), check)[:2]
            if (check.accepted)
            else (None, check)
        )

    def scripts(self):
        return [self.known]

    def script(self, ref: str):
        if ref not in (self.known.id, self.known.name):
            raise NotFoundError(f"there is no script {ref!r}", advice="upload it first")
        return self.known

    async def start(
        self, script_ref: str, parameters: Mapping[str, str], user: str, limits: Mapping[str, float]
    ) -> str:
        self.script(script_ref)
        self.limits = dict(limits)
        convert_parameters(self.known.parameters, parameters)
        await trio.lowlevel.checkpoint()
        self.calls.append(("start", dict(parameters), user))
        return EXECUTION

    def view(self, ref: str = ""):
        if ref not in ("", EXECUTION):
            raise NotFoundError(f"there is no execution {ref!r}")
        return self.current

    async def view_with_result(self, ref: str = ""):
        await trio.lowlevel.checkpoint()
        return self.view(ref)

    def matching(self, script_id: str = "", state: str = "") -> list[str]:
        return [EXECUTION]

    async def output(self, execution_id: str, after: int = 0):
        await trio.lowlevel.checkpoint()
        return self.lines[after:], len(self.lines)

    async def wait_changed(self, execution_id: str, version: int) -> int:
        while self.current.version <= version:
            await self.changed.wait()
        await trio.lowlevel.checkpoint()
        return self.current.version

    async def locate(self, ref: str = "") -> int:
        await trio.lowlevel.checkpoint()
        return 3

    async def stop(self, ref="", *, force=False, grace_s=None, reason="", user="") -> StopReport:
        self.calls.append(("stop", force, grace_s, reason, user))
        await trio.lowlevel.checkpoint()
        self.change(state=ExecutionState.KILLED if force else ExecutionState.STOPPED)
        return StopReport(EXECUTION, self.current.record.state, "stopped", 0.25, line=3)

    async def pause(self, ref: str = "", user: str = ""):
        await trio.lowlevel.checkpoint()
        self.change(state=ExecutionState.PAUSED)
        return self.current

    def pause_outstanding(self, execution_id: str) -> tuple[str, ...]:
        return ()

    async def resume(self, ref: str = "", user: str = ""):
        await trio.lowlevel.checkpoint()
        self.change(state=ExecutionState.RUNNING)
        return self.current


@dataclass(frozen=True)
class FakeStatistics:
    started: int = 7
    note: str = "not a number"


class FakeSandbox:
    def confinement(self) -> Mapping[str, str]:
        return {"seccomp": "active"}

    def statistics(self) -> FakeStatistics:
        return FakeStatistics()


@dataclass
class Served:
    address: str
    services: Parts
    queue: FakeQueue
    api_scope: trio.CancelScope
    api_ended: trio.Event

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def stage(self):
        return self.services.supervisor.device("stage")


@asynccontextmanager
async def serving(directory, devices: Mapping[str, Any] = BENCH):
    """The API on a free port; cancelled at the end, which must not take long."""
    bus, timebase = Bus(), Timebase()
    configs = {
        name: DeviceConfig(
            name, options["driver"], {k: v for k, v in options.items() if k != "driver"}
        )
        for name, options in devices.items()
    }
    drivers, failures = build_drivers(configs, timebase)
    supervisor = Supervisor(drivers, bus, timebase, failures)
    storage = Storage(directory, bus)
    interlocks = Interlocks((), supervisor, bus, timebase)
    queue = FakeQueue()
    info = DaemonInfo(
        version="0.1",
        host="bench",
        started=trio.current_time(),
        data_directory=str(directory),
        versions={"daq": "0.1"},
    )
    services = Parts(
        info=info,
        timebase=timebase,
        bus=bus,
        storage=storage,
        supervisor=supervisor,
        queue=queue,
        manual_runs=ManualRuns(supervisor, storage, timebase.now_ns),
        sandbox=FakeSandbox(),
        interlocks=interlocks,
        guard=Guard({}, directory / "guard", supervisor, settings=GuardConfig()),
        reloader=Reloader(
            Config(devices=configs),
            drivers,
            {},
            supervisor,
            interlocks,
            timebase,
            on_change=lambda config, safety, users: None,
        ),
        presets=Presets(directory / "presets", supervisor, timebase),
    )
    api_scope, ended = trio.CancelScope(), trio.Event()
    async with trio.open_nursery() as storage_nursery:
        await storage_nursery.start(storage.run)
        async with trio.open_nursery() as device_nursery:
            await device_nursery.start(supervisor.run)
            async with trio.open_nursery() as api_nursery:
                address = await api_nursery.start(_serve, services, api_scope, ended)
                yield Served(address, services, queue, api_scope, ended)
                api_nursery.cancel_scope.cancel()
            device_nursery.cancel_scope.cancel()
        storage_nursery.cancel_scope.cancel()


async def _serve(
    services: Parts, scope: trio.CancelScope, ended: trio.Event, *, task_status
) -> None:
    with scope:
        await serve_api(services, "127.0.0.1", 0, task_status=task_status)
    ended.set()


async def in_thread(function, *arguments, **options):
    """Run a blocking client of another gRPC stack beside the server."""
    return await trio.to_thread.run_sync(functools.partial(function, *arguments, **options))


async def in_asyncio(function, *arguments):
    """Run a grpclib client in a thread, on a plain asyncio loop."""

    def run():
        # Where trio-asyncio is imported, asyncio.run makes a loop of its kind.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(function(*arguments))

    return await in_thread(run)


@contextmanager
def grpcio_channel(address: str):
    with grpc.insecure_channel(address) as channel:
        yield channel
