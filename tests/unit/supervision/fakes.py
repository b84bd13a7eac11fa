"""Small drivers that behave, and some that do not."""

from __future__ import annotations

import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import trio

from daq.bus import Bus
from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
    StateError,
    standard,
)
from daq.drivers import Driver, DriverContext, MotionTiming, Timebase
from daq.supervision import Debts, OutOfUse, References, RestartPolicy, Supervisor, Timing
from daq.testing.instruments import PluggedInstrument

NO_JITTER = RestartPolicy(first_s=1.0, factor=2.0, longest_s=8.0, jitter=0.0)


class FakeDriver(Driver):
    """Reachable, does nothing; tests replace what they need."""

    category = Category.OTHER
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, device_id: str, timebase: Timebase, **description: Any) -> None:
        super().__init__(DriverContext(device_id, "fake", timebase))
        self.extra = description
        self.log: list[str] = []
        self.polls = 0
        self.on_connect: Callable[[], Any] | None = None
        self.on_poll: Callable[[], Any] | None = None
        self.on_stop: Callable[[], Any] | None = None

    @property
    def description(self) -> DeviceDescription:
        return DeviceDescription(
            self.context.device_id,
            "fake",
            self.category,
            self.capabilities,
            **{"channel": Channel(self.context.device_id, "mm"), "units": "mm"} | self.extra,
        )

    async def connect(self) -> None:
        self.log.append("connect")
        await trio.lowlevel.checkpoint()
        if self.on_connect:
            await self.on_connect()

    async def disconnect(self) -> None:
        self.log.append("disconnect")
        await trio.lowlevel.checkpoint()

    async def stop(self) -> bool:
        self.log.append("stop")
        await trio.lowlevel.checkpoint()
        return bool(await self.on_stop()) if self.on_stop else False

    async def poll(self) -> Mapping[str, Scalar]:
        self.polls += 1
        await trio.lowlevel.checkpoint()
        if self.on_poll:
            await self.on_poll()
        return self.fields()

    def fields(self) -> dict[str, Scalar]:
        return {}

    def now(self, value: Any) -> Reading:
        return Reading(value, self.context.timebase.now_ns())


class FakeStage(FakeDriver):
    """Moves at 1 mm/s; `slip` is how far it misses."""

    category = Category.STAGE
    capabilities = frozenset({Capability.MOVABLE})
    motion_timing = MotionTiming(begin_s=0.0, rest_s=0.0)

    def __init__(self, device_id: str, timebase: Timebase, **description: Any) -> None:
        super().__init__(
            device_id,
            timebase,
            **{"limits": Limits(-10, 10), "tolerance": 0.01} | description,
        )
        self.speed = 1.0
        self.slip = 0.0
        self._from = self._to = 0.0
        self._began = trio.current_time()
        self.on_move: Callable[[], Any] | None = None

    @property
    def place(self) -> float:
        gone = (trio.current_time() - self._began) * self.speed
        distance = self._to - self._from
        return self._from + max(-abs(distance), min(abs(distance), gone)) * np.sign(distance)

    @property
    def moving(self) -> bool:
        return self.place != self._to

    def fields(self) -> dict[str, Scalar]:
        return {"position": float(self.place), "moving": bool(self.moving)}

    async def move_abs(self, position: float) -> None:
        self.log.append(f"move {position:g}")
        if self.on_move:
            await self.on_move()
        here = self.place
        self._from, self._to, self._began = here, position + self.slip, trio.current_time()
        await trio.sleep(abs(self._to - self._from) / self.speed)

    async def position(self) -> Reading:
        await trio.lowlevel.checkpoint()
        return self.now(float(self.place))

    async def is_moving(self) -> bool:
        await trio.lowlevel.checkpoint()
        return bool(self.moving)

    async def home(self) -> None:
        await self.move_abs(0.0)

    async def stop(self) -> bool:
        was_moving = self.moving
        self._from = self._to = float(self.place)
        return await super().stop() or bool(was_moving)


class FakeMeter(FakeDriver):
    """Reads `value`, which may be a waveform."""

    category = Category.POWER_METER
    capabilities = frozenset({Capability.READABLE})

    def __init__(self, device_id: str, timebase: Timebase) -> None:
        super().__init__(device_id, timebase, channel=Channel(device_id, "W"), units="W")
        self.value: Any = 0.5
        self.on_read: Callable[[], Any] | None = None

    async def read(self) -> Reading:
        if self.on_read:
            await self.on_read()
        await trio.lowlevel.checkpoint()
        return self.now(self.value)

    def fields(self) -> dict[str, Scalar]:
        return {"reading": self.value}


