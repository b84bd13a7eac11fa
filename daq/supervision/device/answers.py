"""What drivers give, taken for what it is: anything else is refused with its type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from daq.core import Channel, DeviceError, Invalid, InvalidReadingError, Reading, Scalar

__all__ = [
    "checked_array",
    "checked_fields",
    "checked_number",
    "checked_position",
    "checked_reading",
    "checked_scalar",
    "checked_time",
    "checked_truth",
    "plain_value",
]

MOST_TEXT = 4096
"""Characters of a text that is a value."""
_NUMBERS = "biuf"
"""numpy's kinds of numbers that can stand for one another."""


def plain_value(value: Any) -> Any:
    """A numpy scalar as Python's own; arrays stay as they are."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def checked_reading(device_id: str, what: str, given: Any) -> Reading:
    """A reading whose value is a number, or an array of numbers.

    Raises DeviceError, naming the type of what was given; InvalidReadingError for a number that
    stands for none.
    """
    if not isinstance(given, Reading):
        raise _refused(device_id, what, "a Reading", given)
    value = plain_value(given.value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _NUMBERS + "c" or value.size == 0:
            raise _refused(device_id, what, "an array of numbers", value)
    elif isinstance(value, complex):
        if not (math.isfinite(value.real) and math.isfinite(value.imag)):
            raise InvalidReadingError(f"{device_id}: {what} gave {value}, which is no measurement")
    elif not isinstance(value, bool | int | float):
        raise _refused(device_id, what, "a number", value)
    elif not math.isfinite(value) or (isinstance(value, int) and abs(value) >= 1 << 63):
        raise InvalidReadingError(f"{device_id}: {what} gave {value:.6g}, which is no measurement")
    return Reading(value, checked_time(device_id, f"the time of {what}", given.timestamp_ns))


def checked_position(device_id: str, given: Any) -> Reading:
    """A readback: a finite number."""
    if not isinstance(given, Reading):
        raise _refused(device_id, "position", "a Reading", given)
    position = checked_number(device_id, "position", given.value)
    return Reading(position, checked_time(device_id, "the time of position", given.timestamp_ns))


def checked_array(device_id: str, what: str, given: Any, channel: Channel) -> Reading:
    """A frame, or a block of samples: of as many dimensions and the kind that are described."""
    reading = checked_reading(device_id, what, given)
    value = np.asarray(reading.value)
    kind = np.dtype(channel.dtype).kind
    if value.dtype.kind != kind and not {value.dtype.kind, kind} <= set(_NUMBERS):
        raise DeviceError(
            f"{device_id}: {what} gave {value.dtype} values; {channel.dtype} is described"
        )
    if value.ndim != len(channel.shape):
        raise DeviceError(
            f"{device_id}: {what} gave the shape {value.shape}; {channel.shape} is described"
        )
    return reading


def checked_time(device_id: str, what: str, given: Any) -> int:
    """A time, in whole ns since the epoch."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer):
        raise _refused(device_id, what, "a whole number of ns", given)
    return int(given)


def checked_number(device_id: str, what: str, given: Any) -> float:
    """A finite real number."""
    value = plain_value(given)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(device_id, what, "a number", value)
    if not math.isfinite(value):
        raise DeviceError(f"{device_id}: {what}: the readback is {value}, not a number")
    return float(value)


def checked_truth(device_id: str, what: str, given: Any) -> bool:
    """True or False, also as 1 or 0."""
    value = plain_value(given)
    if value is None or not isinstance(value, bool | int) or value not in (0, 1):
        raise _refused(device_id, what, "True or False", value)
    return bool(value)


def checked_scalar(device_id: str, what: str, given: Any) -> Scalar:
    """A plain scalar: True or False, a number, or a text of bounded length."""
    value = plain_value(given)
    if not isinstance(value, bool | int | float | str):
        raise _refused(device_id, what, "a plain scalar", value)
    if isinstance(value, str) and len(value) > MOST_TEXT:
        raise DeviceError(
            f"{device_id}: {what} gave a text of {len(value)} characters; at most {MOST_TEXT} are "
            f"taken: {value[:40]!r}..."
        )
    return value


def checked_fields(device_id: str, given: Any) -> dict[str, Scalar | Invalid]:
    """What a poll gave."""
    if not isinstance(given, Mapping):
        raise _refused(device_id, "poll", "a mapping", given)
    fields: dict[str, Scalar | Invalid] = {}
    for name, value in given.items():
        if not isinstance(name, str) or len(name) > MOST_TEXT:
            raise _refused(device_id, "poll", "names of fields", name)
        if isinstance(value, Invalid):
            fields[name] = value
            continue
        scalar = checked_scalar(device_id, f"poll: {name}", value)
        no_number = isinstance(scalar, float) and not math.isfinite(scalar)
        fields[name] = Invalid(f"it reads {scalar}, which is no number") if no_number else scalar
    return fields


def _refused(device_id: str, what: str, expected: str, given: Any) -> DeviceError:
    shape = f" of shape {given.shape}" if isinstance(given, np.ndarray) else ""
    dtype = f" of {given.dtype}" if isinstance(given, np.ndarray) else ""
    return DeviceError(
        f"{device_id}: {what} gave {type(given).__name__}{dtype}{shape}, not {expected}",
        advice="a defect of the driver",
    )
