"""`driver = "declarative"`: an instrument that is described in TOML alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

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
from daq.drivers.declarative.loader import load_description, shipped_descriptions
from daq.drivers.declarative.model import Description, Value
from daq.drivers.declarative.motion import Mover
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.last_will import LastWill, SerialSettings, WillFrame
from daq.drivers.options import REQUIRED, Options
from daq.transport import (
    FLOW_CONTROLS,
    PARITIES,
    Line,
    Ports,
    PortSettings,
)

__all__ = ["DeclarativeDriver", "declarative"]

_BAUDRATES = Limits(1, 10_000_000)


def declarative(context: DriverContext) -> Driver:
    """Make the driver of a described instrument: with the methods of its capabilities only.

    Options: `description`, the name of one that is shipped or the path of a file; `port`, a serial
    port or `host:port`; `baudrate`, `data_bits`, `parity`, `stop_bits`, `flow_control` where they
    differ from the description's; `limits`, narrower ones of a movable; `label`; and the options
    that the description declares.

    Raises:
        ConfigurationError: An option is wrong, or the description: file, line and reason.
    """
    name = Options(context.device_id, context.options).text(
        "description", REQUIRED, f"the path of a .toml file or one of {shipped_descriptions()}"
    )
    description = load_description(name, context.directory)
    parts = [part for capability, part in PARTS.items() if capability in description.capabilities]
    driver_class = type("DeclarativeDriver", (*parts, DeclarativeDriver), {})
    return cast("Driver", driver_class(context, description))


class DeclarativeDriver(Driver):
    """What every described instrument does; its capabilities come from `capabilities.PARTS`."""

    def __init__(self, context: DriverContext, description: Description) -> None:
        super().__init__(context)
        self.instrument = description
        options = Options(context.device_id, context.options)
        options.text("description", REQUIRED)
        self._label = options.text("label", "")
        self._settings = _read_port(options, description)
        self._given = _read_options(options, description)
        self._limits = _read_limits(options, description)
        options.finish()
        ports: Ports = context.shared.setdefault(Ports, Ports())
        line = Line(ports.port(self._settings), context.device_id, description.dialect)
        self.conversation = Conversation(description, line, context.device_id, self._given)
        self.mover = self._make_mover()
        self.armed = False
        self._parameters = tuple(
            _parameter(value) for value in description.values.values() if value.is_parameter
        )

    @property
    def id(self) -> str:
        """The device's id, as errors name it."""
        return self.context.device_id

    @property
    def description(self) -> DeviceDescription:
        described = self.instrument
        main = self._main_value()
        motion = described.motion
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=described.category,
            capabilities=described.capabilities,
            channel=Channel(self.id, "" if main is None else main.units, _dtype(main), ()),
            label=self._label,
            units="" if main is None else main.units,
            limits=self._limits,
            tolerance=None if motion is None else motion.tolerance,
            exposure_limits=self._limits_of(Capability.EXPOSURE_CONTROLLABLE),
            wavelength_limits=self._limits_of(Capability.WAVELENGTH_TUNABLE),
            parameters=self._parameters,
        )

    def role(self, capability: Capability) -> str:
        """The value behind a capability."""
        return self.instrument.roles[capability]

    async def connect(self) -> None:
        """Reach the instrument, see that it is the right one, and set it up."""
        self.armed = False
        if self.mover is not None:
            self.mover.forget()
        await self.conversation.line.open()
        try:
            await self.conversation.identify()
            for command in self.instrument.init:
                await self.conversation.tell(command)
        except BaseException:
            await self.conversation.line.close()
            raise

    async def disconnect(self) -> None:
        await self.conversation.line.close()

    async def stop(self) -> bool:
        """End what moves, and disarm. True if there was any of it."""
        armed, self.armed = self.armed, False
        moved = False
        if self.mover is not None:
            moved = await self.mover.stop()
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

    def fingerprint(self) -> str:
        return self.instrument.text

    def last_will(self) -> tuple[LastWill, ...]:
        will, settings = self.instrument.will, self._settings
        if will is None:
            return ()
        end = self.instrument.dialect.end
        frames = [
            WillFrame(template.render(self._given).encode("latin-1") + end)
            for template in will.send
        ]
        serial = SerialSettings(
            baud=settings.baudrate,
            data_bits=settings.data_bits,
            parity=settings.parity[0].upper(),
            stop_bits=int(settings.stop_bits),
            xon_xoff=settings.flow_control == "software",
            rts_cts=settings.flow_control == "hardware",
        )
        tcp = settings.tcp
        port = settings.address if tcp is None else f"tcp://{tcp[0]}:{tcp[1]}"
        return (LastWill(port, tuple(frames), will.summary, serial),)

    async def poll(self) -> Mapping[str, Scalar]:
        """What the capabilities and `poll = true` ask for; each question goes out once."""
        look = self.conversation.look()
        fields: dict[str, Scalar] = {}
        if self.mover is not None:
            fields = {**await self.mover.poll(look)}
        for capability, name in self.instrument.roles.items():
            fields[_FIELDS[capability]] = await look.read(name)
        for value in self.instrument.values.values():
            if value.is_polled:
                fields.setdefault(value.name, await look.read(value.name))
        if self.instrument.trigger is not None:
            fields["armed"] = self.armed
        if not fields:
            await self.conversation.identify()
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

    def _make_mover(self) -> Mover | None:
        motion = self.instrument.motion
        if motion is None or self._limits is None:
            return None
        return Mover(self.id, motion, self._limits, self.conversation)

    def _main_value(self) -> Value | None:
        """What `record` stores: the position, else the reading."""
        motion, roles = self.instrument.motion, self.instrument.roles
        name = motion.position if motion else roles.get(Capability.READABLE)
        return None if name is None else self.instrument.values[name]

    def _limits_of(self, capability: Capability) -> Limits | None:
        name = self.instrument.roles.get(capability)
        return None if name is None else self.instrument.values[name].limits


_FIELDS: Mapping[Capability, str] = {
    Capability.READABLE: "reading",
    Capability.SHUTTER_CONTROLLABLE: "is_open",
    Capability.EMISSION_CONTROLLABLE: "emission",
    Capability.WAVELENGTH_TUNABLE: "wavelength",
    Capability.EXPOSURE_CONTROLLABLE: "exposure",
}


def _read_port(options: Options, description: Description) -> PortSettings:
    usual = description.port
    return PortSettings(
        options.text("port", REQUIRED, "a serial port like /dev/ttyUSB0, or host:port"),
        options.integer("baudrate", usual.baudrate, "bits/s", _BAUDRATES),
        options.integer("data_bits", usual.data_bits, "", Limits(5, 8)),
        options.choice("parity", usual.parity, PARITIES),
        options.number("stop_bits", usual.stop_bits, "", Limits(1, 2)),
        options.choice("flow_control", usual.flow_control, FLOW_CONTROLS),
    )


def _read_options(options: Options, description: Description) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for rule in description.options:
        default: Any = REQUIRED if rule.default is None else rule.default
        read: Any = options.integer if rule.dtype == "int" else options.text
        given[rule.name] = read(rule.name, default)
    return given


def _read_limits(options: Options, description: Description) -> Limits | None:
    """The description's, or narrower ones."""
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
