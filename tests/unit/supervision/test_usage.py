"""Devices that people take out of use, and devices that answer late."""

from __future__ import annotations

import pytest
import trio

from daq.core import BusyError, DeviceState, OfflineError, StopOutcome
from daq.drivers import Timebase
from daq.supervision import Claim, Timing
from tests.unit.supervision.fakes import (
    FakeLaser,
    FakeMeter,
    FakeStage,
    failing,
    hang,
    supervised,
)


async def reaches(bench, device_id, state):
    while bench.supervisor.device(device_id).snapshot().state is not state:
        await bench.supervisor.wait_changed(bench.supervisor.version)


async def test_a_disabled_device_is_made_safe_let_go_and_left_alone(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    async with supervised(laser) as bench:
        device = bench.supervisor.device("laser")
        stopped = await device.disable("the fibre is broken", by="maria")
        assert stopped.outcome in (StopOutcome.STOPPED, StopOutcome.IDLE)
        snapshot = device.snapshot()
        assert snapshot.state is DeviceState.DISABLED
        assert snapshot.reason == "disabled by maria: the fibre is broken"
        assert snapshot.fields == {}
        assert snapshot.next_attempt_ns == 0
        with pytest.raises(OfflineError, match=r"disabled since .* by maria: the fibre is broken"):
            await device.call("open")
        await trio.sleep(100)
        assert laser.log.count("connect") == 1
        assert laser.log[-1] == "disconnect"


async def test_an_enabled_device_comes_back_at_once(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        await device.disable("", by="maria")
        await trio.sleep(60)
        began = trio.current_time()
        device.enable()
        assert device.snapshot().state is DeviceState.CONNECTING
        await reaches(bench, "meter", DeviceState.READY)
        assert trio.current_time() == began
        device.enable()
        assert device.snapshot().state is DeviceState.READY


async def test_a_restart_does_not_wait_for_the_next_attempt(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.on_connect = failing(OfflineError("meter: unplugged"), times=5)
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        await trio.sleep(10)
        snapshot = device.snapshot()
        assert snapshot.state is DeviceState.OFFLINE
        assert snapshot.next_attempt_ns > bench.timebase.now_ns()
        meter.on_connect = None
        began = trio.current_time()
        await device.restart(by="maria")
        await reaches(bench, "meter", DeviceState.READY)
        assert trio.current_time() == began
        assert device.snapshot().next_attempt_ns == 0


async def test_a_restart_breaks_off_what_is_in_progress(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        async with trio.open_nursery() as nursery:

            async def move():
                with pytest.raises(Exception, match="was stopped by a restart by maria"):
                    await device.call("move_abs", 5.0)

            nursery.start_soon(move)
            await trio.sleep(1)
            await device.restart(by="maria")
        await reaches(bench, "stage", DeviceState.READY)
        assert stage.log.count("connect") == 2
        assert not stage.moving


async def test_a_device_that_is_claimed_is_not_taken_away_without_force(autojump_clock):
    async with supervised(FakeMeter("meter", Timebase())) as bench:
        device = bench.supervisor.device("meter")
        device.gate.take(Claim("execution 3f2a"))
        with pytest.raises(BusyError, match="execution 3f2a"):
            await device.disable("", by="maria")
        with pytest.raises(BusyError, match="execution 3f2a"):
            await device.restart(by="maria")
        await device.disable("", by="maria", force=True)
        assert device.snapshot().state is DeviceState.DISABLED


async def test_the_time_of_the_next_attempt_is_told(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.on_connect = failing(OfflineError("meter: unplugged"), times=3)
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        assert device.snapshot().next_attempt_ns - bench.timebase.now_ns() == pytest.approx(1e9)
        await reaches(bench, "meter", DeviceState.READY)
        assert device.snapshot().next_attempt_ns == 0


async def test_a_device_that_answers_late_is_degraded_and_works(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.on_poll = lambda: trio.sleep(1.5)
        await reaches(bench, "meter", DeviceState.DEGRADED)
        assert device.snapshot().reason == "it answered a poll after 1.5 s"
        assert await device.call("read") == pytest.approx(meter.value)
        meter.on_poll = None
        await reaches(bench, "meter", DeviceState.READY)
        assert device.snapshot().reason == ""


async def test_a_device_that_owes_an_answer_is_stale_and_then_offline(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter, timing=Timing(stale_s=3.0, poll_s=5.0)) as bench:
        device = bench.supervisor.device("meter")
        meter.on_poll = hang
        await reaches(bench, "meter", DeviceState.STALE)
        assert device.snapshot().reason == "it owes the answer to a poll since more than 3 s"
        assert device.snapshot().fields != {}
        stale_at = trio.current_time()
        await reaches(bench, "meter", DeviceState.OFFLINE)
        assert trio.current_time() - stale_at == pytest.approx(2.0)
        assert "poll did not answer within 5 s" in device.snapshot().reason
