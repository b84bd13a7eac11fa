"""One interlock at work: it watches its channel, and acts when its rule trips or clears.

What makes safe waits for nothing: each trip has a task of its own for it, started in the very
moment of the judgement, whatever else is in progress for this interlock or any other.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np
import trio

from daq.bus import Bus
from daq.core import (
    INTERLOCK_CHANNELS,
    DaqError,
    InterlockStatus,
    Measurement,
    Reading,
    StateError,
    StopOutcome,
)
from daq.drivers import Timebase
from daq.supervision.interlocks.judging import CannotJudgeError, extremes
from daq.supervision.interlocks.memory import Acknowledgement, InterlockMemory, Latch
from daq.supervision.interlocks.rule import Change, InterlockRule
from daq.supervision.settings.interlock_settings import MISSED_READS, InterlockSettings
from daq.supervision.supervisor import Supervisor

__all__ = ["Interlock", "InterlockTarget"]

logger = logging.getLogger(__name__)

SAFE_S = 2.0
"""What a device gets to reach its safe state before it is told that it was not reached."""
FIRST_READ_S = 10.0
"""What the first reading may take before its channel counts as silent."""
ANSWER_S = 1.0
"""What the daemon's start waits for it."""
READ_S = 600.0
"""What any reading may take; the rule's own patience ends long before."""
UNKNOWN_READ_S = 1.0
"""How often a channel that nobody reads is asked for until it was heard once."""
AGAIN_S = 1.0
"""After how long a watch that failed, by a defect of ours, begins anew."""


class InterlockTarget(Protocol):
    """What interlocks can do to the program that runs, and to those that start meanwhile."""

    def hold(self, interlock: str, reason: str, devices: Sequence[str] = ()) -> None:
        """Pause it, until `release`; raises StateError when a device has a veto.

        The settings of `devices`, which are about to be made safe, are noted before it returns.
        """

    async def release(self, interlock: str, *, resume: bool) -> None:
        """It may go on; with `resume` it does."""

    async def stop(self, interlock: str, reason: str, *, force: bool) -> None:
        """End it."""

    def say(self, text: str) -> None:
        """Write a line into its output."""


