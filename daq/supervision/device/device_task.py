"""One driver's life: connect, poll, be lost, come back."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import trio

from daq.core import BusyError, DaqError, DeviceError, DeviceState, Invalid, OfflineError, Scalar
from daq.drivers import Busy, Driver
from daq.supervision.device.answers import checked_fields
from daq.supervision.device.debts import Debts
from daq.supervision.device.job import Job
from daq.supervision.device.motion_follower import MotionFollower
from daq.supervision.device.out_of_use import Disabled
from daq.supervision.device.questions import ask, own_error
from daq.supervision.device.reference import Reference
from daq.supervision.device.restart_policy import RestartPolicy
from daq.supervision.device.status import DeviceStatus
from daq.supervision.device.timing import Timing
from daq.transport import FairTimeout

__all__ = ["DeviceTask"]

logger = logging.getLogger(__name__)

_MOST_ALONE_S = 10.0
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
        debts: Debts,
        reference: Reference,
    ) -> None:
        self.attempted = trio.Event()
        """The first attempt to connect has ended, well or badly."""
        self.command: Job | None = None
        """The command in progress: the one job that may change the device."""
        self.stopping: list[Job] = []
        """Stops in progress; while there are any, no command is taken."""
        self.stream: Job | None = None
        """The stream in progress; only a live view lets others use the detector."""
        self.commands = 0
        """Counts the commands and streams that it was asked for."""
        self.unfinished = False
        """Something was begun whose end nobody has seen."""
        self.pay: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        """Does what the device is owed; raises DaqError when that cannot be done now."""
        self.was_reached = False
        """At some time."""
        self.acquisitions = 0
        """Counts the commands that used the detector."""
        self.reference = reference
        """Whether it knows where it is."""
        self.ended = trio.Event()
        """Its driver has been let go for good."""
        self._driver = driver
        self._status = status
        self._look = look
        self._is_watched = is_watched
        self._policy = policy
        self._timing = timing
        self._rng = rng
        self._debts = debts
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
        self.lost(disabled.reason, self._status.how_to_enable)
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
        if reason := self.unavailable():
            raise OfflineError(reason)
        assert self._session is not None  # noqa: S101 - else there is a reason
        if job.exclusive:
            self.require_free(job)
            self.command = job
            self.commands += 1
            self.acquisitions += job.is_acquisition
            self._status.touch()
        self._jobs.add(job)
        self._session.start_soon(self._carry_out, job, step, arguments)
        if job.is_motion:
            self._follower.notice()

    def unavailable(self) -> str:
        """Why it can be told nothing now; empty when it can."""
        if self._session is not None:
            return ""
        return self._status.unavailable() or f"{self._status.id}: {_LET_GO}"

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
        """Whether a started job is, then at the latest. Cancelled, it breaks the job off.

        What was declared to take longer gets its time, its own and that of who comes before it.
        """
        try:
            while True:
                with suppress(trio.TooSlowError):
                    await FairTimeout(within_s).wait(job.wait_answer)
                    return True
                busy = self._what_takes_long()
                if busy is None:
                    return False
                self._status.busy(busy.what)
                within_s = busy.until - trio.current_time()
        except BaseException:
            job.scope.cancel()
            raise

    def _what_takes_long(self) -> Busy | None:
        try:
            busy = self._driver.busy()
        except Exception:  # a foreign driver may raise anything
            logger.exception("%s: the driver could not tell whether it is busy", self._status.id)
            return None
        is_now = isinstance(busy, Busy) and busy.until > trio.current_time()
        return busy if is_now else None

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

    def lost(self, reason: str, advice: str = "") -> None:
        """The device cannot be used any more: end the session and all that runs in it."""
        is_news = self._status.state is not DeviceState.OFFLINE and reason != _LET_GO
        logger.log(logging.WARNING if is_news else logging.DEBUG, "%s: %s", self._status.id, reason)
        if self._may_move() and reason != _LET_GO:
            self._debts.add(self._status.id, safe=False, reason=f"it may move: {reason}")
        if self._status.state.is_online:
            self.reference.left(None if self._may_move() else self._status.position)
        self._status.offline(reason)
        for job in tuple(self._jobs):
            message = f"{self._status.id}: {job} failed: {reason}"
            job.interrupt(OfflineError(message, advice=advice))
        if self._session is not None:
            self._session.cancel_scope.cancel()

    def _may_move(self) -> bool:
        """Whether something is in motion, or may be, for all that is known."""
        command = self.command
        commanded = command is not None and command.is_motion
        return self.unfinished or commanded or self._status.is_moving()

    def refresh(self) -> None:
        """Ask for everything anew, beside all else."""
        notes = self._status.notes
        job = Job("poll")

        async def ask_anew() -> None:
            self._status.merge(await self._ask_state(), notes)

        if self._session is not None:
            self.start(job, ask_anew)

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
        except trio.Cancelled:
            raise
        except BaseException:  # a foreign driver may raise anything
            logger.exception("%s: waiting for the plug failed", self._status.id)
            return
        if self._wanted.is_set():
            logger.info("%s: it is plugged in again", self._status.id)
            self._failures = 0
            self._now.set()

    async def _reach(self, session: trio.Nursery) -> bool:
        """Connect, do what is owed, and see how it is, before anybody may command it."""
        fields: Mapping[str, Scalar | Invalid] = {}
        wrong = ""
        try:
            await self.perform_within(self._timing.connect_s, Job("connect"), self._connect)
            try:
                await self.pay()
                fields = await self.perform_within(
                    self._timing.poll_s, Job("poll"), self._ask_state
                )
            except OfflineError:
                raise
            except DaqError as error:
                wrong = error.message
        except DaqError as error:
            self.lost("; ".join(filter(None, (error.message, error.advice))))
            return False
        if session.cancel_scope.cancel_called:
            return False  # lost between its last answer and now: it is not to be called ready
        logger.info("%s: ready", self._status.id)
        self._status.ready(fields)
        if wrong:
            self._status.count_failed_question(wrong)
        else:
            self.reference.polled(fields, trio.current_time())
        self.was_reached, self.unfinished = True, False
        return True

    async def _connect(self) -> None:
        await self._driver.connect()
        self._connected = True

    async def _ask_state(self) -> dict[str, Scalar | Invalid]:
        async def poll() -> dict[str, Scalar | Invalid]:
            return checked_fields(self._status.id, await self._driver.poll())

        return await ask(self._status, "poll", poll)

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
            except trio.Cancelled:
                raise
            except BaseException:  # a foreign driver may raise anything
                logger.exception("%s: disconnect failed", self._status.id)

    async def _poll(self) -> None:
        """Ask how the device is, often while that matters, until it does not answer."""
        period = self._timing.active_poll_s
        # Spread, so that devices that were connected together are not asked all in one moment.
        due = polled_at = trio.current_time() - self._rng.random() * period
        alone_s = 0.0
        while True:
            # At its time, however long the last one took; a slow device is left alone for a while.
            due = max(due + period, trio.current_time() + max(alone_s, period / 2))
            await trio.sleep_until(due)
            if not self._is_active() and due - polled_at < self._timing.idle_poll_s - period / 2:
                continue
            polled_at = due
            if self._is_looked_at():
                continue
            notes = self._status.notes
            try:
                await self._ask_in_time()
                self._pay_soon()
            except OfflineError as error:
                self.lost(error.message)
                return
            except DaqError as error:  # counted: a wrong answer is not to be lost
                logger.debug("%s: %s", self._status.id, error.message)
                self._status.forget_older(notes)
                if self._status.state is DeviceState.BUSY:  # it is over, one way or another
                    self._status.judge(DeviceState.READY)
            took = trio.current_time() - due
            # Whoever has a question to one that takes long finds it free half of the time.
            alone_s = min(took, _MOST_ALONE_S) if took > self._timing.stale_s else 0.0

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
        self.reference.polled(fields, began)
        self._status.understand()
        if in_time:
            self._status.judge(DeviceState.READY)
        else:
            took = f"it answered a poll after {trio.current_time() - began:.1f} s"
            self._status.judge(DeviceState.DEGRADED, took)

    def _is_looked_at(self) -> bool:
        """Whether a command looks at its motion all the time, which tells all that a poll does."""
        return self._status.is_followed and self._status.tells_only_motion()

    def _pay_soon(self) -> None:
        """Try again what could not be done when it came back."""
        if self._debts.find(self._status.id) is not None and not self.stopping:
            self.start(Job("pay"), self._try_to_pay)

    async def _try_to_pay(self) -> None:
        with suppress(DeviceError):  # it stays owed, with its reason
            await self.pay()

    def _is_active(self) -> bool:
        return self.command is not None or self._status.is_moving() or self._is_watched()

    def _is_commanded(self) -> bool:
        """Whether it moves by a command that does not look at it by itself yet."""
        command = self.command
        return command is not None and command.is_motion and not self._status.is_followed

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
        except BaseException as raised:  # noqa: BLE001 - a foreign driver may raise anything
            error = own_error(raised, self._status.id, str(job))
            if error is not None:
                error.__cause__ = None if error is raised else raised
                job.fail(error)
                if isinstance(error, OfflineError):
                    self.lost(error.message)
            # A driver's own nursery failed while it was cancelled: only the cancellation goes on.
            if cancellation := _cancellation_in(raised):
                raise cancellation from None
        finally:
            self._jobs.discard(job)
            job.end()
            if self.command is job:
                self.command = None
                self._status.touch()

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


def _cancellation_in(raised: BaseException) -> BaseException | None:
    if isinstance(raised, BaseExceptionGroup):
        return raised.split(trio.Cancelled)[0]
    return raised if isinstance(raised, trio.Cancelled) else None
