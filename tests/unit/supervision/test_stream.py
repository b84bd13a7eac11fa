"""Continuous acquisition."""

import numpy as np
import pytest
import trio

from daq.core import (
    BusyError,
    Capability,
    CapabilityError,
    Channel,
    DeviceError,
    DeviceState,
    OfflineError,
)
from daq.drivers import Timebase
from tests.unit.supervision.fakes import FakeCamera, FakeDigitizer, FakeMeter, supervised


async def test_frames_are_published_until_the_stream_is_stopped(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        with bench.bus.view("camera") as view:
            await device.start_stream()
            assert device.streaming
            assert device.snapshot().fields["streaming"] is True
            await trio.sleep(1.05)
            assert await device.stop_stream() == 10
            assert [(await view.receive()).sequence for _ in range(10)] == list(range(10))
        assert not device.streaming
        assert device.snapshot().fields["streaming"] is False
        assert camera.closed == 1


async def test_a_stream_of_so_many_frames_ends_by_itself(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream(3)
        await trio.sleep(1)
        assert not device.streaming
        assert await device.stop_stream() == 3
        assert await device.stop_stream() == 0
        await device.start_stream(1)
        await trio.sleep(1)
        assert await device.stop_stream() == 1


async def test_nothing_else_uses_the_detector_meanwhile(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream(100, by="alice")
        for attempt in (
            device.acquire,
            device.start_stream,
            lambda: device.call("frames", 1),
            lambda: device.call("trigger"),
        ):
            with pytest.raises(BusyError, match=r"stream\(100\) for alice is in progress"):
                await attempt()
        assert await device.call("exposure", 0.2) == 0.2
        await device.stop_stream()
        assert (await device.call("frames", 1)).shape == (1, 3, 4)


async def test_a_stream_does_not_begin_while_a_command_runs(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("camera")
        nursery.start_soon(device.call, "frames", 5)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BusyError, match=r"stream\(2\) was refused: frames\(5\) is in progress"):
            await device.start_stream(2)


@pytest.mark.parametrize("count", [0, -3, True])
async def test_a_count_that_is_none_is_refused(autojump_clock, count):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        with pytest.raises(DeviceError, match="count from 1"):
            await bench.supervisor.device("camera").start_stream(count)


async def test_a_device_that_cannot_stream_says_so(autojump_clock):
    async with supervised(FakeMeter("meter", Timebase())) as bench:
        with pytest.raises(CapabilityError, match="meter: cannot stream"):
            await bench.supervisor.device("meter").start_stream()
        assert await bench.supervisor.device("meter").stop_stream() == 0


async def test_a_stream_that_breaks_off_is_told_when_it_is_stopped(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    camera.delivers = 2
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream(5)
        await trio.sleep(1)
        assert device.snapshot().state is DeviceState.READY
        with pytest.raises(DeviceError, match="a stream of 5 ended after 2"):
            await device.stop_stream()


async def test_sample_blocks_carry_their_own_times(autojump_clock):
    digitizer = FakeDigitizer("digitizer", Timebase())
    async with supervised(digitizer) as bench:
        device = bench.supervisor.device("digitizer")
        with bench.bus.view() as view:
            await device.start_stream(12)
            await trio.sleep(1)
            assert await device.stop_stream() == 12
            blocks = [await view.receive() for _ in range(3)]
        assert [len(block) for block in blocks] == [5, 5, 2]
        assert [block.sequence for block in blocks] == [0, 5, 10]
        assert np.concatenate([block.values for block in blocks]).tolist() == list(range(12))
        times = np.concatenate([block.timestamps for block in blocks])
        assert set(np.diff(times)) == {1_000_000}
        assert (blocks[0].channel, blocks[0].units) == ("digitizer", "V")


async def test_samples_of_a_device_that_records_waveforms_go_beside(autojump_clock):
    class Scope(FakeDigitizer):
        capabilities = frozenset({Capability.SAMPLE_PRODUCER, Capability.READABLE})

        async def read(self):
            await trio.lowlevel.checkpoint()
            return self.now(np.zeros(8))

    scope = Scope("scope", Timebase())
    scope.extra["channel"] = Channel("scope", "V", shape=(8,))
    async with supervised(scope) as bench:
        device = bench.supervisor.device("scope")
        await device.start_stream(5)
        await device.call("read")
        await trio.sleep(1)
        assert bench.bus.channels() == ("scope", "scope.samples")


async def test_a_lost_device_ends_its_stream(autojump_clock):
    camera = FakeCamera("camera", Timebase())

    async def unplugged():
        raise OfflineError("unplugged")

    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream()
        await trio.sleep(0.5)
        camera.on_poll = unplugged
        await trio.sleep(1)
        assert device.snapshot().state is DeviceState.OFFLINE
        assert not device.streaming
        assert camera.closed == 1
        with pytest.raises(OfflineError, match=r"live_view\(\) failed: unplugged"):
            await device.stop_stream()


async def test_a_live_view_gives_way_to_a_scan_and_comes_back(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        with bench.bus.view("camera") as view:
            await device.start_stream(by="alice")
            await trio.sleep(1.05)
            began = trio.current_time()
            for _ in range(5):
                (block,) = await device.acquire()
                await device.publish(block)
                assert block.values[0, 0, 0] == 0  # a frame of its own, not one of the view's
                await trio.sleep(0.3)
            assert trio.current_time() - began == pytest.approx(5 * 0.4, abs=0.1)
            assert camera.closed == 6
            assert device.streaming
            before = view.statistics().lag
            await trio.sleep(2)
            assert view.statistics().lag - before >= 14
            assert await device.stop_stream() == view.statistics().lag - 5


async def test_a_live_view_waits_for_who_has_the_detector(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("camera")
        nursery.start_soon(device.call, "frames", 20)
        await trio.testing.wait_all_tasks_blocked()
        await device.start_stream()
        await trio.sleep(1.9)
        assert camera.closed == 0
        await trio.sleep(1.5)
        assert camera.closed == 1
        assert await device.stop_stream() > 0


async def test_a_live_view_does_not_disturb_an_armed_detector(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream()
        await trio.sleep(1.05)
        await device.call("arm")
        await trio.sleep(5)
        assert camera.closed == 1
        await device.call("trigger")
        await trio.sleep(5)
        assert await device.stop_stream() > 40


async def test_only_one_stream_at_a_time(autojump_clock):
    async with supervised(FakeCamera("camera", Timebase())) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream()
        for count in (None, 3):
            with pytest.raises(BusyError, match=r"live_view\(\) is in progress"):
                await device.start_stream(count)


async def test_a_view_that_ends_by_itself_is_told(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    camera.delivers = 2
    async with supervised(camera) as bench:
        device = bench.supervisor.device("camera")
        await device.start_stream()
        await trio.sleep(1)
        assert not device.streaming
        with pytest.raises(DeviceError, match="a live view ended after 2"):
            await device.stop_stream()


async def test_a_stop_ends_a_paused_view_and_the_acquisition_that_paused_it(autojump_clock):
    camera = FakeCamera("camera", Timebase())
    async with supervised(camera) as bench, trio.open_nursery() as nursery:
        device = bench.supervisor.device("camera")
        await device.start_stream()
        await trio.sleep(1)

        @nursery.start_soon
        async def acquire():
            with pytest.raises(DeviceError, match=r"frames\(50\) was stopped by alice"):
                await device.call("frames", 50)

        await trio.sleep(1)
        await device.stop(by="alice")
        assert not device.streaming
        assert camera.closed == 2
