"""Stopping a device: bounded, never refused a hearing, and told as it was."""

from __future__ import annotations

import trio

from daq.core import Capability, DeviceError, DeviceStop, OfflineError, StopOutcome
from daq.supervision.device.acquisition import follow_position
from daq.supervision.device.device_task import DeviceTask
from daq.supervision.device.job import Job
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.timing import Timing

__all__ = ["Stopper"]


class Stopper:
    """Gives each stop its own time. Who asks while a stop is under way waits for that same one.

    An attempt that is late is reported as such and goes on trying: hardware that stops late is
    better than hardware that does not stop.
    """

    def __init__(self, instrument: OperationContext, task: DeviceTask, timing: Timing) -> None:
        self._instrument = instrument
        self._task = task
        self._timing = timing
        self._attempts: dict[bool, Job] = {}
        self._idle = trio.Event()
        self._idle.set()

    async def stop(self, timeout: float, *, safe: bool, by: str) -> DeviceStop:
        """Stop the device; the answer comes within `timeout` seconds and never as an exception."""
        began = trio.current_time()
        if reason := self._instrument.status.unavailable():
            await trio.lowlevel.checkpoint()
            return DeviceStop(self._instrument.id, StopOutcome.UNREACHABLE, 0.0, reason)
        attempt = self._attempts.get(safe) or self._start(by, safe=safe)
        with trio.move_on_after(timeout):
            await attempt.wait_answer()
        outcome, message = _verdict(attempt, timeout)
        return DeviceStop(self._instrument.id, outcome, trio.current_time() - began, message)

    async def wait_idle(self) -> None:
        """Until no stop is under way."""
        await self._idle.wait()

    def _start(self, by: str, *, safe: bool) -> Job:
        attempt = Job("make_safe" if safe else "stop", by=by)
        self._task.start(attempt, self._attempt, by, safe)
        self._attempts[safe] = attempt
        self._task.stopping.append(attempt)
        if self._idle.is_set():
            self._idle = trio.Event()
        return attempt

    async def _attempt(self, by: str, safe: bool) -> StopOutcome:
        try:
            interrupted = await self._clear(by)
            changed = await self._command_stop(safe=safe)
            self._instrument.status.note_at_rest("armed", "moving")
            if interrupted and Capability.MOVABLE in self._instrument.description.capabilities:
                self._task.start(Job("position"), follow_position, self._instrument)
            return StopOutcome.STOPPED if changed or interrupted else StopOutcome.IDLE
        finally:
            self._task.stopping.remove(self._attempts.pop(safe))
            if not self._attempts:
                self._idle.set()

    async def _command_stop(self, *, safe: bool) -> bool:
        driver = self._instrument.driver
        with trio.move_on_after(self._timing.stop_s):
            return bool(await (driver.make_safe() if safe else driver.stop()))
        raise DeviceError(
            f"{self._instrument.id}: the stop did not end within {self._timing.stop_s:g} s"
        )

    async def _clear(self, by: str) -> bool:
        """Break off what is in progress, so that the driver's stop comes after it.

        A short command that cannot be broken off half way, such as opening a shutter, may end by
        itself first. Nothing gets more than a moment: a driver that is stuck is stopped beside it.
        """
        interrupted = False
        # The stream first: a live view must not take the detector that the command lets go of.
        for job in (self._task.stream, self._task.command):
            if job is not None:
                interrupted |= await self._break_off(job, by)
        return interrupted

    async def _break_off(self, job: Job, by: str) -> bool:
        if not job.is_cancellable:
            with trio.move_on_after(self._timing.unwind_s):
                await job.wait_ended()
        if job.ended:
            return False
        job.interrupt(DeviceError(f"{self._instrument.id}: {job} was stopped by {by or 'a stop'}"))
        with trio.move_on_after(self._timing.unwind_s):
            await job.wait_ended()
        return True


def _verdict(attempt: Job, timeout: float) -> tuple[StopOutcome, str]:
    if attempt.completed:
        return attempt.result, ""
    if isinstance(attempt.error, OfflineError):
        return StopOutcome.UNREACHABLE, attempt.error.message
    if attempt.error is not None:
        return StopOutcome.REFUSED, attempt.error.message
    if attempt.ended:
        return StopOutcome.UNREACHABLE, "the device was let go before it answered"
    return StopOutcome.UNREACHABLE, f"did not answer within {timeout:g} s"
