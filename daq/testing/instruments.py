"""A harness for simulated instruments: plug one in, and build drivers that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from daq.drivers import Driver, DriverContext
from daq.simulators import (
    Faults,
    LoopbackOutlet,
    Outlet,
    PtyOutlet,
    SimulatedInstrument,
    TcpOutlet,
)
from daq.transport import Ports, open_serial_loop

__all__ = ["PluggedInstrument", "plug_loopback", "plug_pty", "plug_tcp"]

DriverFactory = Callable[[DriverContext], Driver]


class PluggedInstrument:
    """An instrument at the other end of a line, and the drivers' end of that line."""

    def __init__(self, outlet: Outlet, ports: Ports) -> None:
        self.outlet = outlet
        self.ports = ports

    @property
    def address(self) -> str:
        """For the option `port` of a driver."""
        return self.outlet.address

    @property
    def line(self) -> Faults:
        """Where faults begin and end."""
        return self.outlet.line

    def maker(self, driver: DriverFactory) -> DriverFactory:
        """Makes such drivers on this line, whatever else their context shares."""

        def make(context: DriverContext) -> Driver:
            options: dict[str, Any] = {"port": self.address, **context.options}
            return driver(
                replace(context, options=options, shared={**context.shared, Ports: self.ports})
            )

        return make


@asynccontextmanager
async def plug_loopback(instrument: SimulatedInstrument) -> AsyncIterator[PluggedInstrument]:
    """In memory: also in virtual time."""
    outlet = LoopbackOutlet(Faults(instrument))
    async with _running(PluggedInstrument(outlet, Ports(outlet.open))) as plugged:
        yield plugged


@asynccontextmanager
async def plug_pty(instrument: SimulatedInstrument, link: Path) -> AsyncIterator[PluggedInstrument]:
    """On a pseudo-terminal of that name, with everything that serial ports need."""
    outlet = PtyOutlet(Faults(instrument), link)
    async with open_serial_loop(), _running(PluggedInstrument(outlet, Ports())) as plugged:
        yield plugged


@asynccontextmanager
async def plug_tcp(instrument: SimulatedInstrument) -> AsyncIterator[PluggedInstrument]:
    """On a free TCP port of this machine."""
    async with _running(PluggedInstrument(TcpOutlet(Faults(instrument)), Ports())) as plugged:
        yield plugged


@asynccontextmanager
async def _running(plugged: PluggedInstrument) -> AsyncIterator[PluggedInstrument]:
    async with trio.open_nursery() as nursery:
        await nursery.start(plugged.outlet.run)
        yield plugged
        nursery.cancel_scope.cancel()
