"""A reading that is none: an overload is the state of a reading, and a driver may give anything."""

import asyncio
import math
from typing import Any

import numpy as np
import pytest
import trio

from daq.core import (
    Channel,
    DeviceError,
    DeviceState,
    Invalid,
    InvalidReadingError,
    StopOutcome,
)
from daq.drivers import Timebase
from tests.unit.supervision.fakes import (
    FakeCamera,
    FakeLaser,
    FakeMeter,
    FakeStage,
    failing,
    supervised,
)


class UnspeakableError(Exception):
    def __str__(self):
        raise ValueError("no text")


BAD_ERRORS = [
    asyncio.CancelledError(),
    SystemExit(3),
    GeneratorExit(),
    UnspeakableError(),
    ValueError("x" * 100_000),
    DeviceError("meter: " + "x" * 100_000),
    BaseExceptionGroup("two", [SystemExit(1), ValueError("y")]),
    StopAsyncIteration(),
]
NO_READINGS = {
    "None": None,
    "text": "1.5",
    "object": object(),
    "list": [1.0, [2.0]],
    "complex infinity": complex(math.inf, 0),
    "nan": math.nan,
    "inf": math.inf,
    "array of objects": np.array([None, 1]),
    "array of texts": np.array(["a"]),
    "empty array": np.array([]),
    "beyond int64": 1 << 70,
}


async def test_an_overload_is_the_state_of_a_reading(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.on_read = failing(InvalidReadingError("meter: overload: 'READ?' is +9.9E37"))
    meter.fields = lambda: {"reading": Invalid("overload: 'READ?' is +9.9E37"), "range": 1}
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        await trio.sleep(10)
        snapshot = device.snapshot()
        assert (snapshot.state, snapshot.fields) == (DeviceState.READY, {"range": 1})
        assert snapshot.invalid == {"reading": "overload: 'READ?' is +9.9E37"}
        assert snapshot.failed_questions == 0
        assert meter.log == ["connect"]
        for take in (lambda: device.call("read"), device.acquire):
            with pytest.raises(InvalidReadingError, match="overload"):
                await take()
        (block,) = await device.begin_acquire(no_value=True).finish()
        assert math.isnan(block.last())
        meter.on_read, meter.fields = None, lambda: {"reading": 0.5}
        assert await device.call("read") == 0.5
        assert (device.snapshot().invalid, device.snapshot().fields["reading"]) == ({}, 0.5)


async def test_no_value_is_not_invented_for_what_cannot_hold_it(autojump_clock):
    meter = FakeMeter("meter", Timebase())
    meter.extra["channel"] = Channel("meter", "counts", "i8")
    meter.on_read = failing(InvalidReadingError("meter: overload"))
    async with supervised(meter) as bench:
        with pytest.raises(InvalidReadingError):
            await bench.supervisor.device("meter").begin_acquire(no_value=True).finish()


@pytest.mark.parametrize("given", NO_READINGS.values(), ids=NO_READINGS)
async def test_a_reading_that_is_none_is_refused_and_nothing_is_published(autojump_clock, given):
    meter = FakeMeter("meter", Timebase())
    async with supervised(meter) as bench:
        device = bench.supervisor.device("meter")
        meter.value = given
        with pytest.raises(DeviceError, match="meter: read gave"):
            await device.call("read")
        with pytest.raises(DeviceError, match="meter: read gave"):
            await device.acquire()
        assert bench.bus.channels() == ()
        assert device.snapshot().state.is_online


async def test_a_driver_that_gives_no_reading_at_all_is_named_with_the_type(autojump_clock):
    meter: Any = FakeMeter("meter", Timebase())
    stage: Any = FakeStage("stage", Timebase())
    meter.now = stage.now = lambda _: None
    async with supervised(meter, stage) as bench:
        with pytest.raises(DeviceError, match="read gave NoneType, not a Reading"):
            await bench.supervisor.device("meter").call("read")
        with pytest.raises(DeviceError, match="position gave NoneType, not a Reading"):
            await bench.supervisor.device("stage").call("position")


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), ()])
async def test_a_frame_of_another_shape_is_refused(autojump_clock, shape):
    camera: Any = FakeCamera("camera", Timebase())
    camera.now = lambda _: FakeCamera.now(camera, np.zeros(shape, np.uint16))
    async with supervised(camera) as bench:
        with pytest.raises(DeviceError, match=r"frames gave the shape .*; \(3, 4\) is described"):
            await bench.supervisor.device("camera").call("frames", 1)


@pytest.mark.parametrize("given", [None, "on", 2, 0.5, [True]])
async def test_what_is_neither_true_nor_false_is_refused(autojump_clock, given):
    laser = FakeLaser("laser", Timebase())
    laser.emits = given
    async with supervised(laser) as bench:
        with pytest.raises(DeviceError, match=f"get.emission. gave {type(given).__name__}"):
            await bench.supervisor.device("laser").call("emission")


async def test_a_text_without_end_is_refused(autojump_clock):
    laser = FakeLaser("laser", Timebase())
    laser.values["serial"] = "x" * 100_000
    async with supervised(laser) as bench:
        with pytest.raises(DeviceError, match="gave a text of 100000 characters"):
            await bench.supervisor.device("laser").call("get", "serial")


@pytest.mark.parametrize("error", BAD_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["on_poll", "on_read", "on_stop", "on_connect"])
async def test_whatever_a_driver_raises_its_device_alone_suffers(autojump_clock, where, error):
    timebase = Timebase()
    bad, good = FakeMeter("bad", timebase), FakeMeter("good", timebase)
    setattr(bad, where, failing(error))
    async with supervised(bad, good) as bench:
        device = bench.supervisor.device("bad")
        await trio.sleep(3)
        if where in ("on_read", "on_connect"):
            with pytest.raises(DeviceError) as caught:
                await device.call("read")
            assert len(str(caught.value)) < 3000
        stop = await device.stop()
        assert (stop.outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE)) is (
            where in ("on_stop", "on_connect")
        )
        assert await bench.supervisor.device("good").call("read") == 0.5
        assert len(device.snapshot().reason) < 3000
