"""Stand-ins for the floors beside and below the experiment: a program, a recorder, a driver."""

import itertools
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import trio

from daq.bus import Bus
from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceError,
    Ending,
    ExecutionRecord,
    Limits,
    ProgramEnd,
    Reading,
    RunSummary,
    Script,
    ScriptCheck,
    StopRequested,
)
from daq.drivers import Driver, DriverContext, MotionTiming, Timebase
from daq.supervision import Supervisor


class FakeProgram:
    """A program whose script is a coroutine function `body(program, interpreter)`."""

    def __init__(self, body):
        self.body = body
        self.line = 0
        self.progress = None
        self.begin = trio.Event()
        """For bodies that wait until their test is ready."""
        self.stop_asked = trio.Event()
        self.pause_asked = False
        self.scope = trio.CancelScope()
        self.killed = None
        self.stood_still = 0.0

    async def run(self, interpreter):
        with self.scope:
            try:
                result = await self.body(self, interpreter)
            except StopRequested:
                return ProgramEnd(Ending.STOPPED, line=self.line)
            except DeviceError as error:
                return ProgramEnd(Ending.FAILED, str(error), "Traceback ...", self.line)
            return ProgramEnd(Ending.COMPLETED, result=result)
        return ProgramEnd(Ending.KILLED, self.killed, line=self.line)

    def request_stop(self):
        self.stop_asked.set()

    def request_pause(self):
        self.pause_asked = True

    def request_resume(self):
        self.pause_asked = False

    @contextmanager
    def standing_still(self):
        self.stood_still -= trio.current_time()
        try:
            yield
        finally:
            self.stood_still += trio.current_time()

    def kill(self, reason):
        self.killed = reason
        self.scope.cancel()

    async def locate(self, *, dying=False):
        await trio.lowlevel.checkpoint()
        return self.line


class FakeFactory:
    """InterlockTarget by the script's source: each source is the name of a body."""

    def __init__(self, **bodies):
        self.bodies = bodies
        self.check_result = ScriptCheck()

    async def check(self, source, filename, user=""):
        await trio.lowlevel.checkpoint()
        return self.check_result

    def program(self, source, filename, parameters, execution_id, limits):
        return FakeProgram(self.bodies[source])

    def check_limits(self, limits):
        assert dict(limits) == {}


class FakeRecorder:
    def __init__(self, start, opening_s):
        self.start = start
        self.run_id = start.run_id
        self.opening_s = opening_s
        self.closing_s = 0.0
        self.events = []
        self.stop = None
        self.fail_with = None
        self.open_with = None
        """What its opening fails with."""
        self.disk = trio.Event()
        """Not set: the disk takes no event yet."""
        self.disk.set()

    @property
    def points(self):
        return len(self.events)

    async def wait_ready(self):
        await trio.sleep(self.opening_s)
        if self.open_with:
            raise self.open_with

    async def append(self, event):
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            await self.disk.wait()
        if self.fail_with:
            raise self.fail_with
        self.events.append(event)

    async def close(self, stop):
        self.stop = self.stop or stop
        await trio.sleep(self.closing_s)
        return RunSummary(self.run_id, self.start.name, 0, stop.ended_ns, stop.outcome)


class FakeStorage:
    ledger: Any

    def __init__(self):
        self.runs = []
        self.opening_s = 0.0
        self.prepare = lambda recorder: None
        """What a test does to each new recorder."""

    async def begin_run(self, start):
        await trio.lowlevel.checkpoint()
        self.runs.append(recorder := FakeRecorder(start, self.opening_s))
        self.prepare(recorder)
        return recorder

    async def open_run(self, start):
        recorder = await self.begin_run(start)
        await recorder.wait_ready()
        return recorder


