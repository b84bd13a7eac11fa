"""What the checks of the driver kit work with: a driver under test, and words for failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import trio

from daq.bus import Bus
from daq.core import DaqError, DeviceState, Reading
from daq.drivers import Driver, DriverContext, Timebase
from daq.supervision import Device, Supervisor

__all__ = [
    "ConformanceError",
    "DriverFactory",
    "Subject",
    "Supervised",
    "check_reading",
    "expect",
    "expect_error",
]

_CONNECT_S = 30.0

DriverFactory = Callable[[DriverContext], Driver]


class ConformanceError(AssertionError):
    """A driver broke a contract; the message lists every check that failed and why."""


def expect(condition: object, message: str) -> None:
    """Fail the check with `message` unless `condition` holds."""
    if not condition:
        raise ConformanceError(message)


async def expect_error(
    error: type[DaqError], what: str, call: Callable[[], Awaitable[object]]
) -> None:
    """Fail the check unless `call` raises `error`."""
    try:
        await call()
    except error:
        return
    except DaqError as other:
        raise ConformanceError(
            f"{what} raises {error.__name__}, not {type(other).__name__}: {other}"
        ) from other
    raise ConformanceError(f"{what} raises {error.__name__}, but nothing was raised")


@dataclass(frozen=True, slots=True)
class Subject:
    """Makes fresh drivers to check, each connected for as long as it is looked at."""

    make: DriverFactory
    options: Mapping[str, Any] = field(default_factory=dict)
    device_id: str = "device"
    driver_name: str = "under.test"

    def build(self, extra: Mapping[str, Any] | None = None) -> Driver:
        """A fresh driver, not connected, with further options."""
        options = {**self.options, **(extra or {})}
        return self.make(DriverContext(self.device_id, self.driver_name, Timebase(), options))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Driver]:
        """A fresh driver that is connected, and disconnected at the end."""
        driver = self.build()
        await driver.connect()
        try:
            yield driver
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 5.0, shield=True):
                await driver.disconnect()

    @asynccontextmanager
    async def supervised(self, extra: Mapping[str, Any] | None = None) -> AsyncIterator[Supervised]:
        """A fresh driver as the daemon has it: connected, polled, commanded and stopped.

        One that does not get there is given all the same, as it is.

        Yields:
            The device, its driver and its supervisor.
        """
        driver = self.build(extra)
        supervisor = Supervisor({self.device_id: driver}, Bus(), driver.context.timebase)
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            await _wait_connected(supervisor, self.device_id)
            yield Supervised(driver, supervisor.device(self.device_id), supervisor)
            nursery.cancel_scope.cancel()


async def _wait_connected(supervisor: Supervisor, device_id: str) -> None:
    """The daemon serves meanwhile; an instrument that has to boot first takes longer."""
    device, seen = supervisor.device(device_id), 0
    with trio.move_on_after(_CONNECT_S):
        while device.snapshot().state is DeviceState.CONNECTING:
            seen = await supervisor.wait_changed(seen)


@dataclass(frozen=True, slots=True)
class Supervised:
    """A driver and the device that it is to everybody above."""

    driver: Driver
    device: Device
    supervisor: Supervisor


def check_reading(driver: Driver, reading: Reading, earliest_ns: int, latest_ns: int) -> None:
    """A reading has the shape and kind that the channel declares, and the time of its taking."""
    channel = driver.description.channel
    value = np.asarray(reading.value)
    expect(
        value.shape == channel.shape,
        f"a value has the shape {value.shape}, the channel declares {channel.shape}",
    )
    expect(
        value.dtype.kind == np.dtype(channel.dtype).kind,
        f"a value is {value.dtype}, the channel declares {channel.dtype}",
    )
    expect(np.all(np.isfinite(value)), "a value is not finite; raise DeviceError instead")
    expect(
        earliest_ns <= reading.timestamp_ns <= latest_ns,
        f"the timestamp {reading.timestamp_ns} lies outside of the call, "
        f"which took from {earliest_ns} to {latest_ns}",
    )
