"""A whole laboratory in one process: instant instruments, real sandbox, real storage."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from daq.bus import Bus
from daq.core import Capability, Category, Channel, DeviceDescription, Limits, Reading
from daq.drivers import Driver, DriverContext, MotionTiming, Timebase
from daq.experiment import ExecutionQueue
from daq.scripting import Sandbox, SandboxLimits
from daq.storage import Storage
from daq.supervision import Supervisor


class InstantStage(Driver):
    """Arrives at once, as the peers' bare devices do, or after `seconds_per_mm`."""

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.at = 0.0
        self.stopped_at: float | None = None
        self.seconds_per_mm = float(context.options.get("seconds_per_mm", 0.0))
        self.motion_timing = MotionTiming(begin_s=0.0, rest_s=0.0)  # its word is exact

    @property
    def description(self) -> DeviceDescription:
        return DeviceDescription(
            self.context.device_id,
            "benchmark.stage",
            Category.STAGE,
            frozenset({Capability.MOVABLE}),
            Channel(self.context.device_id, "mm"),
            units="mm",
            limits=Limits(-1e6, 1e6),
            tolerance=1e-6,
        )

    async def connect(self) -> None:
        await trio.lowlevel.checkpoint()

    async def move_abs(self, position: float) -> None:
        if self.seconds_per_mm:
            await trio.sleep(abs(position - self.at) * self.seconds_per_mm)
        self.at = position

    async def position(self) -> Reading:
        return Reading(self.at, self.context.timebase.now_ns())

    async def is_moving(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def home(self) -> None:
        await self.move_abs(0.0)

    async def stop(self) -> bool:
        await trio.lowlevel.checkpoint()
        self.stopped_at = trio.current_time()
        return True

    async def poll(self) -> Mapping[str, float]:
        await trio.lowlevel.checkpoint()
        return {"position": self.at}


class StuckStage(InstantStage):
    """Its moves block a thread, out of reach of any cancellation, until it is let go."""

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.let_go = threading.Event()
        self.is_stuck = trio.Event()

    async def move_abs(self, position: float) -> None:
        self.is_stuck.set()
        await trio.to_thread.run_sync(self.let_go.wait)
        self.let_go.clear()
        self.is_stuck = trio.Event()


class InstantMeter(Driver):
    """Always reads one watt."""

    @property
    def description(self) -> DeviceDescription:
        return DeviceDescription(
            self.context.device_id,
            "benchmark.meter",
            Category.POWER_METER,
            frozenset({Capability.READABLE}),
            Channel(self.context.device_id, "W"),
            units="W",
        )

    async def connect(self) -> None:
        await trio.lowlevel.checkpoint()

    async def read(self) -> Reading:
        return Reading(1.0, self.context.timebase.now_ns())

    async def stop(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def poll(self) -> Mapping[str, float]:
        await trio.lowlevel.checkpoint()
        return {}


@dataclass
class Lab:
    queue: ExecutionQueue
    storage: Storage
    sandbox: Sandbox
    supervisor: Supervisor
    stage: InstantStage
    slow_stage: InstantStage
    stuck_stage: StuckStage

    async def upload(self, source: str) -> str:
        """Check and keep a script; returns its id."""
        script, check = await self.queue.upload(source, "benchmark.py", {})
        if script is None:
            raise AssertionError(check.diagnostics)
        return script.id

    async def start(self, script_id: str) -> str:
        """Start a script; returns the execution's id."""
        return await self.queue.start(script_id, {}, "benchmark")

    async def submit(self, source: str) -> str:
        """Upload and start a script; returns the execution's id."""
        return await self.start(await self.upload(source))

    async def finish(self, execution_id: str) -> str:
        """Wait for the end; returns the state."""
        version = -1
        while True:
            view = self.queue.view(execution_id)
            if view.record.state.is_final:
                return view.record.state.value
            version = await self.queue.wait_changed(execution_id, version)

    async def run(self, source: str) -> list[str]:
        """Run a script that must complete; returns what it printed."""
        return await self.printed(await self.submit(source))

    async def printed(self, execution_id: str) -> list[str]:
        """What an execution that must complete printed, once it has ended."""
        state = await self.finish(execution_id)
        if state != "COMPLETED":
            record = self.queue.view(execution_id).record
            raise AssertionError(f"{state}: {record.message}\n{record.traceback}")
        lines, _ = await self.queue.output(execution_id)
        return [line.text for line in lines]


@asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    """Everything of a daemon but its gRPC server."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        timebase, bus = Timebase(), Bus()
        slow = {"seconds_per_mm": 1.0}
        drivers = {
            "stage": InstantStage(DriverContext("stage", "benchmark.stage", timebase)),
            "slow_stage": InstantStage(
                DriverContext("slow_stage", "benchmark.stage", timebase, slow)
            ),
            "stuck_stage": StuckStage(DriverContext("stuck_stage", "benchmark.stage", timebase)),
            "meter": InstantMeter(DriverContext("meter", "benchmark.meter", timebase)),
        }
        supervisor = Supervisor(drivers, bus, timebase)
        storage = Storage(directory, bus)
        sandbox = Sandbox(SandboxLimits())
        queue = ExecutionQueue(sandbox, supervisor, storage, timebase.now_ns)
        async with trio.open_nursery() as storing:
            await storing.start(storage.run)
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                await nursery.start(sandbox.run)
                await nursery.start(queue.run)
                yield Lab(
                    queue,
                    storage,
                    sandbox,
                    supervisor,
                    drivers["stage"],
                    drivers["slow_stage"],
                    drivers["stuck_stage"],
                )
                nursery.cancel_scope.cancel()
            storing.cancel_scope.cancel()
