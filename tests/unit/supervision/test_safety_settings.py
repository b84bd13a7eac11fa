"""What the configuration says about safety, and how each mistake is explained."""

import re
from pathlib import Path

import pytest

from daq.config import parse_config
from daq.core import ConfigurationError
from daq.drivers import LastWill, SerialSettings, Timebase, WillFrame
from daq.supervision import PauseAction, read_safety

from .fakes import FakeLaser, FakeStage

FILE = Path("/lab/bench.toml")
BENCH = """
[devices.stage]
driver = "fake"
[devices.laser]
driver = "fake"
"""


def read(text, drivers=None):
    return read_safety(parse_config(text, FILE), drivers or {})


def refused(text, drivers=None):
    with pytest.raises(ConfigurationError) as caught:
        read(text, drivers)
    return str(caught.value)


def interlock(body):
    return f"{BENCH}[interlocks.hot]\n{body}"


def test_without_a_word_about_it_there_is_nothing():
    safety = read(BENCH)
    assert (safety.interlocks, dict(safety.pause_rules), dict(safety.last_wills)) == ((), {}, {})


def test_an_interlock_is_read_whole():
    (hot,) = read(
        interlock(
            'channel = "laser.wavelength"\nabove = 810\nclear_below = 805\nhold_s = 0.5\n'
            'clear_s = 2\nstale_s = 10\naction = "pause"\nresume = true\nlatched = true\n'
            'devices = ["laser"]\nrefuse_moves = ["stage"]\nread_every_s = 1'
        )
    ).interlocks
    assert (hot.name, hot.channel, hot.action, hot.resume) == (
        "hot",
        "laser.wavelength",
        "pause",
        True,
    )
    assert hot.condition.describe("nm") == "above 810 nm or silent for 10 s"
    assert (hot.condition.hold_s, hot.condition.clear_s, hot.condition.latched) == (0.5, 2.0, True)
    assert (hot.devices, hot.refuses, hot.read_every_s) == (("laser",), ("stage",), 1.0)


def test_a_channel_that_is_read_on_a_schedule_is_stale_after_three_missing_readings():
    (hot,) = read(interlock('channel = "laser"\nabove = 1\nread_every_s = 2')).interlocks
    assert hot.condition.stale_s == 6.0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('channel = "laser"', "has no condition"),
        ("above = 1.0", "channel: is missing"),
        ('channel = "laser"\nabove = "hot"', "above: 'hot' is not a number"),
        ('channel = "laser"\nabove = 1\naction = "panic"', "action: 'panic' is not one of"),
        ('channel = "laser"\nabove = 1\naction = "safe"', "'safe' needs devices"),
        ('channel = "laser"\nabove = 1\nresume = true', "resume: needs action = 'pause'"),
        ('channel = "laser"\nabove = 1\nclear_below = 2', "clear while its condition is true"),
        (
            'channel = "laser"\nabove = 1\nbellow = 2',
            "bellow: there is no such option; did you mean 'below'?",
        ),
        ('channel = "laser"\nabove = 1\nrefuse_moves = ["stag"]', "there is no device 'stag'"),
        ('channel = "lamp"\nabove = 1\nread_every_s = 1', "belongs to no device"),
    ],
)
def test_a_mistake_in_an_interlock_names_file_and_line(body, problem):
    message = refused(interlock(body))
    assert re.match(r"/lab/bench\.toml:[6-9]: interlocks\.hot", message)
    assert problem in message


@pytest.mark.parametrize("option", ["read_every_s = 5", "stale_s = 5"])
async def test_an_interlock_that_is_more_impatient_than_a_reading_is_refused(option):
    laser = FakeLaser("laser", Timebase())
    laser.declared_s = lambda *asked: 7.0 if asked == ("get", "power") else 1.0
    body = f'channel = "laser.power"\nabove = 1\ndevices = ["laser"]\n{option}'
    problem = f"{option.split()[0]}: 5 s is below the 7 s that reading 'laser.power' may take"
    assert problem in refused(interlock(body), {"laser": laser})
    read(interlock(body.replace("laser.power", "laser.averages")), {"laser": laser})
    read(interlock(body.replace("= 5", "= 8")), {"laser": laser})


