"""Taking one measurement: what an event stores of a device."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import numpy as np

from daq.core import (
    STANDARD,
    Capability,
    CapabilityError,
    DeviceDescription,
    DeviceError,
    Invalid,
    InvalidReadingError,
    Measurement,
    Reading,
)
from daq.supervision.device.answers import (
    checked_array,
    checked_position,
    checked_reading,
)
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.parameters import take_parameter

__all__ = [
    "acquire",
    "checked_frame",
    "follow_position",
    "note_position",
    "take_frame",
    "take_position",
    "take_reading",
]

Take = Callable[[OperationContext], Awaitable[Measurement]]


async def take_position(instrument: OperationContext) -> Measurement:
    """The position as read back; raises DeviceError when it is not a number."""
    return note_position(instrument, await instrument.driver.position())


def note_position(instrument: OperationContext, reading: Reading) -> Measurement:
    """A position that was read back; raises DeviceError when it is not a number."""
    checked = checked_position(instrument.id, reading)
    instrument.status.note("position", float(checked.value))
    return instrument.publisher.primary(checked)


async def take_reading(instrument: OperationContext) -> Measurement:
    """One reading, scalar or waveform."""
    try:
        reading = checked_reading(instrument.id, "read", await instrument.driver.read())
    except InvalidReadingError as error:
        instrument.status.note("reading", Invalid(error.message.removeprefix(f"{instrument.id}: ")))
        raise
    own, offered = instrument.description.channel, instrument.description.capabilities
    given = np.shape(reading.value)
    if not offered & _ON_OWN_CHANNEL and len(given) != len(own.shape):
        raise DeviceError(
            f"{instrument.id}: read gave the shape {given}; {own.shape} is described",
            advice="a defect of the driver",
        )
    if isinstance(reading.value, bool | int | float):
        instrument.status.note("reading", reading.value)
    return instrument.publisher.reading(reading)


async def take_frame(instrument: OperationContext) -> Measurement:
    """One frame; raises DeviceError when none comes."""
    async with aclosing(instrument.driver.frames(1)) as frames:
        async for frame in frames:
            return checked_frame(instrument, frame)
    raise DeviceError(f"{instrument.id}: frames(1): the device delivered no frame")


def checked_frame(instrument: OperationContext, frame: Any) -> Measurement:
    """A frame that a driver gave, unless it is none."""
    channel = instrument.description.channel
    return instrument.publisher.primary(checked_array(instrument.id, "frames", frame, channel))


async def follow_position(instrument: OperationContext) -> None:
    """Publish where a moving device is."""
    await instrument.publisher.publish(await take_position(instrument))


async def acquire(
    instrument: OperationContext, parameter: str = "", *, no_value: bool = False
) -> tuple[Measurement, ...]:
    """What `record` stores of the device, or of one parameter of it, not yet published.

    The position, and beside it the reading of a device that measures too; else a frame, else a
    reading. A source without any of these gives its standard parameters.
    """
    if parameter:
        return await take_parameter(instrument, parameter)
    description = instrument.description
    offered = description.capabilities
    read = _reading_or_nan if no_value else take_reading
    if Capability.MOVABLE in offered:
        position = await take_position(instrument)
        if Capability.READABLE not in offered:
            return (position,)
        return position, await read(instrument)
    if Capability.FRAME_PRODUCER in offered:
        return (await take_frame(instrument),)
    if Capability.READABLE in offered:
        return (await read(instrument),)
    names = [row.name for row in description.parameters if row.name in STANDARD and row.readable]
    blocks = [block for name in names for block in await take_parameter(instrument, name)]
    if not blocks:
        raise CapabilityError(
            f"{instrument.id}: has nothing to record: it gives no values",
            advice=f"record a parameter of it: {_targets(description)}",
        )
    return tuple(blocks)


def _targets(description: DeviceDescription) -> str:
    rows = [row for row in description.parameters if row.is_number and row.readable]
    return ", ".join(f"{description.id}.{row.name}" for row in rows) or "it has none"


async def _reading_or_nan(instrument: OperationContext) -> Measurement:
    """A reading, or nan for one that is invalid now; raises for what cannot hold a nan."""
    try:
        return await take_reading(instrument)
    except InvalidReadingError:
        channel = instrument.description.reading or instrument.description.channel
        if channel.shape or np.dtype(channel.dtype).kind != "f":
            raise
        return instrument.publisher.reading(Reading(math.nan, instrument.timebase.now_ns()))


_ON_OWN_CHANNEL = frozenset({Capability.MOVABLE, Capability.FRAME_PRODUCER})
"""What is on the device's own channel in the place of its readings."""
