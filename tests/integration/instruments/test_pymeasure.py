"""Instruments of PyMeasure on pyvisa-sim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from daq.config import DeviceConfig, parse_config
from daq.core import Capability, ConfigurationError, DeviceError, LimitError, OfflineError
from daq.drivers import DriverContext, Timebase, build_drivers
from daq.drivers.pymeasure import pymeasure
from daq.testing import check_driver

SUPPLY = """
spec: "1.0"
devices:
  supply:
    eom:
      TCPIP INSTR:
        q: "\\r\\n"
        r: "\\n"
    error: ERROR
    dialogues:
      - q: "*IDN?"
        r: "Keysight Technologies,E36312A,MY1,1.0"
      - q: "MEAS:CURRent? (@1)"
        r: "0.125"
      - q: "*CLS"
    properties:
      voltage:
        default: 0.0
        getter:
          q: "VOLT? (@1)"
          r: "{:.3f}"
        setter:
          q: "VOLT {}, (@1)"
        specs:
          min: 0
          max: 6
          type: float
      output:
        default: 0
        getter:
          q: "OUTPut? (@1)"
          r: "{:d}"
        setter:
          q: "OUTPut {:d}, (@1)"
        specs:
          type: int
resources:
  TCPIP0::localhost::inst0::INSTR:
    device: supply
"""
VOLTAGE = {"units": "V", "limits": [0.0, 6.0]}
MOVABLE = {"position": "voltage", "tolerance": 0.01, "home": 0.0, "ramp_step": 0.5}


@pytest.fixture
def options(tmp_path):
    return supply(tmp_path)


def supply(folder):
    """The configuration of an instrument that pyvisa-sim simulates, with its file in `folder`."""
    (folder / "supply.yaml").write_text(SUPPLY)
    return {
        "class": "pymeasure.instruments.keysight.KeysightE36312A",
        "adapter": "TCPIP0::localhost::inst0::INSTR",
        "visa_library": f"{folder / 'supply.yaml'}@sim",
        "values": {
            "voltage": VOLTAGE
            | {"read": "ch_1.voltage_setpoint", "write": "ch_1.voltage_setpoint"},
            "current": {"units": "A", "read": "ch_1.current", "parameter": True, "poll": True},
            "output": {
                "type": "bool",
                "read": "ch_1.output_enabled",
                "write": "ch_1.output_enabled",
                "parameter": True,
            },
        },
        "movable": MOVABLE,
        "safe": {"output": False},
    }


async def connected(options):
    driver = pymeasure(DriverContext("psu", "pymeasure", Timebase(), options))
    await driver.connect()
    return driver


async def test_an_instrument_of_pymeasure_keeps_every_contract(options):
    checks = await check_driver(pymeasure, options)
    assert {"moves_arrive_where_they_were_sent", "parameters_keep_their_word"} <= set(checks)


async def test_attributes_are_read_moved_and_set(options):
    driver = await connected(options)
    assert driver.description.capabilities == {Capability.MOVABLE, Capability.PARAMETERIZED}
    await driver.set_parameter("output", True)
    await driver.move_abs(2.0)
    assert (await driver.position()).value == 2.0
    assert await driver.poll() == {"position": 2.0, "moving": False, "current": 0.125}
    with pytest.raises(LimitError):
        await driver.move_abs(7.0)
    assert await driver.make_safe() is True
    assert await driver.get_parameter("output") is False
    await driver.disconnect()


async def test_any_visa_instrument_is_asked_by_text(options):
    del options["class"], options["movable"], options["safe"]
    options["values"] = {
        "voltage": VOLTAGE
        | {"read": "VOLT? (@1)", "write": "VOLT {value:g}, (@1)", "parameter": True}
    }
    options["readable"] = {"value": "voltage"}
    options["init"] = [{"send": "*CLS"}]
    driver = await connected(options)
    await driver.set_parameter("voltage", 3.5)
    assert (await driver.read()).value == 3.5
    await driver.disconnect()


async def test_actions_are_methods_with_arguments_and_texts(options):
    options["actions"] = {
        "say": {"send": "write", "arguments": {"text": {"type": "str"}}},
        "set_volts": {
            "send": "VOLT {volts:.1f}, (@1)",
            "arguments": {"volts": {"units": "V", "limits": [0.0, 6.0]}},
        },
    }
    driver = await connected(options)
    offered = {each.name: each.signature for each in driver.description.actions}
    assert offered == {"say": "(text)", "set_volts": "(volts)"}
    await driver.act("say", "VOLT 1.5, (@1)")
    assert (await driver.position()).value == 1.5
    await driver.act("set_volts", 2.25)
    assert (await driver.position()).value == 2.2
    await driver.disconnect()


FUSSY = """
from pymeasure.instruments import Instrument

class Fussy(Instrument):
    volts = Instrument.measurement("VOLT? (@1)", "Its voltage", dynamic=True)

    def __init__(self, adapter, name="Fussy", fails=False, **kwargs):
        kwargs.setdefault("query_delay", 0.001)
        super().__init__(
            adapter, name, includeSCPI=False, timeout=7000, write_termination="\\r\\n",
            tcpip={"read_termination": "\\n"}, asrl={"baud_rate": 38400}, **kwargs
        )
        if fails:
            raise OSError("it does not want to")
