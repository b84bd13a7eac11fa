"""`driver = "declarative"`: an instrument on a line that is described in TOML alone."""

from __future__ import annotations

from typing import Any

from daq.drivers.declarative.described import DescribedDriver, read_limits, with_capabilities
from daq.drivers.declarative.line_conversation import LineConversation
from daq.drivers.declarative.loader import load_description, shipped_descriptions
from daq.drivers.declarative.model import Description
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.last_will import LastWill, WillFrame
from daq.drivers.line_driver import WILL_DONE_S, SerialPin, configured_line, last_wills
from daq.drivers.options import REQUIRED, Options

__all__ = ["DeclarativeDriver", "declarative"]


def declarative(context: DriverContext) -> Driver:
    """Make the driver of a described instrument: with the methods of its capabilities only.

    Options: `description`, the name of one that is shipped or the path of a file; `port`, a serial
    port or `host:port`; `baudrate`, `data_bits`, `parity`, `stop_bits`, `flow_control`, `dtr`,
    `rts`, `open_wait`, `timeout` where they differ from the description's; `limits`, narrower ones
    of a movable; `serial`, the serial number that it has to have; `label`; and the options that the
    description declares.

    Raises:
        ConfigurationError: An option is wrong, or the description: file, line and reason.
    """
    options = Options(context.device_id, context.options)
    name = options.text(
        "description",
        REQUIRED,
        f"the path of a .toml file, or one of {', '.join(shipped_descriptions())}",
    )
    options.require_right()
    description = load_description(name, context.directory)
    return with_capabilities(DeclarativeDriver, description)(context, description)


class DeclarativeDriver(DescribedDriver):
    """Over a serial port or TCP."""

    def __init__(self, context: DriverContext, description: Description) -> None:
        options = Options(context.device_id, context.options)
        options.text("description", REQUIRED)
        label = options.text("label", "")
        line = configured_line(context, options, description.port, description.dialect)
        given = _read_options(options, description)
        limits = read_limits(options, description)
        serial = SerialPin(context, _read_serial(options, description))
        options.finish()
        conversation = LineConversation(description, line, context.device_id, given, serial)
        super().__init__(context, description, conversation, label, limits)
        self._line = line
        self._given = given

    def fingerprint(self) -> str:
        return self.instrument.text

    def last_will(self) -> tuple[LastWill, ...]:
        will = self.instrument.will
        if will is None:
            return ()
        dialect = self.instrument.dialect
        frames = [WillFrame(dialect.encode(template.render(self._given))) for template in will.send]
        if will.ask is not None and will.reply is not None:
            question = dialect.encode(will.ask.render(self._given))
            answer = will.reply.pattern.encode(dialect.encoding)
            frames.append(WillFrame(question, answer, WILL_DONE_S, repeat=True))
        return last_wills(self._line.port_settings, frames, will.summary)


def _read_serial(options: Options, description: Description) -> str:
    """The serial number that is pinned; what tells it has to be described."""
    serial = options.text("serial", "", "the serial number that it has to have")
    identify = description.identify
    pattern = None if identify is None else identify.reply.pattern
    if serial and (pattern is None or "serial" not in pattern.groupindex):
        options.refuse(
            "serial",
            f"cannot be checked: [identify] of {description.name} has no group `serial` in `reply`",
        )
    return serial


def _read_options(options: Options, description: Description) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for rule in description.options:
        default: Any = REQUIRED if rule.default is None else rule.default
        read: Any = options.integer if rule.dtype == "int" else options.text
        given[rule.name] = read(rule.name, default)
    return given
