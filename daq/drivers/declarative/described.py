"""What every described instrument does, whatever it is talked to through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from daq.core import (
    Capability,
    Channel,
    ConfigurationError,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Limits,
    Scalar,
)
from daq.drivers.declarative.capabilities import PARTS
from daq.drivers.declarative.conversation import Conversation
from daq.drivers.declarative.model import Description, Value
from daq.drivers.declarative.motion import Mover
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import Options

__all__ = ["DescribedDriver", "read_limits", "with_capabilities"]

DriverClass = TypeVar("DriverClass", bound="DescribedDriver")

_FIELDS: Mapping[Capability, str] = {
    Capability.READABLE: "reading",
    Capability.SHUTTER_CONTROLLABLE: "is_open",
    Capability.EMISSION_CONTROLLABLE: "emission",
    Capability.WAVELENGTH_TUNABLE: "wavelength",
    Capability.EXPOSURE_CONTROLLABLE: "exposure",
}
"""What `poll` calls the value behind a capability."""


def with_capabilities(base: type[DriverClass], description: Description) -> type[DriverClass]:
    """`base` with the methods of the capabilities that are described, and no others."""
    offered = description.capabilities
    parts = [part for capability, part in PARTS.items() if capability in offered]
    return cast("type[DriverClass]", type(base.__name__, (*parts, base), {}))


def read_limits(options: Options, description: Description) -> Limits | None:
    """The option `limits` of a movable: the description's, or narrower ones."""
    motion = description.motion
    if motion is None:
        return None
    units = description.values[motion.setpoint].units
    limits = options.limits("limits", motion.limits, units)
    if limits.low not in motion.limits or limits.high not in motion.limits:
        raise ConfigurationError(
            f"limits = {limits} {units} go beyond those of {description.name}, {motion.limits}"
        )
    return limits


class DescribedDriver(Driver):
    """Base of the drivers; the capabilities come from `with_capabilities`.

    Args:
        context: What the driver lives in.
        description: The instrument.
        conversation: With it; not open.
        label: For people.
        limits: Of a movable.
    """

    def __init__(
        self,
        context: DriverContext,
        description: Description,
        conversation: Conversation,
        label: str,
        limits: Limits | None,
    ) -> None:
        super().__init__(context)
        self.instrument = description
        self.conversation = conversation
        self.armed = False
        self._label = label
        self._limits = limits
        motion = description.motion
        self.mover = (
            Mover(self.id, motion, limits, conversation)
            if motion is not None and limits is not None
            else None
        )
        if self.mover is not None:
            self.motion_timing = self.mover.timing
            self.home_position = self.mover.home_position
        self._parameters = tuple(
            _parameter(value) for value in description.values.values() if value.is_parameter
        )

    @property
    def id(self) -> str:
        """The device's id, as errors name it."""
        return self.context.device_id

    @property
    def description(self) -> DeviceDescription:
        described, main = self.instrument, self._main_value()
        units = "" if main is None else main.units
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=described.category,
            capabilities=described.capabilities,
            channel=Channel(self.id, units, _dtype(main)),
            label=self._label,
            units=units,
            limits=self._limits,
            tolerance=None if described.motion is None else described.motion.tolerance,
            exposure_limits=self._limits_of(Capability.EXPOSURE_CONTROLLABLE),
            wavelength_limits=self._limits_of(Capability.WAVELENGTH_TUNABLE),
            parameters=self._parameters,
        )

    async def connect(self) -> None:
        """Reach the instrument, see that it is the right one, and set it up."""
        self.armed = False
        if self.mover is not None:
            self.mover.forget()
        await self.conversation.open()

    async def disconnect(self) -> None:
        await self.conversation.close()

    async def wait_plugged_in(self) -> None:
        await self.conversation.wait_plugged_in()

    async def stop(self) -> bool:
        """End what moves, and disarm. True if there was any of it."""
        armed, self.armed = self.armed, False
        moved = False if self.mover is None else await self.mover.stop()
        trigger = self.instrument.trigger
        if armed and trigger is not None and trigger.disarm is not None:
            await self.conversation.act(trigger.disarm)
        return moved or armed

    async def make_safe(self) -> bool:
        """Stop, and bring the values of `[safe]` to where they are safe."""
        changed = await self.stop()
        for name, wanted in self.instrument.safe.items():
            if await self.conversation.read(name) != wanted:
                await self.conversation.write(name, wanted)
                changed = True
        return changed

    async def poll(self) -> Mapping[str, Scalar]:
        """What the capabilities and `poll = true` ask for; each question goes out once."""
        look = self.conversation.look()
        fields: dict[str, Scalar] = {}
        if self.mover is not None:
            fields |= await self.mover.poll(look)
        for capability, name in self.instrument.roles.items():
            fields[_FIELDS[capability]] = await look.read(name)
        for value in self.instrument.values.values():
            if value.is_polled:
                fields.setdefault(value.name, await look.read(value.name))
        if not fields:
            await self.conversation.check()
        if self.instrument.trigger is not None:
            fields["armed"] = self.armed
        return fields

    async def settings(self) -> Mapping[str, Scalar]:
        """Every parameter that can be read, and what `poll` sees."""
        look = self.conversation.look()
        values = {p.name: await look.read(p.name) for p in self._parameters if p.readable}
        return {**values, **await self.poll()}

    def parameter(self, name: str) -> DeviceParameter:
        """The parameter of that name; raises DeviceError listing those that exist."""
        for parameter in self._parameters:
            if parameter.name == name:
                return parameter
        known = ", ".join(parameter.name for parameter in self._parameters) or "none"
        raise DeviceError(f"{self.id} has no parameter {name!r}; it has {known}")

    def _main_value(self) -> Value | None:
        """What `record` stores: the position, else the reading."""
        motion, roles = self.instrument.motion, self.instrument.roles
        name = motion.position if motion else roles.get(Capability.READABLE)
        return None if name is None else self.instrument.values[name]

    def _limits_of(self, capability: Capability) -> Limits | None:
        name = self.instrument.roles.get(capability)
        return None if name is None else self.instrument.values[name].limits


def _parameter(value: Value) -> DeviceParameter:
    return DeviceParameter(
        value.name,
        value.dtype,
        value.description,
        value.units,
        readable=value.read is not None,
        writable=value.write is not None,
        limits=value.limits,
        choices=value.choices,
    )


def _dtype(value: Value | None) -> str:
    return {"int": "i8", "bool": "b1"}.get(value.dtype, "f8") if value is not None else "f8"
