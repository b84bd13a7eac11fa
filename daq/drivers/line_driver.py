"""What drivers of instruments on a serial line or a TCP connection share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import trio

from daq.core import (
    ConfigurationError,
    DeviceError,
    DeviceParameter,
    Limits,
    OfflineError,
    Reading,
    Scalar,
)
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.last_will import LastWill, SerialSettings, WillFrame
from daq.drivers.options import REQUIRED, Options
from daq.drivers.settings import Setting, SettingsTable
from daq.transport import (
    DATA_BITS,
    FLOW_CONTROLS,
    PARITIES,
    STOP_BITS,
    Dialect,
    Line,
    Ports,
    PortSettings,
)

__all__ = ["LineDriver", "last_wills", "read_dialect", "read_port"]

_DATA_BITS = Limits(min(DATA_BITS), max(DATA_BITS))
_STOP_BITS = Limits(min(STOP_BITS), max(STOP_BITS))
_BAUDRATES = Limits(50, 4_000_000)
_TIMEOUTS = Limits(0.01, 600.0)


def read_port(options: Options, usual: PortSettings) -> PortSettings:
    """A port's options: `port`, `baudrate`, `data_bits`, `parity`, `stop_bits`, `flow_control`.

    Args:
        options: A device's options.
        usual: What the instrument's manual says; its address is not used.
    """
    stop_bits = options.number("stop_bits", usual.stop_bits, limits=_STOP_BITS)
    if stop_bits not in STOP_BITS:
        raise ConfigurationError(f"stop_bits = {stop_bits:g} is not one of 1, 1.5, 2")
    return PortSettings(
        options.text("port", REQUIRED, "a serial port such as /dev/ttyUSB0, host:port, or VISA"),
        options.integer("baudrate", usual.baudrate, "bits/s", _BAUDRATES),
        options.integer("data_bits", usual.data_bits, limits=_DATA_BITS),
        options.choice("parity", usual.parity, PARITIES),
        stop_bits,
        options.choice("flow_control", usual.flow_control, FLOW_CONTROLS),
        options.text("visa_library", "", "of a VISA resource, such as @py"),
    )


def read_dialect(options: Options, usual: Dialect) -> Dialect:
    """`usual` with what the option `timeout` says about a reply that takes longer."""
    return replace(usual, timeout_s=options.number("timeout", usual.timeout_s, "s", _TIMEOUTS))


def last_wills(
    settings: PortSettings, frames: Iterable[WillFrame], summary: str
) -> tuple[LastWill, ...]:
    """A last will of these frames on a port of those settings; VISA has none.

    Who carries it out has no VISA library: in one that the dead daemon used, anything may be wrong.
    """
    if settings.is_visa:
        return ()
    address = settings.tcp
    port = settings.address if address is None else f"tcp://{address[0]}:{address[1]}"
    line = SerialSettings(
        settings.baudrate,
        settings.data_bits,
        settings.parity[0].upper(),
        int(settings.stop_bits),
        xon_xoff=settings.flow_control == "software",
        rts_cts=settings.flow_control == "hardware",
    )
    return (LastWill(port, tuple(frames), summary, line),)


class LineDriver(Driver):
    """A driver whose instrument is asked and told in lines of text.

    A subclass reads its options in its constructor and ends that with `self.options.finish()`. It
    checks in `identify` that the right instrument is there, and talks by `ask` and `self.line`.

    Options of all of them: `port`, those of `read_port`, `timeout` (of a reply, s) and `label`.

    Args:
        context: What the driver lives in.
        usual: How the port is set up where the options say nothing; its address is not used.
        dialect: How the instrument writes.
        attempts: How often a question is asked before its silence counts. Commands are sent once.
    """

    def __init__(
        self, context: DriverContext, usual: PortSettings, dialect: Dialect, attempts: int = 1
    ) -> None:
        super().__init__(context)
        self.options = Options(context.device_id, context.options)
        self.label = self.options.text("label", "")
        settings = read_port(self.options, usual)
        dialect = read_dialect(self.options, dialect)
        ports: Ports = context.shared.setdefault(Ports, Ports())
        try:
            port = ports.port(settings)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.id}: {error.message}", advice=error.advice) from error
        self.port_settings = settings
        self.line = Line(port, self.id, dialect)
        self.settings_table = SettingsTable(self.id)
        self._attempts = attempts

    @property
    def id(self) -> str:
        """The device's id, as errors name it."""
        return self.context.device_id

    @property
    def parameters(self) -> tuple[DeviceParameter, ...]:
        """What the description says about the settings."""
        return self.settings_table.parameters

    async def connect(self) -> None:
        await self.line.open()
        try:
            await self.identify()
        except BaseException:
            with trio.CancelScope(shield=True):  # closing a port is bounded
                await self.line.close()
            raise

    async def disconnect(self) -> None:
        await self.line.close()

    async def wait_plugged_in(self) -> None:
        await self.line.wait_port()

    async def identify(self) -> None:
        """Check that the right instrument answers, and prepare it. Raises DeviceError."""
        raise NotImplementedError

    async def stop(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def get_parameter(self, name: str) -> Scalar:
        return await self.settings_table.get(name)

    async def set_parameter(self, name: str, value: Scalar) -> None:
        await self.settings_table.set(name, value)

    async def settings(self) -> dict[str, Scalar]:
        return {**await self.settings_table.all(), **await self.poll()}

    def offer_settings(self, settings: Iterable[Setting]) -> None:
        """Say which parameters there are, in the order in which people see them."""
        self.settings_table.offer(settings)

    def will_of(self, command: str, summary: str) -> tuple[LastWill, ...]:
        """A last will of one command that is not answered, on this driver's port."""
        frame = WillFrame(command.encode("ascii") + self.line.dialect.end)
        return last_wills(self.port_settings, [frame], summary)

    def reading(self, value: float) -> Reading:
        """A value that is true now."""
        return Reading(value, self.context.timebase.now_ns())

    async def ask(
        self, command: str, pattern: str, expected: str, *, attempts: int | None = None
    ) -> re.Match[str]:
        """Ask a question that may be asked again, and take its reply apart.

        Args:
            command: Without its end.
            pattern: What the whole reply has to match.
            expected: The same for people, such as "a position in mm".
            attempts: How often to ask; 1 for what also changes something.

        Raises:
            OfflineError: No reply.
            DeviceError: The reply is something else; it is in the message, raw.
        """
        last = (attempts or self._attempts) - 1
        for attempt in range(last + 1):
            try:
                return self._parsed(command, await self._reply(command), pattern, expected)
            except DeviceError:
                if attempt == last:
                    raise
        raise AssertionError("unreachable")

    async def _reply(self, command: str) -> str:
        return await self.line.query(command)

    def _parsed(self, command: str, reply: str, pattern: str, expected: str) -> re.Match[str]:
        match = re.fullmatch(pattern, reply.strip(), re.IGNORECASE)
        if match is None:
            raise DeviceError(
                f"{self.id}: {command!r} on {self.line.address} was answered with {reply!r}; "
                f"expected {expected}"
            )
        return match

    def wrong_instrument(self, command: str, reply: str, expected: str) -> OfflineError:
        """Something else is on the port."""
        return OfflineError(
            f"{self.id}: {self.line.address} has another instrument: {command!r} was answered "
            f"with {reply!r}; expected {expected}",
            advice="is it the right port? those in /dev/serial/by-id bear the adapter's name",
        )
