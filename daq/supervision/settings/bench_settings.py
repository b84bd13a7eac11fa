"""What a bench is set to: every setting of its devices, how it is asked and how it is set.

They are applied in this order, one after the other, devices by their names within a step:

1. what makes the bench dark: shutters that are to be closed, emission that is to be off;
2. parameters and exposures;
3. wavelengths;
4. positions;
5. emission that is to be on;
6. shutters that are to be open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daq.core import Capability, DaqError, DeviceDescription, Scalar
from daq.supervision.device.device import Device
from daq.supervision.device.gate import Claim
from daq.supervision.supervisor import Supervisor

__all__ = ["BenchSetting", "read_settings", "settings_of", "step_of"]

_QUANTITIES = {
    Capability.EXPOSURE_CONTROLLABLE: ("exposure", "s"),
    Capability.WAVELENGTH_TUNABLE: ("wavelength", "nm"),
    Capability.MOVABLE: ("position", ""),
    Capability.EMISSION_CONTROLLABLE: ("emission", ""),
    Capability.SHUTTER_CONTROLLABLE: ("shutter", ""),
}
_STEPS = {"exposure": 2, "wavelength": 3, "position": 4}
_RELATIVE = 1e-6
_TOLERANCES = {"wavelength": 0.1}
"""Readings of these are never twice the same, nm."""


@dataclass(frozen=True, slots=True)
class BenchSetting:
    """One setting of one device."""

    device: Device
    name: str
    """`position`, `wavelength`, `exposure`, `emission`, `shutter`, or a parameter's name."""
    units: str
    is_parameter: bool

    def __str__(self) -> str:
        return f"{self.device.id} {self.name}"

    def known(self, fields: Mapping[str, Scalar]) -> Scalar | None:
        """Its value among what is known of the device; None when it is not there."""
        return fields.get("is_open" if self.name == "shutter" else self.name)

    async def ask(self) -> Scalar:
        """Its value now; raises DeviceError."""
        if self.is_parameter:
            value = await self.device.call("get", self.name)
        else:
            value = await self.device.call("is_open" if self.name == "shutter" else self.name)
        return plain(value)

    async def apply(
        self, value: Scalar, by: str, *, force: bool = False, claim: Claim | None = None
    ) -> Scalar:
        """Set it; returns what it reads back. Raises DeviceError."""
        operation, arguments = self._command(value)
        result = await self.device.call(operation, *arguments, by=by, force=force, claim=claim)
        return value if result is None else plain(result)

    def in_words(self, value: Scalar) -> str:
        """`open`, `off`, `3.5 mm`."""
        if isinstance(value, bool) and not self.is_parameter:
            words = ("closed", "open") if self.name == "shutter" else ("off", "on")
            return words[value]
        number = f"{value:.6g}" if isinstance(value, float) else str(value)
        return f"{number} {self.units}".rstrip()

    def is_at(self, value: Scalar, wanted: Scalar) -> bool:
        """Whether that is the same, within a movable's tolerance and the rounding of numbers."""
        if isinstance(value, bool | str) or isinstance(wanted, bool | str):
            return value == wanted
        tolerance = None if self.is_parameter else _TOLERANCES.get(self.name)
        if self.name == "position":
            tolerance = self.device.description.tolerance
        return math.isclose(value, wanted, rel_tol=_RELATIVE, abs_tol=tolerance or 1e-12)

    def _command(self, value: Scalar) -> tuple[str, tuple[Scalar, ...]]:
        if self.is_parameter:
            return "set", (self.name, value)
        if self.name == "position":
            return "move_abs", (value,)
        if self.name == "shutter":
            return ("open" if value else "close"), ()
        return self.name, (value,)


def plain(value: object) -> Scalar:
    """As JSON keeps it."""
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} is not a plain value")


def step_of(setting: BenchSetting, value: Scalar) -> int:
    """In which step of the order it is applied."""
    if not setting.is_parameter and setting.name in ("emission", "shutter"):
        if not value:
            return 1
        return 5 if setting.name == "emission" else 6
    return 2 if setting.is_parameter else _STEPS[setting.name]


def settings_of(device: Device) -> Iterator[BenchSetting]:
    """All settings of a device that can be read and set."""
    described: DeviceDescription = device.description
    for capability, (name, units) in _QUANTITIES.items():
        if capability in described.capabilities:
            yield BenchSetting(device, name, units or _units(described, name), False)
    for parameter in described.parameters:
        if parameter.readable and parameter.writable and parameter.name not in _taken(described):
            yield BenchSetting(device, parameter.name, parameter.units, True)


async def read_settings(
    supervisor: Supervisor, device_ids: tuple[str, ...]
) -> tuple[dict[str, dict[str, Scalar]], dict[str, str]]:
    """What these devices are set to, and those that could not be asked, with the reason."""
    found: dict[str, dict[str, Scalar]] = {}
    silent: dict[str, str] = {}
    for device_id in device_ids:
        device = supervisor.device(device_id)
        try:
            values = {setting.name: await setting.ask() for setting in settings_of(device)}
        except DaqError as error:
            silent[device_id] = error.message
            continue
        if values:
            found[device_id] = values
    return found, silent


def _units(described: DeviceDescription, name: str) -> str:
    return described.units if name == "position" else ""


def _taken(described: DeviceDescription) -> set[str]:
    """A parameter of the same name as a quantity is the quantity."""
    return {
        name
        for capability, (name, _) in _QUANTITIES.items()
        if capability in described.capabilities
    }
