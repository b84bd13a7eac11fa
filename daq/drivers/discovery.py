"""Which instruments answer on which port: asks for identities, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import trio
from serial.tools import list_ports

from daq.core import OfflineError
from daq.drivers.declarative import Description, load_description, shipped_descriptions
from daq.transport import Dialect, Line, OpenStream, Ports, PortSettings, open_stream

__all__ = ["Finding", "PortInfo", "Probe", "discover", "known_probes", "serial_ports"]

_REPLY_S = 0.4
_QUICK_S = 0.15
"""Units of a bus are asked one after the other, and answer at once or not at all."""


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port of this machine."""

    address: str
    summary: str = ""
    """What the system knows of the adapter."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A question that makes an instrument tell what it is."""

    options: tuple[tuple[str, str], ...]
    """For the configuration: the driver's name and what else is needed."""
    settings: PortSettings
    """Without an address."""
    dialect: Dialect
    ask: str
    reply: str
    """A regular expression for the whole reply."""

    @property
    def question(self) -> tuple[PortSettings, Dialect, str]:
        """Probes with the same one are answered by the same reply."""
        return self.settings, self.dialect, self.ask

    @property
    def is_general(self) -> bool:
        """Whether an identity of any maker fits it."""
        return re.fullmatch(self.reply, "x,x,x,x") is not None

    @property
    def is_on_bus(self) -> bool:
        """Several of its kind may share a port, each with its address."""
        return any(name == "address" for name, _ in self.options)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found on one port."""

    port: PortInfo
    identity: str = ""
    """As the instrument says it; empty when nothing that is known has answered."""
    options: tuple[tuple[tuple[str, str], ...], ...] = ()
    """For the configuration of the device: one set of options, or several that fit."""
    problem: str = ""
    """Why it was not asked."""


def serial_ports() -> tuple[PortInfo, ...]:
    """The serial ports of this machine, by name. Blocks."""
    found = sorted(list_ports.comports(), key=lambda port: port.device)
    return tuple(
        PortInfo(port.device, "" if port.description == "n/a" else port.description)
        for port in found
    )


def known_probes() -> tuple[Probe, ...]:
    """Of the drivers for serial instruments and of the shipped descriptions."""
    return (
        Probe(
            (("driver", "newport.esp300"), ("axis", "1")),
            PortSettings("", baudrate=19200, flow_control="hardware"),
            Dialect(end=b"\r"),
            "VE?",
            r"ESP300 Version.*",
        ),
        Probe(
            (("driver", "spectra_physics.maitai"),),
            PortSettings("", baudrate=9600, flow_control="software"),
            Dialect(),
            "*IDN?",
            r"Spectra Physics,\s*MaiTai,(?P<serial>[^,]*).*",
        ),
        Probe(
            (("driver", "newport.1830c"),),
            PortSettings("", baudrate=9600),
            Dialect(pause_s=0.01),
            "W?",
            r"0[3-9]\d\d|1[01]\d\d",
        ),
        *(_described(name, load_description(name)) for name in shipped_descriptions()),
        # Last: their questions have no end, so that they would stand before the next one.
        *(_bus_probe(address) for address in "0123456789ABCDEF"),
    )


async def discover(
    ports: Iterable[PortInfo],
    probes: Sequence[Probe],
    report: Callable[[Finding], None],
    opener: OpenStream = open_stream,
) -> None:
    """Ask on all ports at once; every finding is reported as it comes, at least one a port.

    Args:
        ports: Where to ask.
        probes: What to ask, in this order.
        report: Called with each finding.
        opener: Opens the ports.
    """
    async with trio.open_nursery() as nursery:
        for port in ports:
            nursery.start_soon(_ask_port, port, probes, report, opener)


async def _ask_port(
    port: PortInfo,
    probes: Sequence[Probe],
    report: Callable[[Finding], None],
    opener: OpenStream,
) -> None:
    """Question by question; who has told what it is, is not asked in other languages.

    What fits any instrument of a language is told when nothing says more.
    """
    last: Probe | None = None
    has_opened = False
    general: Finding | None = None
    for question in dict.fromkeys(probe.question for probe in probes):
        asked = [probe for probe in probes if probe.question == question]
        is_on_bus = asked[0].is_on_bus
        if (last is not None and not (last.is_on_bus and is_on_bus)) or (general and is_on_bus):
            continue
        try:
            reply = await _ask(port, asked, opener)
        except OfflineError as error:
            if has_opened:
                continue  # it only cannot be set up in this way
            report(Finding(port, problem=error.message))
            return
        has_opened = True
        matches = ((probe, re.fullmatch(probe.reply, reply)) for probe in asked)
        fitting = [(probe, match) for probe, match in matches if match is not None]
        options = tuple(probe.options + _pin(match) for probe, match in fitting)
        if not all(probe.is_general for probe, _ in fitting):
            last = asked[0]
            report(Finding(port, reply, options))
        elif fitting:
            general = general or Finding(port, reply, options)
    if last is None:
        report(general or Finding(port))


async def _ask(port: PortInfo, probes: Sequence[Probe], opener: OpenStream) -> str:
    """The reply that fits one of them, passing over what does not, such as an echo.

    Empty when there is none. Raises OfflineError when the port does not open.
    """
    probe = probes[0]
    settings = replace(probe.settings, address=port.address)
    line = Line(Ports(opener).port(settings), port.address, probe.dialect)

    def fits(text: str) -> bool:
        return any(re.fullmatch(each.reply, text.strip()) for each in probes)

    await line.open()
    try:
        timeout_s = _QUICK_S if probe.is_on_bus else _REPLY_S
        return (await line.query(probe.ask, accepts=fits, timeout_s=timeout_s)).strip()
    except OfflineError:
        return ""
    finally:
        with trio.CancelScope(shield=True):  # bounded by the port
            await line.close()


def _pin(match: re.Match[str]) -> tuple[tuple[str, str], ...]:
    """The option that pins the instrument, where it has told its serial number."""
    serial = (match.groupdict().get("serial") or "").strip()
    return (("serial", serial),) if serial else ()


def _bus_probe(address: str) -> Probe:
    return Probe(
        (("driver", "thorlabs.ell14"), ("address", address)),
        PortSettings("", baudrate=9600),
        Dialect(end=b"", pause_s=0.015),
        f"{address}in",
        rf"{address}IN0E(?P<serial>\w{{8}})\w+",
    )


def _described(name: str, description: Description) -> Probe:
    question = description.identify
    pattern = question.reply.pattern if question is not None else None
    if question is None or pattern is None:
        raise ValueError(f"the shipped description {name} does not say how it is identified")
    return Probe(
        (("driver", "declarative"), ("description", name)),
        description.port,
        replace(description.dialect, timeout_s=_REPLY_S),
        question.send.render({option.name: option.default for option in description.options}),
        pattern.pattern,
    )
