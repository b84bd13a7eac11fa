"""One driver's life: connect, poll, be lost, come back."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from daq.core import BusyError, DaqError, DeviceError, DeviceState, OfflineError, Scalar
from daq.drivers import Driver
from daq.supervision.device.job import Job
from daq.supervision.device.motion_follower import MotionFollower
from daq.supervision.device.out_of_use import Disabled
from daq.supervision.device.restart_policy import RestartPolicy
from daq.supervision.device.status import DeviceStatus
from daq.supervision.device.timing import Timing
from daq.transport import FairTimeout

__all__ = ["DeviceTask"]

logger = logging.getLogger(__name__)

_LET_GO = "the daemon has let it go"

Step = Callable[..., Awaitable[Any]]


class DeviceTask:
    """Owns one instrument. Whatever the driver does, it does in a task below this one.

    A session lasts from the first attempt to connect until the device is lost. The next one begins
    only when everything of the last one has ended, so no two ever talk to the same instrument.
    """

    def __init__(
        self,
        driver: Driver,
        status: DeviceStatus,
        look: Callable[[], Awaitable[None]],
        is_watched: Callable[[], bool],
        *,
        policy: RestartPolicy,
        timing: Timing,
        rng: random.Random,
    ) -> None:
        self.attempted = trio.Event()
        """The first attempt to connect has ended, well or badly."""
        self.command: Job | None = None
        """The command in progress: the one job that may change the device."""
        self.stopping: list[Job] = []
        """Stops in progress; while there are any, no command is taken."""
        self.stream: Job | None = None
        """The stream in progress; only a live view lets others use the detector."""
        self.acquisitions = 0
        """Counts the commands that used the detector."""
        self.ended = trio.Event()
        """Its driver has been let go for good."""
        self._driver = driver
        self._status = status
        self._look = look
        self._is_watched = is_watched
        self._policy = policy
        self._timing = timing
        self._rng = rng
        self._session: trio.Nursery | None = None
        self._jobs: set[Job] = set()
        self._connected = False
        self._failures = 0
        """To reach it, in a row."""
        self._wanted = trio.Event()
        """It is in use: cleared by `disable`."""
        self._wanted.set()
        self._now = trio.Event()
        """Set when the next attempt shall not wait."""
        self._follower = MotionFollower(self._is_commanded, self._follow, timing.follow_s)

    async def run(self) -> None:
        """Keep the device reachable until cancelled."""
        try:
            while True:
                while not self._wanted.is_set():
                    self.attempted.set()
                    await self._wanted.wait()
                self._now = trio.Event()
                self._failures = 0 if await self._live_once() else self._failures + 1
                await self._wait_turn()
        finally:
            self.lost(_LET_GO)
            self.ended.set()

    def restart(self, reason: str) -> None:
        """Let the device go, whatever is in progress, and connect it anew at once."""
        self._failures = 0
        self.lost(reason)
        self._now.set()

    def disable(self, disabled: Disabled) -> None:
        """Let the device go, whatever is in progress, and leave it alone until `enable`."""
        if self._wanted.is_set():  # else somebody waits for it already
            self._wanted = trio.Event()
        self.lost(disabled.reason)
        self._status.disabled(disabled.reason, disabled.since_ns)
        self._now.set()

    def enable(self) -> None:
        """Reach a device again that was disabled."""
        self._failures = 0
        self._status.connecting()
        self._wanted.set()

    def start(self, job: Job, step: Step, *arguments: Any) -> None:
        """Let the driver begin; the caller has checked that the device is ready.

        Raises BusyError when `job` is exclusive and something else has the device.
        """
        if self._session is None:
            raise OfflineError(self._status.unavailable())
        if job.exclusive:
            self.require_free(job)
            self.command = job
            self.acquisitions += job.is_acquisition
            self._status.touch()
        self._jobs.add(job)
        self._session.start_soon(self._carry_out, job, step, arguments)
        if job.is_motion:
            self._follower.notice()

    async def finish(self, job: Job) -> Any:
        """Give the answer of a started job. Cancelled, it breaks the job off and does not wait."""
        await self._is_answered(job, math.inf)
        return job.answer(self._status.id)

    async def perform_within(self, seconds: float, job: Job, step: Step) -> Any:
        """Start a job and give its answer; a driver that takes longer has failed: OfflineError."""
        self.start(job, step)
        return await self._finish_within(seconds, job, seconds)

    async def _finish_within(self, seconds: float, job: Job, since_start: float) -> Any:
        if not await self._is_answered(job, seconds):
            why = f"{self._status.id}: {job.name} did not answer within {since_start:g} s"
            job.interrupt(OfflineError(why))
        return job.answer(self._status.id)

    async def _is_answered(self, job: Job, within_s: float) -> bool:
        """Whether a started job is, then at the latest. Cancelled, it breaks the job off."""
        try:
            await FairTimeout(within_s).wait(job.wait_answer)
        except trio.TooSlowError:
            return False
        except BaseException:
            job.scope.cancel()
            raise
        return True

    def require_free(self, job: Job) -> None:
        """Raise BusyError, naming who has the device, when `job` cannot begin now."""
        holder = self._holder(job)
        if holder is None:
            return
        for_whom = f" for {holder.by}" if holder.by else ""
        raise BusyError(
            f"{self._status.id}: {job} was refused: {holder}{for_whom} is in progress",
            advice="wait until it has ended, or stop the device",
        )

    def lost(self, reason: str) -> None:
        """The device cannot be used any more: end the session and all that runs in it."""
        is_news = self._status.state is not DeviceState.OFFLINE and reason != _LET_GO
        logger.log(logging.WARNING if is_news else logging.DEBUG, "%s: %s", self._status.id, reason)
        self._status.offline(reason)
        for job in tuple(self._jobs):
            job.interrupt(OfflineError(f"{self._status.id}: {job} failed: {reason}"))
        if self._session is not None:
            self._session.cancel_scope.cancel()

    async def _live_once(self) -> bool:
        """One session; tells whether the device was reached at all."""
        reached = False
        try:
            async with trio.open_nursery() as session:
                self._session = session
                try:
                    reached = await self._reach(session)
                    self.attempted.set()
                    if reached:
                        session.start_soon(self._follower.run)
                        await self._poll()
                finally:
                    self._session = None  # nothing new begins while what is in progress ends
        finally:
            if self._status.state.is_online:
                self.lost(_LET_GO)  # cancelled from above: everything else had lost it before
            await self._disconnect()
        return reached

    async def _wait_turn(self) -> None:
        """Until the next attempt, as the policy says, or until somebody asks for it."""
        delay = self._policy.delay(max(self._failures, 1), self._rng)
        if self._wanted.is_set() and not self._now.is_set():
            self._status.attempt_in(delay)
        with trio.move_on_after(delay):
            async with trio.open_nursery() as waiting:
                waiting.start_soon(self._hurry_when_plugged_in)
                await self._now.wait()
                waiting.cancel_scope.cancel()
        self._status.attempt_in(None)

    async def _hurry_when_plugged_in(self) -> None:
        """Nobody who puts a plug back in should wait for the end of a long back-off."""
        try:
            await self._driver.wait_plugged_in()
        except Exception:
            logger.exception("%s: waiting for the plug failed", self._status.id)
            return
        if self._wanted.is_set():
            logger.info("%s: it is plugged in again", self._status.id)
            self._failures = 0
            self._now.set()

    async def _reach(self, session: trio.Nursery) -> bool:
        try:
            await self.perform_within(self._timing.connect_s, Job("connect"), self._connect)
            fields = await self.perform_within(self._timing.poll_s, Job("poll"), self._ask_state)
        except DaqError as error:
            self.lost(error.message)
            return False
        if session.cancel_scope.cancel_called:
            return False  # lost between its last answer and now: it is not to be called ready
        logger.info("%s: ready", self._status.id)
        self._status.ready(fields)
        return True

    async def _connect(self) -> None:
        await self._driver.connect()
        self._connected = True

    async def _ask_state(self) -> dict[str, Scalar]:
        fields = dict(await self._driver.poll())
        for name, value in fields.items():
            if not isinstance(value, bool | int | float | str):
                raise TypeError(
                    f"poll gave {name} as {type(value).__name__}, not as a plain scalar"
                )
        return fields

    async def _disconnect(self) -> None:
        """Bounded and shielded: a device that hangs while it is let go holds up nobody for long."""
        if not self._connected:
            return
        self._connected = False
        with trio.CancelScope(
            shield=True, deadline=trio.current_time() + self._timing.disconnect_s
        ):
            try:
                await self._driver.disconnect()
            except Exception:
                logger.exception("%s: disconnect failed", self._status.id)

    async def _poll(self) -> None:
        """Ask how the device is, often while that matters, until it does not answer."""
        period = self._timing.active_poll_s
        # Spread, so that devices that were connected together are not asked all in one moment.
        due = polled_at = trio.current_time() - self._rng.random() * period
        while True:
            # At its time, however long the last one took; a slow device is left alone for a while.
            due = max(due + period, trio.current_time() + period / 2)
            await trio.sleep_until(due)
            if not self._is_active() and due - polled_at < self._timing.idle_poll_s - period / 2:
                continue
            polled_at = due
            try:
                await self._ask_in_time()
            except DaqError as error:
                self.lost(error.message)
                return

    async def _ask_in_time(self) -> None:
        """One poll, and what its answer, or the time that it takes, says about the device."""
        poll_s = self._timing.poll_s
        stale_s = min(self._timing.stale_s, poll_s)
        late_s = min(self._timing.late_s, stale_s)
        job, began, notes = Job("poll"), trio.current_time(), self._status.notes
        self.start(job, self._ask_state)
        in_time = await self._is_answered(job, late_s)
        if not in_time and not await self._is_answered(job, stale_s - late_s):
            owes = f"it owes the answer to a poll since more than {stale_s:g} s"
            self._status.judge(DeviceState.STALE, owes)
        fields = await self._finish_within(poll_s - stale_s, job, poll_s)
        self._status.merge(fields, notes)
        if in_time:
            self._status.judge(DeviceState.READY)
        else:
            took = f"it answered a poll after {trio.current_time() - began:.1f} s"
            self._status.judge(DeviceState.DEGRADED, took)

    def _is_active(self) -> bool:
        return self.command is not None or self._status.is_moving() or self._is_watched()

    def _is_commanded(self) -> bool:
        return self.command is not None and self.command.is_motion

    async def _follow(self) -> None:
        try:
            await self.perform_within(self._timing.poll_s, Job("position"), self._look)
        except DaqError as error:
            # Not the follower's to judge: the command and the next poll see what is wrong.
            logger.debug("%s: the position could not be followed: %s", self._status.id, error)

    async def _carry_out(self, job: Job, step: Step, arguments: tuple[Any, ...]) -> None:
        """Run one job in its own task. Whatever the driver raises ends here, as the job's error."""
        try:
            with job.scope:
                job.complete(await step(*arguments))
        except Exception as error:  # noqa: BLE001 - a foreign driver may raise anything
            self._note_failure(job, error)
        except BaseExceptionGroup as group:
            # A driver's own nursery failed while it was cancelled: only the cancellation goes on.
            failure, cancellation = group.split(Exception)
            if failure is not None:
                self._note_failure(job, failure)
            if cancellation is not None:
                raise cancellation from None
        finally:
            self._jobs.discard(job)
            job.end()
            if self.command is job:
                self.command = None
                self._status.touch()

    def _note_failure(self, job: Job, error: Exception) -> None:
        """Tell a device that failed from one that is gone, and from a driver with a defect."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # out of a driver's own nursery
        if isinstance(error, DaqError):
            job.fail(error)
            if isinstance(error, OfflineError):
                self.lost(error.message)
            return
        text = f"{self._status.id}: {job}: the driver failed: {type(error).__name__}: {error}"
        logger.error("%s", text, exc_info=error)
        defect = DeviceError(text, advice="a defect of the driver; its traceback is logged")
        defect.__cause__ = error
        job.fail(defect)
        self.lost(text)

    def _holder(self, job: Job) -> Job | None:
        """What has the device, so that `job` must not begin beside it."""
        if self.stopping:
            return self.stopping[-1]
        stream = self.stream
        if stream is not None and (
            job.is_stream or (job.is_acquisition and not stream.is_live_view)
        ):
            return stream
        return None if job.is_live_view else self.command
