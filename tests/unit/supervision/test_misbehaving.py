"""The table of kinds: how instruments misbehave, and what becomes of the device, in virtual time.

Each row is a small instrument with one bad habit, its description, and what has to be true.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from daq.core import DeviceError, DeviceState, InvalidReadingError, OfflineError
from daq.supervision import Device
from daq.transport import Checksum
from tests.unit.supervision.described import Slow, described, until

STAGE = """
[instrument]
name = "a stage"
[values.position]
units = "deg"
limits = [-400, 400]
read = "POS?"
write = "MA {value:.3f}"
[values.moving]
type = "bool"
read = "MOV?"
[actions.halt]
send = "ST"
[movable]
position = "position"
tolerance = 0.02
settled = "not moving"
stop = "halt"
home = 0.0
"""
READING = """
[instrument]
name = "a meter"
[values.a]
units = "V"
read = "A?"
invalid = "abs(value) > 9e37"
[values.range]
read = "RANGE?"
write = "RANGE {value}"
parameter = true
[readable]
value = "a"
"""


class Stage:
    """2 deg/s, with a moving flag; what is wrong with it is up to a subclass."""

    lag_s = 0.0

    def __init__(self) -> None:
        self.start = self.target = 0.0
        self.sent_at = -100.0
        self.stops = 0

    @property
    def place(self) -> float:
        gone = 2 * max(0.0, trio.current_time() - self.sent_at - self.lag_s)
        way = self.target - self.start
        return self.start + max(-abs(way), min(abs(way), gone)) * (1 if way > 0 else -1)

    def __call__(self, text: str) -> str | None:
        if text == "POS?":
            return f"{self.place:.3f}"
        if text == "MOV?":
            return str(int(self.place not in (self.start, self.target)))
        if text == "ST":
            self.stops += 1
            self.start = self.target = self.place
        elif text.startswith("MA "):
            self.start, self.sent_at, self.target = self.place, trio.current_time(), float(text[3:])
        return None


class Flaky(Stage):
    """One answer in seven is noise."""

    def __init__(self) -> None:
        super().__init__()
        self.count = itertools.count(1)

    def __call__(self, text: str) -> str | None:
        answer = super().__call__(text)
        return "\xf8\x1f.3" if answer is not None and next(self.count) % 7 == 0 else answer


class Noisy(Stage):
    """From its first second of motion on nobody understands it."""

    def __call__(self, text: str) -> str | None:
        answer = super().__call__(text)
        is_bad = self.place > 2 and self.stops == 0
        return "~\x81?" if answer is not None and is_bad else answer


class Laggard(Stage):
    """It begins, and says so, 0.15 s after the command."""

    lag_s = 0.15


class Busy(Stage):
    """It says BUSY to all but a stop while it moves."""

    def __call__(self, text: str) -> str | None:
        if text != "ST" and self.place not in (self.start, self.target):
            return "BUSY"
        answer = super().__call__(text)
        return "OK" if answer is None else answer


class Rotator(Stage):
    """It counts from 0 to 360, and is there at once."""

    def __call__(self, text: str) -> str | None:
        self.sent_at = -1e6
        answer = super().__call__(text)
        return f"{self.place % 360:.3f}" if text == "POS?" else answer


class Overload:
    """Overloaded until its range is 10."""

    range = "1.0"

    def __call__(self, text: str) -> str | None:
        if text.startswith("RANGE "):
            self.range = text.split()[1]
            return None
        reading = "+5.0E+00" if float(self.range) >= 10 else "+9.9E+37"
        return {"A?": reading, "RANGE?": self.range}.get(text)


class Gauge:
    """A digit of each third answer is hit by noise, so that its checksum does not fit."""

    def __init__(self) -> None:
        self.count = itertools.count(1)

    def __call__(self, text: str) -> str:
        signed = Checksum("sum6_printable").sign(b"001M500020").decode()
        return signed if next(self.count) % 3 else signed.replace("20", "28")


class Greeting(Slow):
    """It greets, and tells of events, before it answers."""

    def command(self, text: str) -> None:
        if text == "*IDN?":
            self.say(b"Telnet server ready\n")
            self.say(b"EVENT 17\n", self.clock() + 0.03)
        super().command(text)


@dataclass(frozen=True)
class Kind:
    """One row."""

    description: str
    answer: Callable[[], Callable[[str], str | None]]
    check: Callable[[Device, Slow], Awaitable[None]]
    times: dict[str, float] = field(default_factory=dict)
    instrument: type[Slow] = Slow


async def arrives(device: Device, instrument: Slow) -> None:
    assert await device.call("move_abs", 8.0) == pytest.approx(8.0, abs=0.02)
    assert "ST" not in instrument.done
    assert instrument.done.count("MA 8.000") == 1
    assert device.snapshot().state is not DeviceState.OFFLINE


async def is_stopped(device: Device, instrument: Slow) -> None:
    with pytest.raises(DeviceError, match="it was stopped at"):
        await device.call("move_abs", 300.0)
    assert "ST" in instrument.done
    where = await device.call("position")
    await trio.sleep(3.0)
    assert await device.call("position") == where
    assert (device.snapshot().owed, device.snapshot().state.is_online) == ("", True)


async def goes_round(device: Device, instrument: Slow) -> None:
    assert await device.call("move_abs", 359.99) == pytest.approx(359.99, abs=0.02)
    assert await device.call("move_abs", -10.0) == pytest.approx(350.0, abs=0.02)


async def is_invalid_until_it_is_set(device: Device, instrument: Slow) -> None:
    assert "a" in device.snapshot().invalid["reading"]
    with pytest.raises(InvalidReadingError):
        await device.call("read")
    assert await device.call("set", "range", 10.0) == 10.0
    assert await device.call("read") == 5.0
    assert device.snapshot().state is DeviceState.READY


async def reads_five(device: Device, instrument: Slow) -> None:
    for _ in range(5):
        assert await device.call("read") == 5.0
    assert device.snapshot().state is DeviceState.READY


async def is_refused_at_once(device: Device, instrument: Slow) -> None:
    began = trio.current_time()
    with pytest.raises(DeviceError, match="Wrong parameter"):
        await device.call("set", "range", 2000.0)
    assert trio.current_time() - began < 0.5
    assert instrument.done.count("RANGE 2000") == 1
    assert device.snapshot().state is DeviceState.READY


async def late_is_not_taken_for_another(device: Device, instrument: Slow) -> None:
    with pytest.raises(OfflineError):
        await device.call("get", "range")  # answered after 1.65 s, and again
    seen = set()
    for _ in range(100):
        await trio.sleep(0.1)
        seen.add(device.snapshot().fields.get("reading"))
    assert seen <= {None, 5.0}
    assert device.snapshot().fields["reading"] == 5.0


def fixed(**answers: str) -> Callable[[], Callable[[str], str | None]]:
    known = {"A?": "5.0", "RANGE?": "1.0", "*IDN?": "ACME,1", **answers}
    return lambda: known.get


class Login:
    """It answers nothing but a refusal before the password has come."""

    knows = False

    def __call__(self, text: str) -> str | None:
        self.knows |= text == "PASS 1234"
        if text == "PASS 1234":
            return "OK"
        return fixed()()(text) if self.knows else "ERR not logged in"


IDENTIFIED = READING.replace(
    "[values.a]", '[identify]\nsend = "*IDN?"\nreply = "ACME,.*"\n[values.a]'
)
CIRCLE = STAGE.replace("tolerance = 0.02", "tolerance = 0.02\ncircle = 360")
REFUSING = READING + '[errors]\nreply = "(?P<message>.*) ERROR"\n[line]\nacknowledge = "OK"\n'
BUSY = STAGE + '[errors]\nbusy = "BUSY"\nbusy_timeout = 30.0\n[line]\nacknowledge = "OK"\n'
LOGIN = IDENTIFIED + '[[login]]\nsend = "PASS 1234"\nacknowledge = "OK"\n'
GAUGE = """
[instrument]
name = "a gauge"
[line]
checksum = "sum6_printable"
[values.p]
units = "mbar"
[values.p.read]
send = "001M"
reply = '001M(?P<m>\\d{4})(?P<e>\\d\\d)'
convert = "int(m) / 1000 * 10 ** (int(e) - 20)"
[readable]
value = "p"
"""
KINDS = {
    "noise now and then": Kind(STAGE, Flaky, arrives),
    "noise from the middle of a move on": Kind(STAGE, Noisy, is_stopped),
    "a moving flag that comes late": Kind(STAGE, Laggard, arrives),
    "a move that is not over in time": Kind(STAGE + "timeout = 2.0\n", Stage, is_stopped),
    "busy while it moves": Kind(BUSY, Busy, arrives),
    "it counts to 360": Kind(CIRCLE, Rotator, goes_round),
    "an overload": Kind(READING, Overload, is_invalid_until_it_is_set),
    "a refusal": Kind(
        REFUSING, fixed(**{"RANGE 2000": "Wrong parameter ERROR"}), is_refused_at_once
    ),
    "a late answer": Kind(READING, fixed(), late_is_not_taken_for_another, {"RANGE?": 1.65}),
    "greetings and events": Kind(IDENTIFIED, fixed(), reads_five, {"*IDN?": 0.1}, Greeting),
    "a wrong checksum": Kind(GAUGE, Gauge, reads_five),
    "a login": Kind(LOGIN, Login, reads_five),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_what_becomes_of_a_device_whose_instrument_misbehaves(kind, tmp_path, autojump_clock):
    instrument = kind.instrument(kind.answer(), kind.times)
    async with described(instrument, {"device": kind.description}, tmp_path) as bench:
        device = bench.supervisor.device("device")
        await until(device, lambda it: it.snapshot().state.is_online)
        await kind.check(device, instrument)


class Events(Slow):
    """Its answers take 0.2 s, and of three two come after an event."""

    def command(self, text: str) -> None:
        if len(self.log) % 3:
            self.say(b"EVENT\n")
        super().command(text)


async def test_an_event_never_shifts_the_answers_to_the_questions(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Two questions whose answers could be taken for each other's, also by a poll in between."""
    instrument = Events(fixed()(), {"A?": 0.2, "RANGE?": 0.2})
    polled = READING.replace('read = "A?"', 'read = "A?"\nparameter = true\npoll = true')
    async with described(instrument, {"device": polled}, tmp_path) as bench:
        device = bench.supervisor.device("device")
        await until(device, lambda it: it.snapshot().state.is_online)
        for _ in range(20):
            assert await device.call("read") == 5.0
            assert await device.call("get", "range") == 1.0
            assert device.snapshot().fields["a"] == 5.0


async def test_an_event_never_shifts_what_is_said_of_an_action(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Taken for the acknowledgement it is an error, and the next one tells its own number."""
    counts = itertools.count(1)
    answers = {"A?": "5.0", "RANGE?": "1.0"}
    instrument = Slow(
        lambda text: answers.get(text) or f"OK {next(counts)}", dict.fromkeys("N", 0.2)
    )
    counted = READING + "[actions.count]\nsend = \"N\"\nacknowledge = 'OK (?P<value>\\d+)'\n"
    async with described(instrument, {"device": counted}, tmp_path) as bench:
        device = bench.supervisor.device("device")
        await until(device, lambda it: it.snapshot().state.is_online)
        assert await device.call("count") == "1"
        instrument.say(b"EVENT\n", trio.current_time() + 0.05)
        with pytest.raises(DeviceError, match="EVENT"):
            await device.call("count")
        assert await device.call("count") == "3"
        assert await device.call("get", "range") == 1.0
