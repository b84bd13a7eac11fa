"""Instruments are found by what they say of themselves; in memory and in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from daq.drivers.discovery import Finding, PortInfo, discover, known_probes
from daq.simulators import (
    Ell14Bus,
    Faults,
    LoopbackOutlet,
    MaiTaiSimulator,
    Meter1830cSimulator,
    SimulatedInstrument,
)
from daq.simulators.described import SmartlineSimulator, Sr830Simulator
from daq.simulators.scpi import ScpiInstrument
from daq.transport import ByteStream, PortSettings
from tests.unit.drivers.declarative.shipped import SHIPPED

SAME = {"scpi_lock_in": "stanford_sr830"}
"""Found by a description that says more of it."""


async def found_on(instrument: SimulatedInstrument) -> list[tuple[str, list[dict[str, str]]]]:
    findings: list[Finding] = []
    outlet = LoopbackOutlet(Faults(instrument))
    async with trio.open_nursery() as nursery:
        await nursery.start(outlet.run)
        await discover([PortInfo("loopback")], known_probes(), findings.append, outlet.open)
        nursery.cancel_scope.cancel()
    return [(f.identity, [dict(options) for options in f.options]) for f in findings]


def as_it_is_found(name: str, clock: Any) -> SimulatedInstrument:
    """Nothing is set for a question: it answers here already, at its first address."""
    if name == "stanford_sr830":
        instrument = Sr830Simulator(clock)
        instrument.settings["OUTX"] = "0"
        return instrument
    return SmartlineSimulator(clock) if name == "thyracont_smartline" else SHIPPED[name][0](clock)


@pytest.mark.parametrize("name", SHIPPED)
async def test_an_instrument_is_found_by_its_description(name, autojump_clock):
    found = await found_on(as_it_is_found(name, trio.current_time))
    assert SAME.get(name, name) in [each["description"] for _, options in found for each in options]


async def test_instruments_with_drivers_are_found(autojump_clock):
    assert await found_on(Meter1830cSimulator(trio.current_time)) == [
        ("0800", [{"driver": "newport.1830c"}])
    ]
    ((_, options),) = await found_on(MaiTaiSimulator(trio.current_time))
    assert options == [{"driver": "spectra_physics.maitai", "serial": "3227/51054/40856"}]


async def test_every_unit_of_a_bus_is_found(autojump_clock):
    found = await found_on(Ell14Bus(trio.current_time, ("2", "8")))
    assert [(options[0]["address"], options[0]["serial"]) for _, options in found] == [
        ("2", "11400050"),
        ("8", "11400056"),
    ]


async def test_what_speaks_scpi_may_be_one_of_several(autojump_clock):
    ((identity, options),) = await found_on(ScpiInstrument(trio.current_time, "Acme,DMM6,1,2", {}))
    assert identity == "Acme,DMM6,1,2"
    assert {each["description"] for each in options} == {"scpi_multimeter", "scpi_power_supply"}


async def test_a_port_without_an_answer_and_one_that_does_not_open_are_told(autojump_clock):
    class Silent(ScpiInstrument):
        def command(self, text: str) -> None:
            pass

    assert await found_on(Silent(trio.current_time, "", {})) == [("", [])]
    findings: list[Finding] = []
    await discover([PortInfo("/dev/nothing")], known_probes(), findings.append, refuse)
    assert "cannot be opened" in findings[0].problem


async def refuse(settings: PortSettings) -> ByteStream:
    await trio.lowlevel.checkpoint()
    raise FileNotFoundError(2, "No such file or directory")
