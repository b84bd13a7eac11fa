"""A stop, from who asks for it to the answer; it reads from top to bottom.

stop()              somebody asks: an answer within the time given, never an exception
stop_after()        a command ended without its end: its caller is gone, or it failed
pay()               the device is back and something is owed
  _attempt()        one after the other:
    _break_off()    what is in progress, so that the stop comes after it
    _tell()         the instrument, also when it says that it is at rest
    _see_at_rest()  what moves is looked at until it rests
  _conclude()       what was not done stays owed; what is known from before is forgotten
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import trio

from daq.core import (
    Capability,
    DeviceError,
    DeviceState,
    DeviceStop,
    OfflineError,
    StopOutcome,
)
from daq.supervision.device.debts import Debts
from daq.supervision.device.device_task import DeviceTask
from daq.supervision.device.job import Job
from daq.supervision.device.motion import wait_rest
from daq.supervision.device.operation_context import OperationContext
from daq.supervision.device.timing import Timing
from daq.transport import urgently

__all__ = ["Stopper"]

logger = logging.getLogger(__name__)

UNSURE_S = 0.2
"""What has not been seen to move after a stop may be about to begin: so long it is watched."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What an attempt did."""

    began_at: float
    safe: bool
    changed: bool
    """Something was stopped, or brought to its safe state."""
    position: float | None
    commands: int
    """How many commands the device had been given by then."""
    took_s: float