def test_a_pause_rule_is_read():
    rules = read(BENCH + 'on_pause = "veto"\npause_reason = "it loses its lock"').pause_rules
    assert (rules["laser"].action, rules["laser"].reason) == (PauseAction.VETO, "it loses its lock")


async def test_a_pause_rule_that_the_device_cannot_follow_is_refused():
    timebase = Timebase()
    drivers = {"stage": FakeStage("stage", timebase), "laser": FakeLaser("laser", timebase)}
    text = '[devices.stage]\ndriver = "fake"\non_pause = "close_shutter"'
    assert "stage: on_pause = 'close_shutter' cannot be done" in refused(text, drivers)
    assert "is not one of" in refused(text.replace("close_shutter", "shut"), drivers)


async def test_a_driver_s_last_will_can_be_replaced_and_switched_off():
    class WilledLaser(FakeLaser):
        def last_will(self):
            return (LastWill("/dev/ttyUSB0", (WillFrame(b"OFF\r"),)),)

    drivers = {"laser": WilledLaser("laser", Timebase())}

    def wills(line=""):
        return read(f"{BENCH}{line}", drivers).last_wills

    assert wills()["laser"][0].frames[0].send == b"OFF\r"
    assert wills("last_will = false") == {}
    (own,) = wills(
        'last_will = { port = "tcp://10.0.0.2:4001", send = ["A\\n", "B\\n"], reply = "OK", '
        'baud = 115200, summary = "output at 0 V" }'
    )["laser"]
    assert [frame.send for frame in own.frames] == [b"A\n", b"B\n"]
    assert [frame.reply for frame in own.frames] == [b"OK", b"OK"]
    assert (own.clear, own.as_plain()["clear"]) == (None, "\n")
    (asked,) = wills(
        'last_will = { port = "/dev/ttyS0", send = ["A"], ask = "A?", reply = "0", clear = ";" }'
    )["laser"]
    assert asked.frames == (WillFrame(b"A"), WillFrame(b"A?", b"0", repeat=True))
    assert asked.clear == b";"
    assert (own.frames[0].reply, own.serial.baud, own.summary) == (b"OK", 115200, "output at 0 V")


@pytest.mark.parametrize(
    "line",
    [
        'last_will = "OFF"',
        "last_will = [1]",
        'last_will = { port = "/dev/ttyUSB0" }',
        'last_will = { send = ["A"] }',
        'last_will = { port = "x", send = ["A"], replay = "B" }',
        'last_will = { port = "x", send = ["A"], reply = "(" }',
        'last_will = { port = "lab:99999", send = ["A"] }',
        'last_will = { port = "http://lab", send = ["A"] }',
        'last_will = { port = "GPIB0::24::INSTR", send = ["A"] }',
        'last_will = { port = "/dev/ttyUSB0", send = ["A"], baud = 12345 }',
    ],
)
def test_a_wrong_last_will_is_refused(line):
    assert "last_will" in refused(f"{BENCH}{line}")


@pytest.mark.parametrize("port", ["lab:4001", "tcp://lab:4001", "socket://lab:4001"])
def test_a_last_will_s_port_is_written_as_every_other(port):
    (will,) = read(f'{BENCH}last_will = {{ port = "{port}", send = ["A"] }}').last_wills["laser"]
    assert will.port == "tcp://lab:4001"


@pytest.mark.parametrize(
    ("serial", "port", "why"),
    [
        (SerialSettings(), "GPIB0::24::INSTR", "GPIB0::24::INSTR is a VISA resource"),
        (SerialSettings(baud=12345), "/dev/x", "standard rates only, not 12345 baud"),
        (SerialSettings(parity="M"), "/dev/x", "parity none, even or odd, no other"),
    ],
)
async def test_a_last_will_that_nobody_can_carry_out_is_told_and_refused_if_asked_for(
    serial, port, why
):
    class WilledLaser(FakeLaser):
        def last_will(self):
            return (LastWill(port, (WillFrame(b"OFF\r"),), serial=serial),)

    drivers = {"laser": WilledLaser("laser", Timebase())}
    safety = read(BENCH, drivers)
    assert safety.last_wills == {}
    assert why in safety.unguarded["laser"]
    assert read(f"{BENCH}last_will = false", drivers).unguarded == {}
    assert why in refused(f"{BENCH}last_will = true", drivers)
