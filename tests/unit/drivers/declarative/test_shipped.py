"""What is awkward about the instruments of the shipped descriptions, one by one."""

from __future__ import annotations

from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from daq.core import DeviceError, DeviceState, Invalid, InvalidReadingError, OfflineError
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.simulators import Fault
from daq.simulators.described import (
    Keithley2400Simulator,
    LakeShore335Simulator,
    LinkamT95Simulator,
    RigolScopeSimulator,
    SerialBoardSimulator,
    SmartlineSimulator,
    Sr830Simulator,
)
from daq.testing.driver_subject import Subject
from daq.testing.instruments import plug_loopback, plug_pty
from daq.testing.moving import move


def made(plugged, description, device_id="device", **options):
    given = {"description": description, **options}
    context = DriverContext(device_id, "declarative", Timebase(), given)
    return plugged.maker(declarative)(context)


@asynccontextmanager
async def connected(description, make, **options):
    """A driver and its instrument, in memory and in virtual time."""
    instrument = make(trio.current_time)
    async with plug_loopback(instrument) as plugged:
        driver = made(plugged, description, **options)
        await driver.connect()
        yield driver, instrument


async def test_a_source_that_is_off_has_no_reading_and_all_its_settings(autojump_clock):
    async with connected("keithley_2400", Keithley2400Simulator) as (driver, instrument):
        with pytest.raises(InvalidReadingError, match="current is not available now: 'output' is"):
            await driver.read()
        state = await driver.poll()
        assert isinstance(state["reading"], Invalid)
        assert isinstance(state["measured_voltage"], Invalid)
        assert (state["position"], state["output"], state["tripped"]) == (0.0, False, False)
        with pytest.raises(DeviceError, match="it cannot move: 'output' is not so"):
            await driver.move_abs(1.0)
        await driver.set_parameter("compliance", 0.01)
        await driver.set_parameter("output", True)
        await move(driver, 2.0)
        assert (await driver.read()).value == pytest.approx(2e-3)
        assert instrument.errors == []


async def test_a_current_beyond_its_range_or_its_compliance(autojump_clock):
    async with connected("keithley_2400", Keithley2400Simulator) as (driver, instrument):
        await driver.set_parameter("output", True)
        await driver.set_parameter("autorange", False)
        await driver.set_parameter("current_range", 1e-3)
        await move(driver, 5.0)
        with pytest.raises(InvalidReadingError, match="which is no measurement"):
            await driver.read()
        await driver.set_parameter("autorange", True)
        assert (await driver.read()).value == pytest.approx(5e-3)
        await driver.set_parameter("compliance", 2e-3)
        state = await driver.poll()
        assert (state["tripped"], state["reading"]) == (True, pytest.approx(2e-3))
        assert (state["position"], state["measured_voltage"]) == (5.0, pytest.approx(2.0))
        assert await driver.make_safe() is True
        assert instrument.settings[":OUTP"] == "0"


@pytest.mark.parametrize("word", ["OVLD", "S.OVER", "T.UNDER", "+00.0000"])
async def test_a_temperature_that_cannot_be_measured_is_no_error_of_the_controller(
    word, autojump_clock
):
    async with connected("lakeshore_335", LakeShore335Simulator) as (driver, instrument):
        instrument.sensors["A"] = word
        with pytest.raises(InvalidReadingError, match=r"temperature: 'KRDG. A'"):
            await driver.position()
        state = await driver.poll()
        assert isinstance(state["position"], Invalid)
        assert state["heater"] == "off"
        await driver.set_parameter("heater", "low")
        instrument.sensors["A"] = ""
        assert (await driver.position()).value == 295.0


@pytest.mark.parametrize(
    ("description", "make", "disturb"),
    [
        ("keithley_2400", Keithley2400Simulator, lambda sim: None),
        ("lakeshore_335", LakeShore335Simulator, lambda sim: sim.sensors.update(A="OVLD")),
        ("stanford_sr830", Sr830Simulator, lambda sim: setattr(sim, "overload", 7)),
    ],
)
async def test_what_has_no_value_is_ready_and_is_not_set_up_again(
    description, make, disturb, autojump_clock
):
    instrument = make(trio.current_time)
    async with plug_loopback(instrument) as plugged:
        subject = Subject(plugged.maker(declarative), {"description": description})
        async with subject.supervised() as supervised:
            log, command = [], instrument.command
            instrument.command = lambda text: (log.append(text), command(text))
            disturb(instrument)
            await trio.sleep(30.0)
            snapshot = supervised.device.snapshot()
            assert snapshot.state is DeviceState.READY
            assert log
            assert not any("IDN" in text or "CLS" in text for text in log)
            stop = await supervised.device.stop(timeout=5.0, safe=True)
            assert not stop.owed


