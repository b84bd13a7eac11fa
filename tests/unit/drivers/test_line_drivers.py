"""The serial drivers against their simulators, in virtual time: contracts, faults, refusals."""

from __future__ import annotations

import contextlib
import re
from contextlib import asynccontextmanager, nullcontext

import pytest
import trio

from daq.core import (
    ConfigurationError,
    DeviceError,
    InterlockError,
    LimitError,
    OfflineError,
)
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.drivers.line_driver import SerialPin
from daq.drivers.newport.esp300 import Esp300Axis
from daq.drivers.newport.meter_1830c import Meter1830c
from daq.drivers.spectra_physics.maitai import MaiTai
from daq.drivers.thorlabs.ell14 import Ell14
from daq.simulators import (
    Ell14Bus,
    Esp300Simulator,
    Fault,
    Faults,
    LoopbackOutlet,
    MaiTaiSimulator,
    Meter1830cSimulator,
)
from daq.supervision import Timing
from daq.testing.instruments import plug_loopback
from daq.testing.moving import home, move
from daq.transport import Ports, urgently
from tests.unit.drivers.declarative.shipped import SHIPPED
from tests.unit.supervision.fakes import supervised

INSTRUMENTS = {
    "esp300": (Esp300Axis, Esp300Simulator, {"axis": 2}),
    "1830c": (Meter1830c, Meter1830cSimulator, {"wavelength": 633}),
    "maitai": (MaiTai, MaiTaiSimulator, {}),
    "ell14": (Ell14, Ell14Bus, {"address": "3"}),
}
EVERYTHING = INSTRUMENTS | {
    name: (declarative, make, {"description": name, **options})
    for name, (make, options) in SHIPPED.items()
}
FAULTS = ["silence", "garbage", "partial"]
MOVERS = ["esp300", "ell14"]
"""Instruments that move by themselves; a setpoint of another is not a motion."""


class Bench:
    """A simulator, and connected drivers on its line."""

    def __init__(self, plugged):
        self.plugged = plugged
        self.sim = plugged.line.instrument
        self.shared = {Ports: plugged.ports}

    async def connect(self, driver, device_id="device", **options):
        made = self.plugged.maker(driver)(
            DriverContext(device_id, "under.test", Timebase(), options)
        )
        await made.connect()
        return made


@asynccontextmanager
async def bench(simulator, **options):
    async with plug_loopback(simulator(trio.current_time, **options)) as plugged:
        yield Bench(plugged)


@asynccontextmanager
async def connected(name, **options):
    driver, simulator, usual = EVERYTHING[name]
    async with bench(simulator) as at:
        yield await at.connect(driver, **{**usual, **options}), at


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_faulty_line_is_told_and_forgotten(name, kind, autojump_clock):
    async with connected(name) as (driver, at):
        before = await driver.poll()
        at.plugged.line.begin(Fault(kind))
        with pytest.raises(DeviceError) as caught:
            await driver.poll()
        require_whole(caught.value, kind)
        at.plugged.line.begin(None)
        assert await driver.poll() == before


def require_whole(error, kind):
    """Device, port, command, and what came of the reply."""
    told = {
        "silence": r"no reply to '\S+.*' within [\d.]+ s on loopback$",
        "garbage": r"'\S+.*' on loopback (was answered with|got the reply) '\xff"
        r"|the reply to '\S+' on loopback is garbled: b'\\xff",
        "partial": r"no reply to '\S+.*' within .* on loopback; an incomplete reply came: b'.",
        "unplug": r"the connection to loopback was lost.*(in '\S+.*': )?.* closed",
    }
    assert error.message.startswith("device: ")
    assert re.search(told[kind], error.message), error.message
    assert isinstance(error, OfflineError) is (kind != "garbage")


