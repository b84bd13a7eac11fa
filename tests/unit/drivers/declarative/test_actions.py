"""Actions of described instruments: typed arguments, answers, motions, claims and interlocks."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from daq.config import parse_config
from daq.core import (
    BusyError,
    CapabilityError,
    ConfigurationError,
    DeviceAction,
    DeviceError,
    InterlockError,
    LimitError,
    Limits,
)
from daq.drivers.declarative import declarative, offered_rows, parse_description
from daq.scripting.child.devices import Devices
from daq.scripting.protocol import describe
from daq.simulators.instrument import LineInstrument
from daq.supervision import Claim, read_safety
from daq.testing.driver_subject import Subject
from daq.testing.instruments import plug_loopback
from tests.unit.drivers.declarative.instruments import Ramp

STAGE = """
[instrument]
name = "Acme stage"
[line]
acknowledge = 'OK ?(?P<value>.*)'
[errors]
reply = 'ERROR (?P<message>.*)'
[values.position]
units = "mm"
limits = [0.0, 50.0]
read = "POS?"
write = "GO {value:.3f}"
[values.moving]
type = "bool"
read = "MOV?"
[actions.halt]
send = "HALT"
[actions.search_index]
send = "INDEX {direction} {speed:.1f}"
description = "Run until the index mark"
[actions.search_index.arguments.direction]
type = "str"
choices = { up = "+", down = "-" }
[actions.search_index.arguments.speed]
units = "mm/s"
limits = [0.5, 5.0]
[actions.self_test]
send = ["TEST 1", "TEST 2"]
[actions.led]
moves = false
send = "LED {on} {times:02d} {position}"
[actions.led.arguments.on]
type = "bool"
on = "ON"
off = "OFF"
[actions.led.arguments.times]
type = "int"
limits = [1, 20]
[movable]
position = "position"
settled = "not moving"
tolerance = 0.01
timeout = 60.0
interval = 0.05
stop = "halt"
home = 0.0
"""


class Stage(LineInstrument):
    """Goes at 10 mm/s, and to an index mark at 40 mm by as much as it is told."""

    end = b"\n"

    def __init__(self, clock):
        super().__init__(clock)
        self.log = []
        self._clock = clock
        self.carriage = Ramp(clock, 10.0)

    @property
    def name(self):
        return "Stage"

    def command(self, text):
        word, _, rest = text.partition(" ")
        if word == "POS?":
            return self.reply(f"{self.carriage.now():.3f}")
        if word == "MOV?":
            return self.reply(str(int(self.carriage.is_moving())))
        self.log.append(text)
        if word == "TEST":
            return self.reply(f"OK part {rest} is well")
        if word == "INDEX" and rest.startswith("-"):
            return self.reply("ERROR there is no index that way")
        goals = {"GO": rest, "INDEX": 40.0, "HALT": self.carriage.now()}
        if word in goals:
            now = self.carriage.now()
            speed = float(rest.split()[1]) if word == "INDEX" else 10.0
            self.carriage = Ramp(self._clock, speed, now)
            self.carriage.go(float(goals[word]))
        return self.reply("OK")


@asynccontextmanager
async def bench(tmp_path):
    (tmp_path / "stage.toml").write_text(STAGE)
    instrument = Stage(trio.current_time)
    async with plug_loopback(instrument) as plugged:
        options = {"description": str(tmp_path / "stage.toml")}
        subject = Subject(plugged.maker(declarative), options, "stage")
        async with subject.supervised() as supervised:
            yield supervised, instrument


async def test_what_has_no_other_use_is_offered_with_its_arguments(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, _):
        offered = {each.name: each for each in supervised.driver.description.operations}
        assert offered["search_index"].signature == "(direction, speed)"
        assert "halt" not in offered
        index = supervised.driver.description.action("search_index")
        assert index.arguments[0].choices == ("up", "down")
        assert index.arguments[1].limits == Limits(0.5, 5.0)
        with pytest.raises(CapabilityError, match=r"self_test\(\)"):
            await supervised.device.call("sing")


async def test_arguments_are_sent_in_the_instruments_words_beside_values(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, instrument):
        await supervised.device.call("move_abs", 2.5)
        assert await supervised.device.call("led", True, 3.0) is None
        assert instrument.log[-1] == "LED ON 03 2.5"


async def test_the_last_answer_is_returned(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, instrument):
        assert await supervised.device.call("self_test") == "part 2 is well"
        assert instrument.log == ["TEST 1", "TEST 2"]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (("search_index", "up", 9.0), LimitError, r"speed 9 mm/s is outside the limits \[0.5, 5\]"),
        (("search_index", "up", float("nan")), LimitError, "not a finite number"),
        (("search_index", "left", 1.0), LimitError, "not one of up, down"),
        (
            ("search_index", "up"),
            DeviceError,
            r"search_index\(direction, speed\): 'speed' is missing",
        ),
        (("search_index", 1, 1.0), DeviceError, "direction takes a text"),
        (("led", 1, 1), DeviceError, "on takes True or False"),
        (("led", True, 1.5), DeviceError, "times takes whole numbers"),
        (("led", True, 21), LimitError, "times 21"),
    ],
)
async def test_a_wrong_argument_is_told_and_nothing_is_sent(
    call, error, told, tmp_path, autojump_clock
):
    async with bench(tmp_path) as (supervised, instrument):
        with pytest.raises(error, match=told):
            await supervised.device.call(*call)
        assert instrument.log == []


async def test_an_action_that_moves_ends_when_it_rests(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, _):
        began = trio.current_time()
        assert await supervised.device.call("search_index", "up", 5.0) == 40.0
        assert trio.current_time() - began == pytest.approx(8.0, abs=1.0)


async def test_what_may_move_ends_when_it_rests_whatever_it_answers(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, _):
        rows = {row.name: row.moves for row in supervised.driver.description.actions}
        assert rows == {"search_index": True, "self_test": True, "led": False}
        began = trio.current_time()
        assert await supervised.device.call("self_test") == "part 2 is well"
        assert 0.5 < trio.current_time() - began < 3.0
        await supervised.device.call("led", False, 1)


async def test_whoever_leaves_a_moving_action_stops_it(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, instrument):
        with trio.move_on_after(2.0):
            await supervised.device.call("search_index", "up", 5.0)
        await supervised.device.wait_stopped()
        assert "HALT" in instrument.log
        assert not instrument.carriage.is_moving()
        assert instrument.carriage.now() == pytest.approx(10.0, abs=2.0)


async def test_a_refusal_is_in_the_instruments_words(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, _):
        with pytest.raises(DeviceError, match="there is no index that way"):
            await supervised.device.call("search_index", "down", 1.0)


async def test_claims_and_interlocks_hold_for_actions(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, instrument):
        device, mine = supervised.device, Claim("execution 1")
        device.gate.take(mine)
        with pytest.raises(BusyError, match="execution 1"):
            await device.call("self_test")
        await device.call("self_test", claim=mine)
        device.gate.release(mine)
        device.gate.forbid("door", "the door is open", "self_test")
        with pytest.raises(InterlockError, match="the door is open"):
            await device.call("self_test")
        await device.call("led", True, 1)
        device.gate.allow("door", "self_test")
        device.gate.forbid("door", "the door is open")
        with pytest.raises(InterlockError, match="the door is open"):
            await device.call("led", True, 1)
        assert [text.split()[0] for text in instrument.log] == ["TEST", "TEST", "LED"]


async def test_the_configuration_lets_an_interlock_refuse_an_action(tmp_path, autojump_clock):
    rule = '[devices.stage]\ndriver = "declarative"\n'
    rule += '[interlocks.door]\nchannel = "stage"\nabove = 9\n'
    async with bench(tmp_path) as (supervised, _):
        drivers = {"stage": supervised.driver}
        config = parse_config(f'{rule}refuse = ["stage.self_test"]\n', None)
        (door,) = read_safety(config, drivers).interlocks
        assert door.refuses == ("stage.self_test",)
        config = parse_config(f'{rule}refuse = ["stage.halt"]\n', None)
        with pytest.raises(ConfigurationError, match=r"'stage\.halt' is nothing that could be"):
            read_safety(config, drivers)


async def test_a_script_calls_them_by_position_and_by_name(tmp_path, autojump_clock):
    async with bench(tmp_path) as (supervised, _):
        description = describe(supervised.driver.description)

    class Session:
        def __init__(self):
            self.calls = []

        def request(self, request):
            if not hasattr(request, "operation"):
                return description
            self.calls.append((request.operation, list(request.arguments)))
            return "well"

    session = Session()
    stage = Devices(session).device("stage")
    assert stage.self_test() == "well"
    stage.search_index("up", speed=2.0)
    assert session.calls == [("self_test", []), ("search_index", ["up", 2.0])]
    with pytest.raises(TypeError, match=r"stage\.search_index\(direction, speed\)"):
        stage.search_index("up", velocity=1.0)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[actions.led]", "[actions.read]", "is the name of an operation too"),
        ("[actions.led]", "[actions.shutter]", "is the name of a standard parameter too"),
        ("{times:02d}", "{times:02z}", "cannot be filled in"),
        ("{times:02d}", "{number}", "there is no place {number}"),
        ('stop = "halt"', 'stop = "search_index"', "is called without arguments"),
        ("limits = [1, 20]", 'on = "1"', 'only a value of type = "bool" is on or off'),
    ],
)
def test_mistakes_in_actions_are_told(old, new, told):
    text = STAGE.replace(old, new, 1)
    text = text.replace("[actions.led.", f"{new[:-1]}.") if old == "[actions.led]" else text
    with pytest.raises(ConfigurationError) as caught:
        parse_description(text, "stage.toml")
    assert told in caught.value.message


def test_what_moves_and_does_not_tell_when_it_rests_is_refused():
    text = STAGE.replace('settled = "not moving"\n', "")
    acts = parse_description(text, "stage.toml")
    assert not any(row.moves for row in offered_rows(acts))
    with pytest.raises(ConfigurationError, match="to tell the end of it without `setpoint`"):
        parse_description(text.replace("moves = false", "moves = true"), "stage.toml")


def test_arguments_are_bound_as_a_functions_are():
    stage = parse_description(STAGE, "stage.toml")
    assert set(stage.offered_actions) == {"search_index", "self_test", "led"}
    row = DeviceAction("x")
    assert (row.signature, row.bind()) == ("()", ())
    with pytest.raises(TypeError):
        row.bind(1)
