"""`python -m tests.conformance [NAME]...`: every shipped driver, contract by contract."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
from trio.testing import MockClock

from daq.drivers import Driver, DriverContext
from daq.drivers.declarative import declarative
from daq.drivers.epics import epics
from daq.drivers.pymeasure import pymeasure
from daq.drivers.simulated import (
    SimulatedCamera,
    SimulatedDigitizer,
    SimulatedLaser,
    SimulatedPowerMeter,
    SimulatedRotator,
    SimulatedStage,
)
from daq.simulators import SimulatedInstrument
from daq.simulators.instrument import Clock
from daq.testing.driver_subject import Subject
from daq.testing.instruments import plug_loopback
from daq.testing.report import print_report
from tests.integration.instruments.test_epics import TABLES, served
from tests.integration.instruments.test_pymeasure import supply
from tests.unit.drivers.declarative.shipped import SHIPPED
from tests.unit.drivers.test_line_drivers import INSTRUMENTS

Maker = Callable[[DriverContext], Driver]
OpenSubject = Callable[[], AbstractAsyncContextManager[tuple[Maker, Mapping[str, Any]]]]


@asynccontextmanager
async def _simulated(driver: Maker) -> AsyncIterator[tuple[Maker, Mapping[str, Any]]]:
    yield driver, {"seed": 1, "latency": 0.001}


@asynccontextmanager
async def _on_a_line(
    driver: Maker, make: Callable[[Clock], SimulatedInstrument], options: Mapping[str, Any]
) -> AsyncIterator[tuple[Maker, Mapping[str, Any]]]:
    async with plug_loopback(make(trio.current_time)) as plugged:
        yield plugged.maker(driver), options


@asynccontextmanager
async def _pymeasure() -> AsyncIterator[tuple[Maker, Mapping[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder:
        yield pymeasure, supply(Path(folder))


@asynccontextmanager
async def _epics() -> AsyncIterator[tuple[Maker, Mapping[str, Any]]]:
    with served() as server:
        yield epics, {"prefix": server.prefix, "timeout": 10.0, **TABLES}


IN_VIRTUAL_TIME: dict[str, OpenSubject] = {
    "simulated.stage": partial(_simulated, SimulatedStage),
    "simulated.rotator": partial(_simulated, SimulatedRotator),
    "simulated.power_meter": partial(_simulated, SimulatedPowerMeter),
    "simulated.camera": partial(_simulated, SimulatedCamera),
    "simulated.laser": partial(_simulated, SimulatedLaser),
    "simulated.digitizer": partial(_simulated, SimulatedDigitizer),
    "newport.esp300": partial(_on_a_line, *INSTRUMENTS["esp300"]),
    "newport.1830c": partial(_on_a_line, *INSTRUMENTS["1830c"]),
    "spectra_physics.maitai": partial(_on_a_line, *INSTRUMENTS["maitai"]),
    "thorlabs.ell14": partial(_on_a_line, *INSTRUMENTS["ell14"]),
    **{
        f"declarative {name}": partial(
            _on_a_line, declarative, make, {"description": name, **options}
        )
        for name, (make, options) in SHIPPED.items()
    },
}
IN_REAL_TIME: dict[str, OpenSubject] = {"pymeasure": _pymeasure, "epics": _epics}
"""Those that use threads, or another process."""


async def _report(name: str, open_subject: OpenSubject) -> bool:
    async with open_subject() as (make, options):
        return await print_report(Subject(make, options, "device", name), timeout=1000.0)


def main(names: list[str]) -> None:
    everything = {**IN_VIRTUAL_TIME, **IN_REAL_TIME}
    broken = []
    for name in names or everything:
        clock = MockClock(autojump_threshold=0.0) if name in IN_VIRTUAL_TIME else None
        if not trio.run(_report, name, everything[name], clock=clock):
            broken.append(name)
    click.echo(f"{len(names or everything)} drivers, broken: {', '.join(broken) or 'none'}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main(sys.argv[1:])