class FakeLedger:
    """Remembers in memory; hand it to a second queue to play a restart."""

    def __init__(self):
        self.scripts: dict[str, Script] = {}
        self.executions: dict[str, ExecutionRecord] = {}
        self.output: dict[str, list] = {}
        self.results: dict[str, object] = {}

    async def save_script(self, script):
        await trio.lowlevel.checkpoint()
        self.scripts[script.id] = script

    async def load_scripts(self):
        await trio.lowlevel.checkpoint()
        return list(self.scripts.values())

    async def save_execution(self, record, result=None):
        await trio.lowlevel.checkpoint()
        self.executions[record.id] = record
        if result is not None:
            self.results[record.id] = result

    async def load_result(self, execution_id):
        await trio.lowlevel.checkpoint()
        return self.results.get(execution_id)

    async def load_executions(self):
        await trio.lowlevel.checkpoint()
        return list(self.executions.values())

    async def append_output(self, execution_id, lines):
        await trio.lowlevel.checkpoint()
        self.output.setdefault(execution_id, []).extend(lines)

    async def load_output(self, execution_id, after, limit):
        await trio.lowlevel.checkpoint()
        return self.output.get(execution_id, [])[after : after + limit]


class Stage(Driver):
    """Moves at 1 mm/s."""

    motion_timing = MotionTiming(begin_s=0.0, rest_s=0.0)

    def __init__(self, context, tolerance=0.01):
        super().__init__(context)
        self.at = 0.0
        self.moving = False
        self.stops = 0
        self.safe = 0
        self.hang_on_stop = False
        self._tolerance = tolerance

    @property
    def description(self):
        return DeviceDescription(
            self.context.device_id,
            "test.stage",
            Category.STAGE,
            frozenset({Capability.MOVABLE}),
            Channel(self.context.device_id, "mm"),
            units="mm",
            limits=Limits(-10, 10),
            tolerance=self._tolerance,
        )

    async def connect(self):
        await trio.lowlevel.checkpoint()

    async def move_abs(self, position):
        begin, origin = trio.current_time(), self.at
        self.moving = True
        try:
            await trio.sleep(abs(position - origin))
        finally:
            self.moving = False
            travelled = min(trio.current_time() - begin, abs(position - origin))
            self.at = origin + (travelled if position > origin else -travelled)

    async def position(self):
        await trio.lowlevel.checkpoint()
        return Reading(self.at, self.context.timebase.now_ns())

    async def is_moving(self):
        await trio.lowlevel.checkpoint()
        return self.moving

    async def home(self):
        await self.move_abs(0.0)

    async def stop(self):
        if self.hang_on_stop:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        self.stops += 1
        was, self.moving = self.moving, False
        return was

    async def make_safe(self):
        self.safe += 1
        return await self.stop()

    async def poll(self) -> Mapping[str, float]:
        await trio.lowlevel.checkpoint()
        return {"position": self.at, "moving": self.moving}


class Meter(Driver):
    """Reads 1, 2, 3, ... W."""

    def __init__(self, context):
        super().__init__(context)
        self.readings = itertools.count(1)
        self.broken = False

    @property
    def description(self):
        return DeviceDescription(
            self.context.device_id,
            "test.meter",
            Category.POWER_METER,
            frozenset({Capability.READABLE}),
            Channel(self.context.device_id, "W"),
            units="W",
        )

    async def connect(self):
        await trio.lowlevel.checkpoint()

    async def read(self):
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise DeviceError(f"{self.context.device_id}: D? answered '+++'")
        return Reading(float(next(self.readings)), self.context.timebase.now_ns())

    async def stop(self):
        await trio.lowlevel.checkpoint()
        return False

    async def poll(self):
        await trio.lowlevel.checkpoint()
        return {}


class Bench:
    """A supervised stage and meter, a bus and a fake storage."""

    def __init__(self):
        self.bus = Bus()
        self.timebase = Timebase()
        self.storage = FakeStorage()
        self.stage = Stage(DriverContext("stage", "test.stage", self.timebase))
        self.meter = Meter(DriverContext("meter", "test.meter", self.timebase))
        drivers = {"stage": self.stage, "meter": self.meter}
        self.supervisor = Supervisor(drivers, self.bus, self.timebase)

    def now_ns(self):
        return self.timebase.now_ns()
