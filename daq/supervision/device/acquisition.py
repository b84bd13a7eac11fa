"""Taking one measurement: what an event stores of a device."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from daq.core import (
    Capability,
    CapabilityError,
    DeviceError,
    Invalid,
    InvalidReadingError,
    Measurement,
    Reading,
)
from daq.supervision.device.answers import (
    checked_array,
    checked_number,
    checked_position,
    checked_reading,
    checked_truth,
)
from daq.supervision.device.operation_context import OperationContext

__all__ = [
    "acquire",
    "checked_frame",
    "follow_position",
    "note_position",
    "take_emission",
    "take_exposure",
    "take_frame",
    "take_position",
    "take_reading",
    "take_shutter",
    "take_wavelength",
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


async def take_exposure(instrument: OperationContext) -> Measurement:
    return _beside(
        instrument,
        "exposure",
        checked_number(instrument.id, "exposure", await instrument.driver.exposure()),
        "s",
    )


async def take_wavelength(instrument: OperationContext) -> Measurement:
    return _beside(
        instrument,
        "wavelength",
        checked_number(instrument.id, "wavelength", await instrument.driver.wavelength()),
        "nm",
    )


async def take_emission(instrument: OperationContext) -> Measurement:
    return _beside(
        instrument,
        "emission",
        checked_truth(instrument.id, "emission", await instrument.driver.emission()),
        "",
    )


async def take_shutter(instrument: OperationContext) -> Measurement:
    told = await instrument.driver.is_shutter_open()
    is_open = checked_truth(instrument.id, "is_shutter_open", told)
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
