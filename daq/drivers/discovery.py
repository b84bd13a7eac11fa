"""Which instruments answer on which port: asks for identities, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import trio
from serial.tools import list_ports

from daq.core import OfflineError
from daq.drivers.declarative import Description, load_description, shipped_descriptions
from daq.transport import Dialect, Line, Ports, PortSettings

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


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found on one port."""

    port: PortInfo
    identity: str = ""
    """As the instrument says it; empty when nothing that is known has answered."""
    options: tuple[tuple[str, str], ...] = ()
    """For the configuration of the device."""
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
            r"Spectra Physics,\s*MaiTai.*",
        ),
        Probe(
            (("driver", "newport.1830c"),),
            PortSettings("", baudrate=9600),
            Dialect(pause_s=0.01),
            "W?",
            r"0[3-9]\d\d|1[01]\d\d",
        ),
        *(_bus_probe(address) for address in "0123456789ABCDEF"),
        *(_described(name, load_description(name)) for name in shipped_descriptions()),
    )


async def discover(
    ports: Iterable[PortInfo],
    probes: Sequence[Probe],
    opened: Ports,
    report: Callable[[Finding], None],
) -> None:
    """Ask on all ports at once; every finding is reported as it comes, at least one a port.

    Args:
        ports: Where to ask.
        probes: What to ask, in this order.
        opened: Opens the ports.
        report: Called with each finding.
    """
    async with trio.open_nursery() as nursery:
        for port in ports:
            nursery.start_soon(_ask_port, port, probes, opened, report)


async def _ask_port(
    port: PortInfo, probes: Sequence[Probe], opened: Ports, report: Callable[[Finding], None]
) -> None:
    found = False
    answered: tuple[PortSettings, str] | None = None
    for probe in probes:
        if answered is not None and (probe.settings, probe.ask) != answered and not _is_bus(probe):
            continue  # who has told what it is, is not asked in other languages
        try:
            identity = await _ask(port, probe, opened)
        except OfflineError as error:
            report(Finding(port, problem=error.message))
            return
        if identity and not (answered and not _is_bus(probe)):
            found, answered = True, (probe.settings, probe.ask)
            report(Finding(port, identity, probe.options))
    if not found:
        report(Finding(port))


async def _ask(port: PortInfo, probe: Probe, opened: Ports) -> str:
    """The identity, empty when there is none. Raises OfflineError when the port does not open."""
    settings = replace(probe.settings, address=port.address)
    timeout_s = _QUICK_S if _is_bus(probe) else _REPLY_S
    line = Line(opened.port(settings), port.address, replace(probe.dialect, quiet_s=0.0))
    await line.open()
    try:
        reply = (await line.query(probe.ask, timeout_s=timeout_s)).strip()
    except OfflineError:
        return ""
    finally:
        with trio.CancelScope(shield=True):  # bounded by the port
            await line.close()
    return reply if re.fullmatch(probe.reply, reply) else ""


def _bus_probe(address: str) -> Probe:
    return Probe(
        (("driver", "thorlabs.ell14"), ("address", address)),
        PortSettings("", baudrate=9600),
        Dialect(end=b"", pause_s=0.015),
        f"{address}in",
        rf"{address}IN0E\w+",
    )


def _is_bus(probe: Probe) -> bool:
    return any(name == "address" for name, _ in probe.options)


def _described(name: str, description: Description) -> Probe:
    question = description.identify
    pattern = question.reply.pattern if question is not None else None
    if question is None or pattern is None:
        raise ValueError(f"the shipped description {name} does not say how it is identified")
    return Probe(
        (("driver", "declarative"), ("description", name)),
        description.port,
        description.dialect,
        question.send.text,
        pattern.pattern,
    )
