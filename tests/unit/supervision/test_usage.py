"""Devices that people take out of use, and devices that answer late."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from daq.core import BusyError, DeviceState, OfflineError, StopOutcome
from daq.drivers import Timebase
from daq.supervision import Claim, OutOfUse, Timing, set_aside_in
from daq.supervision.device.out_of_use import Disabled
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
        await device.enable()
        assert device.snapshot().state is DeviceState.CONNECTING
        await reaches(bench, "meter", DeviceState.READY)
        assert trio.current_time() == began
        await device.enable()
        assert device.snapshot().state is DeviceState.READY


async def test_a_device_that_was_disabled_twice_comes_back_by_one_enable(autojump_clock):
    async with supervised(FakeMeter("meter", Timebase())) as bench:
        device = bench.supervisor.device("meter")
        await device.disable("dirty")
        await trio.testing.wait_all_tasks_blocked()
        await device.disable("broken too")
        assert device.snapshot().reason == "disabled: broken too"
        with trio.fail_after(60):
            await device.enable()
            await reaches(bench, "meter", DeviceState.READY)


async def test_a_device_that_is_enabled_and_disabled_in_one_moment_is_left_alone(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        await device.disable()
        await trio.sleep(60)
        device._task.enable()
        device._task.disable(Disabled("after all", 1))
        await trio.sleep(60)
        assert device.snapshot().reason == "after all"
        assert meter.log.count("connect") == 1


async def test_what_was_said_last_is_remembered_however_many_say_it_at_once(tmp_path):
    file = tmp_path / "disabled.json"
    memory = OutOfUse(file)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(memory.add, f"d{number}", Disabled("dirty", 1))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(19):
            nursery.start_soon(memory.remove, f"d{number}")
    assert OutOfUse(file).find("d19") == Disabled("dirty", 1)
    assert repr(OutOfUse(file)) == "<OutOfUse: d19>"
    assert [path.name for path in tmp_path.iterdir()] == ["disabled.json"]
    assert json.loads(file.read_text())["version"] == 1


async def test_it_is_on_disk_under_its_name_too_when_that_is_said(tmp_path, monkeypatch):
    file, synced = tmp_path / "disabled.json", []

    def fsync(descriptor):
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), file.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    await OutOfUse(file).add("meter", Disabled("dirty", 1))
    (draft, was_there), names = synced
    assert draft.endswith(".new")
    assert not was_there
    assert names == (str(tmp_path), True)


async def test_a_disabled_device_stays_so_over_a_restart_of_the_daemon(tmp_path, autojump_clock):
    file = tmp_path / "disabled.json"
    async with supervised(FakeMeter("meter", Timebase()), out_of_use=OutOfUse(file)) as bench:
        await bench.supervisor.device("meter").disable("being aligned", by="maria")
        told = await refused(bench)
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter, out_of_use=OutOfUse(file)) as bench:
        await trio.sleep(100)
        assert await refused(bench) == told
        assert "disabled since" in told
        assert "by maria: being aligned" in told
        assert meter.log == []
        await bench.supervisor.device("meter").enable()
        await reaches(bench, "meter", DeviceState.READY)
    async with supervised(FakeMeter("meter", Timebase()), out_of_use=OutOfUse(file)) as bench:
        await reaches(bench, "meter", DeviceState.READY)


async def refused(bench):
    with pytest.raises(OfflineError) as caught:
        await bench.supervisor.device("meter").call("read")
    return str(caught.value)


async def test_a_damaged_memory_of_disabled_devices_is_told(tmp_path, caplog):
    file = tmp_path / "disabled.json"
    texts = (
        "{",
        "[]",
        '{"meter": {"reason": 1}}',
        '{"version": 2, "devices": {}}',
        '{"version": 1}',
    )
    for text in texts:
        file.write_text(text)
        assert OutOfUse(file).find("meter") is None
        assert not file.exists()
    assert caplog.text.count("devices that were disabled are in use again") == len(texts)
    assert len(set_aside_in(tmp_path)) == len(texts)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == sorted(texts)


async def test_disabled_devices_of_the_time_before_versions_are_found(tmp_path):
    file = tmp_path / "disabled.json"
    file.write_text('{"meter": {"reason": "dirty", "since_ns": 7}}')
    assert OutOfUse(file).find("meter") == Disabled("dirty", 7)


async def test_a_device_without_a_driver_can_be_disabled_and_is_then_what_it_was(autojump_clock):
    async with supervised(failures={"meter": "there is no such driver"}) as bench:
        device = bench.supervisor.device("meter")
        with pytest.raises(OfflineError, match="no such driver") as caught:
            await device.acquire()
        assert "mend the configuration" in caught.value.advice
        await device.disable("", by="maria")
        await device.enable()
        assert device.snapshot().state is DeviceState.OFFLINE
        assert device.snapshot().reason == "there is no such driver"


async def test_a_device_that_is_lost_in_the_moment_of_its_first_answer_is_not_called_ready(
    autojump_clock,
):
    meter: Any = FakeMeter("meter", Timebase())
    states = []

    class LoseAfterPoll(trio.abc.Instrument):
        def after_task_step(self, task):
            device = bench.supervisor.device("meter")
            states.append(device.snapshot().state)
            if task is meter.polling:
                meter.polling = None
                device.reconnect("somebody else had it")

    async def poll():
        await trio.lowlevel.checkpoint()
        meter.polling = trio.lowlevel.current_task()
        return {}

    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.poll, meter.polling = poll, None
        look = LoseAfterPoll()
        trio.lowlevel.add_instrument(look)
        device.reconnect("unplugged")
        await trio.sleep(0.5)
        states.clear()
        await trio.sleep(0.7)
        assert DeviceState.READY not in states
        trio.lowlevel.remove_instrument(look)
        await reaches(bench, "meter", DeviceState.READY)


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


async def test_a_device_is_not_blamed_when_the_daemon_itself_was_late(autojump_clock):
    meter, states = FakeMeter("meter", Timebase()), set()
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")

        async def answer_while_nobody_gets_cpu():
            meter.on_poll = None
            autojump_clock.jump(20.0)
            await trio.sleep(0.5)
            states.add("answered")

        meter.on_poll = answer_while_nobody_gets_cpu
        while "answered" not in states:
            await trio.sleep(0.05)
            states.add(device.snapshot().state)
        await trio.sleep(0.1)
        states.add(device.snapshot().state)
        assert states == {"answered", DeviceState.READY}


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
