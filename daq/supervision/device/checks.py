"""What an operation may be asked: arguments are checked before anything moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from daq.core import (
    OPERATIONS,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    LimitError,
    Limits,
    Scalar,
)

__all__ = [
    "Check",
    "check_distance",
    "check_emission",
    "check_exposure",
    "check_frame_count",
    "check_limits",
    "check_nothing",
    "check_parameter_name",
    "check_parameter_value",
    "check_position",
    "check_wavelength",
    "find_parameter",
]

Arguments = tuple[Any, ...]
Check = Callable[[DeviceDescription, str, Arguments], Arguments]
"""Takes the device, the operation's name and its arguments; returns them as the driver wants."""

MAX_FRAMES_BYTES = 1 << 30


def check_nothing(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments, 0, 0)
    return ()


def check_position(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments, 1, 1)
    position = _number(device, operation, "position", arguments[0], device.units)
    check_limits(device.id, "position", position, device.limits, device.units)
    return (position,)


def check_distance(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments, 1, 1)
    return (_number(device, operation, "distance", arguments[0], device.units),)


def check_exposure(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    limits = device.exposure_limits
    return _optional_quantity(device, operation, arguments, "exposure", limits, "s")


def check_wavelength(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    limits = device.wavelength_limits
    return _optional_quantity(device, operation, arguments, "wavelength", limits, "nm")


def check_emission(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    given = _optional(device, operation, arguments)
    if given and not isinstance(given[0], bool | np.bool_):
        raise _wrong(device, operation, "on", "True or False", given[0])
    return tuple(bool(on) for on in given)


def check_frame_count(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    """At least one frame, and no more than memory should hold at once."""
    _arity(device, operation, arguments, 0, 1)
    count = arguments[0] if arguments else 1
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise _wrong(device, operation, "n", "a whole number from 1", count)
    frame_bytes = _frame_bytes(device)
    if count * frame_bytes > MAX_FRAMES_BYTES:
        raise LimitError(
            f"{device.id}: {operation}({count}) would hold {count * frame_bytes / 1e6:.0f} MB of "
            f"frames in memory, more than {MAX_FRAMES_BYTES / 1e6:.0f} MB; nothing was acquired",
            advice=f"ask for at most {MAX_FRAMES_BYTES // frame_bytes} at once, or stream them",
        )
    return (int(count),)


def check_parameter_name(
    device: DeviceDescription, operation: str, arguments: Arguments
) -> Arguments:
    _arity(device, operation, arguments, 1, 1)
    parameter = find_parameter(device, operation, arguments[0])
    if not parameter.readable:
        raise DeviceError(f"{device.id}: {operation}: parameter {parameter.name!r} cannot be read")
    return (parameter.name,)


def check_parameter_value(
    device: DeviceDescription, operation: str, arguments: Arguments
) -> Arguments:
    _arity(device, operation, arguments, 2, 2)
    parameter = find_parameter(device, operation, arguments[0])
    if not parameter.writable:
        raise DeviceError(f"{device.id}: {operation}: parameter {parameter.name!r} is read-only")
    return (parameter.name, _parameter_value(device, operation, parameter, arguments[1]))


def find_parameter(device: DeviceDescription, operation: str, name: Any) -> DeviceParameter:
    """The parameter of that name; raises DeviceError listing those that exist."""
    for parameter in device.parameters:
        if parameter.name == name:
            return parameter
    known = ", ".join(parameter.name for parameter in device.parameters) or "none"
    raise DeviceError(f"{device.id}: {operation}: there is no parameter {name!r}; it has {known}")


def check_limits(
    device_id: str, quantity: str, value: float, limits: Limits | None, units: str
) -> None:
    """Raise LimitError for a value outside, before anything was changed."""
    if limits is not None:
        limits.require(device_id, quantity, value, units)


def _optional_quantity(
    device: DeviceDescription,
    operation: str,
    arguments: Arguments,
    quantity: str,
    limits: Limits | None,
    units: str,
) -> Arguments:
    given = _optional(device, operation, arguments)
    if not given:
        return ()
    value = _number(device, operation, quantity, given[0], units)
    check_limits(device.id, quantity, value, limits, units)
    return (value,)


def _optional(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments, 0, 1)
    return () if arguments == (None,) else arguments


def _arity(
    device: DeviceDescription, operation: str, arguments: Arguments, least: int, most: int
) -> None:
    if not least <= len(arguments) <= most:
        expected = f"{operation}{OPERATIONS[operation].signature}"
        raise DeviceError(f"{device.id}: {expected} was called with {len(arguments)} arguments")


def _number(
    device: DeviceDescription, operation: str, quantity: str, value: Any, units: str
) -> float:
    """A finite float; True, "3" and the like are mistakes, not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise _wrong(device, operation, quantity, f"a number in {units or 'its units'}", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise LimitError(
            f"{device.id}: {operation}: {quantity} {number} is not a finite number"
            f"{f' in {units}' if units else ''}; nothing was changed"
        )
    return number


def _wrong(
    device: DeviceDescription, operation: str, argument: str, expected: str, value: Any
) -> DeviceError:
    return DeviceError(
        f"{device.id}: {operation}: {argument} takes {expected}, not {value!r:.60} "
        f"({type(value).__name__}); nothing was changed"
    )


def _frame_bytes(device: DeviceDescription) -> int:
    width, height = device.resolution or (1, 1)
    return max(1, width * height * -(-(device.bits_per_pixel or 16) // 8))


def _parameter_value(
    device: DeviceDescription, operation: str, parameter: DeviceParameter, value: Any
) -> Scalar:
    converted: Scalar
    if parameter.dtype == "float":
        converted = _number(device, operation, parameter.name, value, parameter.units)
    elif parameter.dtype != type(value).__name__ or not isinstance(value, bool | int | str):
        raise _wrong(device, operation, parameter.name, f"{parameter.dtype} values", value)
    else:
        converted = value
    if parameter.limits is not None and isinstance(converted, int | float):
        check_limits(device.id, parameter.name, converted, parameter.limits, parameter.units)
    if parameter.choices and str(converted) not in parameter.choices:
        choices = ", ".join(parameter.choices)
        raise LimitError(
            f"{device.id}: {operation}: {parameter.name} {value!r} is not one of {choices}; "
            "nothing was changed"
        )
    return converted
