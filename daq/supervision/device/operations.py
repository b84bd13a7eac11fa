"""Every operation, as a row of one table: how its arguments are checked and what is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from daq.core import DeviceError, Measurement, Scalar
from daq.supervision.device.acquisition import (
    checked_frame,
    take_emission,
    take_exposure,
    take_position,
    take_reading,
    take_shutter,
    take_wavelength,
)
from daq.supervision.device.answers import checked_scalar, checked_time, plain_value
from daq.supervision.device.checks import (
    Check,
    check_distance,
    check_emission,
    check_exposure,
    check_frame_count,
    check_limits,
    check_nothing,
    check_parameter_name,
    check_parameter_value,
    check_position,
    check_wavelength,
    find_parameter,
)
from daq.supervision.device.motion import carry_out_motion, wait_rest
from daq.supervision.device.operation_context import OperationContext

__all__ = ["ACTIONS", "Action"]


@dataclass(frozen=True, slots=True)
class Action:
    """How one operation is done."""

    check: Check
    perform: Callable[..., Awaitable[Any]]
    """Takes the instrument and the checked arguments; returns the operation's plain value."""
    asks_without_arguments: bool = False
    """Called without arguments it only asks, so it may run beside a command."""


async def _published(instrument: OperationContext, block: Measurement) -> Any:
    await instrument.publisher.publish(block)
    return plain_value(block.last())


async def _read(instrument: OperationContext) -> Any:
    return await _published(instrument, await take_reading(instrument))


async def _position(instrument: OperationContext) -> Any:
    return await _published(instrument, await take_position(instrument))


async def _move_abs(instrument: OperationContext, position: float) -> float:
    send = partial(instrument.driver.move_abs, position)
    return await carry_out_motion(instrument, "move_abs", send, position)


async def _move_rel(instrument: OperationContext, distance: float) -> float:
    start = float((await take_position(instrument)).last())
    description = instrument.description
    check_limits(instrument.id, "position", start + distance, description.limits, description.units)
    return await _move_abs(instrument, start + distance)


async def _home(instrument: OperationContext) -> float:
    driver = instrument.driver
    return await carry_out_motion(instrument, "home", driver.home, driver.home_position)


async def _wait_settled(instrument: OperationContext) -> float:
    position = await wait_rest(instrument, instrument.driver.motion_timing.rest_s)
    return float(await _published(instrument, position))


async def _arm(instrument: OperationContext) -> None:
    await instrument.driver.arm()
    instrument.status.note("armed", True)


async def _trigger(instrument: OperationContext) -> int:
    triggered_ns = checked_time(instrument.id, "trigger", await instrument.driver.trigger())
    instrument.status.note("armed", False)
    return triggered_ns


async def _frames(instrument: OperationContext, count: int) -> Any:
    frames = []
    async with aclosing(instrument.driver.frames(count)) as series:
        async for frame in series:
            block = checked_frame(instrument, frame)
            await instrument.publisher.publish(block)
            frames.append(block.values)
            if len(frames) == count:
                break
    if len(frames) < count:
        raise DeviceError(
            f"{instrument.id}: frames({count}): only {len(frames)} frames were delivered"
        )
    return np.concatenate(frames)


async def _exposure(instrument: OperationContext, *seconds: float) -> Any:
    for value in seconds:
        await instrument.driver.set_exposure(value)
    return await _published(instrument, await take_exposure(instrument))


async def _wavelength(instrument: OperationContext, *nm: float) -> Any:
    for value in nm:
        await instrument.driver.set_wavelength(value)
    return await _published(instrument, await take_wavelength(instrument))


async def _emission(instrument: OperationContext, *on: bool) -> bool:
    for value in on:
        await instrument.driver.set_emission(value)
    emits = bool(await _published(instrument, await take_emission(instrument)))
    if on and emits is not on[0]:
        raise DeviceError(
            f"{instrument.id}: emission({on[0]}): the emission is still {'on' if emits else 'off'}"
        )
    return emits


async def _is_open(instrument: OperationContext) -> bool:
    return bool(await _published(instrument, await take_shutter(instrument)))


async def _open(instrument: OperationContext) -> None:
    await instrument.driver.open_shutter()
    if not await _is_open(instrument):
        raise DeviceError(f"{instrument.id}: open: the shutter is still closed")


async def _close(instrument: OperationContext) -> None:
    await instrument.driver.close_shutter()
    if await _is_open(instrument):
        raise DeviceError(f"{instrument.id}: close: the shutter is still open")


async def _get(instrument: OperationContext, name: str) -> Scalar:
    given = await instrument.driver.get_parameter(name)
    value = checked_scalar(instrument.id, f"get({name})", given)
    instrument.status.note(name, value)
    if not isinstance(value, str):
        units = find_parameter(instrument.description, "get", name).units
        now_ns = instrument.timebase.now_ns()
        await instrument.publisher.publish(instrument.publisher.beside(name, value, units, now_ns))
    return value


async def _set(instrument: OperationContext, name: str, value: Scalar) -> Scalar:
    await instrument.driver.set_parameter(name, value)
    if not find_parameter(instrument.description, "set", name).readable:
        return value
    return await _get(instrument, name)


ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "read": Action(check_nothing, _read),
        "move_abs": Action(check_position, _move_abs),
        "move_rel": Action(check_distance, _move_rel),
        "home": Action(check_nothing, _home),
        "position": Action(check_nothing, _position),
        "wait_settled": Action(check_nothing, _wait_settled),
        "arm": Action(check_nothing, _arm),
        "trigger": Action(check_nothing, _trigger),
        "frames": Action(check_frame_count, _frames),
        "exposure": Action(check_exposure, _exposure, asks_without_arguments=True),
        "open": Action(check_nothing, _open),
        "close": Action(check_nothing, _close),
        "is_open": Action(check_nothing, _is_open),
        "wavelength": Action(check_wavelength, _wavelength, asks_without_arguments=True),
        "emission": Action(check_emission, _emission, asks_without_arguments=True),
        "get": Action(check_parameter_name, _get),
        "set": Action(check_parameter_value, _set),
    }
)
