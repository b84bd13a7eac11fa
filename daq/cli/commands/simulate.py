"""`daq simulate`: an instrument that speaks its real protocol, without the instrument."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import click
import trio

from daq.simulators import (
    FAULT_KINDS,
    Ell14Bus,
    Esp300Simulator,
    Fault,
    Faults,
    MaiTaiSimulator,
    Meter1830cSimulator,
    Outlet,
    PtyOutlet,
    SimulatedInstrument,
    TcpOutlet,
    parse_fault,
    run_schedule,
)
from daq.simulators.described import (
    Keithley2400Simulator,
    LakeShore335Simulator,
    LinkamT95Simulator,
    RigolScopeSimulator,
    SerialBoardSimulator,
    SmartlineSimulator,
    Sr830Simulator,
)

__all__ = ["INSTRUMENTS", "simulate"]

INSTRUMENTS: dict[str, Callable[[tuple[str, ...]], SimulatedInstrument]] = {
    "esp300": lambda _: Esp300Simulator(trio.current_time),
    "1830c": lambda _: Meter1830cSimulator(trio.current_time),
    "maitai": lambda _: MaiTaiSimulator(trio.current_time),
    "ell14": lambda addresses: Ell14Bus(trio.current_time, addresses or ("2", "3", "8")),
    "keithley_2400": lambda _: Keithley2400Simulator(trio.current_time),
    "lakeshore_335": lambda _: LakeShore335Simulator(trio.current_time),
    "linkam_t95": lambda _: LinkamT95Simulator(trio.current_time),
    "rigol_ds1000z": lambda _: RigolScopeSimulator(trio.current_time),
    "serial_board": lambda _: SerialBoardSimulator(trio.current_time),
    "stanford_sr830": lambda _: Sr830Simulator(trio.current_time),
    "thyracont_smartline": lambda _: SmartlineSimulator(trio.current_time),
}


def _read_faults(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[Fault]:
    try:
        return [parse_fault(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    epilog="Faults: " + "; ".join(f"{kind}: {what}" for kind, what in FAULT_KINDS.items()) + "."
)
@click.argument("instrument", type=click.Choice(sorted(INSTRUMENTS)))
@click.option(
    "--link",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Name of the pseudo-terminal; stays the same when it is unplugged and plugged in again.",
)
@click.option("--tcp", type=click.IntRange(0, 65535), help="Listen on this port; 0 for a free one.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    type=click.Choice("0123456789ABCDEF"),
    help="Of a unit on the bus (ell14); may be repeated. [default: 2, 3, 8]",
)
@click.option(
    "--serial",
    type=click.IntRange(1, 99999999),
    help="Its serial number, of esp300, maitai, ell14. [default: another for each port]",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=DELAY][@AFTER][+DURATION]",
    callback=_read_faults,
    help="What goes wrong and when, in seconds, such as unplug@10+3; may be repeated.",
)
def simulate(
    instrument: str,
    link: Path | None,
    tcp: int | None,
    addresses: tuple[str, ...],
    serial: int | None,
    faults: list[Fault],
) -> None:
    """Simulate INSTRUMENT on a pseudo-terminal, or on a TCP port, until Ctrl-C or SIGTERM.

    It speaks the instrument's own protocol in real time: a move takes its time, a shutter has a
    delay, an unknown command gets the instrument's own error. One line on stdout says where it is.
    """
    if link is not None and tcp is not None:
        raise click.UsageError("give either --link or --tcp")
    if addresses and instrument != "ell14":
        raise click.UsageError("--address is for ell14")

    def make() -> SimulatedInstrument:
        simulated = INSTRUMENTS[instrument](addresses)
        simulated.serial = serial or _serial_of(simulated, str(link or tcp or ""))
        return simulated

    trio.run(_run, make, link, tcp, faults)


def _serial_of(simulated: SimulatedInstrument, port: str) -> int:
    """Two that are simulated at once are two instruments: each port has one of its own."""
    return simulated.first_serial + (crc32(port.encode()) % 1000 * 100 if port else 0)


async def _run(
    make: Callable[[], SimulatedInstrument],
    link: Path | None,
    tcp: int | None,
    faults: list[Fault],
) -> None:
    line = Faults(make())
    outlet: Outlet = PtyOutlet(line, link) if tcp is None else TcpOutlet(line, tcp)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            address = await nursery.start(outlet.run)
            click.echo(f"daq simulates {line.instrument.name} on {address}")
            nursery.start_soon(run_schedule, outlet, faults)
            await anext(signals)
            nursery.cancel_scope.cancel()
