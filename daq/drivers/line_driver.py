"""What drivers of instruments on a serial line or a TCP connection share."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from daq.core import ConfigurationError, DeviceError, Limits, OfflineError
from daq.drivers.configured_driver import ConfiguredDriver
from daq.drivers.driver import DriverContext
from daq.drivers.last_will import LastWill, SerialSettings, WillFrame
from daq.drivers.options import REQUIRED, Options
from daq.transport import (
    DATA_BITS,
    FLOW_CONTROLS,
    PARITIES,
    STOP_BITS,
    Busy,
    Dialect,
    Line,
    Ports,
    PortSettings,
    UnfitReplyError,
)

__all__ = ["WILL_DONE_S", "LineDriver", "SerialPin", "configured_line", "last_wills"]

_DATA_BITS = Limits(min(DATA_BITS), max(DATA_BITS))
_STOP_BITS = Limits(min(STOP_BITS), max(STOP_BITS))
_BAUDRATES = Limits(50, 4_000_000)
_TIMEOUTS = Limits(0.01, 600.0)
_OPEN_WAIT = Limits(0.0, 600.0)
_WRONG_ANSWERS = 4
"""So often a question is asked whose answers cannot be understood."""
WILL_DONE_S = 1.0
"""What an instrument gets to do its last will."""


def configured_line(
    context: DriverContext, options: Options, port: PortSettings, dialect: Dialect
) -> Line:
    """A device's line, not open, on a port that it may share with others.

    Options: those of a port and `timeout` (of a reply, s).

    Args:
        context: What the driver lives in.
        options: The device's.
        port: How it is set up where the options say nothing; its address is not used.
        dialect: How the instrument writes.

    Returns:
        The line.

    Raises:
        ConfigurationError: An option is wrong, or another device has the port set up otherwise.
    """
    settings = _read_port(options, port)
    timeout_s = options.number("timeout", dialect.timeout_s, "s", _TIMEOUTS)
    ports: Ports = context.shared.setdefault(Ports, Ports())
    try:
        shared = ports.port(settings, context.device_id)
    except ConfigurationError as error:
        options.refuse("port", f"{error.message}; {error.advice}".removesuffix("; "))
        shared = Ports().port(PortSettings("none"))  # the options are refused as a whole
    return Line(shared, context.device_id, replace(dialect, timeout_s=timeout_s))


def _read_port(options: Options, usual: PortSettings) -> PortSettings:
    stop_bits = options.number("stop_bits", usual.stop_bits, limits=_STOP_BITS)
    if stop_bits not in STOP_BITS:
        options.refuse("stop_bits", f"{stop_bits:g} is not one of 1, 1.5, 2")
    return PortSettings(
        options.text("port", REQUIRED, "a serial port such as /dev/ttyUSB0, host:port, or VISA"),
        baudrate=options.integer("baudrate", usual.baudrate, "bits/s", _BAUDRATES),
        data_bits=options.integer("data_bits", usual.data_bits, limits=_DATA_BITS),
        parity=options.choice("parity", usual.parity, PARITIES),
        stop_bits=stop_bits,
        flow_control=options.choice("flow_control", usual.flow_control, FLOW_CONTROLS),
        dtr=_read_signal(options, "dtr", usual.dtr),
        rts=_read_signal(options, "rts", usual.rts),
        open_wait_s=options.number("open_wait", usual.open_wait_s, "s", _OPEN_WAIT),
        visa_library=options.text("visa_library", "", "of a VISA resource, such as @py"),
    )


def _read_signal(options: Options, name: str, usual: bool | None) -> bool | None:
    """True, False, or None for what the system makes of it."""
    given = options.boolean(name, bool(usual))
    return given if options.has(name) else usual


class _PinnedSerials(dict[str, str]):
    """Which device has to be which instrument, of one daemon: ids by serial numbers."""


class SerialPin:
    """The serial number that a device's instrument has to have; two swapped cables are noticed.

    Args:
        context: What the driver lives in.
        wanted: The serial number; empty for any.
    """

    def __init__(self, context: DriverContext, wanted: str) -> None:
        self._device_id = context.device_id
        self._wanted = wanted
        self._pinned: _PinnedSerials = context.shared.setdefault(_PinnedSerials, _PinnedSerials())
        if wanted:
            self._pinned[wanted.casefold()] = context.device_id

    @property
    def is_wanted(self) -> bool:
        """Whether it has to be a certain one."""
        return bool(self._wanted)

    def require(self, found: str, name: str, place: str) -> None:
        """Refuse another instrument, and tell whose it is.

        Args:
            found: The serial number that the instrument tells.
            name: What kind of instrument it is.
            place: Its port, and its address there.

        Raises:
            DeviceError: It is another instrument than the one that was configured.
        """
        found = found.strip()
        if not self._wanted or found.casefold() == self._wanted.casefold():
            return
        owner = self._pinned.get(found.casefold(), "")
        whose = f", that of {owner}" if owner and owner != self._device_id else ""
        raise DeviceError(
            f"{self._device_id}: {place} has the {name} with the serial number {found!r}{whose}, "
            f"not {self._wanted!r}; it is left alone",
            advice="were two cables swapped? else change `serial` in the configuration",
        )


def last_wills(
    settings: PortSettings, frames: Iterable[WillFrame], summary: str
) -> tuple[LastWill, ...]:
    """A last will of these frames on a port of those settings."""
    line = SerialSettings(
        baud=settings.baudrate,
        data_bits=settings.data_bits,
        parity=settings.parity[0].upper(),
        stop_bits=1 if settings.stop_bits == 1 else 2,  # as pyserial: POSIX knows no 1.5
        xon_xoff=settings.flow_control == "software",
        rts_cts=settings.flow_control == "hardware",
    )
    return (LastWill(settings.url, tuple(frames), summary, line),)


class LineDriver(ConfiguredDriver):
    """A driver whose instrument is asked and told in lines of text.

    A subclass checks in `identify` that the right instrument is there, and talks by `ask` and
    `self.line`.

    Options of all of them: `port`, `baudrate`, `data_bits`, `parity`, `stop_bits`, `flow_control`,
    `dtr`, `rts`, `open_wait` (s), `visa_library`, `timeout` (of a reply, s), and, where the
    instrument tells it, `serial`, the serial number that it has to have.
    """

    tells_serial: ClassVar[bool] = False
    """`identify` hears its serial number, and gives it to `serial.require`."""
    usual_port: ClassVar[PortSettings]
    """How the port is set up where the options say nothing; its address is not used."""
    usual_dialect: ClassVar[Dialect]
    """How the instrument writes."""
    attempts: ClassVar[int] = 1
    """How often a question is asked before its silence counts. Commands are sent once."""

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.line = configured_line(context, self.options, self.usual_port, self.usual_dialect)
        wanted = self.options.text("serial", "") if self.tells_serial else ""
        self.serial = SerialPin(context, wanted)

    async def connect(self) -> None:
        """Open the line, and see that the right instrument is there."""
        await self.line.open()
        try:
            await self.identify()
        except BaseException:
            await self.line.close()  # bounded and shielded
            raise

    async def disconnect(self) -> None:
        """Close the line."""
        await self.line.close()

    async def wait_plugged_in(self) -> None:
        """Return when the port is there."""
        await self.line.wait_port()

    def busy(self) -> Busy | None:
        """The question that was declared to take long, while it does."""
        return self.line.busy()

    def declared_s(self, operation: str, *arguments: str) -> float:  # noqa: ARG002
        """What a reply may take, s."""
        return self.line.dialect.timeout_s

    @abstractmethod
    async def identify(self) -> None:
        """Check that the right instrument answers, and prepare it. Raises DeviceError."""

    def will_of(self, command: str, summary: str, ask: str, reply: str) -> tuple[LastWill, ...]:
        """A last will of one command that is not answered, on this driver's port.

        Args:
            command: Without its end.
            summary: What it does, for people.
            ask: The question whether it is done.
            reply: A pattern in the answer when it is.

        Returns:
            The command, then the question until the answer is the right one.
        """
        end = self.line.dialect.end
        frames = [
            WillFrame(command.encode("ascii") + end),
            WillFrame(ask.encode("ascii") + end, reply.encode("ascii"), WILL_DONE_S, repeat=True),
        ]
        return last_wills(self.line.port_settings, frames, summary)

    async def ask(
        self, command: str, pattern: str, expected: str, *, attempts: int | None = None
    ) -> re.Match[str]:
        """Ask a question that may be asked again, and take its reply apart.

        Args:
            command: Without its end.
            pattern: What the whole reply has to match.
            expected: The same for people, such as "a position in mm".
            attempts: How often to ask; 1 for what also changes something.

        Returns:
            The match of `pattern`.

        Raises:
            OfflineError: No reply.
            DeviceError: The reply is something else; it is in the message, raw.
        """
        silent, wrong = (
            (self.attempts, _WRONG_ANSWERS) if attempts is None else (attempts, attempts)
        )
        while True:
            try:
                return self._parsed(command, await self._reply(command), pattern, expected)
            except OfflineError:
                silent -= 1
                if not silent:
                    raise
            except DeviceError:
                wrong -= 1
                if not wrong:
                    raise

    async def ask_identity(self, command: str, pattern: str, expected: str) -> re.Match[str]:
        """Ask what it is; greetings and what comes of itself are no answers.

        Args:
            command: Without its end.
            pattern: What the whole reply of the right instrument matches.
            expected: The same for people.

        Returns:
            The match.

        Raises:
            OfflineError: No reply, or only such of another instrument.
        """

        def fits(text: str) -> bool:
            return _match(pattern, text) is not None

        try:
            reply = await self.line.query(command, accepts=fits)
        except UnfitReplyError as error:
            raise self.wrong_instrument(command, error.replies[-1], expected) from error
        return self._parsed(command, reply, pattern, expected)

    async def _reply(self, command: str) -> str:
        return await self.line.query(command)

    def _parsed(self, command: str, reply: str, pattern: str, expected: str) -> re.Match[str]:
        match = _match(pattern, reply)
        if match is None:
            self.line.distrust()
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


def _match(pattern: str, reply: str) -> re.Match[str] | None:
    return re.fullmatch(pattern, reply.strip(), re.IGNORECASE)
