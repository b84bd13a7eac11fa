"""What a described instrument does: units, faults, limits, the safe state, the last will."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import trio

from daq.core import (
    Channel,
    ConfigurationError,
    DeviceError,
    DeviceParameter,
    LimitError,
    Limits,
    OfflineError,
)
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative.reference import replace_reference
from daq.simulators.scpi import ScpiInstrument
from daq.testing import check_driver
from daq.testing.moving import move
from tests.unit.drivers.declarative.instruments import (
    ODD,
    OddInstrument,
    Ramp,
    on_loopback,
)

README = Path(__file__).parents[4] / "daq/drivers/README.md"


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "odd.toml").write_text(ODD)
    return {"description": str(tmp_path / "odd.toml"), "port": "loopback"}


def context(options: dict[str, object]) -> DriverContext:
    return DriverContext("mono", "declarative", Timebase(), options)


async def test_conversions_choices_and_fields(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        await move(driver, -1.5)
        assert (await driver.position()).value == -1.5
        await driver.set_parameter("speed", "fast")
        assert bench.instrument.settings["V"] == "1"
        assert await driver.get_parameter("speed") == "fast"
        assert await driver.get_parameter("temperature") == 23.5
        await driver.set_parameter("exposure", 0.25)
        assert bench.instrument.settings["I"] == "250"
        assert await driver.poll() == {
            "position": -1.5,
            "moving": False,
            "reading": 1.25,
            "shutter": False,
            "emission": False,
            "wavelength": 500.0,
            "exposure": 0.25,
            "temperature": 23.5,
            "armed": False,
        }
        *light, temperature, speed = driver.description.parameters
        assert [row.name for row in light] == ["shutter", "emission", "wavelength", "exposure"]
        assert [row.off for row in light] == [False, False, None, None]
        assert light[2].limits == Limits(300.0, 900.0)
        assert (temperature.name, temperature.units, temperature.writable) == (
            "temperature",
            "degC",
            False,
        )
        assert speed == DeviceParameter(
            "speed", "str", "Of the carriage", "", choices=("slow", "fast")
        )
        assert driver.description.reading == Channel("mono.reading", "V")


async def test_a_poll_asks_each_question_once(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.instrument.log.clear()
        await driver.poll()
        assert len(bench.instrument.log) == len(set(bench.instrument.log)) == 7


async def test_silence_is_an_error_and_never_an_empty_value(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.fault("silence")
        open_shutter = partial(driver.set_parameter, "shutter", True)
        for ask in (driver.read, driver.poll, driver.position, open_shutter):
            with pytest.raises(OfflineError, match=r"no reply to '#3\S+' within 0.5 s"):
                await ask()
        bench.fault(None)
        assert (await driver.read()).value == 1.25


async def test_late_replies_are_not_taken_for_others(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.fault("delay", delay_s=0.52)
        with pytest.raises(OfflineError):
            await driver.read()
        bench.fault(None)
        assert await driver.get_parameter("wavelength") == 500.0
        assert (await driver.read()).value == 1.25


async def test_garbage_names_command_and_reply(odd, autojump_clock):
    odd["description"] = str(Path(str(odd["description"])).with_name("plain.toml"))
    plain = ODD.replace("mine = ", "# ").replace("echo = true", "echo = false")
    Path(str(odd["description"])).write_text(plain)

    class Quiet(OddInstrument):
        def command(self, text):
            self.reply(self._answer(*re.fullmatch(r"#3([A-Z]+)(\??)(.*)", text).groups()) or "E1")

    async with on_loopback(Quiet) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.fault("garbage")
        with pytest.raises(
            DeviceError, match=r"mono: reading: '#3R\?' on loopback got the reply '\S+': it"
        ):
            await driver.read()
        with pytest.raises(
            DeviceError, match="'#3BOPEN' on loopback was not acknowledged: the reply is"
        ):
            await driver.set_parameter("shutter", True)


async def test_an_instruments_own_error_is_told_in_words(odd, autojump_clock):
    wide = ODD.replace("limits = [-5.0, 5.0]", "limits = [-9.0, 9.0]")
    Path(str(odd["description"])).write_text(wide)
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        with pytest.raises(
            DeviceError, match="'#3P8000' on loopback got the error 'E2': out of range"
        ):
            await move(driver, 8.0)
        assert await driver.stop() is True
        await move(driver, 1.0)


async def test_what_does_not_happen_is_an_error(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.fault("stuck")
        with pytest.raises(
            DeviceError, match="blade was set to True by '#3BOPEN' and reads back F"
        ):
            await driver.set_parameter("shutter", True)
        with pytest.raises(
            DeviceError,
            match=r"it did not begin to move within 1 s: setpoint 2 mm, readback 0 mm",
        ):
            await move(driver, 2.0)
        with pytest.raises(
            DeviceError, match=r"set to 600.0 nm by .* reads back 500.0 nm within 5 s"
        ):
            await driver.set_parameter("wavelength", 600)


async def test_an_overload_is_no_measurement(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.instrument.voltage = 9.9e37
        with pytest.raises(DeviceError, match=r"the reply '3:9.9e.37', which is no measurement"):
            await driver.read()


async def test_limits_and_choices_are_checked_before_anything_is_sent(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context({**odd, "limits": [-1.0, 1.0]}))
        assert driver.description.limits == Limits(-1.0, 1.0)
        await driver.connect()
        bench.instrument.log.clear()
        for change in (
            lambda: driver.move_abs(1.5),
            lambda: driver.set_parameter("wavelength", 200.0),
            lambda: driver.set_parameter("speed", "faster"),
        ):
            with pytest.raises(LimitError, match="nothing was changed"):
                await change()
        assert bench.instrument.log == []


async def test_the_configuration_may_only_narrow_the_limits(odd):
    async with on_loopback(OddInstrument) as bench:
        with pytest.raises(ConfigurationError, match="go beyond those of Odd monochromator"):
            bench.make(context({**odd, "limits": [-1.0, 50.0]}))


async def test_another_instrument_is_left_alone(odd, autojump_clock):
    other = ODD.replace("3:MONO-", "3:LASER-")
    Path(str(odd["description"])).write_text(other)
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        with pytest.raises(DeviceError, match="on loopback is answered with '3:MONO-77'"):
            await driver.connect()
        assert not any("HELLO" in command for command in bench.instrument.log)


async def test_it_comes_back_after_its_plug_was_pulled(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        bench.outlet.unplug()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(OfflineError):
            await driver.poll()
        await driver.disconnect()
        with pytest.raises(OfflineError, match="cannot be opened"):
            await driver.connect()
        bench.outlet.plug_in()
        await driver.connect()
        assert (await driver.poll())["reading"] == 1.25


async def test_the_safe_state_is_reached_and_told(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context(odd))
        await driver.connect()
        await driver.set_parameter("shutter", True)
        await driver.set_parameter("emission", True)
        assert await driver.make_safe() is True
        assert bench.instrument.settings["B"] == "SHUT"
        assert bench.instrument.settings["L"] == "0"
        assert await driver.make_safe() is False


async def test_the_last_will_is_known_without_a_connection(odd):
    async with on_loopback(OddInstrument) as bench:
        driver = bench.make(context({**odd, "port": "10.0.0.7:4000", "unit": 5, "baudrate": 300}))
    (will,) = driver.last_will()
    assert will.port == "tcp://10.0.0.7:4000"
    assert [frame.send for frame in will.frames] == [b"#5BSHUT\r", b"#5L0\r"]
    assert will.summary == "blade shut, lamp off"
    assert will.serial.baud == 300


async def test_the_error_queue_is_read_after_every_command(autojump_clock):
    settings = {"FUNC": '"VOLT"', "VOLT:RANG": "1", "VOLT:NPLC": "1", "VOLT:RANG:AUTO": "1"}
    async with on_loopback(
        lambda clock: ScpiInstrument(clock, "Acme,DMM,1,2", settings, {"READ?": lambda _: "+1"})
    ) as bench:
        driver = bench.make(context({"description": "scpi_multimeter", "port": "x"}))
        await driver.connect()
        del bench.instrument.settings["VOLT:RANG"]
        with pytest.raises(
            DeviceError, match=r"'VOLT:RANG 10' on .* was refused.*: Undefined header"
        ):
            await driver.set_parameter("range", 10.0)
        assert bench.instrument.errors == []


GENERATOR = """
[instrument]
name = "Acme generator"
[identify]
send = "*IDN?"
reply = 'ACME,FG100,.*'
[errors]
ask = "SYST:ERR?"
ok = '[-+]?0,.*'
[values.frequency]
units = "Hz"
limits = [1.0, 1e6]
read = "FREQ?"
write = "FREQ {value}"
[movable]
position = "frequency"
tolerance = 0.1
hold = true
home = 1000.0
"""


async def test_what_an_instrument_was_asked_before_is_not_the_first_commands_fault(
    tmp_path, autojump_clock, caplog
):
    caplog.set_level("INFO")
    (tmp_path / "generator.toml").write_text(GENERATOR)
    options = {"description": str(tmp_path / "generator.toml"), "port": "x"}
    async with on_loopback(
        lambda clock: ScpiInstrument(clock, "ACME,FG100,1,1.0", {"FREQ": "1000"})
    ) as bench:
        driver = bench.make(context(options))
        bench.instrument.errors.append('-113,"Undefined header"')
        await driver.connect()
        await move(driver, 2000.0)
        await driver.disconnect()
        assert "an error from before it was connected: 'SYST:ERR?' says -113" in caplog.text
        await check_driver(bench.make, options)  # it arrives before it can be stopped


async def test_nothing_moves_before_what_it_requires_is_so(autojump_clock):
    settings = {"VOLT": "0", "CURR": "1", "OUTP": "0"}
    answers = {"MEAS:VOLT?": lambda s: s["VOLT"], "MEAS:CURR?": lambda _: "0"}
    async with on_loopback(
        lambda clock: ScpiInstrument(clock, "Acme,PSU,1,2", settings, answers)
    ) as bench:
        driver = bench.make(context({"description": "scpi_power_supply", "port": "x"}))
        await driver.connect()
        with pytest.raises(DeviceError, match="it cannot move: 'output' is not so"):
            await move(driver, 5.0)
        assert settings["VOLT"] == "0"
        await driver.set_parameter("output", True)
        await move(driver, 5.0)
        assert (await driver.position()).value == 5.0


class Iris(ScpiInstrument):
    """The instrument of the documentation's example."""

    end = b"\r\n"

    def __init__(self, clock):
        super().__init__(clock, "", {}, end=b"\r\n")
        self.blades = Ramp(clock, 20.0, 5.0)
        self.motor = "off"

    def command(self, text):
        answers = {
            "id": "ACME IRIS 0042",
            "d?": f"D={self.blades.now():.2f}",
            "s?": f"S={int(self.blades.is_moving())}",
            "m?": self.motor,
        }
        if text in answers:
            self.reply(answers[text])
            return
        if text == "x":
            self.blades.go(self.blades.now())
        elif text.startswith("m"):
            self.motor = text[1:]
        elif text.startswith("c"):
            self.blades.go(0.0 if self.blades.now() > 1 else 25.0)
        else:
            self.blades.go(float(text[1:]))
        self.reply("ok")


async def test_the_documentations_example_keeps_every_contract(tmp_path, autojump_clock):
    from daq.testing import check_driver

    blocks = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "[instrument]" in block)
    (tmp_path / "iris.toml").write_text(example)
    async with on_loopback(Iris) as bench:
        options = {"description": str(tmp_path / "iris.toml"), "port": "loopback"}
        assert "stop_ends_a_move_half_way" in await check_driver(bench.make, options)
        iris = bench.make(DriverContext("iris", "declarative", Timebase(), options))
        assert [each.signature for each in iris.description.actions] == ["(turns)"]
        await iris.connect()
        await iris.act("calibrate", 2)
        assert await iris.is_moving()


def test_the_reference_is_that_of_the_tables():
    page = README.read_text(encoding="utf-8")
    assert replace_reference(page) == page
