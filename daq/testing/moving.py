"""Moves a driver as supervision does: sends it off, and looks until it began, went and rests."""

from __future__ import annotations

from typing import Any

from daq.bus import Bus
from daq.drivers import Driver
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.operations import ACTIONS
from daq.supervision.device.publisher import Publisher
from daq.supervision.device.status import DeviceStatus

__all__ = ["home", "move"]


async def move(driver: Driver, position: float) -> float:
    """Move a connected driver and wait until it rests.

    Returns:
        The readback, in the description's units.

    Raises:
        DeviceError: It did not arrive; it is not stopped then.
    """
    return await _operate(driver, "move_abs", position)


async def home(driver: Driver) -> float:
    """As `move`, to its home position."""
    return await _operate(driver, "home")


async def _operate(driver: Driver, operation: str, *arguments: Any) -> float:
    description, timebase = driver.description, driver.context.timebase
    status = DeviceStatus(description.id, timebase, lambda: None)
    context = OperationContext(driver, description, status, Publisher(description, Bus()), timebase)
    return float(await ACTIONS[operation].perform(context, *arguments))
