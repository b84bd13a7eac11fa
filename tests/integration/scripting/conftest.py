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
    standard,
)
from daq.scripting import Sandbox, SandboxLimits


def described(
    device: str, units: str, *capabilities: Capability, **facts: Any
) -> DeviceDescription:
    return DeviceDescription(
        device,
        f"fake.{device}",
        Category.OTHER,
        frozenset(capabilities),
        Channel(device, units),
        units=units,
        **facts,
    )


AXES = ("stage", "rotator", "laser.wavelength")
DEVICES = {
    d.id: d
    for d in (
        described("stage", "mm", Capability.MOVABLE, limits=Limits(-10, 10)),
        described("rotator", "deg", Capability.MOVABLE, limits=Limits(-360, 360)),
        described("meter", "W", Capability.READABLE),
        described("power_meter", "W", Capability.READABLE),
        described("laser", "", parameters=(standard("shutter"), standard("wavelength"))),
        described(
            "camera",
            "counts",
            Capability.FRAME_PRODUCER,
            parameters=(standard("exposure"),),
            resolution=(6, 4),
        ),
    )
}


class FakeBench:
    """Performs requests as the run engine does: a stop cancels what is in flight."""

    def __init__(self, *, speed: float = 1e6) -> None:
        self.speed = speed
        self.positions = dict.fromkeys(AXES, 0.0)
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
                return sorted(DEVICES)
            case Describe(device):
                if device not in DEVICES:
                    raise UnknownDeviceError(
                        f"there is no device '{device}'", advice=f"there are {', '.join(DEVICES)}"
                    )
                return DEVICES[device]
            case Call(device, operation, arguments):
                return await self._call(device, operation, arguments)
            case OpenRun():
                return "run-1"
            case Record(devices, values):
                return self._row(devices) | dict(values)
            case Point(moves, devices, dwell, values):
                for device, position in moves.items():
                    await self._move(device, position)
                await trio.sleep(dwell)
                return self._row([*moves, *devices]) | dict(values)
            case Pause():
                self.paused.set()
                await self.resumed.wait()
        return None

    async def _call(self, device: str, operation: str, arguments: Any) -> Any:
        match operation:
            case "move_abs":
                await self._move(device, *arguments)
                return self.positions[device]
            case "move_rel":
                await self._move(device, self.positions[device] + arguments[0])
            case "stop":
                self.stops += 1
            case "position":
                return self.positions[device]
            case "read":
                return self.positions["stage"] ** 2
            case "frames":
                return np.arange(24 * (arguments or [1])[0], dtype=np.uint16).reshape(-1, 4, 6)
        return None

    async def _move(self, device: str, position: float) -> None:
        limits = DEVICES[device].limits if device in DEVICES else None
        if limits is not None and position not in limits:
            raise LimitError.outside(device, "position", position, limits.low, limits.high, "mm")
        self.moving = True
        start = self.positions[device]
        try:
            await trio.sleep(abs(position - start) / self.speed)
            self.positions[device] = position
        finally:
            self.moving = False

    def _row(self, devices: Any) -> dict[str, float]:
        return {d: self.positions.get(d, self.positions["stage"] ** 2) for d in devices}


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
