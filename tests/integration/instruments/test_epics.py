"""Process variables of a caproto server, in a process of its own, over the loopback interface."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from daq.core import Capability, DeviceError, OfflineError, StopOutcome
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative.described import DescribedDriver
from daq.drivers.epics import epics
from daq.testing import check_driver
from daq.testing.moving import move
from tests.unit.supervision.fakes import supervised

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1.0"))
IOC = Path(__file__).with_name("epics_ioc.py")
TABLES = {
    "values": {
        "position": {"units": "mm", "read": "m1.RBV"},
        "goal": {"units": "mm", "limits": [-5.0, 5.0], "read": "m1.VAL", "write": "m1.VAL"},
        "power": {"units": "W", "read": "power", "parameter": True},
        "shutter": {"type": "bool", "read": "shutter", "write": "shutter"},
        "mode": {
            "type": "str",
            "choices": ["slow", "fast"],
            "read": "mode",
            "write": "mode",
            "parameter": True,
        },
    },
    "actions": {"halt": {"send": "m1.STOP 1"}},
    "movable": {
        "position": "position",
        "setpoint": "goal",
        "tolerance": 0.01,
        "home": 0.0,
        "stop": "halt",
    },
    "shutter": {"value": "shutter"},
    "safe": {"shutter": False},
}


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def served():
    """A server, and the environment in which it is found."""
    ports = {"EPICS_CA_SERVER_PORT": _free_port(), "EPICS_CA_REPEATER_PORT": _free_port()}
    settings = {
        **{name: str(port) for name, port in ports.items()},
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        server = Server()
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Server:
    """A process; as often as it is started, with the same names."""

    def __init__(self):
        self.prefix = f"daq-{uuid.uuid4().hex[:8]}:"
        self._process = None

    def start(self):
        command = [sys.executable, str(IOC), self.prefix]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert "ready\n" in iter(self._process.stdout.readline, "")

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def ioc():
    with served() as server:
        yield server


def make(prefix, **more):
    options = {"prefix": prefix, "timeout": 10.0, **TABLES, **more}
    return epics(DriverContext("motor", "epics", Timebase(), options))


async def test_process_variables_are_read_moved_and_set(ioc):
    driver = make(ioc.prefix)
    offered = {Capability.MOVABLE, Capability.SHUTTER_CONTROLLABLE, Capability.PARAMETERIZED}
    assert driver.description.capabilities == offered
    await driver.connect()
    await move(driver, 1.5)
    assert (await driver.position()).value == pytest.approx(1.5)
    assert await driver.get_parameter("power") == 1.25e-3
    await driver.set_parameter("mode", "fast")
    assert await driver.get_parameter("mode") == "fast"
    await driver.set_parameter("shutter", True)
    assert await driver.get_parameter("shutter") is True
    assert await driver.make_safe() is True
    async with trio.open_nursery() as nursery:

        async def go_far():
            with pytest.raises(DeviceError, match="came to rest elsewhere"):
                await move(driver, 5.0)

        nursery.start_soon(go_far)
        while not await driver.is_moving():
            await trio.sleep(0.01)
        assert await driver.stop() is True
    rest = (await driver.position()).value
    assert 1.4 < rest < 5.0
    await driver.disconnect()
    await _read_a_waveform(ioc.prefix)


async def test_a_motor_record_whose_flag_is_late_is_followed_to_its_target(ioc):
    tables = {
        "values": {
            "position": {"units": "mm", "read": ".RBV"},
            "goal": {"units": "mm", "limits": [-5.0, 5.0], "read": ".VAL", "write": ".VAL"},
            "done": {"type": "bool", "read": ".DMOV"},
        },
        "actions": {"halt": {"send": ".STOP 1"}},
        "movable": {
            "position": "position",
            "setpoint": "goal",
            "settled": "done",
            "tolerance": 0.01,
            "home": 0.0,
            "stop": "halt",
        },
    }
    options = {"prefix": f"{ioc.prefix}mtr1", "timeout": 10.0, **tables}
    async with supervised(epics(DriverContext("motor", "epics", Timebase(), options))) as bench:
        motor = bench.supervisor.device("motor")
        for target in (1.0, -0.5):
            assert await motor.call("move_abs", target) == pytest.approx(target, abs=0.01)
        async with trio.open_nursery() as nursery:

            async def go_far():
                with pytest.raises(DeviceError, match="was stopped by ada"):
                    await motor.call("move_abs", 5.0)

            nursery.start_soon(go_far)
            await trio.sleep(0.4)
            stop = await motor.stop(timeout=5.0, by="ada")
        assert stop.outcome is StopOutcome.STOPPED
        assert stop.position is not None
        assert -0.5 < stop.position < 5.0
        assert await motor.call("position") == pytest.approx(stop.position, abs=0.01)


async def _read_a_waveform(prefix):
    """A process variable of many elements, scaled by another; one of another length is told."""
    tables = {
        "values": {
            "gain": {"read": "power"},
            "spectrum": {
                "type": "waveform",
                "units": "counts",
                "shape": 3,
                "read": {"send": "spectrum", "convert": "value * gain"},
            },
            "short": {"type": "waveform", "shape": 2, "read": "spectrum"},
        },
        "readable": {"value": "spectrum"},
    }
    options = {"prefix": prefix, "timeout": 10.0, **tables}
    driver = epics(DriverContext("spectrum", "epics", Timebase(), options))
    assert isinstance(driver, DescribedDriver)
    await driver.connect()
    reading = await driver.conversation.read("spectrum")
    assert reading.tolist() == [1.25e-3, 2.5e-3, 5e-3]
    assert driver.description.channel.shape == reading.shape
    with pytest.raises(DeviceError, match="it has 3 points, not 2"):
        await driver.conversation.read("short")
    await driver.disconnect()


@pytest.mark.slow
async def test_epics_keeps_every_contract(ioc):
    options = {"prefix": ioc.prefix, "timeout": 10.0, **TABLES}
    assert "is_stopped_when_its_caller_goes" in await check_driver(epics, options)


async def returns(driver):
    """Try, as the supervisor does, until it can be reached again."""
    with trio.fail_after(60):
        while True:
            with suppress(OfflineError):
                await driver.connect()
                return await driver.poll()


async def test_a_server_that_is_gone_is_offline_and_is_found_when_it_is_back(ioc):
    driver = make(ioc.prefix, timeout=1.0)
    await driver.connect()
    await move(driver, 2.0)
    ioc.kill()
    with pytest.raises(OfflineError, match=r"motor: .*m1.RBV"):
        await driver.poll()
    await driver.disconnect()
    with pytest.raises(OfflineError, match="is its server up"):
        await make(ioc.prefix, timeout=0.5).connect()
    ioc.start()
    assert (await returns(driver))["position"] == 0.0
    await driver.disconnect()


@pytest.mark.slow
async def test_a_server_may_come_and_go_as_often_as_it_likes(ioc):
    driver = make(ioc.prefix, timeout=1.0)
    for _ in range(max(1, round(20 * FACTOR))):
        await returns(driver)
        await move(driver, 1.0)
        ioc.kill()
        with pytest.raises(OfflineError):
            await driver.poll()
        await driver.disconnect()
        ioc.start()
