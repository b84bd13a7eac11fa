"""A described instrument on a pseudo-terminal, in real time, with faults."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from daq.core import DeviceError, OfflineError
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.simulators import Fault
from daq.testing import check_driver
from daq.testing.instruments import plug_pty
from tests.unit.drivers.declarative.instruments import ODD, OddInstrument


@pytest.fixture
def description(tmp_path):
    file = tmp_path / "odd.toml"
    file.write_text(ODD)
    return {"description": str(file)}


async def test_a_described_instrument_conforms_on_a_pty(description, tmp_path):
    async with plug_pty(OddInstrument(trio.current_time), tmp_path / "odd") as plugged:
        checks = await check_driver(plugged.maker(declarative), description)
    assert "stop_ends_a_move_half_way" in checks


async def read_on(driver):
    while True:
        await driver.read()


async def test_faults_are_errors_and_it_comes_back(description, tmp_path):
    async with plug_pty(OddInstrument(trio.current_time), tmp_path / "odd") as plugged:
        make = plugged.maker(declarative)
        driver: Any = make(DriverContext("odd", "declarative", Timebase(), description))
        await driver.connect()
        for kind in ("silence", "garbage", "partial"):
            plugged.outlet.line.begin(Fault(kind))
            with pytest.raises(DeviceError):
                await driver.read()
            plugged.outlet.line.begin(None)
            assert (await driver.read()).value == 1.25
        plugged.outlet.unplug()
        with trio.fail_after(30), pytest.raises(OfflineError):
            await read_on(driver)
        await driver.disconnect()
        plugged.outlet.plug_in()
        with trio.fail_after(30):
            while True:
                try:
                    await driver.connect()
                except OfflineError:
                    await trio.sleep(0.05)
                else:
                    break
        assert (await driver.read()).value == 1.25
        await driver.disconnect()
