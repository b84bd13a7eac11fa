"""A real zygote, and an interpreter that pretends to be a bench with a stage and a meter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import trio

from daq.core import (
    Call,
    Capability,
    Category,
    Channel,
    CloseRun,
    Describe,
    DeviceDescription,
    LimitError,
    Limits,
    ListDevices,
    Log,
    OpenRun,
    Pause,
    Point,
    Progress,
    Record,
    Request,
    StopRequested,
    UnknownDeviceError,
)
from daq.scripting import Sandbox, SandboxLimits

STAGE = DeviceDescription(
    "stage",
    "fake.stage",
    Category.STAGE,
    frozenset({Capability.MOVABLE}),
    Channel("stage", "mm"),
    units="mm",
    limits=Limits(-10, 10),
)
METER = DeviceDescription(
    "meter",
    "fake.meter",
    Category.POWER_METER,
    frozenset({Capability.READABLE}),
    Channel("meter", "W"),
    units="W",
)
CAMERA = DeviceDescription(
    "camera",
    "fake.camera",
    Category.CAMERA,
    frozenset({Capability.FRAME_PRODUCER, Capability.EXPOSURE_CONTROLLABLE}),
    Channel("camera", "counts", "u2", (4, 6)),
    resolution=(6, 4),
)


class FakeBench:
    """Performs requests as the run engine does: a stop cancels what is in flight."""

    def __init__(self, *, speed: float = 1e6) -> None:
        self.speed = speed
        self.position = 0.0
        self.moving = False
        self.stops = 0
        self.requests: list[Request] = []
        self.output: list[str] = []
        self.paused = trio.Event()
        self.resumed = trio.Event()
        self.called = trio.Event()
        self.stopped = False
        self._scopes: list[trio.CancelScope] = []

    def stop(self) -> None:
        self.stopped = True
        self.resumed.set()
        for scope in self._scopes:
            scope.cancel()

    def kinds(self) -> list[type]:
        return [type(r) for r in self.requests if not isinstance(r, Log)]

    async def perform(self, request: Request, *, stopping: bool = False) -> Any:
        if isinstance(request, Log):
            self.output.append(request.text)
            self.requests.append(request)
            return None
        await trio.lowlevel.checkpoint()
        if isinstance(request, Progress):
            return self.requests.append(request)
        if self.stopped and not stopping:
            raise StopRequested
        self.requests.append(request)
        self.called.set()
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                return await self._perform(request)
            finally:
                self._scopes.remove(scope)
        raise StopRequested

    async def _perform(self, request: Request) -> Any:
        match request:
            case ListDevices():
                return ["camera", "meter", "stage"]
            case Describe(device):
                known = {d.id: d for d in (STAGE, METER, CAMERA)}
                if device not in known:
                    raise UnknownDeviceError(
                        f"there is no device '{device}'", advice="there are camera, meter, stage"
                    )
                return known[device]
            case Call(_, "move_abs", [position]):
                await self._move(position)
                return self.position
            case Call(_, "stop", _):
                self.stops += 1
            case Call(_, "position", _):
                return self.position
            case Call(_, "read", _):
                return self.position**2
            case Call(_, "frames", arguments):
                return np.arange(24 * (arguments or [1])[0], dtype=np.uint16).reshape(-1, 4, 6)
            case Call(_, "exposure", _):
                return 0.1
            case OpenRun():
                return "run-1"
            case Record(devices, values):
                return self._row(devices) | dict(values)
            case Point(moves, devices, dwell, values):
                for position in moves.values():
                    await self._move(position)
                await trio.sleep(dwell)
                return self._row([*moves, *devices]) | dict(values)
            case Pause():
                self.paused.set()
                await self.resumed.wait()
            case CloseRun():
                return None
        return None

    async def _move(self, position: float) -> None:
        if position not in STAGE.limits:
            raise LimitError.outside("stage", "position", position, -10, 10, "mm")
        self.moving = True
        try:
            await trio.sleep(abs(position - self.position) / self.speed)
            self.position = position
        finally:
            self.moving = False

    def _row(self, devices: Any) -> dict[str, float]:
        return {d: self.position if d == "stage" else self.position**2 for d in devices}


@pytest.fixture
def bench() -> Callable[..., FakeBench]:
    return FakeBench


@pytest.fixture
def sandbox() -> Callable[..., AbstractAsyncContextManager[Sandbox]]:
    @asynccontextmanager
    async def running(**limits: Any) -> AsyncIterator[Sandbox]:
        box = Sandbox(SandboxLimits(**limits))
        async with trio.open_nursery() as nursery:
            await nursery.start(_run, box)
            yield box
            nursery.cancel_scope.cancel()

    return running


async def _run(box: Sandbox, *, task_status: trio.TaskStatus[None]) -> None:
    await box.run(task_status=task_status)


@pytest.fixture
def script() -> Callable[[str], str]:
    return lambda text: dedent(text).strip("\n")
