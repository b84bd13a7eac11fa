"""Stopping: bounded, in parallel, told as it was."""

import threading

import pytest
import trio

from daq.core import BusyError, DeviceError, DeviceState, OfflineError, StopOutcome
from daq.drivers import Timebase
from daq.supervision import Timing
from tests.unit.supervision.fakes import (
    FakeCamera,
    FakeLaser,
    FakeMeter,
    FakeStage,
    failing,
    hang,
    stuck_until,
    supervised,
)


async def test_a_device_that_does_nothing_answers_idle(autojump_clock):
    async with supervised(FakeStage("stage", Timebase())) as bench:
        answer = await bench.supervisor.device("stage").stop()
        assert (answer.device, answer.outcome, answer.message) == ("stage", StopOutcome.IDLE, "")


async def test_a_stop_ends_the_move_and_its_caller_learns_who_stopped_it(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def stop():
            await trio.sleep(1)
            answer = await device.stop(by="alice")
            assert answer.outcome is StopOutcome.STOPPED
            assert answer.duration_s < 0.01

        with pytest.raises(DeviceError, match=r"stage: move_abs\(9\.0\) was stopped by alice"):
            await device.call("move_abs", 9)
        assert stage.place == pytest.approx(1.0)
        # The device is free again for the cleanup of whoever was interrupted.
        assert await device.call("move_abs", 0.5) == 0.5


async def test_the_place_where_a_device_was_stopped_is_published(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def move():
            with pytest.raises(DeviceError, match="was stopped by a stop"):
                await device.call("move_abs", 9)

        await trio.sleep(0.55)
        await device.stop()
        await trio.testing.wait_all_tasks_blocked()
        assert float(bench.bus.latest("stage").last()) == pytest.approx(0.55)


async def test_what_was_stopped_or_has_arrived_is_known_to_stand(autojump_clock):
    stage = FakeStage("stage", Timebase())

    async def late_answer():
        seen = stage.fields()
        await trio.sleep(0.15)
        return seen

    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def move():
            with pytest.raises(DeviceError, match="was stopped by a stop"):
                await device.call("move_abs", 9)

        await trio.sleep(1.1)
        assert device.snapshot().fields["moving"] is True
        await device.stop()
        assert device.snapshot().fields["moving"] is False
        stage.poll = late_answer  # what it saw before the arrival comes after it
        await device.call("move_abs", 3)
        for _ in range(20):
            assert device.snapshot().fields["moving"] is False
            await trio.sleep(0.05)


async def test_the_driver_is_stopped_after_its_command_was_broken_off(autojump_clock):
    stage = FakeStage("stage", Timebase())

    async def move_until_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            stage.log.append("unwound")

    stage.on_move = move_until_cancelled
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def move():
            with pytest.raises(DeviceError, match="was stopped"):
                await device.call("move_abs", 9)

        await trio.sleep(1)
        await device.stop()
        assert stage.log == ["connect", "move 9", "unwound", "stop"]


async def test_a_stop_that_hangs_is_told_in_time_and_goes_on_trying(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.on_stop = hang
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        answer = await device.stop(timeout=1.0)
        assert answer.outcome is StopOutcome.UNREACHABLE
        assert answer.message == "did not answer within 1 s"
        assert answer.duration_s == pytest.approx(1.0)
        with pytest.raises(
            BusyError, match=r"move_abs\(1\.0\) was refused: stop\(\) is in progress"
        ):
            await device.call("move_abs", 1)
        again = await device.stop(timeout=20)  # joins the first attempt, which ends after 10 s
        assert again.outcome is StopOutcome.REFUSED
        assert "the stop did not end within 10 s" in again.message
        assert again.duration_s == pytest.approx(9.0)
        assert stage.log.count("stop") == 1
        assert await device.call("position") == 0.0


async def test_a_driver_that_refuses_to_stop_is_quoted(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.on_stop = failing(DeviceError("stage: reply 'E3' to STOP"))
    async with supervised(stage) as bench:
        answer = await bench.supervisor.device("stage").stop()
        assert (answer.outcome, answer.message) == (
            StopOutcome.REFUSED,
            "stage: reply 'E3' to STOP",
        )
        with pytest.raises(DeviceError, match="stage: stop: refused: stage: reply 'E3'"):
            await bench.supervisor.device("stage").call("stop")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OfflineError("the port is gone"), StopOutcome.UNREACHABLE),
        (ValueError("defect"), StopOutcome.REFUSED),
    ],
)
async def test_a_stop_never_raises(autojump_clock, error, outcome):
    stage = FakeStage("stage", Timebase())
    stage.on_stop = failing(error)
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        answer = await device.stop()
        assert answer.outcome is outcome
        assert str(error) in answer.message
        assert answer.owed
        assert device.snapshot().state.is_online is (outcome is StopOutcome.REFUSED)


async def test_an_offline_device_is_unreachable_with_the_reason(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.on_connect = failing(OfflineError("no power"))
    async with supervised(stage) as bench:
        answer = await bench.supervisor.device("stage").stop()
        assert answer.outcome is StopOutcome.UNREACHABLE
        assert answer.message.endswith("no power")
        assert "stop" not in stage.log


async def test_a_device_lost_while_it_is_stopped_is_unreachable(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.on_stop = hang
    async with supervised(stage) as bench:
        stage.on_poll = failing(OfflineError("unplugged"), times=1)
        answer = await bench.supervisor.device("stage").stop(timeout=8)
        assert answer.outcome is StopOutcome.UNREACHABLE
        assert "unplugged" in answer.message
        assert answer.duration_s < 2


async def test_devices_are_stopped_in_parallel_and_one_that_hangs_delays_nobody(autojump_clock):
    timebase = Timebase()
    names = ["a", "b", "c", "d"]
    stages = {name: FakeStage(name, timebase) for name in names}
    stages["b"].on_stop = hang
    async with supervised(*stages.values()) as bench, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def move():
            with pytest.raises(DeviceError, match="stopped by"):
                await bench.supervisor.device("c").call("move_abs", 9)

        await trio.sleep(0.5)
        began = trio.current_time()
        answers = await bench.supervisor.stop_devices(timeout=1.0)
        assert trio.current_time() - began == pytest.approx(1.0)
        assert [answer.device for answer in answers] == names
        outcomes = {answer.device: (answer.outcome, answer.duration_s < 0.1) for answer in answers}
        assert outcomes == {
            "a": (StopOutcome.IDLE, True),
            "b": (StopOutcome.UNREACHABLE, False),
            "c": (StopOutcome.STOPPED, True),
            "d": (StopOutcome.IDLE, True),
        }


async def test_only_the_named_devices_are_stopped_and_an_unknown_one_is_told(autojump_clock):
    timebase = Timebase()
    one, other = FakeStage("one", timebase), FakeStage("other", timebase)
    async with supervised(one, other) as bench:
        answers = await bench.supervisor.stop_devices(["ghost", "one", "one"])
        assert [(answer.device, answer.outcome) for answer in answers] == [
            ("ghost", StopOutcome.UNREACHABLE),
            ("one", StopOutcome.IDLE),
        ]
        assert "stop" not in other.log


async def test_safe_brings_the_device_to_its_safe_state(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    async with supervised(laser) as bench:
        device = bench.supervisor.device("laser")
        await device.call("open")
        assert (await device.stop()).outcome is StopOutcome.IDLE
        assert laser.shutter is True
        assert (await device.stop(safe=True)).outcome is StopOutcome.STOPPED
        assert laser.shutter is False


async def test_a_short_command_may_end_by_itself_before_the_stop(autojump_clock):
    laser = FakeLaser("laser", Timebase())

    async def slowly():
        await trio.sleep(0.1)

    laser.on_open = slowly
    async with supervised(laser) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("laser")
        nursery.start_soon(device.call, "open")
        await trio.testing.wait_all_tasks_blocked()
        answer = await device.stop(safe=True)
        assert answer.duration_s == pytest.approx(0.1)
        assert laser.shutter is False


async def test_a_short_command_that_hangs_is_broken_off(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    laser.on_open = hang
    async with supervised(laser) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("laser")

        @nursery.start_soon
        async def open_shutter():
            with pytest.raises(DeviceError, match=r"laser: open\(\) was stopped by a stop"):
                await device.call("open")

        await trio.testing.wait_all_tasks_blocked()
        assert (await device.stop()).duration_s == pytest.approx(0.2)


async def test_a_cancelled_move_stops_the_device_before_the_cancellation_goes_on(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        with trio.move_on_after(1) as scope:
            await device.call("move_abs", 9)
        assert scope.cancelled_caught
        assert stage.log == ["connect", "move 9", "stop"]
        assert stage.place == pytest.approx(1.0)
        assert await device.call("move_abs", 0) == 0.0


async def test_a_cancelled_move_whose_stop_hangs_goes_on_in_less_than_a_second(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.on_stop = hang
    async with supervised(stage) as bench:
        began = trio.current_time()
        with trio.move_on_after(1):
            await bench.supervisor.device("stage").call("move_abs", 9)
        assert trio.current_time() - began == pytest.approx(1.8)


async def test_a_cancelled_read_stops_nothing(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.on_read = hang
    async with supervised(meter) as bench:
        with trio.move_on_after(1):
            await bench.supervisor.device("meter").call("read")
        assert meter.log == ["connect"]
        assert bench.supervisor.device("meter").snapshot().state is DeviceState.READY


async def test_waiting_for_another_ones_motion_can_be_given_up_without_stopping_it(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")
        nursery.start_soon(device.call, "move_abs", 3)
        await trio.sleep(0.1)
        with trio.move_on_after(1):
            await device.call("wait_settled")
        assert stage.moving
        assert await device.call("wait_settled") == 3.0


async def test_a_stuck_driver_holds_up_neither_a_stop_nor_a_cancelled_caller():
    release = threading.Event()
    stage = FakeStage("stage", Timebase())
    stage.on_move = stuck_until(release)
    timing = Timing(unwind_s=0.01, cleanup_s=0.1)
    async with supervised(stage, timing=timing) as bench:
        device = bench.supervisor.device("stage")
        try:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def move():
                    with pytest.raises(DeviceError, match="was stopped by a stop"):
                        await device.call("move_abs", 9)

                await trio.testing.wait_all_tasks_blocked(0.01)
                with trio.fail_after(5):
                    answer = await device.stop(timeout=1.0)
            assert answer.outcome is StopOutcome.STOPPED
            assert stage.log == ["connect", "move 9", "stop"]
            assert device.snapshot().reason == "the driver is stuck in move_abs(9.0)"
        finally:
            release.set()


async def test_a_caller_cancelled_while_the_driver_is_stuck_goes_on():
    release = threading.Event()
    meter = FakeMeter("meter", Timebase())
    meter.on_read = stuck_until(release)
    async with supervised(meter, timing=Timing(cleanup_s=0.05)) as bench:
        device = bench.supervisor.device("meter")
        try:
            with trio.fail_after(5), trio.move_on_after(0.01):
                await device.call("read")
            assert device.snapshot().reason == "the driver is stuck in read()"
        finally:
            release.set()


async def test_a_stop_ends_a_stream(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream()
        await trio.sleep(1)
        assert (await device.stop()).outcome is StopOutcome.STOPPED
        assert not device.streaming
        assert camera.closed == 1


async def test_stop_can_be_called_as_an_operation(autojump_clock):
    async with supervised(FakeStage("stage", Timebase())) as bench:
        assert await bench.supervisor.device("stage").call("stop") is False


async def test_a_stopped_detector_is_not_armed_any_more(autojump_clock):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        device = bench.supervisor.device("camera")
        await device.call("arm")
        await device.stop()
        assert device.snapshot().fields["armed"] is False