"""


@pytest.fixture
def fussy(tmp_path, monkeypatch, options):
    """A class that knows by itself how its instrument is talked to."""
    (tmp_path / "fussy_class.py").write_text(FUSSY)
    monkeypatch.syspath_prepend(tmp_path)
    values = {"volts": {"units": "V", "read": "volts"}}
    return {
        "class": "fussy_class.Fussy",
        "values": values,
        "readable": {"value": "volts"},
        **{name: options[name] for name in ("adapter", "visa_library")},
    }


async def test_the_classs_own_settings_of_the_connection_count(fussy):
    driver = await connected(fussy)
    assert (await driver.read()).value == 0.0
    connection = driver.conversation._instrument.adapter.connection
    assert connection.read_termination == "\n"
    assert connection.query_delay == 0.001
    assert connection.timeout == 7000
    assert driver.declared_s("read") == 7.0
    await driver.disconnect()


async def test_arguments_come_before_the_classs_own_settings(fussy):
    fussy["arguments"] = {"query_delay": 0.002, "timeout": 900, "write_termination": "\r\n"}
    driver = await connected(fussy)
    connection = driver.conversation._instrument.adapter.connection
    assert connection.query_delay == 0.002
    assert connection.timeout == 900
    assert (await driver.read()).value == 0.0
    await driver.disconnect()


async def test_the_option_timeout_comes_before_all(fussy):
    driver = await connected(fussy | {"timeout": 0.5})
    assert driver.conversation._instrument.adapter.connection.timeout == 500
    assert driver.declared_s("read") == 0.5
    await driver.disconnect()


async def test_a_class_that_fails_leaves_no_connection_open(fussy):
    import pyvisa

    with pytest.raises(OfflineError, match="it does not want to"):
        await connected(fussy | {"arguments": {"fails": True}})
    assert pyvisa.ResourceManager(fussy["visa_library"]).list_opened_resources() == []


async def test_silence_is_offline(options):
    options |= {"timeout": 0.2}
    options["values"]["nothing"] = {"read": "NOTHING?", "parameter": True}
    driver = await connected(options)
    # pyvisa-sim answers ERROR to what it does not know.
    with pytest.raises(DeviceError, match=r"psu: nothing: 'NOTHING\?' gave 'ERROR'"):
        await driver.get_parameter("nothing")
    driver.conversation._instrument.adapter.connection.close()
    with pytest.raises(OfflineError, match=r"psu: ch_1.current: InvalidSession"):
        await driver.get_parameter("current")
    await driver.disconnect()


async def test_a_call_that_hangs_has_a_deadline_and_is_not_overtaken(options):
    options |= {"timeout": 0.1}
    driver = await connected(options)
    release = trio.Event()
    calls = []

    def hang(_source):
        calls.append("hang")
        trio.from_thread.run(release.wait)

    conversation = driver.conversation
    conversation.get_blocking, get = hang, conversation.get_blocking
    with pytest.raises(OfflineError, match=r"ch_1.current did not end within 0.6 s"):
        await driver.get_parameter("current")
    conversation.get_blocking = get
    with pytest.raises(OfflineError):
        await driver.get_parameter("current")
    release.set()
    while conversation._library.locked():
        await trio.sleep(0.01)
    assert await driver.get_parameter("current") == 0.125
    assert calls == ["hang"]
    await driver.disconnect()


async def test_an_attribute_that_does_not_exist_is_an_error(options):
    options["values"]["voltage"] |= {"write": "ch_1.voltage_setpiont"}
    driver = await connected(options)
    with pytest.raises(DeviceError, match="has no 'voltage_setpiont' to be set"):
        await driver.move_abs(1.0)
    await driver.disconnect()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"class": "pymeasure.instruments.Nothing"}, "cannot be loaded"),
        ({"adapter": 5}, "adapter: 5 is not a VISA resource"),
        ({"movable": {**MOVABLE, "tolerence": 1}}, "movable.tolerence: there is no such key"),
        ({"line": {}}, "line: there is no such option"),
    ],
)
async def test_mistakes_are_found_before_anything_is_connected(options, change, problem):
    with pytest.raises(ConfigurationError) as caught:
        pymeasure(DriverContext("psu", "pymeasure", Timebase(), options | change))
    assert problem in str(caught.value)


@pytest.mark.parametrize(("name", "package"), [("pymeasure", "pymeasure"), ("epics", "caproto")])
async def test_a_missing_package_is_told_with_what_to_do(name, package, monkeypatch):
    monkeypatch.setattr(f"daq.drivers.{name}.find_spec", lambda _: None)
    config = DeviceConfig("psu", name, {"adapter": "GPIB0::1::INSTR"})
    _, failures = build_drivers({"psu": config}, Timebase())
    assert f"the package {package} is not installed" in failures["psu"]
    assert f'pip install "daq[{name}]"' in failures["psu"]


def test_the_documentations_examples_can_be_built():
    readme = Path(__file__).parents[3] / "daq/drivers/README.md"
    blocks = re.findall(r"```toml\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    text = "\n".join(b for b in blocks if '"pymeasure"' in b or '"epics"' in b)
    config = parse_config(text, None)

    async def build():
        drivers, failures = build_drivers(config.devices, Timebase())
        assert failures == {}
        assert set(drivers) == {"source", "motor"}

    trio.run(build)