async def test_how_the_port_is_opened_is_the_descriptions_unless_it_is_configured(tmp_path):
    text = (
        '[instrument]\nname = "Board"\n[line]\ndtr = false\nopen_wait = 3.0\nbaudrate = 115200\n'
        '[identify]\nsend = "I"\n[values.x]\nunits = "V"\nread = "X"\n[readable]\nvalue = "x"\n'
    )
    (tmp_path / "board.toml").write_text(text)
    async with plug_loopback(SerialBoardSimulator(trio.current_time)) as plugged:
        ports = [
            made(plugged, str(tmp_path / "board.toml"), port=f"/dev/{n}", **given)._line
            for n, given in enumerate(({}, {"dtr": True, "rts": False, "open_wait": 0.5}))
        ]
    seen = [(p.dtr, p.rts, p.open_wait_s, p.baudrate) for p in (x.port_settings for x in ports)]
    assert seen == [(False, None, 3.0, 115200), (True, False, 0.5, 115200)]


async def test_the_ramp_of_a_controller_is_one_command_of_two_settings(autojump_clock):
    async with connected("lakeshore_335", LakeShore335Simulator, output=2) as (driver, instrument):
        await driver.set_parameter("ramp_rate", 2.5)
        assert instrument.settings["RAMP", "2"] == "0,2.5"
        await driver.set_parameter("ramping", True)
        assert instrument.settings["RAMP", "2"] == "1,2.5"
        assert instrument.settings["RAMP", "1"] == "0,10"


async def test_a_lock_in_that_answered_elsewhere_answers_here_and_all_at_once(autojump_clock):
    async with connected("stanford_sr830", Sr830Simulator) as (driver, instrument):
        instrument.settings["SENS"] = "17"
        assert await driver.get_parameter("sensitivity") == "1 mV"
        asked, command = [], instrument.command
        instrument.command = lambda text: (asked.append(text), command(text))
        state = await driver.poll()
        assert asked == ["LIAS?", "SNAP?1,2,3,4"]
        assert np.hypot(state["x"], state["y"]) == pytest.approx(state["reading"], rel=1e-4)
        assert state["theta"] == -30.0


async def test_a_lock_in_has_no_value_in_overload(autojump_clock):
    async with connected("stanford_sr830", Sr830Simulator) as (driver, instrument):
        instrument.overload = 4
        state = await driver.poll()
        assert state["overload"] is True
        assert isinstance(state["reading"], Invalid)
        assert (await driver.poll())["overload"] is False
        instrument.overload = 8
        state = await driver.poll()
        assert (state["overload"], state["unlocked"], state["reading"]) == (False, True, 9.5e-4)
        assert (await driver.poll())["unlocked"] is False
        instrument.overload = 1
        with pytest.raises(InvalidReadingError, match="r is not available now: 'not overload'"):
            await driver.read()
        assert (await driver.read()).value == 9.5e-4


async def test_the_screen_of_a_scope_in_volts(autojump_clock):
    async with connected("rigol_ds1000z", RigolScopeSimulator) as (driver, instrument):
        instrument.volts = 1.3
        trace = (await driver.read()).value
        assert trace.shape == driver.description.channel.shape == (1200,)
        assert trace.max() == pytest.approx(1.3, abs=0.02)
        assert trace.min() == pytest.approx(-1.3, abs=0.02)
        seconds = await driver.get_parameter("x_increment") * 1200
        periods = np.abs(np.fft.rfft(trace))[1:].argmax() + 1
        assert periods / seconds == pytest.approx(instrument.hertz, rel=0.2)
        await driver.set_parameter("vertical_scale", 1.0)
        assert (await driver.read()).value.max() == pytest.approx(1.3, abs=0.04)


async def test_line_feeds_in_a_block_are_numbers(autojump_clock):
    async with connected("rigol_ds1000z", RigolScopeSimulator) as (driver, instrument):
        instrument.settings[":CHAN1:SCAL"] = str(25 / (127 - 10))  # -1 V is a count of 10
        await driver.set_parameter("time_scale", 5e-3)
        lowest = (await driver.read()).value.min()
        assert lowest == pytest.approx(-1.0)
        assert (await driver.poll())["trigger_state"] == "AUTO"


