"""A device's parameters with the instrument's side of each: asked, checked, told and read back."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daq.core import DTYPES, DeviceError, DeviceParameter, Invalid, Scalar

__all__ = ["Setting", "SettingsTable"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter."""

    parameter: DeviceParameter
    get: Callable[[], Awaitable[Scalar]]
    set: Callable[[Any], Awaitable[None]] | None = None
    """Takes a value of the parameter's type within its limits."""
    tolerance: float | None = 1e-4
    """Relative, of its readback: instruments round what they are told to a few digits. None where
    `set` returns only when it is so."""


class SettingsTable:
    """All parameters of one device."""

    def __init__(self, device_id: str) -> None:
        self._id = device_id
        self._settings: dict[str, Setting] = {}

    @property
    def parameters(self) -> tuple[DeviceParameter, ...]:
        """The rows of all that was offered."""
        return tuple(setting.parameter for setting in self._settings.values())

    def offer(self, settings: Iterable[Setting]) -> None:
        """Add these, in the order in which people see them."""
        self._settings.update((setting.parameter.name, setting) for setting in settings)

    async def get(self, name: str) -> Scalar:
        """Ask the instrument."""
        return await self._find(name).get()

    async def set(self, name: str, value: Scalar) -> Scalar | None:
        """Tell the instrument, and read back that it did.

        Returns:
            What it reads back; None where that was not asked for.

        Raises:
            DeviceError: It refused, or reads back something else; LimitError for what is outside.
        """
        setting = self._find(name)
        if setting.set is None:
            raise DeviceError(f"{self._id}: the parameter {name!r} can only be read")
        wanted = _checked(self._id, setting.parameter, value)
        await setting.set(wanted)
        if setting.tolerance is None:
            return None
        kept = await setting.get()
        if not _agree(wanted, kept, setting.tolerance):
            units = setting.parameter.units
            raise DeviceError(
                f"{self._id}: {name} was set to {wanted} {units} and is {kept} {units}"
            )
        return kept

    async def all(self, known: Mapping[str, Scalar | Invalid]) -> dict[str, Scalar | Invalid]:
        """Every parameter that can be read; what is `known` is not asked for again."""
        return {
            name: known[name] if name in known else await setting.get()
            for name, setting in self._settings.items()
            if setting.parameter.readable
        }

    def _find(self, name: str) -> Setting:
        try:
            return self._settings[name]
        except KeyError:
            known = ", ".join(self._settings) or "no parameters"
            raise DeviceError(
                f"{self._id} has no parameter {name!r}", advice=f"it has: {known}"
            ) from None


def _checked(device_id: str, parameter: DeviceParameter, value: Scalar) -> Scalar:
    """`value` in the parameter's type; raises DeviceError, or LimitError where it is outside."""
    if parameter.dtype == "float" and type(value) is int:
        value = float(value)
    if type(value) is not DTYPES[parameter.dtype]:
        raise DeviceError(f"{device_id}: {parameter.name} takes {parameter.dtype}, not {value!r}")
    if parameter.limits is not None and isinstance(value, int | float):
        parameter.limits.require(device_id, parameter.name, value, parameter.units)
    if parameter.choices and value not in parameter.choices:
        raise DeviceError(
            f"{device_id}: {parameter.name} takes one of {', '.join(parameter.choices)}, "
            f"not {value!r}"
        )
    return value


def _agree(wanted: Scalar, kept: Scalar, tolerance: float) -> bool:
    if isinstance(wanted, float) and isinstance(kept, float):
        return math.isclose(wanted, kept, rel_tol=tolerance, abs_tol=1e-12)
    return wanted == kept
