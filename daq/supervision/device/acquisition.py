"""Taking one measurement: what an event stores of a device."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import numpy as np

from daq.core import (
    Capability,
    CapabilityError,
    DeviceError,
    Measurement,
    Reading,
)
from daq.supervision.device.operation_context import OperationContext

__all__ = [
    "acquire",
    "follow_position",
    "plain_value",
    "take_emission",
    "take_exposure",
    "take_frame",
    "take_position",
    "take_reading",
    "take_shutter",
    "take_wavelength",
]

Take = Callable[[OperationContext], Awaitable[Measurement]]


def plain_value(value: Any) -> Any:
    """A numpy scalar as Python's own; arrays stay as they are."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


async def take_position(instrument: OperationContext) -> Measurement:
    """The position as read back; raises DeviceError when it is not a number."""
    reading: Reading = await instrument.driver.position()
    position = float(reading.value)
    if not math.isfinite(position):
        raise DeviceError(f"{instrument.id}: position: the readback is {position}, not a number")
    instrument.status.note("position", position)
    return instrument.publisher.primary(Reading(position, reading.timestamp_ns))


async def take_reading(instrument: OperationContext) -> Measurement:
    """One reading, scalar or waveform."""
    reading: Reading = await instrument.driver.read()
    value = plain_value(reading.value)
    if not isinstance(value, np.ndarray):
        instrument.status.note("reading", value)
    return instrument.publisher.reading(reading)


async def take_frame(instrument: OperationContext) -> Measurement:
    """One frame; raises DeviceError when none comes."""
    async with aclosing(instrument.driver.frames(1)) as frames:
        async for frame in frames:
            return instrument.publisher.primary(frame)
    raise DeviceError(f"{instrument.id}: frames(1): the device delivered no frame")


async def take_exposure(instrument: OperationContext) -> Measurement:
    return _beside(instrument, "exposure", float(await instrument.driver.exposure()), "s")


async def take_wavelength(instrument: OperationContext) -> Measurement:
    return _beside(instrument, "wavelength", float(await instrument.driver.wavelength()), "nm")


async def take_emission(instrument: OperationContext) -> Measurement:
    return _beside(instrument, "emission", bool(await instrument.driver.emission()), "")


async def take_shutter(instrument: OperationContext) -> Measurement:
    is_open = bool(await instrument.driver.is_shutter_open())
    return _beside(instrument, "shutter", is_open, "", field="is_open")


async def follow_position(instrument: OperationContext) -> None:
    """Publish where a moving device is."""
    await instrument.publisher.publish(await take_position(instrument))


async def acquire(instrument: OperationContext) -> tuple[Measurement, ...]:
    """What `record` stores of the device, not yet published.

    The position, else a frame, else a reading; a source without any of these gives its settings.
    """
    offered = instrument.description.capabilities
    for capability, take in _PRIMARY.items():
        if capability in offered:
            return (await take(instrument),)
    blocks = [await take(instrument) for cap, take in _SETTINGS.items() if cap in offered]
    if not blocks:
        raise CapabilityError(f"{instrument.id}: has nothing to record: it gives no values")
    return tuple(blocks)


_PRIMARY: dict[Capability, Take] = {
    Capability.MOVABLE: take_position,
    Capability.FRAME_PRODUCER: take_frame,
    Capability.READABLE: take_reading,
}

_SETTINGS: dict[Capability, Take] = {
    Capability.WAVELENGTH_TUNABLE: take_wavelength,
    Capability.EMISSION_CONTROLLABLE: take_emission,
    Capability.SHUTTER_CONTROLLABLE: take_shutter,
    Capability.EXPOSURE_CONTROLLABLE: take_exposure,
}


def _beside(
    instrument: OperationContext, name: str, value: float, units: str, *, field: str = ""
) -> Measurement:
    instrument.status.note(field or name, value)
    return instrument.publisher.beside(name, value, units, instrument.timebase.now_ns())
