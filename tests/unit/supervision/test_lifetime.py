"""Connecting, polling, losing and finding a device again."""

import logging
import threading

import pytest
import trio

from daq.bus import Bus
from daq.core import DeviceError, DeviceState, OfflineError, StopOutcome, UnknownDeviceError
from daq.drivers import Timebase
from daq.supervision import Supervisor, Timing
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


async def test_started_devices_are_ready_with_their_state(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        snapshot = bench.supervisor.device("stage").snapshot()
        assert snapshot.state is DeviceState.READY
        assert snapshot.fields == {"position": 0.0, "moving": False}
        assert snapshot.activity == ""
    assert stage.log == ["connect", "disconnect"]


async def test_devices_are_listed_by_id_and_an_unknown_one_is_told(autojump_clock):
    timebase = Timebase()
    async with supervised(FakeStage("stage", timebase), FakeMeter("meter", timebase)) as bench:
        assert [device.id for device in bench.supervisor.devices()] == ["meter", "stage"]
        with pytest.raises(
            UnknownDeviceError, match=r"no device 'stag'; there are meter, stage"
        ) as e:
            bench.supervisor.device("stag")
        assert e.value.advice == "did you mean 'stage'?"


async def test_a_device_that_fails_at_start_blocks_nobody_and_comes_back(autojump_clock):
    timebase = Timebase()
    broken, meter = FakeStage("stage", timebase), FakeMeter("meter", timebase)
    broken.on_connect = failing(DeviceError("no answer on /dev/ttyUSB0"), times=2)
    async with supervised(broken, meter) as bench:
        device = bench.supervisor.device("stage")
        assert device.snapshot().state is DeviceState.OFFLINE
        assert device.snapshot().reason == "no answer on /dev/ttyUSB0"
        assert await bench.supervisor.device("meter").call("read") == 0.5
        with pytest.raises(OfflineError, match=r"stage: offline since .* UTC: no answer on"):
            await device.call("position")
        await trio.sleep(2.9)
        assert device.snapshot().state is DeviceState.OFFLINE  # 1 s + 2 s of back-off
        await trio.sleep(0.2)
        assert device.snapshot().state is DeviceState.READY
        assert broken.log == ["connect"] * 3  # what never connected is not disconnected


async def test_a_device_that_hangs_at_start_delays_the_daemon_by_two_seconds_only(autojump_clock):
    timebase = Timebase()
    hanging = FakeStage("stage", timebase)
    hanging.on_connect = hang
    began = trio.current_time()
    async with supervised(hanging, FakeMeter("meter", timebase)) as bench:
        assert trio.current_time() - began == pytest.approx(2.0)
        device = bench.supervisor.device("stage")
        assert device.snapshot().state is DeviceState.CONNECTING
        with pytest.raises(OfflineError, match="still being connected"):
            await device.call("position")
        await trio.sleep(8.5)
        assert device.snapshot().state is DeviceState.OFFLINE
        assert "did not answer within 10 s" in device.snapshot().reason


async def test_a_poll_whose_answers_stay_wrong_is_counted_and_the_device_stays(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        stage.on_poll = failing(DeviceError("stage: reply '?7' is nonsense"))
        await trio.sleep(5.1)
        snapshot = device.snapshot()
        assert (snapshot.state, snapshot.fields) == (DeviceState.DEGRADED, {})
        assert snapshot.reason == "an answer was wrong: reply '?7' is nonsense"
        assert snapshot.failed_questions in (3, 4)
        assert stage.log == ["connect"]
        stage.on_poll = None
        await trio.sleep(1.5)
        assert device.snapshot().state is DeviceState.READY
        assert device.snapshot().fields == {"position": 0.0, "moving": False}


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_wrong_answer_is_asked_for_again_before_it_counts(autojump_clock, times):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
        stage.on_poll = failing(DeviceError("stage: reply '?7' is nonsense"), times=times)
        await trio.sleep(3)
        assert device.snapshot().state is DeviceState.READY
        assert device.snapshot().failed_questions == 0


async def test_a_device_whose_first_answers_are_wrong_is_not_connected_again_and_again(
    autojump_clock,
):
    meter = FakeMeter("meter", Timebase())
    meter.on_poll = failing(DeviceError("meter: reply '?7' is nonsense"))
    async with supervised(meter) as bench:
        await trio.sleep(60)
        assert meter.log == ["connect"]
        assert bench.supervisor.device("meter").snapshot().state is DeviceState.DEGRADED
        assert await bench.supervisor.device("meter").call("read") == 0.5


async def test_a_poll_that_hangs_takes_the_device_offline(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        meter.on_poll = hang
        await trio.sleep(6.1)
        assert (
            "poll did not answer within 5 s" in bench.supervisor.device("meter").snapshot().reason
        )


async def test_a_defect_of_a_driver_is_told_of_its_device_alone(autojump_clock, caplog):
    timebase = Timebase()
    broken, meter = FakeMeter("broken", timebase), FakeMeter("meter", timebase)
    async with supervised(broken, meter) as bench:
        broken.on_poll = failing(ZeroDivisionError("division by zero"))
        with caplog.at_level(logging.ERROR):
            await trio.sleep(2)
        device = bench.supervisor.device("broken")
        assert device.snapshot().state is DeviceState.DEGRADED
        assert "ZeroDivisionError: division by zero" in device.snapshot().reason
        assert any(record.exc_info for record in caplog.records)
        assert await bench.supervisor.device("meter").call("read") == 0.5


@pytest.mark.parametrize("given", [[1, 2], 1j, object(), None, {}])
async def test_a_poll_that_gives_something_else_than_scalars_is_a_defect(autojump_clock, given):
    meter = FakeMeter("meter", Timebase())
    meter.value = given
    async with supervised(meter) as bench:
        reason = bench.supervisor.device("meter").snapshot().reason
        assert f"poll: reading gave {type(given).__name__}, not a plain scalar" in reason


async def test_a_defect_in_a_command_is_an_error_of_the_device_with_its_cause(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    async with supervised(laser) as bench:
        device = bench.supervisor.device("laser")
        laser.on_open = failing(KeyError("gain"), times=1)
        with pytest.raises(
            DeviceError, match=r"laser: open\(\): the driver failed: KeyError: 'gain'"
        ):
            await device.call("open")
        assert device.snapshot().state is DeviceState.READY


async def test_what_changes_something_is_never_asked_for_twice(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    calls = []

    async def refuse():
        calls.append(await trio.lowlevel.checkpoint())
        raise DeviceError("laser: ERR 5")

    laser.on_open = refuse
    async with supervised(laser) as bench:
        with pytest.raises(DeviceError, match="ERR 5"):
            await bench.supervisor.device("laser").call("open")
    assert len(calls) == 1


async def test_a_question_that_stays_refused_leaves_the_device_online(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.on_read = failing(DeviceError("meter: over range"))
        with pytest.raises(DeviceError, match="over range"):
            await device.call("read")
        assert device.snapshot().state is DeviceState.DEGRADED
        assert device.snapshot().failed_questions == 1
        meter.on_read = failing(DeviceError("meter: over range"), times=1)
        assert await device.call("read") == 0.5  # asked again


BROKEN_LINES = [
    OSError(5, "Input/output error"),
    TimeoutError("no reply"),
    ConnectionResetError("peer"),
    EOFError(),
    trio.BrokenResourceError(),
    trio.TooSlowError(),
]


@pytest.mark.parametrize("error", BROKEN_LINES, ids=lambda error: type(error).__name__)
async def test_whatever_a_library_calls_a_broken_line_takes_the_device_offline(
    autojump_clock, error
):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.on_read = failing(error, times=1)
        with pytest.raises(OfflineError, match=type(error).__name__):
            await device.call("read")
        assert device.snapshot().state is DeviceState.OFFLINE


async def test_a_command_that_finds_the_device_gone_takes_it_offline(autojump_clock):
    timebase = Timebase()
    meter = FakeMeter("meter", timebase)
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.on_read = failing(OfflineError("meter: the port was closed"), times=1)
        with pytest.raises(OfflineError, match="port was closed"):
            await device.call("read")
        assert device.snapshot().state is DeviceState.OFFLINE
        with pytest.raises(
            OfflineError,
            match=r"meter: offline since \d{4}-\d\d-\d\d [\d:]{8} UTC: the port was closed",
        ):
            await device.call("read")


async def test_a_lost_device_breaks_off_what_waits_for_it(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("stage")

        @nursery.start_soon
        async def lose():
            await trio.sleep(1)
            stage.on_poll = failing(OfflineError("unplugged"), times=1)

        with pytest.raises(OfflineError, match=r"stage: move_abs\(9\.0\) failed: unplugged"):
            await device.call("move_abs", 9.0)
        assert trio.current_time() < 5


async def test_the_next_session_waits_until_a_stuck_driver_has_ended():
    release = threading.Event()
    meter = FakeMeter("meter", Timebase())
    timing = Timing(active_poll_s=0.001, idle_poll_s=0.001, poll_s=0.01)
    async with supervised(meter, timing=timing) as bench:
        device = bench.supervisor.device("meter")
        seen = bench.supervisor.version
        meter.on_poll = stuck_until(release)
        try:
            with trio.fail_after(5):
                while device.snapshot().state is DeviceState.READY:
                    seen = await bench.supervisor.wait_changed(seen)
            await trio.sleep(0.02)
            assert meter.log == ["connect"]
            outcome = await device.stop(timeout=0.05)
            assert outcome.outcome is StopOutcome.UNREACHABLE
        finally:
            meter.on_poll = None
            release.set()
        with trio.fail_after(5):
            while device.snapshot().state is not DeviceState.READY:
                seen = await bench.supervisor.wait_changed(seen)
        # The stop that could not be done is done first.
        assert meter.log == ["connect", "disconnect", "connect", "stop"]


async def test_an_idle_device_is_polled_once_a_second_and_a_watched_one_five_times(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench, trio.open_nursery() as nursery:
        before = meter.polls
        await trio.sleep(10.1)
        assert 9 <= meter.polls - before <= 10
        nursery.start_soon(bench.supervisor.wait_changed, bench.supervisor.version)
        before = meter.polls
        await trio.sleep(10.1)
        assert 49 <= meter.polls - before <= 51
        nursery.cancel_scope.cancel()


async def test_a_moving_device_is_polled_fast(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        before = stage.polls
        await bench.supervisor.device("stage").call("move_abs", 4.0)
        assert 18 <= stage.polls - before <= 21


async def test_a_poll_that_was_overtaken_by_a_command_does_not_bring_old_news(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    gate = trio.Event()
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        old_fields = meter.fields()
        meter.on_poll = gate.wait
        meter.fields = lambda: old_fields | {"temperature": 21.5}
        await trio.sleep(1.1)
        meter.value = 0.9
        await device.call("read")
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert device.snapshot().fields == {"reading": 0.9, "temperature": 21.5}


async def test_watchers_wake_on_changes_and_only_on_changes(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        version = bench.supervisor.version
        with trio.move_on_after(5) as waited:
            await bench.supervisor.wait_changed(version)
        assert waited.cancelled_caught
        meter.value = 0.7
        assert await bench.supervisor.wait_changed(version) == version + 1
        assert bench.supervisor.device("meter").snapshot().fields == {"reading": 0.7}
        # A watcher that comes from before a restart has seen more than there is.
        assert await bench.supervisor.wait_changed(10**9) == version + 1


async def test_a_device_that_could_not_be_built_is_listed_with_the_reason(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter, failures={"camera": "no module 'pixels'"}) as bench:
        device = bench.supervisor.device("camera")
        assert device.snapshot().state is DeviceState.OFFLINE
        assert device.snapshot().reason == "no module 'pixels'"
        assert device.description.capabilities == frozenset()
        assert (await device.stop()).outcome is StopOutcome.UNREACHABLE
        assert await device.settings() == {}
        assert dict(bench.supervisor.failures) == {"camera": "no module 'pixels'"}


async def test_a_daemon_without_devices_is_supervised_too(autojump_clock):
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor({}, Bus(), Timebase())
        await nursery.start(supervisor.run)
        assert supervisor.devices() == ()
        assert await supervisor.stop_devices() == ()
        nursery.cancel_scope.cancel()


async def test_after_the_end_every_device_is_offline(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        device = bench.supervisor.device("stage")
    with pytest.raises(OfflineError, match="let it go"):
        await device.call("position")
    assert (await device.stop()).outcome is StopOutcome.UNREACHABLE


async def test_the_end_does_not_wait_for_a_device_that_hangs_in_disconnect(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.disconnect = hang
    async with supervised(meter):
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(2.0)


async def test_a_failing_disconnect_is_logged_and_no_more(autojump_clock, caplog):
    meter = FakeMeter("meter", Timebase())
    meter.disconnect = failing(RuntimeError("cable"))
    async with supervised(meter):
        pass
    assert "disconnect failed" in caplog.text


async def test_settings_are_what_the_driver_says_or_nothing(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        assert await device.settings() == {"reading": 0.5}
        meter.settings = hang  # type: ignore[assignment]
        assert await device.settings() == {}
        meter.settings = failing(DeviceError("meter: no"))
        assert await device.settings() == {}


async def test_representations_tell_the_state(autojump_clock):
    timebase = Timebase()
    async with supervised(FakeStage("stage", timebase), FakeCamera("camera", timebase)) as bench:
        assert repr(bench.supervisor.device("stage")) == "<Device stage ready idle>"
        assert repr(bench.supervisor).startswith("<Supervisor of 2 devices, version ")


async def test_while_a_device_is_let_go_it_is_offline_and_a_stop_still_answers(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.disconnect = hang
    async with trio.open_nursery() as outer:
        async with supervised(meter) as bench:
            device = bench.supervisor.device("meter")

            @outer.start_soon
            async def late_callers():
                await trio.sleep(1)
                assert (await device.stop()).outcome is StopOutcome.UNREACHABLE
                with pytest.raises(OfflineError, match="let it go"):
                    await device.call("read")
                assert await device.settings() == {}

        assert trio.current_time() > 1


async def test_calls_in_progress_at_the_end_are_cut_off(autojump_clock):
    stage = FakeStage("stage", Timebase())
    async with trio.open_nursery() as outer, supervised(stage) as bench:
        device = bench.supervisor.device("stage")

        @outer.start_soon
        async def move():
            with pytest.raises(OfflineError, match=r"stage: move_abs\(9\.0\)"):
                await device.call("move_abs", 9)

        await trio.sleep(1)


async def test_a_driver_that_cannot_describe_itself_fails_alone(autojump_clock):
    class Nameless(FakeMeter):
        @property
        def description(self):
            raise LookupError("no model")

    timebase = Timebase()
    async with supervised(Nameless("broken", timebase), FakeMeter("meter", timebase)) as bench:
        snapshot = bench.supervisor.device("broken").snapshot()
        assert snapshot.reason == "the driver failed: LookupError: no model"
        assert list(bench.supervisor.failures) == ["broken"]
        assert await bench.supervisor.device("meter").call("read") == 0.5


async def test_an_error_out_of_a_drivers_own_nursery_is_the_error_itself(autojump_clock):
    meter = FakeMeter("meter", Timebase())

    async def read_in_parallel():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing(DeviceError("meter: over range")))
            nursery.start_soon(hang)

    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.on_read = read_in_parallel
        with pytest.raises(DeviceError, match=r"^meter: over range$"):
            await device.call("read")
        assert device.snapshot().reason == "an answer was wrong: over range"


@pytest.mark.parametrize("error", [DeviceError("stage: no reply"), ValueError("defect")])
async def test_a_driver_that_fails_while_it_is_cancelled_ends_nothing_else(autojump_clock, error):
    timebase = Timebase()
    stage, meter = FakeStage("stage", timebase), FakeMeter("meter", timebase)

    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise error

    async def move_in_parallel():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(hang)

    stage.on_move = move_in_parallel
    async with supervised(stage, meter) as bench:
        device = bench.supervisor.device("stage")
        with trio.move_on_after(1) as cancelled:
            await device.call("move_abs", 1)
        assert cancelled.cancelled_caught
        assert await bench.supervisor.device("meter").call("read") == 0.5
        await trio.sleep(5)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def move():
                with pytest.raises(OfflineError, match="unplugged"):
                    await device.call("move_abs", 1)

            await trio.sleep(0.1)
            stage.on_poll = failing(OfflineError("unplugged"), times=1)
        assert await bench.supervisor.device("meter").call("read") == 0.5


async def test_a_driver_that_fails_at_the_end_of_the_daemon_does_not_disturb_it(autojump_clock):
    stage = FakeStage("stage", Timebase())

    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise DeviceError("stage: no reply")

    async def move_in_parallel():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(hang)

    stage.on_move = move_in_parallel
    async with trio.open_nursery() as outer, supervised(stage) as bench:
        device = bench.supervisor.device("stage")

        @outer.start_soon
        async def move():
            with pytest.raises(DeviceError, match="stage: "):
                await device.call("move_abs", 1)

        await trio.sleep(1)
    assert stage.log == ["connect", "move 1", "disconnect"]
