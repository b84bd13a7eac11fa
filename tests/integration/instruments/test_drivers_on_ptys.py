"""Every serial driver on a pseudo-terminal, in real time: contracts, other people's drivers too."""

from __future__ import annotations

import elliptec
import pytest
import serial
import trio
from pymeasure.adapters import SerialAdapter
from pymeasure.instruments.newport import ESP300

from daq.drivers.newport.esp300 import Esp300Axis
from daq.drivers.newport.meter_1830c import Meter1830c
from daq.drivers.spectra_physics.maitai import MaiTai
from daq.drivers.thorlabs.ell14 import Ell14
from daq.simulators import (
    Ell14Bus,
    Esp300Simulator,
    MaiTaiSimulator,
    Meter1830cSimulator,
)
from daq.testing import check_driver
from daq.testing.instruments import plug_pty, plug_tcp

INSTRUMENTS = {
    "esp300": (Esp300Axis, {}, lambda: Esp300Simulator(trio.current_time, 50.0, 1000.0)),
    "1830c": (Meter1830c, {}, lambda: Meter1830cSimulator(trio.current_time)),
    "maitai": (
        MaiTai,
        {},
        lambda: MaiTaiSimulator(trio.current_time, shutter_s=0.05, start_s=0.05, nm_per_s=2000.0),
    ),
    "ell14": (Ell14, {"address": "8"}, lambda: Ell14Bus(trio.current_time, degrees_per_s=250.0)),
}


@pytest.mark.parametrize("name", INSTRUMENTS)
async def test_every_driver_conforms_on_a_pty(name, tmp_path):
    driver, options, simulator = INSTRUMENTS[name]
    async with plug_pty(simulator(), tmp_path / name) as plugged:
        checks = await check_driver(plugged.maker(driver), options, driver_name=name)
    assert "poll_survives_cancellation" in checks


async def test_a_driver_conforms_over_tcp():
    async with plug_tcp(Meter1830cSimulator(trio.current_time)) as plugged:
        await check_driver(plugged.maker(Meter1830c), {})


async def test_somebody_elses_elliptec_driver_works_with_the_simulator(tmp_path):
    def use(port):
        with elliptec.Controller(port) as controller:
            rotator = elliptec.Rotator(controller, address="3")
            rotator.home()
            angle = rotator.set_angle(90.0)
            return rotator.info, angle, rotator.get_angle()

    async with plug_pty(Ell14Bus(trio.current_time), tmp_path / "bus") as plugged:
        info, angle, readback = await trio.to_thread.run_sync(use, plugged.address)
    assert (info["Motor Type"], info["Pulse/Rev"], info["Range"]) == (14, 143360, 360)
    assert angle == readback == pytest.approx(90.0)


@pytest.mark.filterwarnings("ignore:It is not known whether this device support:FutureWarning")
async def test_somebody_elses_esp300_driver_works_with_the_simulator(tmp_path):
    def use(port):
        with serial.Serial(port, 19200, timeout=5, rtscts=True) as line:
            esp = ESP300(SerialAdapter(line, read_termination="\r\n", write_termination="\r"))
            esp.x.enable()
            esp.x.position = 2.0
            esp.x.wait_for_stop()
            esp.y.position = 1.0
            return esp.x.units, esp.x.position, [str(error) for error in esp.errors]

    async with plug_pty(Esp300Simulator(trio.current_time), tmp_path / "esp") as plugged:
        units, position, errors = await trio.to_thread.run_sync(use, plugged.address)
    assert (units, position) == ("millimeter", 2.0)
    assert errors == ["Newport ESP300 axis 2 reported the error: MOTOR NOT ENABLED"]
