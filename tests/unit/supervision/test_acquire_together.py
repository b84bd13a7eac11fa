"""Several devices read for one event: at the same time, and all or nothing."""

import pytest
import trio

from daq.core import DeviceError, OfflineError, Reading, UnknownDeviceError
from daq.drivers import Timebase

from .fakes import FakeCamera, FakeMeter, FakeStage, supervised


def slow_meter(name, seconds):
    meter = FakeMeter(name, Timebase())

    async def read():
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            meter.log.append("gave up")
            raise
        return Reading(1.0, 0)

    meter.read = read
    return meter


async def test_devices_are_read_at_the_same_time_and_answer_in_the_order_asked(autojump_clock):
    first, second = slow_meter("first", 1.0), slow_meter("second", 1.0)
    async with supervised(first, second) as bench:
        began = trio.current_time()
        blocks = await bench.supervisor.acquire(["second", "first"])
        assert [block.channel for block in blocks] == ["second", "first"]
        assert trio.current_time() - began == pytest.approx(1.0, abs=0.1)


async def test_when_one_fails_the_others_are_given_up(autojump_clock):
    camera, meter = FakeCamera("camera", Timebase()), FakeMeter("meter", Timebase())

    async def broken():
        raise DeviceError("meter: D? answered '+++'")

    meter.read = broken
    async with supervised(camera, meter) as bench:
        began = trio.current_time()
        with pytest.raises(DeviceError, match="answered"):
            await bench.supervisor.acquire(["meter", "camera"])
        assert trio.current_time() - began < 5.0
        assert not camera.acquiring
        assert bench.supervisor.device("camera").snapshot().activity == ""


async def test_a_device_that_cannot_begin_leaves_none_behind(autojump_clock):
    camera, stage = FakeCamera("camera", Timebase()), FakeStage("stage", Timebase())

    async def unreachable():
        raise OfflineError("stage: no answer")

    stage.on_poll = unreachable
    async with supervised(camera, stage) as bench:
        for ids, error in (
            (["camera", "stage"], OfflineError),
            (["camera", "x"], UnknownDeviceError),
        ):
            with pytest.raises(error):
                await bench.supervisor.acquire(ids)
            assert not camera.acquiring


async def test_cancelled_all_of_them_are_given_up(autojump_clock):
    meters = [slow_meter(name, 100.0) for name in ("a", "b")]
    async with supervised(*meters) as bench:
        with trio.move_on_after(1.0) as scope:
            await bench.supervisor.acquire(["a", "b"])
        assert scope.cancelled_caught
        assert [meter.log[-1] for meter in meters] == ["gave up", "gave up"]
