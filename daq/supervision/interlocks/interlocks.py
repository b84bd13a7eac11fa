"""Interlocks at work: each watches its channel, and acts when its rule trips or clears."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import trio

from daq.bus import Bus
from daq.core import (
    INTERLOCK_CHANNELS,
    DaqError,
    InterlockStatus,
    Measurement,
    NotFoundError,
    Reading,
    StateError,
    StopOutcome,
)
from daq.drivers import Timebase
from daq.supervision.interlocks.rule import Change, InterlockRule
from daq.supervision.settings.safety_settings import InterlockSettings
from daq.supervision.supervisor import Supervisor

__all__ = ["InterlockTarget", "Interlocks"]

logger = logging.getLogger(__name__)

SAFE_S = 2.0
"""What a device gets to reach its safe state."""
MIN_READ_S = 1.0


class InterlockTarget(Protocol):
    """What interlocks can do to the program that runs, and to those that start meanwhile."""

    def hold(self, interlock: str, reason: str) -> None:
        """Pause it, until `release`; raises StateError when a device has a veto."""

    async def release(self, interlock: str, *, resume: bool) -> None:
        """It may go on; with `resume` it does."""

    async def stop(self, interlock: str, reason: str, *, force: bool) -> None:
        """End it."""

    def say(self, text: str) -> None:
        """Write a line into its output."""


class Interlocks:
    """All interlocks of the daemon."""

    def __init__(
        self,
        settings: Sequence[InterlockSettings],
        supervisor: Supervisor,
        bus: Bus,
        timebase: Timebase,
    ) -> None:
        self._supervisor = supervisor
        self._bus = bus
        self._timebase = timebase
        self._locks = {each.name: self._make(each) for each in settings}
        self._programs: InterlockTarget | None = None
        self._watching: trio.Nursery | None = None

    def __repr__(self) -> str:
        tripped = [name for name, lock in self._locks.items() if lock.rule.tripped]
        return f"<Interlocks: {len(self._locks)}, tripped: {', '.join(tripped) or 'none'}>"

    async def run(
        self,
        programs: InterlockTarget,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Watch until cancelled."""
        self._programs = programs
        async with trio.open_nursery() as self._watching:
            for lock in self._locks.values():
                await self._watching.start(lock.live, programs)
            task_status.started()
            await trio.sleep_forever()  # others may come

    def require_replaceable(self, settings: Sequence[InterlockSettings]) -> None:
        """Raise StateError when one of those that `reconfigure` would end has tripped."""
        kept = {each.name: each for each in settings}
        for name, lock in self._locks.items():
            if lock.rule.tripped and kept.get(name) != lock.settings:
                raise StateError(
                    f"interlocks.{name} has tripped, and the configuration would release it",
                    advice="put right what is wrong and reset it, or repeat the command with force",
                )

    def reconfigure(self, settings: Sequence[InterlockSettings]) -> None:
        """These count from now on. What has not changed notices nothing; what goes is released."""
        before, self._locks = self._locks, {}
        for each in settings:
            old = before.get(each.name)
            if old is not None and old.settings == each:
                self._locks[each.name] = before.pop(each.name)
                continue
            self._locks[each.name] = lock = self._make(each)
            if self._watching is not None and self._programs is not None:
                self._watching.start_soon(lock.live, self._programs, old)
        for lock in before.values():
            lock.end()

    def _make(self, settings: InterlockSettings) -> _Interlock:
        return _Interlock(settings, self._supervisor, self._bus, self._timebase)

    def status(self) -> tuple[InterlockStatus, ...]:
        """How each of them is, in the order of the configuration."""
        return tuple(lock.status() for lock in self._locks.values())

    def reset(self, name: str, by: str) -> InterlockStatus:
        """Release one that is latched.

        Raises NotFoundError, or StateError when its condition is still true.
        """
        if name not in self._locks:
            known = ", ".join(self._locks) or "none"
            raise NotFoundError(f"there is no interlock {name!r}; there are {known}")
        self._locks[name].reset(by)
        return self._locks[name].status()