class Interlock:
    """One of them.

    Args:
        settings: What it watches, and does.
        supervisor: Of the devices that it reads, refuses and makes safe.
        bus: Where its channel is.
        timebase: The daemon's timestamps.
        memory: What must not be forgotten.
        predecessor: The one of the same name in whose place it comes.
    """

    def __init__(
        self,
        settings: InterlockSettings,
        supervisor: Supervisor,
        bus: Bus,
        timebase: Timebase,
        memory: InterlockMemory,
        *,
        predecessor: Interlock | None = None,
    ) -> None:
        self.settings = settings
        self._supervisor = supervisor
        self._bus = bus
        self._timebase = timebase
        self._memory = memory
        self._heard_at = -math.inf
        self._value: float | None = None
        self._units = ""
        self._reason, self._changed_ns, self._trips, self._sequence = "", 0, 0, 0
        why = self._take_over(predecessor)
        self.rule = InterlockRule(settings.condition, trio.current_time(), why)
        if settings.adapts_stale:
            self.rule.expect_within(max(FIRST_READ_S, settings.condition.stale_s))
        self._resumes: deque[float] = deque()
        self._first_reading = trio.Event()
        self._programs: InterlockTarget | None = None
        self._reactions: trio.Nursery | None = None
        self._in_turn = trio.Lock()
        """What is said of one change is said before what is said of the next."""
        self._life = trio.CancelScope()
        self._successor: Interlock | None = None
        self._enforce()

    def __repr__(self) -> str:
        return f"<Interlock {self.settings.name}: {self.rule.state}>"

    def status(self) -> InterlockStatus:
        """How it is now."""
        acknowledged = self._memory.acknowledgement(self.settings.name) or Acknowledgement("", 0)
        return InterlockStatus(
            name=self.settings.name,
            channel=self.settings.channel,
            condition=self.rule.condition.describe(self._units),
            action=self.settings.action,
            tripped=self.rule.tripped,
            latched=self.rule.latched,
            reason=self._reason,
            value=self._value,
            units=self._units,
            changed_ns=self._changed_ns,
            trips=self._trips,
            refuses=self.settings.refuses,
            state=self.rule.state,
            acknowledged_by=acknowledged.by,
            acknowledged_ns=acknowledged.at_ns,
            note=acknowledged.note,
        )

    def reset(self, by: str, note: str = "") -> None:
        """Release it; raises StateError when its condition is still true."""
        change = self.rule.reset(trio.current_time())
        if change is None and self.rule.tripped:
            raise StateError(
                f"{self._reason}: that is still so",
                advice="it can be reset when nothing is wrong any more",
            )
        if change is not None:
            who = f" by {by}" if by else ""
            logger.info("interlock %s: reset%s: %s", self.settings.name, who, note or "no note")
            said = Acknowledgement(by, self._timebase.now_ns(), note)
            self._react(self._memory.acknowledge, self.settings.name, said)
            self._apply(change)

    async def live(
        self,
        programs: InterlockTarget,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Watch until cancelled, or until `end`, which releases what nobody else holds."""
        self._programs = programs
        with self._life:
            async with trio.open_nursery() as self._reactions:
                if self.rule.tripped:  # before the daemon ended, or before it was configured anew
                    self._hold_or_stop(programs)
                    self._react(self._secure)
                await self._reactions.start(self._keep_watching)
                self._reactions.start_soon(self._keep_reading)
                with trio.move_on_after(ANSWER_S):  # so that the daemon is not up, but refusing
                    await self._first_reading.wait()
                task_status.started()
        self._reactions = None
        if self.rule.tripped and (self._successor is None or not self._successor.rule.tripped):
            await programs.release(self.settings.name, resume=False)

    def end(self, successor: Interlock | None) -> None:
        """It is not configured any more, or not so; what its successor refuses stays refused."""
        self._successor = successor
        kept = successor.settings.refuses if successor is not None else ()
        for refused in self.settings.refuses:
            if refused not in kept:
                self._allow(refused)
        self._life.cancel()

    # -------------------------------------------------------------------------------- what it sees

    async def _keep_watching(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """No defect in here ends the daemon, and none goes by as if nothing were wrong."""
        while True:
            try:
                await self._watch(task_status)
            except Exception as error:
                logger.exception("interlock %s: its watch failed", self.settings.name)
                self._note(self.rule.cannot_judge(trio.current_time(), repr(error)))
            task_status = trio.TASK_STATUS_IGNORED
            await trio.sleep(AGAIN_S)

    async def _watch(self, task_status: trio.TaskStatus[None]) -> None:
        """Judge every block, and the silence between them."""
        channel = self.settings.channel
        with self._bus.view(channel) as view:
            await self._publish()
            task_status.started()
            latest = self._bus.latest(channel)
            if latest is not None and channel.startswith(INTERLOCK_CHANNELS):
                self._note(self._judge(latest))  # that of an interlock comes only when it changes
            while True:
                block: Measurement | None = None
                with trio.move_on_at(self.rule.deadline):
                    block = await view.receive()
                self._note(self._judge(block))

    def _judge(self, block: Measurement | None) -> Change | None:
        now = trio.current_time()
        if block is None:
            return self.rule.tick(now)
        self._heard_at, self._units = now, block.units
        try:
            low, high = extremes(block)
        except CannotJudgeError as error:
            self._value = None
            return self.rule.cannot_judge(now, str(error))
        except Exception as error:
            logger.exception("interlock %s: a value cannot be judged", self.settings.name)
            self._value = None
            return self.rule.cannot_judge(now, f"{type(error).__name__}: {error}")
        self._value = low if low == high else _middle(block, high)
        return self.rule.sample(now, low, high, block.units)

    async def _keep_reading(self) -> None:
        """Read a channel that nobody else reads, or that was never heard."""
        reading, every = self.settings.reading, self.settings.read_every_s
        if not reading:
            self._first_reading.set()
        while reading and (every is not None or self.rule.is_unheard):
            began = trio.current_time()
            is_read = await self._read(reading)
            self._first_reading.set()
            heard_at, took = self._heard_at, trio.current_time() - began
            if self.settings.adapts_stale and every is not None:
                slowest = max(every, took) if is_read else every
                self.rule.expect_within(MISSED_READS * slowest)
            # From its beginning, so that one that takes long comes as often as it can.
            due = max(began + (every or UNKNOWN_READ_S), trio.current_time() + took / 10)
            await trio.sleep_until(due)
            while self._heard_at > heard_at and every is not None:  # somebody else reads it
                heard_at = self._heard_at
                await trio.sleep_until(heard_at + every)

    async def _read(self, reading: Sequence[str]) -> bool:
        """Whether it answered. Not hidden: a channel that stays silent trips."""
        by = f"interlock {self.settings.name}"
        try:
            with trio.move_on_after(READ_S):
                # Looked up each time: another device may have taken its place meanwhile.
                device = self._supervisor.device(self.settings.device_id)
                await device.call(*reading, by=by)
                return True
        except DaqError as error:
            logger.debug("%s: %s", by, error.message)
        except Exception:
            logger.exception("%s: reading its channel failed", by)
        return False

    # -------------------------------------------------------------------------------- what it does

    def _note(self, change: Change | None) -> None:
        if change is not None:
            self._apply(change)
        elif self._refused and not self.rule.refuses:  # it was unknown, and was heard to be well
            self._enforce()

    def _apply(self, change: Change) -> None:
        """What must not wait for anything: refusals, making safe, the pause."""
        programs = self._programs
        if programs is None or self._reactions is None:
            return  # it does not watch any more
        name = self.settings.name
        self._changed_ns = self._timebase.now_ns()
        if change is Change.CLEARED:
            logger.warning("interlock %s has cleared", name)
            self._reason = ""
            self._enforce()
            self._react(self._after_clearing, programs, self._trips)
            return
        self._trips += 1
        self._reason = f"interlock {name}: {self.settings.channel} {self.rule.why}"
        self._enforce()
        self._react(self._secure)
        self._hold_or_stop(programs)
        logger.error("%s; action: %s", self._reason, self.settings.action)
        self._react(self._tell, self._reason)
        if self.settings.condition.latched:
            self._react(self._memory.keep, name, Latch(self.rule.why, self._changed_ns))

    def _react(self, reaction: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """In a task of its own, which can neither wait for another nor end the daemon."""
        if self._reactions is not None:
            self._reactions.start_soon(self._carry_out, reaction, *arguments)

    async def _carry_out(self, reaction: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        try:
            await reaction(*arguments)
        except Exception:
            logger.exception("interlock %s: %s failed", self.settings.name, reaction)

    def _enforce(self) -> None:
        """Refuse, or allow again, as the rule is now."""
        reason = self._reason or (
            f"interlock {self.settings.name}: {self.settings.channel} was not heard yet"
        )
        self._refused = self.rule.refuses
        for refused in self.settings.refuses:
            if self._refused:
                device_id, _, what = refused.partition(".")
                self._supervisor.gate(device_id).forbid(self.settings.name, reason, what)
            else:
                self._allow(refused)

    def _allow(self, refused: str) -> None:
        device_id, _, what = refused.partition(".")
        self._supervisor.gate(device_id).allow(self.settings.name, what)

    def _hold_or_stop(self, programs: InterlockTarget) -> None:
        """Pause or end what runs; what a device does not allow to be paused is stopped."""
        action, reason = self.settings.action, self._reason
        try:
            if action == "pause":
                programs.hold(self.settings.name, reason, self.settings.devices)
        except Exception as error:
            if not isinstance(error, StateError):
                logger.exception("interlock %s: the pause failed", self.settings.name)
            why = error.message if isinstance(error, DaqError) else repr(error)
            self._reason = reason = f"{reason}; {why}, so it was stopped"
            action = "stop"
        if action in ("stop", "force_stop"):
            force = action == "force_stop"
            self._react(self._stop_program, programs, reason, force)

    async def _stop_program(self, programs: InterlockTarget, reason: str, force: bool) -> None:
        await programs.stop(self.settings.name, reason, force=force)

    async def _tell(self, text: str) -> None:
        async with self._in_turn:
            if self._programs is not None:
                self._programs.say(text)
            await self._publish()

    async def _after_clearing(self, programs: InterlockTarget, trips: int) -> None:
        await self._tell(f"interlock {self.settings.name} has cleared")
        resume = self.settings.resume and self._may_resume(programs)
        if resume and self.settings.resume_after_s:
            await programs.release(self.settings.name, resume=False)
            await trio.sleep(self.settings.resume_after_s)
        if self._trips == trips and not self.rule.tripped:  # else it has tripped again meanwhile
            await programs.release(self.settings.name, resume=resume)

    def _may_resume(self, programs: InterlockTarget) -> bool:
        """Whether it has not resumed too often: a lamp that trips on its own light never ends."""
        now, most, within = (
            trio.current_time(),
            self.settings.max_resumes,
            self.settings.resumes_within_s,
        )
        while self._resumes and self._resumes[0] <= now - within:
            self._resumes.popleft()
        if len(self._resumes) < most:
            self._resumes.append(now)
            return True
        programs.say(
            f"interlock {self.settings.name} has resumed {most} times within {within:g} s: "
            "it waits for a person now"
        )
        return False

    async def _secure(self) -> None:
        """Devices to their safe state; what must not move any more is stopped."""
        by = f"interlock {self.settings.name}"
        safe = self.settings.devices
        others = [each for each in self._to_be_stopped() if each not in safe]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_devices, safe, True, by)
            nursery.start_soon(self._stop_devices, others, False, by)

    def _to_be_stopped(self) -> list[str]:
        """Devices of which all is refused, or the very thing that they are doing."""
        known = {device.id: device for device in self._supervisor.devices()}
        found = []
        for refused in self.settings.refuses:
            device_id, _, what = refused.partition(".")
            if not what or (device_id in known and known[device_id].does_what_is_refused):
                found.append(device_id)
        return found

    async def _stop_devices(self, ids: Sequence[str], safe: bool, by: str) -> None:
        stops = await self._supervisor.stop_devices(ids, timeout=SAFE_S, safe=safe, by=by)
        for stop in stops:
            if stop.outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE):
                text = f"{by}: {stop.device} was not made safe: {stop.message}"
                logger.error(text)
                if self._programs is not None:
                    self._programs.say(text)

    async def _publish(self) -> None:
        """Tell the bus, and with it the record of an open run, whether it is tripped."""
        reading = Reading(np.asarray(self.rule.tripped, np.uint8), self._timebase.now_ns())
        channel = INTERLOCK_CHANNELS + self.settings.name
        block = Measurement.single(channel, reading, "", self._sequence)
        self._sequence += 1
        await self._bus.publish(block)

    # --------------------------------------------------------------------------- what came before

    def _take_over(self, predecessor: Interlock | None) -> str:
        """Why it has tripped already; empty when nothing is known against it."""
        why = ""
        if predecessor is not None:
            self._sequence = predecessor._sequence  # noqa: SLF001 - one life under one name
            self._trips = predecessor._trips  # noqa: SLF001
            self._changed_ns = predecessor._changed_ns  # noqa: SLF001
            why = predecessor.rule.why if predecessor.rule.tripped else ""
        elif self.settings.condition.latched and (latch := self._memory.latch(self.settings.name)):
            self._trips, self._changed_ns, why = 1, latch.since_ns, latch.reason
        if why:
            self._reason = f"interlock {self.settings.name}: {self.settings.channel} {why}"
        return why


def _middle(block: Measurement, otherwise: float) -> float:
    """What is shown of several values: the mean of the newest sample."""
    values = np.abs(block.last()) if np.iscomplexobj(block.values) else np.asarray(block.last())
    try:
        return float(np.mean(values))
    except (TypeError, ValueError):
        return otherwise
