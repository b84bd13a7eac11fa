"""Instruments on pseudo-terminals are found by what they say of themselves."""

from __future__ import annotations

import trio

from daq.drivers.discovery import PortInfo, discover, known_probes
from daq.simulators import (
    Ell14Bus,
    Esp300Simulator,
    MaiTaiSimulator,
    Meter1830cSimulator,
)
from daq.simulators.scpi import ScpiInstrument
from daq.testing.instruments import plug_pty


async def found_on(instrument, link):
    findings = []
    async with plug_pty(instrument, link) as plugged:
        await discover([PortInfo(plugged.address)], known_probes(), findings.append)
    return [(f.identity, [dict(options) for options in f.options]) for f in findings]


async def test_the_known_instruments_are_found(tmp_path):
    clock = trio.current_time
    assert await found_on(Meter1830cSimulator(clock), tmp_path / "meter") == [
        ("0800", [{"driver": "newport.1830c"}])
    ]
    ((_, options),) = await found_on(Esp300Simulator(clock), tmp_path / "esp")
    assert options == [{"driver": "newport.esp300", "axis": "1"}]
    ((_, options),) = await found_on(MaiTaiSimulator(clock), tmp_path / "laser")
    assert options == [{"driver": "spectra_physics.maitai", "serial": "3227/51054/40856"}]


async def test_every_unit_of_a_bus_is_found(tmp_path):
    found = await found_on(Ell14Bus(trio.current_time, ("2", "8")), tmp_path / "bus")
    assert [(options[0]["address"], options[0]["serial"]) for _, options in found] == [
        ("2", "11400050"),
        ("8", "11400056"),
    ]


async def test_what_speaks_scpi_may_be_one_of_several(tmp_path):
    meter = ScpiInstrument(trio.current_time, "Acme,DMM6,1,2", {})
    ((identity, options),) = await found_on(meter, tmp_path / "scpi")
    assert identity == "Acme,DMM6,1,2"
    assert {each["description"] for each in options} == {"scpi_multimeter", "scpi_power_supply"}


async def test_a_port_without_an_answer_and_one_that_does_not_open_are_told(tmp_path):
    class Silent(ScpiInstrument):
        def command(self, text):
            pass

    assert await found_on(Silent(trio.current_time, "", {}), tmp_path / "silent") == [("", [])]
    findings = []
    await discover([PortInfo(str(tmp_path / "nothing"))], known_probes(), findings.append, refuse)
    assert "cannot be opened" in findings[0].problem


async def refuse(settings):
    await trio.lowlevel.checkpoint()
    raise FileNotFoundError(2, "No such file or directory")
