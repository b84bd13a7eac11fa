"""Instruments on pseudo-terminals are found by what they say of themselves."""

from __future__ import annotations

import trio

from daq.drivers.discovery import Finding, PortInfo, discover, known_probes
from daq.simulators import Esp300Simulator, Meter1830cSimulator
from daq.testing.instruments import plug_pty


async def test_real_ports_are_opened_in_one_way_after_the_other(tmp_path):
    clock, findings = trio.current_time, list[Finding]()
    async with (
        plug_pty(Meter1830cSimulator(clock), tmp_path / "meter") as meter,
        plug_pty(Esp300Simulator(clock), tmp_path / "esp") as esp,
    ):
        ports = [PortInfo(meter.address), PortInfo(esp.address)]
        await discover(ports, known_probes(), findings.append)
    assert sorted(dict(finding.options[0])["driver"] for finding in findings) == [
        "newport.1830c",
        "newport.esp300",
    ]
