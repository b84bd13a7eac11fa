"""Every operation, as a row of one table: how its arguments are checked and what is done.

Those of parameters and of a device's own actions are made of their rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from daq.core import (
    DeviceAction,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    LimitError,
    Measurement,
    Operation,
    Scalar,
)
from daq.supervision.device.acquisition import (
    checked_frame,
    take_position,
    take_reading,
)
from daq.supervision.device.answers import checked_scalar, checked_time, plain_value
from daq.supervision.device.checks import (
    Check,
    allowed_target,
    check_arity,
    check_distance,
    check_frame_count,
    check_nothing,
    check_position,
)
from daq.supervision.device.motion import carry_out_motion, wait_rest
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.parameters import (
    check_get,
    check_own,
    check_set,
    get_parameter,
    parameter_value,
    set_parameter,
)

__all__ = ["ACTIONS", "Action", "device_action", "parameter_action"]


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
    return await _move_abs(instrument, allowed_target(instrument.description, start, distance))


async def _home(instrument: OperationContext) -> float:
    driver, description = instrument.driver, instrument.description
    ends = 0.0 if driver.home_position is None else driver.home_position
    if description.limits is not None and ends not in description.limits:
        raise LimitError(
            f"{instrument.id}: home: it ends at {ends:g} {description.units}, outside of the "
            f"limits {description.limits} {description.units}; nothing moved",
            advice="limits that include it, or a move to a position inside of them",
        )
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


def parameter_action(operation: Operation, row: DeviceParameter) -> Action:
    """How a parameter is got and set by a name of its own, such as `wavelength` or `open`."""

    def check(device: DeviceDescription, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if operation.signature == "()":
            check_arity(device, name, arguments, "()")
            return ()
        return check_own(device, name, row, arguments)

    async def perform(instrument: OperationContext, *given: Scalar) -> Scalar | None:
        value = given[0] if given else operation.value
        if value is None:
            return await get_parameter(instrument, row.name)
        what = f"{operation.name}({', '.join(map(repr, given))})" if given else operation.name
        kept = await set_parameter(instrument, row.name, value, what)
        return kept if given else None

    return Action(check, perform, asks_without_arguments=operation.value is None)


def device_action(action: DeviceAction) -> Action:
    """How an action of the device's own is done."""

    def check(device: DeviceDescription, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        check_arity(device, name, arguments, action.signature)
        rows = zip(action.arguments, arguments, strict=True)
        return tuple(parameter_value(device, name, row, given) for row, given in rows)

    async def perform(instrument: OperationContext, *given: Scalar) -> Scalar | None:
        answer: Any = None

        async def act() -> None:
            nonlocal answer
            answer = await instrument.driver.act(action.name, *given)

        rest = None
        if action.moves:
            rest = await carry_out_motion(instrument, action.name, act, None)
        else:
            await act()
        return rest if answer is None else checked_scalar(instrument.id, action.name, answer)

    return Action(check, perform)


async def _set(instrument: OperationContext, name: str, value: Scalar) -> Scalar:
    return await set_parameter(instrument, name, value, f"set({name!r}, {value!r})")


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
        "get": Action(check_get, get_parameter),
        "set": Action(check_set, _set),
    }
)
