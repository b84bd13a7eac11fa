"""What holds for every driver that reads, triggers, or delivers frames and samples."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import numpy as np
import trio

from daq.core import (
    Capability,
    DaqError,
    DeviceError,
    FrameProducer,
    Readable,
    Reading,
    SampleProducer,
    Triggerable,
)
from daq.drivers import Driver
from daq.testing.driver_checks import Check
from daq.testing.driver_subject import (
    ConformanceError,
    Subject,
    check_reading,
    expect,
    expect_error,
)

__all__ = ["ACQUIRING"]


async def readings_are_true_and_in_order(subject: Subject) -> None:
    """Readings have the channel's shape, times within the call, and never go back in time."""
    async with subject.connected() as driver:
        source = _readable(driver)
        times = [(await _read(driver, source)).timestamp_ns for _ in range(5)]
        expect(times == sorted(times), f"timestamps go back: {times}")


async def a_cancelled_read_spoils_nothing(subject: Subject) -> None:
    """After a read was cancelled at any moment, the next is true again."""
    async with subject.connected() as driver:
        source = _readable(driver)
        for after in (0.0, 1e-4, 1e-3, 1e-2):
            with trio.move_on_after(after):
                await source.read()
            await _read(driver, source)


async def triggers_need_arming(subject: Subject) -> None:
    """An unarmed trigger is refused; an armed one gives its time; `stop` disarms."""
    async with subject.connected() as driver:
        if not isinstance(driver, Triggerable):
            raise ConformanceError("it declares triggerable and has no trigger")
        await expect_error(DaqError, "a trigger before arm", driver.trigger)
        await driver.arm()
        timebase = driver.context.timebase
        before = timebase.now_ns()
        time_ns = await driver.trigger()
        expect(before <= time_ns <= timebase.now_ns(), "the trigger's time is outside of the call")
        await driver.stop()
        await expect_error(DaqError, "a trigger after stop", driver.trigger)


async def frames_come_in_order(subject: Subject) -> None:
    """As many as were asked for, of the declared shape, one after the other in time."""
    async with subject.connected() as driver:
        frames = await _take(driver, _camera(driver).frames(3), 10)
        expect(len(frames) == 3, f"asked for 3 frames, it delivered {len(frames)}")
        times = [frame.timestamp_ns for frame in frames]
        expect(all(a < b for a, b in pairwise(times)), f"frame times do not increase: {times}")
        width, height = driver.description.resolution or (0, 0)
        shape = np.asarray(frames[0].value).shape
        expect(
            shape == (height, width), f"frames are {shape}, the resolution is {width} x {height}"
        )
        await expect_error(
            DaqError, "frames(0)", lambda: _take(driver, _camera(driver).frames(0), 1)
        )


async def frames_can_be_left_and_resumed(subject: Subject) -> None:
    """An endless acquisition may be closed or cancelled at any time, and started again."""
    async with subject.connected() as driver:
        for _ in range(2):
            expect(len(await _take(driver, _camera(driver).frames(None), 2)) == 2, "frames run out")
        with trio.move_on_after(1e-3):
            await _take(driver, _camera(driver).frames(None), 1_000_000)
        expect(len(await _take(driver, _camera(driver).frames(1), 2)) == 1, "frames do not resume")


async def stop_ends_frames(subject: Subject) -> None:
    """A counted acquisition that is stopped raises; an endless one ends."""
    async with subject.connected() as driver:
        camera = _camera(driver)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                expect_error,
                DeviceError,
                "a stopped acquisition of counted frames",
                lambda: _take(driver, camera.frames(1_000_000), 1_000_000),
            )
            await trio.sleep(0.1)
            expect(await driver.stop() is True, "stop during frames does not return True")
        async with aclosing(camera.frames(None)) as stream:
            async for _ in stream:
                await driver.stop()
        expect(await driver.stop() is False, "frames that were stopped still run")


async def samples_have_no_gaps(subject: Subject) -> None:
    """Each block begins where the last one ended, in samples and in time, at a steady pace."""
    async with subject.connected() as driver:
        blocks = await _blocks(driver, 5)
        for (first, period_ns), (second, _) in pairwise(blocks):
            samples = np.asarray(first.value)
            expect(samples.ndim == 1 and len(samples) > 0, f"a block has the shape {samples.shape}")
            end_ns = first.timestamp_ns + len(samples) * period_ns
            expect(
                end_ns == second.timestamp_ns,
                f"a block ends at {end_ns} and the next begins at {second.timestamp_ns}",
            )
        latest = blocks[-1][0].timestamp_ns
        expect(latest <= driver.context.timebase.now_ns(), "samples come from the future")
        expect(len(await _blocks(driver, 1)) == 1, "samples do not resume")


async def stop_ends_samples(subject: Subject) -> None:
    """A stream of samples that is stopped ends."""
    async with subject.connected() as driver:
        async with aclosing(_sampler(driver).samples()) as stream:
            async for _ in stream:
                expect(await driver.stop() is True, "stop during samples does not return True")
        expect(await driver.stop() is False, "samples that were stopped still run")


def _readable(driver: Driver) -> Readable:
    if not isinstance(driver, Readable):
        raise ConformanceError("it declares readable and has no read")
    return driver


def _camera(driver: Driver) -> FrameProducer:
    if not isinstance(driver, FrameProducer):
        raise ConformanceError("it declares frame_producer and has no frames")
    return driver


def _sampler(driver: Driver) -> SampleProducer:
    if not isinstance(driver, SampleProducer):
        raise ConformanceError("it declares sample_producer and has no samples")
    return driver


async def _read(driver: Driver, source: Readable) -> Reading:
    before = driver.context.timebase.now_ns()
    reading = await source.read()
    check_reading(driver, reading, before, driver.context.timebase.now_ns())
    return reading


async def _take(driver: Driver, frames: AsyncGenerator[Reading, None], most: int) -> list[Reading]:
    taken: list[Reading] = []
    before = driver.context.timebase.now_ns()
    async with aclosing(frames) as stream:
        async for frame in stream:
            check_reading(driver, frame, before, driver.context.timebase.now_ns())
            taken.append(frame)
            if len(taken) == most:
                break
    return taken


async def _blocks(driver: Driver, count: int) -> list[tuple[Reading, int]]:
    blocks: list[tuple[Reading, int]] = []
    async with aclosing(_sampler(driver).samples()) as stream:
        async for block in stream:
            blocks.append(block)
            if len(blocks) == count:
                break
    return blocks


ACQUIRING: tuple[tuple[Capability | None, Check], ...] = (
    (Capability.READABLE, readings_are_true_and_in_order),
    (Capability.READABLE, a_cancelled_read_spoils_nothing),
    (Capability.TRIGGERABLE, triggers_need_arming),
    (Capability.FRAME_PRODUCER, frames_come_in_order),
    (Capability.FRAME_PRODUCER, frames_can_be_left_and_resumed),
    (Capability.FRAME_PRODUCER, stop_ends_frames),
    (Capability.SAMPLE_PRODUCER, samples_have_no_gaps),
    (Capability.SAMPLE_PRODUCER, stop_ends_samples),
)
