"""What an operation may be asked: arguments are checked before anything moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from daq.core import (
    OPERATIONS,
    DeviceDescription,
    DeviceError,
    LimitError,
    Limits,
    call_misfit,
)

__all__ = [
    "Check",
    "allowed_target",
    "check_arity",
    "check_distance",
    "check_frame_count",
    "check_limits",
    "check_nothing",
    "check_number",
    "check_position",
    "wrong_argument",
]

Arguments = tuple[Any, ...]
Check = Callable[[DeviceDescription, str, Arguments], Arguments]
"""Takes the device, the operation's name and its arguments; returns them as the driver wants."""

MAX_FRAMES_BYTES = 1 << 30


def check_nothing(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments)
    return ()


def check_position(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments)
    position = check_number(device, operation, "position", arguments[0], device.units)
    check_limits(device.id, "position", position, device.limits, device.units)
    return (position,)


def check_distance(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    _arity(device, operation, arguments)
    return (check_number(device, operation, "distance", arguments[0], device.units),)


def check_frame_count(device: DeviceDescription, operation: str, arguments: Arguments) -> Arguments:
    """At least one frame, and no more than memory should hold at once."""
    _arity(device, operation, arguments)
    count = arguments[0] if arguments else 1
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise wrong_argument(device, operation, "n", "a whole number from 1", count)
    frame_bytes = _frame_bytes(device)
    if count * frame_bytes > MAX_FRAMES_BYTES:
        raise LimitError(
            f"{device.id}: {operation}({count}) would hold {count * frame_bytes / 1e6:.0f} MB of "
            f"frames in memory, more than {MAX_FRAMES_BYTES / 1e6:.0f} MB; nothing was acquired",
            advice=f"ask for at most {MAX_FRAMES_BYTES // frame_bytes} at once, or stream them",
        )
    return (int(count),)


def allowed_target(device: DeviceDescription, start: float, distance: float) -> float:
    """Where a move by a distance may end; raises LimitError for one that leads out.

    The noise of the readback is forgiven: a target beyond a limit by no more than the tolerance is
    the limit. From outside, a move towards the inside is allowed wherever it ends.
    """
    target, limits = start + distance, device.limits
    if limits is None or target in limits:
        return target
    nearest = min(max(target, limits.low), limits.high)
    was_off = abs(start - min(max(start, limits.low), limits.high))
    if abs(target - nearest) <= (device.tolerance or 0.0):
        return nearest
    if was_off > 0 and abs(target - nearest) <= was_off:
        return target
    limits.require(device.id, "position", target, device.units)
    return target


def check_limits(
    device_id: str, quantity: str, value: float, limits: Limits | None, units: str
) -> None:
    """Raise LimitError for a value outside, before anything was changed."""
    if limits is not None:
        limits.require(device_id, quantity, value, units)


def check_arity(
    device: DeviceDescription, operation: str, arguments: Sequence[Any], signature: str
) -> None:
    """Raise DeviceError for too few or too many arguments."""
    if misfit := call_misfit(signature, len(arguments)):
        raise DeviceError(f"{device.id}: {operation}{signature}: {misfit}; nothing was changed")


def _arity(device: DeviceDescription, operation: str, arguments: Arguments) -> None:
    check_arity(device, operation, arguments, OPERATIONS[operation].signature)


def check_number(
    device: DeviceDescription, operation: str, quantity: str, value: Any, units: str
) -> float:
    """A finite float; True, "3" and the like are mistakes, not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise wrong_argument(
            device, operation, quantity, f"a number in {units or 'its units'}", value
        )
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


def wrong_argument(
    device: DeviceDescription, operation: str, argument: str, expected: str, value: Any
) -> DeviceError:
    """The error of an argument of the wrong kind."""
    return DeviceError(
        f"{device.id}: {operation}: {argument} takes {expected}, not {value!r:.60} "
        f"({type(value).__name__}); nothing was changed"
    )


def _frame_bytes(device: DeviceDescription) -> int:
    width, height = device.resolution or (1, 1)
    return max(1, width * height * -(-(device.bits_per_pixel or 16) // 8))