class FakeCamera(FakeDriver):
    """Ten frames a second of 4 by 3 pixels, each filled with its number; one user at a time."""

    category = Category.CAMERA
    capabilities = frozenset({Capability.FRAME_PRODUCER, Capability.TRIGGERABLE})

    def __init__(self, device_id: str, timebase: Timebase) -> None:
        super().__init__(
            device_id,
            timebase,
            channel=Channel(device_id, "counts", "u2", (3, 4)),
            resolution=(4, 3),
            bits_per_pixel=16,
            parameters=(standard("exposure", limits=Limits(0.001, 1.0)),),
        )
        self.delivers: int | None = None
        self.exposure_s = 0.1
        self.closed = 0
        self.acquiring = False

    async def frames(self, count: int | None) -> AsyncGenerator[Reading, None]:
        if self.acquiring:
            raise DeviceError("camera: two acquisitions at once")
        limit = self.delivers if self.delivers is not None else count
        number = 0
        self.acquiring = True
        try:
            while limit is None or number < limit:
                await trio.sleep(0.1)
                yield self.now(np.full((3, 4), number, dtype=np.uint16))
                number += 1
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)
            self.acquiring = False
            self.closed += 1

    async def exposure(self) -> float:
        await trio.lowlevel.checkpoint()
        return self.exposure_s

    async def set_exposure(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        self.exposure_s = round(seconds, 3)

    async def arm(self) -> None:
        await trio.lowlevel.checkpoint()

    async def trigger(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.context.timebase.now_ns()


class FakeLaser(FakeDriver):
    """Wavelength, emission, shutter and parameters."""

    category = Category.LASER
    capabilities = frozenset[Capability]()
    parameters = (
        standard("wavelength", limits=Limits(700, 1000)),
        standard("emission"),
        standard("shutter"),
        DeviceParameter("power", "float", units="mW", limits=Limits(0, 100)),
        DeviceParameter("mode", "str", choices=("cw", "pulsed")),
        DeviceParameter("averages", "int", limits=Limits(1, 64)),
        DeviceParameter("serial", "str", writable=False),
        DeviceParameter("reset", "bool", readable=False),
    )

    def __init__(self, device_id: str, timebase: Timebase) -> None:
        super().__init__(
            device_id,
            timebase,
            channel=Channel(device_id, ""),
            parameters=self.parameters,
        )
        self.nm = 800.0
        self.emits = False
        self.shutter = False
        self.stuck = False
        self.values: dict[str, Scalar] = {
            "power": 1.0,
            "mode": "cw",
            "averages": 1,
            "serial": "0042",
        }
        self.on_open: Callable[[], Any] | None = None

    async def _set_wavelength(self, nm: float) -> None:
        await trio.sleep(1)
        self.nm = nm

    async def _set_emission(self, on: bool) -> None:
        self.emits = on and not self.stuck

    async def _set_shutter(self, is_open: bool) -> None:
        if is_open and self.on_open:
            await self.on_open()
        self.shutter = is_open is not self.stuck

    async def make_safe(self) -> bool:
        self.log.append("make_safe")
        was_open, self.shutter = self.shutter, False
        return await self.stop() or was_open

    async def get_parameter(self, name: str) -> Scalar:
        await trio.lowlevel.checkpoint()
        light = {"wavelength": self.nm, "emission": self.emits, "shutter": self.shutter}
        return {**self.values, **light}[name]

    async def set_parameter(self, name: str, value: Any) -> None:
        await trio.lowlevel.checkpoint()
        light = {
            "wavelength": self._set_wavelength,
            "emission": self._set_emission,
            "shutter": self._set_shutter,
        }
        if name in light:
            await light[name](value)
        else:
            self.values[name] = value


class FakeDigitizer(FakeDriver):
    """Blocks of five samples, 1 ms apart."""

    category = Category.DETECTOR
    capabilities = frozenset({Capability.SAMPLE_PRODUCER})

    def __init__(self, device_id: str, timebase: Timebase) -> None:
        super().__init__(device_id, timebase, channel=Channel(device_id, "V"), units="V")

    async def samples(self) -> AsyncGenerator[tuple[Reading, int], None]:
        number = 0
        while True:
            yield self.now(np.arange(number, number + 5, dtype=float)), 1_000_000
            await trio.sleep(0.005)
            number += 5


async def hang() -> None:
    await trio.sleep_forever()


def stuck_until(release: threading.Event) -> Callable[[], Any]:
    """A driver's blocking call that no cancellation reaches."""

    async def block() -> None:
        await trio.to_thread.run_sync(release.wait)

    return block


def failing(error: Exception, times: int = 1_000_000) -> Callable[[], Any]:
    """Raises `error` the first `times` times."""
    left = [times]

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        if left[0] > 0:
            left[0] -= 1
            raise error

    return fail


def device_error(text: str) -> DeviceError:
    return DeviceError(text)


@dataclass
class Bench:
    """What a test works with."""

    supervisor: Supervisor
    bus: Bus
    timebase: Timebase
    plugged: PluggedInstrument | None = None


@asynccontextmanager
async def supervised(
    *drivers: Driver,
    failures: Mapping[str, str] | None = None,
    timing: Timing | None = None,
    out_of_use: OutOfUse | None = None,
    debts: Debts | None = None,
    references: References | None = None,
) -> AsyncIterator[Bench]:
    """A running supervisor of these drivers; cancelled at the end."""
    bus = Bus()
    timebase = drivers[0].context.timebase if drivers else Timebase()
    supervisor = Supervisor(
        {driver.context.device_id: driver for driver in drivers},
        bus,
        timebase,
        failures or {},
        policy=NO_JITTER,
        timing=timing,
        rng=random.Random(0),
        out_of_use=out_of_use,
        debts=debts,
        references=references,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        yield Bench(supervisor, bus, timebase)
        nursery.cancel_scope.cancel()


class FakePrograms:
    """Writes down what interlocks ask of programs."""

    def __init__(self):
        self.log = []
        self.output = []
        self.veto = ""

    def hold(self, interlock, reason, devices=()):
        if self.veto:
            raise StateError(self.veto)
        self.log.append(("hold", interlock))

    async def release(self, interlock, *, resume):
        await trio.lowlevel.checkpoint()
        self.log.append(("release", interlock, resume))

    async def stop(self, interlock, reason, *, force):
        await trio.lowlevel.checkpoint()
        self.log.append(("force_stop" if force else "stop", interlock))

    def say(self, text):
        self.output.append(text)
