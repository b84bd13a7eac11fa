"""Continuous acquisition: frames or sample blocks, published until enough or stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import trio

from daq.core import (
    Capability,
    CapabilityError,
    DeviceError,
    Measurement,
    OfflineError,
    Reading,
)
from daq.supervision.device.acquisition import checked_frame
from daq.supervision.device.device_task import DeviceTask
from daq.supervision.device.job import Job
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.timing import Timing

__all__ = ["Streamer"]


class Streamer:
    """Runs at most one stream of a device, in the device's own task.

    A stream of so many frames, or of samples, is a series: it holds the detector until its end.
    Frames without a count are a live view: whoever wants to acquire goes first, so that watching
    a camera never fails a scan, and the view goes on when the detector has been left alone.
    """

    def __init__(self, instrument: OperationContext, task: DeviceTask, timing: Timing) -> None:
        self._instrument = instrument
        self._task = task
        self._timing = timing
        self._last: Job | None = None
        self._captured = 0
        self._turn: trio.CancelScope | None = None
        """The live view's use of the detector, while it has it."""
        self._left = trio.Event()
        """The live view let go of the detector."""

    @property
    def is_streaming(self) -> bool:
        return self._task.stream is not None

    async def start(self, count: int | None, by: str) -> None:
        """Begin to publish; ends by itself after `count` frames, or samples of a sample producer.

        Raises CapabilityError, BusyError, OfflineError, or DeviceError for a wrong count.
        """
        instrument = self._instrument
        offered = instrument.description.capabilities
        if not offered & {Capability.FRAME_PRODUCER, Capability.SAMPLE_PRODUCER}:
            raise CapabilityError(f"{instrument.id}: cannot stream: it makes no frames or samples")
        if count is not None and (isinstance(count, bool) or count < 1):
            raise DeviceError(f"{instrument.id}: start_stream takes a count from 1, not {count!r}")
        instrument.status.require_ready()
        arguments = () if count is None else (count,)
        if Capability.FRAME_PRODUCER not in offered:
            self._begin(Job("stream", arguments, by=by), self._samples, count)
        elif count is None:
            self._begin(Job("live_view", by=by), self._live_view)
        else:
            self._begin(Job("stream", arguments, by=by), self._frames, count)
        await trio.lowlevel.checkpoint()

    async def stop(self) -> int:
        """End the stream, if there is one; returns how many frames or samples the last one gave.

        Raises DeviceError when the stream had failed, or does not end.
        """
        job = self._last
        if job is None:
            await trio.lowlevel.checkpoint()
            return 0
        job.scope.cancel()
        with trio.move_on_after(self._timing.cleanup_s):
            await job.wait_ended()
        self._last = None
        if not job.ended:
            reason = f"{self._instrument.id}: stop_stream: the device does not let go of the stream"
            self._task.lost(reason)
            raise DeviceError(reason)
        lost = isinstance(job.error, OfflineError)
        if job.error is not None and (lost or not job.interrupted):
            raise job.error
        return self._captured

    async def before_live_view(self, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Do an acquisition, after the live view let go of the detector."""
        if self._turn is not None:
            self._left = trio.Event()
            self._turn.cancel()
            await self._left.wait()
        return await step(*arguments)

    def _begin(self, job: Job, step: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        self._task.require_free(job)
        self._task.start(job, self._run, job, step, *arguments)
        self._task.commands += 1
        self._captured = 0
        self._task.stream = self._last = job
        self._instrument.status.note("streaming", True)

    async def _run(self, job: Job, step: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await step(*arguments)
        finally:
            if self._task.stream is job:
                self._task.stream = None
            self._instrument.status.note("streaming", False)

    async def _live_view(self) -> None:
        if self._is_detector_taken():
            await self._wait_left_alone()
        while True:
            try:
                with trio.CancelScope() as self._turn:
                    await self._frames(None)
            finally:
                self._turn = None
                self._left.set()
            await self._wait_left_alone()

    async def _wait_left_alone(self) -> None:
        """Until nobody has used the detector for a while: a scan takes it again and again."""
        seen = -1
        while self._is_detector_taken() or seen != self._task.acquisitions:
            seen = self._task.acquisitions
            await trio.sleep(self._timing.resume_s)

    def _is_detector_taken(self) -> bool:
        command = self._task.command
        return self._instrument.status.is_armed() or (
            command is not None and command.is_acquisition
        )

    async def _frames(self, count: int | None) -> None:
        async with aclosing(self._instrument.driver.frames(count)) as frames:
            async for frame in frames:
                if await self._publish(checked_frame(self._instrument, frame), count):
                    return
        raise self._broken_off(count)

    async def _samples(self, count: int | None) -> None:
        async with aclosing(self._instrument.driver.samples()) as blocks:
            async for block, period_ns in blocks:
                remaining = None if count is None else count - self._captured
                part = Reading(np.asarray(block.value)[:remaining], block.timestamp_ns)
                samples = self._instrument.publisher.samples(part, period_ns)
                if await self._publish(samples, count):
                    return
        raise self._broken_off(count)

    async def _publish(self, block: Measurement, count: int | None) -> bool:
        """True when enough was captured."""
        await self._instrument.publisher.publish(block)
        self._captured += len(block)
        # Neither a driver that replays nor a publication without waiting gives way by itself.
        await trio.lowlevel.checkpoint()
        return count is not None and self._captured >= count

    def _broken_off(self, count: int | None) -> DeviceError:
        series = "a live view" if count is None else f"a stream of {count}"
        return DeviceError(f"{self._instrument.id}: {series} ended after {self._captured}")
