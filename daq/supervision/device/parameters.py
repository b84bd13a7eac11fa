"""Getting and setting parameters: one way for all of them, by their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import trio

from daq.core import (
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    LimitError,
    Measurement,
    Scalar,
)
from daq.supervision.device.answers import checked_number, checked_scalar, checked_truth
from daq.supervision.device.checks import check_arity, check_limits, check_number, wrong_argument
from daq.supervision.device.operation_context import OperationContext

__all__ = [
    "check_get",
    "check_own",
    "check_set",
    "get_parameter",
    "parameter_value",
    "set_parameter",
    "take_parameter",
]

Arguments = tuple[Any, ...]
_CHECKS: Mapping[str, Callable[[str, str, Any], Scalar]] = MappingProxyType(
    {"float": checked_number, "bool": checked_truth}
)
SETTLE_POLL_S = 0.05


async def get_parameter(instrument: OperationContext, name: str) -> Scalar:
    """Its value, asked of the instrument and published."""
    row = instrument.description.parameter(name)
    return await _published(instrument, row, await instrument.driver.get_parameter(name))


async def _published(instrument: OperationContext, row: DeviceParameter, given: Any) -> Scalar:
    value = _noted(instrument, row, given)
    if not isinstance(value, str):
        await instrument.publisher.publish(_measured(instrument, row, value))
    return value


async def take_parameter(instrument: OperationContext, name: str) -> tuple[Measurement, ...]:
    """What an event stores of it, not yet published."""
    row = instrument.description.parameter(name)
    return (_measured(instrument, row, await _ask(instrument, row)),)


async def set_parameter(
    instrument: OperationContext, name: str, value: Scalar, what: str
) -> Scalar:
    """Set it and return what it reads back; `what` names the call in errors.

    Raises DeviceError when that is not what it was set to, within tolerance and in time.
    """
    row = instrument.description.parameter(name)
    read_back = await instrument.driver.set_parameter(name, value)
    if not row.readable:
        return value
    deadline = trio.current_time() + row.settle_s
    if read_back is None:
        read_back = await instrument.driver.get_parameter(name)
    kept = await _published(instrument, row, read_back)
    while not _has_arrived(row, kept, value):
        if trio.current_time() >= deadline:
            raise _missed(instrument.id, row, kept, value, what)
        await trio.sleep(SETTLE_POLL_S)
        kept = await get_parameter(instrument, name)
    if row.setpoint:
        await get_parameter(instrument, row.setpoint)
    return kept


def check_get(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    """`get(name)`."""
    check_arity(device, operation, arguments, "(name)")
    return (_readable(device, operation, arguments[0]).name,)


def check_set(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    """`set(name, value)`."""
    check_arity(device, operation, arguments, "(name, value)")
    row = device.parameter(arguments[0])
    return (row.name, parameter_value(device, operation, row, arguments[1]))


def check_own(
    device: DeviceDescription, operation: str, row: DeviceParameter, given: Sequence[Any]
) -> Arguments:
    """The call of a parameter by its name: with a value to set it, or without to get it."""
    given = () if tuple(given) == (None,) else given
    check_arity(device, operation, given, f"({row.argument}=None)")
    if given:
        return (parameter_value(device, operation, row, given[0]),)
    _readable(device, operation, row.name)
    return ()


def parameter_value(
    device: DeviceDescription, operation: str, row: DeviceParameter, value: Any
) -> Scalar:
    """`value` as the parameter takes it. Raises DeviceError, or LimitError where it is outside."""
    if not row.writable:
        raise DeviceError(f"{device.id}: {operation}: parameter {row.name!r} is read-only")
    converted = _converted(device, operation, row, value)
    if not isinstance(converted, bool | str):
        check_limits(device.id, row.name, converted, row.limits, row.units)
    if row.choices and str(converted) not in row.choices:
        raise LimitError(
            f"{device.id}: {operation}: {row.name} {value!r} is not one of "
            f"{', '.join(row.choices)}; nothing was changed"
        )
    return converted


def _converted(
    device: DeviceDescription, operation: str, row: DeviceParameter, value: Any
) -> Scalar:
    if row.is_number:
        number = check_number(device, operation, row.name, value, row.units)
        if row.dtype == "float":
            return number
        if number.is_integer():
            return int(number) if isinstance(value, float | np.floating) else int(value)
        raise wrong_argument(device, operation, row.name, "whole numbers", value)
    if row.dtype == "bool" and isinstance(value, bool | np.bool_):
        return bool(value)
    if row.dtype == "str" and isinstance(value, str):
        return value
    takes = "True or False" if row.dtype == "bool" else "a text"
    raise wrong_argument(device, operation, row.name, takes, value)


def _readable(device: DeviceDescription, operation: str, name: Any) -> DeviceParameter:
    row = device.parameter(name)
    if not row.readable:
        raise DeviceError(f"{device.id}: {operation}: parameter {row.name!r} cannot be read")
    return row


async def _ask(instrument: OperationContext, row: DeviceParameter) -> Scalar:
    return _noted(instrument, row, await instrument.driver.get_parameter(row.name))


def _noted(instrument: OperationContext, row: DeviceParameter, given: Any) -> Scalar:
    """What a driver gave, checked and known from now on."""
    value = _CHECKS.get(row.dtype, checked_scalar)(instrument.id, f"get({row.name})", given)
    instrument.status.note(row.name, value)
    return value


def _measured(instrument: OperationContext, row: DeviceParameter, value: Scalar) -> Measurement:
    if isinstance(value, str):
        raise DeviceError(f"{instrument.id}: {row.name} is a text: {value!r}, not a measurement")
    now_ns = instrument.timebase.now_ns()
    return instrument.publisher.beside(row.name, value, row.units, now_ns)


def _has_arrived(row: DeviceParameter, kept: Scalar, wanted: Scalar) -> bool:
    """Whether it reads back as it was set; without a tolerance a number is judged by the driver."""
    return (row.is_number and row.tolerance is None) or row.is_at(kept, wanted)


def _missed(
    device_id: str, row: DeviceParameter, kept: Scalar, wanted: Scalar, what: str
) -> DeviceError:
    if isinstance(kept, bool):
        return DeviceError(f"{device_id}: {what}: the {row.name} is still {row.in_words(kept)}")
    reads = f"setpoint {row.in_words(wanted)}, readback {row.in_words(kept)}"
    late = f" after {row.settle_s:g} s" if row.settle_s else ""
    off = ""
    if not isinstance(kept, str) and not isinstance(wanted, str):
        off = (
            f": off by {row.in_words(abs(kept - wanted))}, tolerance {row.tolerance:g} {row.units}"
        )
    return DeviceError(f"{device_id}: {what}: {reads}{late}{off}")