@pytest.mark.parametrize("name", EVERYTHING)
async def test_a_pulled_plug_in_the_middle_of_anything_is_told_and_it_comes_back(
    name, autojump_clock
):
    async with connected(name) as (driver, at):
        at.sim.latency = 0.2  # so that it is in the middle of an exchange
        async with trio.open_nursery() as nursery:

            async def pull():
                await trio.sleep(0.1)
                at.plugged.outlet.unplug()

            nursery.start_soon(pull)
            with pytest.raises(OfflineError) as caught:
                await (move(driver, 5.0) if name in MOVERS else driver.poll())
            require_whole(caught.value, "unplug")
        await driver.disconnect()
        with pytest.raises(OfflineError, match="cannot be opened"):
            await driver.connect()
        at.plugged.outlet.plug_in()
        at.sim.latency = 0.002
        await driver.connect()
        if name in MOVERS:
            await driver.stop()
            await move(driver, 5.0)
        await driver.poll()


@pytest.mark.parametrize("name", EVERYTHING)
async def test_replies_that_are_late_are_never_taken_for_others(name, autojump_clock):
    async with connected(name, timeout=0.5) as (driver, at):
        if name in MOVERS:
            await move(driver, 7.0)
        before = await driver.poll()
        for delay in (0.51, 0.6, 0.9):
            at.plugged.line.begin(Fault("delay", delay_s=delay))
            with contextlib.suppress(OfflineError):  # some drivers ask again, and may succeed
                assert await driver.poll() == before
            at.plugged.line.begin(None)
            assert await driver.poll() == before


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.parametrize("other", INSTRUMENTS)
async def test_another_instrument_on_the_port_is_refused(name, other, autojump_clock):
    if name == other:
        return
    driver, _, options = INSTRUMENTS[name]
    async with bench(INSTRUMENTS[other][1]) as at:
        with pytest.raises(DeviceError):
            await at.connect(driver, **options)


class Greeting(LoopbackOutlet):
    """A serial server that greets, a while after each connection."""

    async def open(self, settings):
        stream = await super().open(settings)
        instrument, now = self.line.instrument, trio.current_time()
        for after_s in (0.01, 0.05, 0.12):
            instrument.say(b"Telnet server ready\r\n", now + after_s)
        return stream


@pytest.mark.parametrize("latency", [0.002, 0.1])
@pytest.mark.parametrize("name", INSTRUMENTS)
async def test_a_greeting_is_never_taken_for_the_answer_who_it_is(name, latency, autojump_clock):
    driver, simulator, options = INSTRUMENTS[name]
    outlet = Greeting(Faults(simulator(trio.current_time, latency=latency)))
    ports = Ports(outlet.open)
    async with trio.open_nursery() as nursery:
        await nursery.start(outlet.run)
        context = DriverContext(
            "device", "under.test", Timebase(), {"port": "loopback", **options}, {Ports: ports}
        )
        made = driver(context)
        await made.connect()
        await trio.sleep(1.0)
        first = await made.poll()
        assert await made.poll() == first
        await made.disconnect()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("haste", [nullcontext, urgently])
@pytest.mark.parametrize("latency", [0.002, 0.1, 0.3])
async def test_an_event_never_shifts_the_answers_to_the_questions(latency, haste, autojump_clock):
    async with plug_loopback(Esp300Simulator(trio.current_time, latency=latency)) as plugged:
        context = DriverContext("x", "newport.esp300", Timebase(), {"axis": 1})
        driver = plugged.maker(Esp300Axis)(context)
        assert isinstance(driver, Esp300Axis)
        await driver.connect()
        assert isinstance(plugged.line.instrument, Esp300Simulator)
        plugged.line.instrument.stages[1].motor.begin(7.5)
        await trio.sleep(30.0)
        for number in range(40):
            # Before an answer, or in the middle of the ones after it.
            plugged.line.instrument.say(b"LIMIT SWITCH\r\n", trio.current_time() + 0.01 * number)
            with haste():
                for _ in range(3):
                    assert (await driver.position()).value == 7.5
                    assert await driver.is_moving() is False


@pytest.mark.parametrize("name", MOVERS)
async def test_a_blocked_mover_is_an_error_with_all_numbers(name, autojump_clock):
    async with connected(name, motion_timeout=5.0) as (driver, at):
        await move(driver, 1.0)
        at.plugged.line.begin(Fault("stuck"))
        with pytest.raises(DeviceError, match=r"setpoint 20 \w+, readback (1|0\.999\d+) "):
            await move(driver, 20.0)