class Stopper:
    """Gives each stop its own time. Who asks while a stop is under way waits for that same one.

    An attempt that is late is reported as such and goes on trying: hardware that stops late is
    better than hardware that does not stop.
    """

    def __init__(
        self, context: OperationContext, task: DeviceTask, timing: Timing, debts: Debts
    ) -> None:
        self._context = context
        self._task = task
        self._timing = timing
        self._debts = debts
        self._attempts: dict[bool, Job] = {}
        self._idle = trio.Event()
        self._idle.set()
        self._done: _Done | None = None
        """The last attempt that ended well."""
        self._was_cut_off = False
        """A command was cancelled, and no stop has come after it yet."""
        self._stopped_at = -math.inf
        """When the last attempt that had to change something began."""
        task.pay = self.pay

    # ------------------------------------------------------------------------------ who asks

    async def stop(
        self, timeout: float, *, safe: bool, by: str, since: float = math.inf, owe: bool = True
    ) -> DeviceStop:
        """Stop the device; the answer comes within `timeout` seconds and never as an exception.

        Args:
            timeout: Seconds until it counts as unreachable.
            safe: Bring it to its safe state too.
            by: Who asks.
            since: Trio time at which the ending began that this stop belongs to: what was done
                since then, and followed by no command, is not done again.
            owe: What is not done stays owed.
        """
        began = trio.current_time()
        if reason := self._context.status.unavailable() or self._task.unavailable():
            await trio.lowlevel.checkpoint()
            if owe and self._context.status.state is not DeviceState.DISABLED:
                self._debts.add(self._context.id, safe=safe, reason=reason)
            return self._answer(StopOutcome.UNREACHABLE, began, reason)
        if (done := self._find_done(safe, since)) is not None:
            await trio.lowlevel.checkpoint()
            outcome = StopOutcome.STOPPED if done.changed else StopOutcome.IDLE
            return self._answer(outcome, trio.current_time() - done.took_s, since=since)
        attempt = self._attempts.get(True) or self._attempts.get(safe) or self._start(by, safe=safe)
        with trio.move_on_after(timeout):
            await attempt.wait_answer()
        return self._conclude(attempt, began, timeout, safe=safe, since=since, owe=owe)

    async def stop_after(self, job: Job, *, safe: bool) -> DeviceStop | None:
        """End what a command began whose caller is gone, or that failed; bounded and shielded.

        Raises nothing. None for a command that leaves nothing to be stopped.
        """
        stop: DeviceStop | None = None
        bound = trio.current_time() + self._timing.cleanup_s
        with trio.CancelScope(shield=True, deadline=bound):
            if job.is_cancellable:
                why = "its failure" if job.ended else "a cancellation"
                self._was_cut_off |= not job.ended
                self._task.unfinished = True
                job.scope.cancel()
                stop = await self.stop(self._timing.cleanup_s, safe=safe, by=why)
                if stop.owed:
                    logger.warning("%s: %s has ended, but: %s", self._context.id, job, stop.message)
            else:
                await job.wait_ended()
        self.part(job)
        return stop

    async def let_end(self, job: Job) -> None:
        """So that the caller of a stopped command finds the device free, not being stopped."""
        await self.wait_idle()
        self.part(job)

    async def wait_idle(self) -> None:
        """Until no stop is under way, for a moment at most."""
        with trio.move_on_after(self._timing.cleanup_s):
            await self._idle.wait()

    def part(self, job: Job) -> None:
        """Give a driver up that does not let go of a job."""
        if not job.ended:
            self._task.lost(f"the driver is stuck in {job}")

    async def pay(self) -> None:
        """Do what is owed, if anything is; raises DaqError when it cannot be done now."""
        debt = self._debts.find(self._context.id)
        if debt is None:
            return
        attempt = self._attempts.get(debt.safe) or self._start("what was owed", safe=debt.safe)
        with trio.move_on_after(self._timing.stop_s):
            await attempt.wait_answer()
        if attempt.error is not None:
            raise attempt.error
        if not attempt.completed:
            raise DeviceError(f"{self._context.id}: what it is owed was not done in time")

    # ----------------------------------------------------------------------------- the attempt

    def _start(self, by: str, *, safe: bool) -> Job:
        attempt = Job("make_safe" if safe else "stop", by=by)
        self._task.start(attempt, self._attempt, by, safe)
        self._attempts[safe] = attempt
        self._task.stopping.append(attempt)
        if self._idle.is_set():
            self._idle = trio.Event()
        return attempt

    async def _attempt(self, by: str, safe: bool) -> _Done:
        status, began_at = self._context.status, trio.current_time()
        notes, commands = status.notes, self._task.commands
        try:
            was_busy = self._was_cut_off or status.is_moving()
            was_busy |= await self._break_off_all(by)
            changed = await self._tell(safe=safe) or was_busy
            unseen = changed or self._task.unfinished
            position = await self._see_at_rest() if unseen else None
            self._task.unfinished = self._was_cut_off = False
            status.note_at_rest("armed", "moving")
            if changed:
                self._stopped_at = began_at
                status.forget_older(notes)
                self._task.refresh()
            took_s = trio.current_time() - began_at
            self._done = _Done(began_at, safe, changed, position, commands, took_s)
            self._debts.settle(self._context.id, safe=safe)
            return self._done
        finally:
            self._task.stopping.remove(self._attempts.pop(safe))
            if not self._attempts:
                self._idle.set()

    async def _break_off_all(self, by: str) -> bool:
        """Break off what is in progress; True if there was anything.

        A short command that cannot be broken off half way, such as opening a shutter, may end by
        itself first. Nothing gets more than a moment: a driver that is stuck is stopped beside it.
        """
        any_broken = False
        # The stream first: a live view must not take the detector that the command lets go of.
        for job in (self._task.stream, self._task.command):
            if job is not None:
                any_broken |= await self._break_off(job, by)
        return any_broken

    async def _break_off(self, job: Job, by: str) -> bool:
        if not job.is_cancellable:
            with trio.move_on_after(self._timing.unwind_s):
                await job.wait_ended()
        if job.ended:
            return False
        job.interrupt(DeviceError(f"{self._context.id}: {job} was stopped by {by or 'a stop'}"))
        with trio.move_on_after(self._timing.unwind_s):
            await job.wait_ended()
        return True

    async def _tell(self, *, safe: bool) -> bool:
        driver = self._context.driver
        with trio.move_on_after(self._timing.stop_s), urgently():
            return bool(await (driver.make_safe() if safe else driver.stop()))
        raise DeviceError(
            f"{self._context.id}: the stop did not end within {self._timing.stop_s:g} s"
        )

    async def _see_at_rest(self) -> float | None:
        """Where it rests, published; None for what has no position. It is told again if need be."""
        context = self._context
        if Capability.MOVABLE not in context.description.capabilities:
            return None
        timing, stop_s = context.driver.motion_timing, self._timing.stop_s
        rest_s = timing.rest_s if timing.begin_s else 0.0  # else one look says it
        unsure_s = min(timing.begin_s, UNSURE_S)
        stop_again = context.driver.stop
        with trio.move_on_after(stop_s), urgently():
            position = await wait_rest(context, rest_s, unsure_s=unsure_s, moved_again=stop_again)
            await context.publisher.publish(position)
            return float(position.last())
        raise DeviceError(f"{context.id}: was told to stop and does not rest within {stop_s:g} s")

    # ------------------------------------------------------------------------------ the answer

    def _find_done(self, safe: bool, since: float) -> _Done | None:
        """What was done since, when it has been asked for nothing after that."""
        done = self._done
        if done is None or self._attempts or done.commands != self._task.commands:
            return None
        return done if done.began_at >= since and done.safe >= safe else None

    def _conclude(
        self, attempt: Job, began: float, timeout: float, *, safe: bool, since: float, owe: bool
    ) -> DeviceStop:
        outcome, message = _verdict(attempt, timeout)
        if outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE):
            if owe:
                self._debts.add(self._context.id, safe=safe, reason=message)
            return self._answer(outcome, began, message)
        return self._answer(outcome, began, since=since)

    def _answer(
        self, outcome: StopOutcome, began: float, message: str = "", *, since: float = math.inf
    ) -> DeviceStop:
        took = trio.current_time() - began
        done, units = self._done, self._context.description.units
        if outcome is StopOutcome.IDLE and self._stopped_at >= since:
            outcome = StopOutcome.STOPPED  # by the same ending, before its cleanup used it again
        position = None
        if outcome is StopOutcome.STOPPED and done is not None:
            position = done.position if done.changed else self._context.status.position
        return DeviceStop(
            self._context.id,
            outcome,
            took,
            message,
            position=position,
            units="" if position is None else units,
            owed=self._debts.find(self._context.id) is not None,
        )


def _verdict(attempt: Job, timeout: float) -> tuple[StopOutcome, str]:
    if attempt.completed:
        return StopOutcome.STOPPED if attempt.result.changed else StopOutcome.IDLE, ""
    if isinstance(attempt.error, OfflineError):
        return StopOutcome.UNREACHABLE, attempt.error.message
    if attempt.error is not None:
        return StopOutcome.REFUSED, attempt.error.message
    if attempt.ended:
        return StopOutcome.UNREACHABLE, "the device was let go before it answered"
    return StopOutcome.UNREACHABLE, f"did not answer within {timeout:g} s"
