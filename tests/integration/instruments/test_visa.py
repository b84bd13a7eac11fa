"""A described instrument behind VISA, on pyvisa-sim."""

from __future__ import annotations

import pytest
import trio

from daq.core import ConfigurationError, OfflineError
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.testing import check_driver
from daq.transport import Line, Ports, PortSettings
from tests.integration.instruments.test_pymeasure import supply

DESCRIPTION = """
[instrument]
name = "Bench supply"

[line]
send_end = "\\r\\n"

[identify]
send = "*IDN?"
reply = 'Keysight Technologies,E36312A,.*'

[values.voltage]
units = "V"
limits = [0.0, 6.0]
read = "VOLT? (@1)"
write = "VOLT {value:.3f}, (@1)"
parameter = true

[values.output]
type = "bool"
read = "OUTPut? (@1)"
write = "OUTPut {value}, (@1)"

[movable]
position = "voltage"
tolerance = 0.01
ramp_step = 0.5
home = 0.0

[safe]
output = false

[last_will]
send = "OUTPut 0, (@1)"
summary = "output off"
"""


@pytest.fixture
def options(tmp_path):
    (tmp_path / "supply.toml").write_text(DESCRIPTION)
    simulated = supply(tmp_path)
    return {
        "description": str(tmp_path / "supply.toml"),
        "port": simulated["adapter"],
        "visa_library": simulated["visa_library"],
    }


async def test_a_described_instrument_keeps_every_contract_behind_visa(options):
    checks = await check_driver(declarative, options)
    assert {"moves_arrive_where_they_were_sent", "parameters_keep_their_word"} <= set(checks)


async def test_silence_and_a_lost_resource_are_told_with_the_command(options):
    ports = Ports()
    settings = PortSettings(options["port"], visa_library=options["visa_library"])
    port = ports.port(settings)
    line = Line(port, "supply")
    await line.open()
    # pyvisa-sim answers ERROR to what it does not know; what it takes in silence is not answered.
    with pytest.raises(
        OfflineError, match=r"supply: no reply to '\*CLS\\r' within 0.1 s on TCPIP0"
    ):
        await line.query("*CLS\r", timeout_s=0.1)
    assert (await line.query("VOLT? (@1)\r", timeout_s=0.3)).strip() == "0.000"
    port._connection._stream._resource.close()
    with pytest.raises(OfflineError, match=r"was lost in 'VOLT\? .*session"):
        await line.query("VOLT? (@1)\r")
    await line.open()
    assert (await line.query("VOLT? (@1)\r", timeout_s=0.3)).strip() == "0.000"
    await line.close()


async def test_a_resource_that_is_not_there_is_offline(options):
    options |= {"port": "GPIB0::7::INSTR", "visa_library": "nothing.yaml@sim"}
    driver = declarative(DriverContext("supply", "declarative", Timebase(), options))
    (will,) = driver.last_will()
    assert "is a VISA resource, and the guard sends to serial ports and TCP" in will.obstacle
    with pytest.raises(OfflineError, match="supply: the port GPIB0::7::INSTR cannot be opened"):
        await driver.connect()


async def test_without_pyvisa_it_is_told_what_to_install(options, monkeypatch):
    monkeypatch.setattr("daq.transport.port.find_spec", lambda _: None)
    await trio.lowlevel.checkpoint()
    with pytest.raises(ConfigurationError, match="needs the package pyvisa") as caught:
        declarative(DriverContext("supply", "declarative", Timebase(), options))
    assert "daq[visa]" in str(caught.value)