@pytest.mark.parametrize("name", MOVERS)
async def test_moves_are_never_sent_twice(name, autojump_clock):
    async with connected(name, timeout=0.2) as (driver, at):
        sent = []
        receive = at.sim.receive
        at.sim.receive = lambda data: (sent.append(data), receive(data))
        at.plugged.line.begin(Fault("silence"))
        with pytest.raises(OfflineError):
            await home(driver)
        at.plugged.line.begin(None)
        sent.clear()
        await move(driver, 3.0)
        assert sum(b"PA" in data or b"ma" in data for data in sent) == 1


async def test_axes_of_one_controller_share_its_port(autojump_clock):
    async with bench(Esp300Simulator) as at:
        x, y = await at.connect(Esp300Axis, "x", axis=1), await at.connect(Esp300Axis, "y", axis=2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(move, x, 10.0)
            nursery.start_soon(move, y, -10.0)
        assert (await x.position()).value == 10.0
        assert (await y.position()).value == -10.0


async def test_a_motor_that_is_off_is_switched_on_for_a_move(autojump_clock):
    async with connected("esp300") as (driver, at):
        assert not at.sim.stages[2].powered
        await move(driver, 1.0)
        assert at.sim.stages[2].powered


async def test_nothing_is_asked_twice_in_a_move_nor_when_a_setting_is_changed(autojump_clock):
    async with plug_loopback(Esp300Simulator(trio.current_time)) as plugged:
        told: list[str] = []
        hear = plugged.line.instrument.receive

        def overhear(data: bytes) -> None:
            told.append(data.decode().strip())
            hear(data)

        plugged.line.instrument.receive = overhear
        context = DriverContext("x", "newport.esp300", Timebase(), {"axis": 1})
        seldom = Timing(idle_poll_s=600.0, active_poll_s=600.0, follow_s=600.0)
        driver = plugged.maker(Esp300Axis)(context)
        async with supervised(driver, timing=seldom) as supervision:
            stage = supervision.supervisor.device("x")
            await trio.sleep(0.5)
            told.clear()
            await stage.call("move_abs", 0.2)
            assert told[:3] == ["1MO?", "1MO;TB?", "1PA0.200000;TB?"]
            # Then it is looked at: whether it moves and where it is, once each.
            looks = told[3:]
            assert looks == ["1MD?", "1TP?"] * (len(looks) // 2)
            told.clear()
            assert await stage.call("set", "velocity", 5.0) == 5.0
            assert [text for text in told if "VA" in text] == ["1VA5;TB?", "1VA?"]


async def test_what_the_controller_refuses_is_told_in_its_words(autojump_clock):
    async with connected("esp300") as (driver, at):
        at.sim.stages[2].high = 5.0
        with pytest.raises(DeviceError, match=r"POSITIVE SOFTWARE LIMIT DETECTED \(error 206\)"):
            await move(driver, 7.0)
        with pytest.raises(LimitError):
            await driver.set_parameter("velocity", -1.0)
        with pytest.raises(DeviceError, match="MAXIMUM VELOCITY EXCEEDED"):
            await driver.set_parameter("velocity", 5000.0)


async def test_errors_of_other_axes_are_not_taken_for_ones_own(autojump_clock, caplog):
    async with connected("esp300") as (driver, at):
        at.sim.receive(b"3PA1\r")
        await move(driver, 1.0)
    assert "AXIS-3 MOTOR NOT ENABLED" in caplog.text


async def test_an_axis_in_other_units_is_refused(autojump_clock):
    async with bench(Esp300Simulator) as at:
        at.sim.stages[1].units = 7
        with pytest.raises(DeviceError, match="units 7"):
            await at.connect(Esp300Axis)
        await at.connect(Esp300Axis, units="deg")


async def test_a_shutter_that_does_not_open_is_an_error(autojump_clock):
    async with connected("maitai") as (driver, at):
        at.plugged.line.begin(Fault("stuck"))
        with pytest.raises(DeviceError, match=r"'SHUT 1' was sent and the shutter is still closed"):
            await driver.set_shutter(True)
        at.plugged.line.begin(None)
        await driver.set_shutter(True)
        at.plugged.line.begin(Fault("stuck"))
        with pytest.raises(DeviceError, match="still OPEN"):
            await driver.make_safe()


async def test_the_power_has_its_prefix(autojump_clock):
    async with connected("maitai") as (driver, _):
        await driver.set_emission(True)
        assert (await driver.read()).value == pytest.approx(3.0)
        await driver.set_wavelength(1000.0)
        assert 0.5 < (await driver.read()).value < 1.0


async def test_the_laser_does_not_start_with_an_open_shutter_or_cold(autojump_clock):
    async with connected("maitai") as (driver, _):
        await driver.set_shutter(True)
        with pytest.raises(InterlockError, match="shutter is open"):
            await driver.set_emission(True)
    async with bench(MaiTaiSimulator, warm_up_s=600.0) as at:
        cold = await at.connect(MaiTai)
        with pytest.raises(DeviceError, match="warmed up by"):
            await cold.set_emission(True)


async def test_tuning_that_does_not_arrive_is_an_error_and_stop_ends_tuning(autojump_clock):
    async with connected("maitai", tuning_timeout=2.0) as (driver, at):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_stopped, driver)
            await trio.sleep(1.0)
            assert await driver.stop() is True
        assert 830 < await driver.wavelength() < 1000
        assert await driver.stop() is False
        at.plugged.line.begin(Fault("stuck"))
        with pytest.raises(DeviceError, match=r"tuned to 700 nm, it is at .* nm after 2 s"):
            await driver.set_wavelength(700.0)


async def expect_stopped(driver):
    with pytest.raises(DeviceError, match="was stopped"):
        await driver.set_wavelength(1000.0)


async def test_the_meter_never_takes_other_units_for_watts(autojump_clock):
    async with connected("1830c") as (driver, at):
        at.sim.values["U"] = 2
        assert (await driver.read()).value == pytest.approx(1e-3)


async def test_a_blinded_detector_is_an_error(autojump_clock):
    async with connected("1830c") as (driver, at):
        at.sim.power = 10.0
        with pytest.raises(DeviceError, match="the detector is saturated"):
            await driver.read()
        at.sim.power = 1e-3
        await driver.set_parameter("range", 2)
        with pytest.raises(DeviceError, match="the range is exceeded"):
            await driver.read()


async def test_settings_are_read_back(autojump_clock):
    async with connected("1830c") as (driver, at):
        await driver.set_parameter("filter", "slow")
        assert at.sim.values["F"] == 1
        at.sim._set = lambda name, value: None
        with pytest.raises(DeviceError, match="filter was set to fast"):
            await driver.set_parameter("filter", "fast")
        with pytest.raises(DeviceError, match="'W0700' was sent and the wavelength is 633 nm"):
            await driver.set_wavelength(700.0)


async def test_rotators_on_one_bus_do_not_hear_each_other(autojump_clock):
    async with bench(Ell14Bus) as at:
        two, three = [await at.connect(Ell14, f"rot{a}", address=a) for a in "23"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(move, two, 33.0)  # its position is 2PO0000332A
            nursery.start_soon(move, three, 350.0)
            await trio.sleep(0.1)
            assert await two.is_moving()
            assert await three.stop() is True
            nursery.cancel_scope.cancel()
        await two.stop()
        await move(two, 33.0)
        assert (await two.position()).value == pytest.approx(33.0, abs=0.01)


async def test_a_unit_that_is_not_there_does_not_stop_the_others(autojump_clock):
    async with bench(Ell14Bus) as at:
        with pytest.raises(OfflineError, match="no reply to '7in'"):
            await at.connect(Ell14, address="7")
        there = await at.connect(Ell14, "there", address="8")
        assert (await there.position()).value == 0.0


@pytest.mark.parametrize(
    ("name", "serial", "place"),
    [
        ("esp300", "0043", "axis 2 of loopback has the stage"),
        ("maitai", "3227/51054/40856", "loopback has the Mai Tai"),
        ("ell14", "11400051", "loopback, 3 has the ELL14"),
    ],
)
async def test_only_the_instrument_with_the_pinned_serial_number_is_used(
    name, serial, place, autojump_clock
):
    driver, simulator, usual = EVERYTHING[name]
    async with bench(simulator) as at:
        await at.connect(driver, **usual, serial=serial)
        problem = f"device: {place} with the serial number '{serial}', not 'another'; it is left"
        with pytest.raises(DeviceError, match=problem):
            await at.connect(driver, **usual, serial="another")


async def test_two_rotators_whose_cables_were_swapped_are_refused_by_name(autojump_clock):
    first, second = Ell14Bus(trio.current_time, "2"), Ell14Bus(trio.current_time, "2")
    second.serial += 100
    async with plug_loopback(first) as one, plug_loopback(second) as two:
        openers = {"p1": two.outlet.open, "p2": one.outlet.open}  # type: ignore[attr-defined]
        shared = {Ports: Ports(lambda settings: openers[settings.address](settings))}
        drivers = {}
        for name, port, serial in (("a", "p1", "11400050"), ("b", "p2", "11400150")):
            options = {"port": port, "address": "2", "serial": serial}
            drivers[name] = Ell14(DriverContext(name, "ell14", Timebase(), options, shared))
        with pytest.raises(DeviceError, match="'11400150', that of b, not '11400050'") as refused:
            await drivers["a"].connect()
        assert refused.value.advice.startswith("were two cables swapped?")
        with pytest.raises(DeviceError, match="'11400050', that of a, not '11400150'"):
            await drivers["b"].connect()
        openers["p1"], openers["p2"] = openers["p2"], openers["p1"]
        for driver in drivers.values():
            await driver.connect()


async def test_a_serial_number_is_the_same_in_small_letters_whoever_has_it(autojump_clock):
    shared: dict[type, object] = {}
    pins = {
        name: SerialPin(DriverContext(name, "ell14", Timebase(), {}, shared), wanted)
        for name, wanted in (("a", "sn1"), ("b", "Sn2"))
    }
    pins["a"].require("SN1", "stage", "p1")
    with pytest.raises(DeviceError, match="'SN2', that of b, not 'sn1'"):
        pins["a"].require("SN2", "stage", "p1")


async def test_an_instrument_that_tells_no_serial_number_cannot_be_pinned(autojump_clock):
    async with bench(Meter1830cSimulator) as at:
        with pytest.raises(ConfigurationError, match="serial: there is no such option"):
            await at.connect(Meter1830c, serial="1")


async def test_options_are_checked_with_what_was_expected():
    def build(driver, **options):
        return driver(DriverContext("device", "x", Timebase(), options))

    for driver, options, complaint in [
        (Esp300Axis, {}, "port: is missing"),
        (Esp300Axis, {"port": "/dev/x", "axis": 4}, "axis: 4 is"),
        (Esp300Axis, {"port": "/dev/x", "parity": "evne"}, "did you mean 'even'"),
        (Ell14, {"port": "/dev/x", "address": "G"}, "address: 'G'"),
        (Ell14, {"port": "lab:0"}, "host:port"),
        (MaiTai, {"port": "/dev/x", "stop_bits": 1.2}, "stop_bits"),
        (Meter1830c, {"port": "/dev/x", "wavelength": 200}, "wavelength: 200"),
    ]:
        with pytest.raises(ConfigurationError, match=complaint):
            build(driver, **options)


async def test_a_last_will_is_one_harmless_command():
    def wills(driver, **options):
        return driver(DriverContext("device", "x", Timebase(), options)).last_will()

    (will,) = wills(MaiTai, port="/dev/ttyUSB0")
    assert (will.port, will.frames[0].send) == ("/dev/ttyUSB0", b"SHUT 0\n")
    assert will.serial.xon_xoff
    assert wills(MaiTai, port="/dev/ttyUSB0", close_on_stop=False) == ()
    (will,) = wills(Ell14, port="lab:4001", address="2")
    assert (will.port, will.frames[0].send) == ("tcp://lab:4001", b"2st")
    (will,) = wills(Esp300Axis, port="/dev/x", axis=3)
    assert will.frames[0].send == b"3ST\r"
    assert will.serial.rts_cts
    assert wills(Meter1830c, port="/dev/x") == ()