async def test_a_channel_that_is_not_shown_has_no_value(autojump_clock):
    async with connected("rigol_ds1000z", RigolScopeSimulator, channel=2) as (driver, instrument):
        instrument.settings[":CHAN2:DISP"] = "0"
        with pytest.raises(InvalidReadingError, match="it has no points"):
            await driver.read()


async def test_a_status_that_is_a_space_is_a_status(autojump_clock):
    options = {"rate": 100, "limits": [0.0, 50.0]}
    async with connected("linkam_t95", LinkamT95Simulator, **options) as (driver, instrument):
        assert instrument.rate == 100.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(move, driver, 10.0)
            await trio.sleep(3.0)
            assert await driver.get_parameter("status") == 0x20
            assert (await driver.poll())["moving"] is True
        assert (await driver.position()).value == 10.0
        assert await driver.get_parameter("status") == 0x30


async def test_below_zero_and_errors_of_a_stage(autojump_clock):
    options = {"rate": 100, "limits": [-50.0, 50.0]}
    async with connected("linkam_t95", LinkamT95Simulator, **options) as (driver, instrument):
        await move(driver, -20.5)
        assert (await driver.position()).value == -20.5
        instrument.error = 2
        assert await driver.get_parameter("error") == 2
        with pytest.raises(DeviceError, match="it cannot move: 'error == 0' is not so"):
            await driver.move_abs(10.0)
        assert await driver.make_safe() is True
        assert await driver.get_parameter("running") is False


async def test_a_wrong_checksum_is_no_pressure(autojump_clock):
    async with connected("thyracont_smartline", SmartlineSimulator) as (driver, instrument):
        instrument.noise = 1
        assert (await driver.read()).value == pytest.approx(982.1)  # asked again
        instrument.noise = 100
        with pytest.raises(
            DeviceError, match=r"the reply to '001M' .* is garbled: b'001M982128V'"
        ) as caught:
            await driver.read()
        assert not isinstance(caught.value, OfflineError)


async def test_gauges_of_one_line_are_told_apart(autojump_clock):
    instrument = SmartlineSimulator(trio.current_time, (1, 12))
    instrument.millibar[12] = 3.25e-5
    async with plug_loopback(instrument) as plugged:
        gauges = [
            made(plugged, "thyracont_smartline", f"g{address}", address=address)
            for address in (1, 12)
        ]
        for gauge in gauges:
            await gauge.connect()
        assert (await gauges[0].read()).value == pytest.approx(982.1)
        assert (await gauges[1].read()).value == pytest.approx(3.25e-5)
        instrument.millibar[12] = 999.96  # its fourth digit is rounded into another power of ten
        assert (await gauges[1].read()).value == pytest.approx(1000.0)
        with pytest.raises(OfflineError):
            await made(plugged, "thyracont_smartline", address=7).connect()


async def test_a_board_that_is_reset_by_its_port_is_waited_for_once(autojump_clock):
    async with connected("serial_board", SerialBoardSimulator) as (driver, instrument):
        assert trio.current_time() == pytest.approx(2.0, abs=0.2)
        assert (await driver.read()).value == 1.5
        await driver.set_parameter("switch", True)
        assert instrument.outputs == {"13": "1"}
        assert instrument.resets == 1


async def test_a_board_whose_greeting_comes_late_is_understood(autojump_clock):
    async with connected("serial_board", SerialBoardSimulator, open_wait=0.5) as (driver, _):
        assert (await driver.read()).value == 1.5


async def test_a_described_instrument_on_a_pseudo_terminal(tmp_path):
    """The same bytes by a real port: status bytes, empty acknowledgements, noise."""
    instrument = LinkamT95Simulator(trio.current_time)
    async with plug_pty(instrument, tmp_path / "stage") as plugged:
        driver = made(plugged, "linkam_t95", limits=[-50.0, 50.0])
        await driver.connect()
        assert (await driver.poll())["position"] == 25.0
        plugged.line.begin(Fault("garbage"))
        with pytest.raises(DeviceError, match="got the reply"):
            await driver.position()
        plugged.line.begin(None)
        await driver.move_abs(40.0)
        assert (await driver.poll())["moving"] is True
        assert await driver.stop() is True
        assert await driver.get_parameter("status") == 0x50
        await driver.disconnect()