class _Interlock:
    """One of them."""

    def __init__(
        self, settings: InterlockSettings, supervisor: Supervisor, bus: Bus, timebase: Timebase
    ) -> None:
        self.settings = settings
        self.rule = InterlockRule(settings.condition, trio.current_time())
        self._supervisor = supervisor
        self._bus = bus
        self._timebase = timebase
        self._heard_at = -np.inf
        self._value: float | None = None
        self._units = ""
        self._reason = ""
        self._changed_ns = 0
        self._trips = 0
        self._sequence = 0
        self._programs: InterlockTarget | None = None
        self._reactions: trio.Nursery | None = None
        self._in_turn = trio.Lock()
        """What follows from a change is done before what follows from the next."""
        self._life = trio.CancelScope()
        self._ended = trio.Event()

    def status(self) -> InterlockStatus:
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
            refuses=self.settings.refuse_moves,
        )

    def reset(self, by: str) -> None:
        """Release it; raises StateError when its condition is still true."""
        change = self.rule.reset(trio.current_time())
        if change is None and self.rule.tripped:
            raise StateError(
                f"{self._reason}: that is still so",
                advice="it can be reset when nothing is wrong any more",
            )
        if change is not None:
            logger.info("interlock %s: reset%s", self.settings.name, f" by {by}" if by else "")
            self._apply(change)

    async def live(
        self,
        programs: InterlockTarget,
        predecessor: _Interlock | None = None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Watch until cancelled, or until `end`, which releases what it holds."""
        if predecessor is not None:
            await predecessor.wait_ended()
        with self._life:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._watch, programs)
                nursery.start_soon(self._keep_reading)
                task_status.started()
        if self.rule.tripped:
            for device_id in self.settings.refuse_moves:
                self._supervisor.gate(device_id).allow(self.settings.name)
            await programs.release(self.settings.name, resume=False)
        self._ended.set()

    def end(self) -> None:
        """It is not configured any more."""
        self._life.cancel()

    async def wait_ended(self) -> None:
        """Until nothing is held by it."""
        await self._ended.wait()

    async def _watch(
        self, programs: InterlockTarget, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Judge every block, and the silence between them."""
        self._programs = programs
        async with trio.open_nursery() as self._reactions:
            with self._bus.view(self.settings.channel) as view:
                await self._publish()
                task_status.started()
                while True:
                    block: Measurement | None = None
                    with trio.move_on_at(self.rule.deadline):
                        block = await view.receive()
                    change = self._judge(block)
                    if change is not None:
                        self._apply(change)

    async def _keep_reading(self) -> None:
        """Read a channel that nobody else reads."""
        every, reading = self.settings.read_every_s, self.settings.reading
        if every is None or not reading:
            return
        device_id = self.settings.channel.partition(".")[0]
        by = f"interlock {self.settings.name}"
        while True:
            await trio.sleep_until(max(self._heard_at, trio.current_time()) + every)
            if trio.current_time() - self._heard_at < every:
                continue
            try:
                with trio.move_on_after(max(every, MIN_READ_S)):
                    # Looked up each time: another device may have taken its place meanwhile.
                    await self._supervisor.device(device_id).call(*reading, by=by)
            except DaqError as error:
                # Not hidden: a channel that stays silent trips.
                logger.debug("interlock %s: %s", self.settings.name, error.message)

    def _judge(self, block: Measurement | None) -> Change | None:
        now = trio.current_time()
        if block is None:
            return self.rule.tick(now)
        self._heard_at = now
        low, high = float(np.min(block.values)), float(np.max(block.values))
        self._value, self._units = float(np.mean(block.last())), block.units
        return self.rule.sample(now, low, high, block.units)

    def _apply(self, change: Change) -> None:
        """What must not wait for anything: refusals, and the pause."""
        self._changed_ns = self._timebase.now_ns()
        name, programs, reactions = self.settings.name, self._programs, self._reactions
        if programs is None or reactions is None:
            return  # it does not watch any more
        if change is Change.CLEARED:
            logger.warning("interlock %s has cleared", name)
            self._reason = ""
            for device_id in self.settings.refuse_moves:
                self._supervisor.gate(device_id).allow(name)
            reactions.start_soon(self._after_clearing, programs)
            return
        self._trips += 1
        self._reason = f"interlock {name}: {self.settings.channel} {self.rule.why}"
        logger.error("%s; action: %s", self._reason, self.settings.action)
        for device_id in self.settings.refuse_moves:
            self._supervisor.gate(device_id).forbid(name, self._reason)
        stop = self.settings.action in ("stop", "force_stop")
        if self.settings.action == "pause":
            stop = not self._hold(programs)
        reactions.start_soon(self._after_trip, programs, self._reason, stop)

    def _hold(self, programs: InterlockTarget) -> bool:
        """Pause what runs; False when a device does not allow that, and it must be stopped."""
        try:
            programs.hold(self.settings.name, self._reason)
        except StateError as error:
            self._reason += f"; {error.message}, so it was stopped"
            return False
        return True

    async def _after_trip(self, programs: InterlockTarget, reason: str, stop: bool) -> None:
        force = self.settings.action == "force_stop"
        async with self._in_turn, trio.open_nursery() as nursery:
            nursery.start_soon(self._publish)
            nursery.start_soon(self._secure)
            programs.say(reason)
            if stop:
                nursery.start_soon(self._stop_program, programs, reason, force)

    async def _after_clearing(self, programs: InterlockTarget) -> None:
        async with self._in_turn:
            await self._publish()
            programs.say(f"interlock {self.settings.name} has cleared")
            await programs.release(self.settings.name, resume=self.settings.resume)

    async def _stop_program(self, programs: InterlockTarget, reason: str, force: bool) -> None:
        await programs.stop(self.settings.name, reason, force=force)

    async def _secure(self) -> None:
        """Devices to their safe state; what must not move any more is stopped."""
        by = f"interlock {self.settings.name}"
        others = [d for d in self.settings.refuse_moves if d not in self.settings.devices]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_devices, self.settings.devices, True, by)
            nursery.start_soon(self._stop_devices, others, False, by)

    async def _stop_devices(self, ids: Sequence[str], safe: bool, by: str) -> None:
        stops = await self._supervisor.stop_devices(ids, timeout=SAFE_S, safe=safe, by=by)
        for stop in stops:
            if stop.outcome in (StopOutcome.REFUSED, StopOutcome.UNREACHABLE):
                logger.error("%s: %s was not made safe: %s", by, stop.device, stop.message)

    async def _publish(self) -> None:
        """Tell the bus, and with it the record of an open run, whether it is tripped."""
        reading = Reading(np.asarray(self.rule.tripped, np.uint8), self._timebase.now_ns())
        channel = INTERLOCK_CHANNELS + self.settings.name
        block = Measurement.single(channel, reading, "", self._sequence)
        self._sequence += 1
        await self._bus.publish(block)
