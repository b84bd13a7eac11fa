"""What was declared to take long: the device is busy, not silent, and a stop waits for nothing."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from daq.core import BusyError, DeviceError, DeviceState, StopOutcome
from tests.unit.supervision.described import Slow, described, until

HOMING = """
[instrument]
name = "a stage that answers `HOME` at its end"
[line]
acknowledge = "OK"
[values.position]
units = "deg"
limits = [-10, 10]
read = "POS?"
write = "MA {value}"
[actions.search]
send = "HOME"
timeout = 600.0
[actions.halt]
send = "ST"
[movable]
position = "position"
tolerance = 1
home = "search"
stop = "halt"
settled = "abs(position) < 1"
"""
SPECTRUM = """
[instrument]
name = "a spectrometer"
[identify]
send = "*IDN?"
reply = "ACME,.*"
[values.peak]
units = "nm"
read = { send = "PEAK?", timeout = 15.0 }
[values.gain]
read = "GAIN?"
write = "GAIN {value}"
parameter = true
[readable]
value = "peak"
"""
METER = """
[instrument]
name = "a meter on the same line"
[values.power]
units = "W"
read = "POW?"
[readable]
value = "power"
"""


def answer(text):
    known = {"POS?": "0.0", "POW?": "0.5", "*IDN?": "ACME,OSA", "PEAK?": "800.5", "GAIN?": "1"}
    return known.get(text, None if text.startswith("GAIN ") else "OK")


async def test_a_home_that_answers_at_its_end_is_waited_for(tmp_path, autojump_clock):
    instrument = Slow(answer, {"HOME": 500.0})
    async with described(instrument, {"stage": HOMING, "meter": METER}, tmp_path) as bench:
        stage, meter = bench.supervisor.device("stage"), bench.supervisor.device("meter")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.call, "home")
            await trio.sleep(300.0)
            assert stage.snapshot().state is DeviceState.BUSY
            waits = "it waits for the answer to 'HOME', which may take 600 s"
            assert stage.snapshot().reason == waits
            assert meter.snapshot().state is DeviceState.BUSY
            turn = f"it waits for its turn on {bench.plugged.address}: stage: {waits}"
            assert meter.snapshot().reason == turn
            assert await meter.call("read") == 0.5  # later, and true
            assert trio.current_time() >= 500.0
        await trio.sleep(2.0)
        for device in (stage, meter):
            assert (device.snapshot().state, device.snapshot().reason) == (DeviceState.READY, "")
    assert instrument.done.count("HOME") == 1
    assert "ST" not in instrument.done


async def test_what_does_not_come_in_its_declared_time_is_lost(tmp_path, autojump_clock):
    instrument = Slow(answer, {"PEAK?": 1000.0})
    async with described(instrument, {"osa": SPECTRUM}, tmp_path) as bench:
        osa = bench.supervisor.device("osa")
        await until(osa, lambda it: it.snapshot().state is DeviceState.OFFLINE)
        assert trio.current_time() < 20.0
        assert "no reply to 'PEAK?' within 15 s" in osa.snapshot().reason


async def test_a_reading_of_seven_seconds_is_no_silence(tmp_path, autojump_clock):
    instrument = Slow(answer, {"PEAK?": 7.0})
    async with described(instrument, {"osa": SPECTRUM}, tmp_path) as bench:
        osa = bench.supervisor.device("osa")
        await trio.sleep(5.0)
        assert osa.snapshot().state is DeviceState.CONNECTING
        assert osa.snapshot().reason.startswith("it waits for the answer to 'PEAK?'")
        await until(osa, lambda it: it.snapshot().state is DeviceState.READY)
        assert await osa.call("read") == 800.5
        began = trio.current_time()
        assert await osa.call("set", "gain", 1.0) == 1.0
        assert trio.current_time() - began < 14.5
        states = set()
        for _ in range(60):
            await trio.sleep(0.5)
            states.add(osa.snapshot().state)
        assert states == {DeviceState.READY, DeviceState.BUSY}
        assert instrument.done.count("*IDN?") == 1
        # Not asked all the time: whoever wants something finds it free.
        assert instrument.done.count("PEAK?") < 7


@pytest.mark.parametrize("by", ["stop", "caller"])
async def test_a_stop_does_not_wait_for_the_end_of_a_home(by, tmp_path, autojump_clock):
    instrument = Slow(answer, {"HOME": 500.0}, deaf=False)
    async with described(instrument, {"stage": HOMING}, tmp_path) as bench:
        stage = bench.supervisor.device("stage")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(ignore, DeviceError), stage.call, "home")
            await trio.sleep(10.0)
            asked = trio.current_time()
            if by == "stop":
                await stage.stop()
            nursery.cancel_scope.cancel()
        told = [when for when, text in instrument.log if text == "ST"]
        assert told
        assert told[0] - asked < 0.3
        await trio.sleep(10.0)
        assert stage.snapshot().owed == ""
        # Nothing that comes late is taken for a position.
        assert stage.snapshot().failed_questions == 0


async def test_a_stop_breaks_off_a_neighbours_long_exchange(tmp_path, autojump_clock):
    instrument = Slow(answer, {"PEAK?": 14.0}, deaf=False)
    descriptions = {"stage": HOMING, "osa": SPECTRUM}
    async with described(instrument, descriptions, tmp_path) as bench:
        stage, osa = bench.supervisor.device("stage"), bench.supervisor.device("osa")
        await until(osa, lambda it: it.snapshot().state is DeviceState.READY)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(ignore, BusyError), osa.call, "read")
            await trio.sleep(1.0)
            asked = trio.current_time()
            await stage.stop()
            told = [when for when, text in instrument.log if text == "ST"]
            assert told[-1] - asked < 0.7
        await trio.sleep(60.0)
        assert osa.snapshot().state in (DeviceState.READY, DeviceState.BUSY)
        assert await osa.call("read") == 800.5
        stop = await stage.stop(timeout=30.0)
        assert (stop.outcome in (StopOutcome.IDLE, StopOutcome.STOPPED), stop.owed) == (True, False)


async def ignore(error, call, *arguments):
    with pytest.raises(error):
        await call(*arguments)
