"""What every described instrument does, whatever it is talked to through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from daq.core import (
    STANDARD,
    Channel,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Invalid,
    Limits,
    OfflineError,
    Scalar,
    setpoint_of,
    standard,
)
from daq.drivers.declarative.acts import offered_rows
from daq.drivers.declarative.capabilities import PARTS
from daq.drivers.declarative.conversation import Conversation
from daq.drivers.declarative.model import Description, StandardValue, Value
from daq.drivers.declarative.motion import Mover
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import Options
from daq.transport import Busy

__all__ = ["DescribedDriver", "read_limits", "with_capabilities"]

DriverClass = TypeVar("DriverClass", bound="DescribedDriver")

_THOUSANDTH = 1e-3
"""How far a value of no stated tolerance may read back from what it was set to, of its limits."""


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
        options.refuse(
            "limits", f"{limits} {units} go beyond those of {description.name}, {motion.limits}"
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
            home = self.mover.home_action
            self.finds_reference = frozenset({"home", home} if home else ())
        rows = tuple(_parameters(description))
        self._behind = {row.name: name for row, name in rows}
        self._description = self._describe(tuple(row for row, _ in rows))

    @property
    def id(self) -> str:
        """The device's id, as errors name it."""
        return self.context.device_id

    @property
    def description(self) -> DeviceDescription:
        return self._description

    def _describe(self, parameters: tuple[DeviceParameter, ...]) -> DeviceDescription:
        described, main = self.instrument, self._main_value()
        units = "" if main is None else main.units
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=described.category,
            capabilities=described.capabilities,
            channel=Channel(self.id, units, _dtype(main), () if main is None else main.shape),
            label=self._label,
            units=units,
            limits=self._limits,
            tolerance=None if described.motion is None else described.motion.tolerance,
            reading=self._reading(),
            parameters=parameters,
            actions=offered_rows(described),
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

    def busy(self) -> Busy | None:
        return self.conversation.busy()

    def declared_s(self, operation: str, *arguments: str) -> float:
        name = self.instrument.reading
        if operation == "get":
            name = self._behind.get(arguments[0], arguments[0])
        elif operation == "position" and self.instrument.motion is not None:
            name = self.instrument.motion.position
        value = self.instrument.values.get(name)
        return 0.0 if value is None else self.conversation.declared_s(value)

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
        failures: list[DeviceError] = []
        changed = False
        try:
            changed = await self.stop()
        except DeviceError as error:
            failures.append(error)  # the safe state comes all the same
        for name, wanted in self.instrument.safe.items():
            try:
                changed |= await self._bring(name, wanted)
            except DeviceError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return changed

    async def _bring(self, name: str, wanted: Scalar) -> bool:
        """Set a value that is not so; one whose answer cannot be used is set as if it were not."""
        try:
            if await self.conversation.read(name) == wanted:
                return False
        except OfflineError:
            raise
        except DeviceError:
            await self.conversation.write(name, wanted)
            return True
        await self.conversation.write(name, wanted)
        return True

    def distance(self, position: float, other: float) -> float:
        if self.mover is None:
            return super().distance(position, other)
        return self.mover.distance(position, other)

    async def poll(self) -> Mapping[str, Scalar | Invalid]:
        """What the capabilities and `poll = true` ask for; each question goes out once."""
        look = self.conversation.look()
        fields: dict[str, Scalar | Invalid] = {}
        if self.mover is not None:
            fields |= await self.mover.poll(look)
        reading = self.instrument.reading
        if reading and not self.instrument.values[reading].shape:
            fields["reading"] = await look.read_or_invalid(reading)
        for name in filter(STANDARD.__contains__, self._behind):
            fields[name] = await look.read_or_invalid(self._behind[name])
        for value in self.instrument.values.values():
            if value.is_polled:
                fields.setdefault(value.name, await look.read_or_invalid(value.name))
        if not fields:
            await self.conversation.check()
        if self.instrument.trigger is not None:
            fields["armed"] = self.armed
        return fields

    async def settings(self) -> Mapping[str, Scalar | Invalid]:
        """Every parameter that can be read, and what `poll` sees."""
        look = self.conversation.look()
        names = [row.name for row in self.description.parameters if row.readable]
        values = {name: await look.read_or_invalid(self._behind[name]) for name in names}
        return {**values, **await self.poll()}

    async def get_parameter(self, name: str) -> Scalar:
        if not self.description.parameter(name).readable:
            raise DeviceError(f"{self.id}: the parameter {name!r} cannot be read")
        value: Scalar = await self.conversation.read(self._behind.get(name, name))
        return value

    async def set_parameter(self, name: str, value: Scalar) -> Scalar | None:
        self.description.parameter(name)
        behind = self.instrument.standard.get(name)
        written = (behind.setpoint or behind.value) if behind else name
        kept: Scalar | None = await self.conversation.write(written, value)
        # What it is told to be is not yet what it is.
        return kept if written == self._behind.get(name, name) else None

    async def act(self, name: str, *arguments: Scalar) -> Scalar | None:
        if self.description.action(name).moves and self.mover is not None:
            return await self.mover.act(name, *arguments)
        return await self.conversation.act(name, *arguments)

    def _reading(self) -> Channel | None:
        """Where its readings go when its own channel holds the position."""
        if self.instrument.motion is None or not self.instrument.reading:
            return None
        value = self.instrument.values[self.instrument.reading]
        return Channel(f"{self.id}.{value.name}", value.units, _dtype(value))

    def _main_value(self) -> Value | None:
        """What `record` stores: the position, else the reading."""
        motion = self.instrument.motion
        name = motion.position if motion else self.instrument.reading
        return self.instrument.values[name] if name else None


def _parameters(description: Description) -> Iterator[tuple[DeviceParameter, str]]:
    """Its parameters, and the value behind each when it is asked for."""
    values, taken = description.values, set[str]()
    for name, behind in description.standard.items():
        row = _standard(name, behind, values)
        yield row, behind.value
        taken.add(name)
        if row.setpoint:
            yield setpoint_of(row), behind.setpoint
            taken.add(row.setpoint)
    for value in values.values():
        if value.is_parameter and value.name not in taken:
            yield _parameter(value), value.name


def _standard(name: str, behind: StandardValue, values: Mapping[str, Value]) -> DeviceParameter:
    value, written = values[behind.value], values[behind.setpoint or behind.value]
    tolerance = written.tolerance if behind.tolerance is None else behind.tolerance
    if tolerance is None and written.limits is not None:
        tolerance = _THOUSANDTH * max(abs(written.limits.low), abs(written.limits.high))
    row = standard(name)
    has_setpoint = bool(behind.setpoint) and written.read is not None
    return replace(
        row,
        description=value.description or row.description,
        units=value.units or row.units,
        limits=written.limits,
        tolerance=tolerance,
        settle_s=row.settle_s if behind.settle_s is None else behind.settle_s,
        setpoint=row.setpoint or f"{name}_setpoint" if has_setpoint else "",
    )


def _parameter(value: Value) -> DeviceParameter:
    if value.name in STANDARD and value.dtype == STANDARD[value.name].dtype and value.read:
        row = _standard(value.name, StandardValue(value.name), {value.name: value})
        return replace(row, writable=bool(value.write))
    return DeviceParameter(
        value.name,
        value.dtype,
        value.description,
        value.units,
        readable=value.is_readable,
        writable=bool(value.write),
        limits=value.limits,
        choices=value.choices,
    )


def _dtype(value: Value | None) -> str:
    return {"int": "i8", "bool": "b1"}.get(value.dtype, "f8") if value is not None else "f8"
