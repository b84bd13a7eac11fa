"""What a bench is set to: every setting of its devices, how it is asked and how it is set.

They are applied in this order, one after the other, devices by their names within a step; the rows
of `daq.core.parameters` say which parameter belongs where:

1. what makes the bench dark: shutters that are to be closed, emission that is to be off;
2. parameters and exposures;
3. wavelengths and temperatures;
4. positions;
5. emission that is to be on;
6. shutters that are to be open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from daq.core import Capability, DaqError, DeviceParameter, Scalar
from daq.supervision.device.device import Device
from daq.supervision.device.gate import Claim
from daq.supervision.supervisor import Supervisor

__all__ = ["BenchSetting", "read_settings", "settings_of", "step_of"]

POSITION = "position"


@dataclass(frozen=True, slots=True)
class BenchSetting:
    """One setting of one device."""

    device: Device
    row: DeviceParameter
    """The parameter; a position is described as one."""

    @property
    def name(self) -> str:
        """`position`, or the parameter's name."""
        return self.row.name

    @property
    def units(self) -> str:
        return self.row.units

    def __str__(self) -> str:
        return f"{self.device.id} {self.name}"

    def known(self, fields: Mapping[str, Scalar]) -> Scalar | None:
        """Its value among what is known of the device; None when it is not there."""
        return fields.get(self.row.setpoint or self.name)

    async def ask(self) -> Scalar:
        """What it is set to now; raises DeviceError."""
        if self.row.name == POSITION:
            return _scalar(await self.device.call("position"))
        return _scalar(await self.device.call("get", self.row.setpoint or self.row.name))

    async def apply(
        self, value: Scalar, by: str, *, force: bool = False, claim: Claim | None = None
    ) -> Scalar:
        """Set it; returns what it reads back. Raises DeviceError."""
        operation, arguments = self._command(value)
        return _scalar(
            await self.device.call(operation, *arguments, by=by, force=force, claim=claim)
        )

    @property
    def is_light(self) -> bool:
        """Whether it lets light out: a shutter, or an emission."""
        return self.row.off is not None and self.row.step > 4

    def require_possible(self, value: Scalar) -> None:
        """Raise what `apply` would raise before it did anything, whoever has the device."""
        operation, arguments = self._command(value)
        self.device.require_possible(operation, *arguments)

    def _command(self, value: Scalar) -> tuple[str, tuple[Scalar, ...]]:
        if self.name == POSITION:
            return "move_abs", (value,)
        return "set", (self.name, value)


def _scalar(value: object) -> Scalar:
    """As JSON keeps it."""
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} is not a plain value")


def step_of(setting: BenchSetting, value: Scalar) -> int:
    """In which step of the order it is applied."""
    row = setting.row
    return 1 if row.off is not None and value == row.off else row.step


def settings_of(device: Device) -> Iterator[BenchSetting]:
    """All settings of a device that can be read and set."""
    described = device.description
    if Capability.MOVABLE in described.capabilities:
        tolerance = described.tolerance
        row = DeviceParameter(POSITION, "float", units=described.units, tolerance=tolerance, step=4)
        yield BenchSetting(device, row)
    for row in described.parameters:
        if row.readable and row.writable and row.name != POSITION:
            yield BenchSetting(device, row)


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
