"""All interlocks of the daemon: at work, asked, reset, and configured anew."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from daq.bus import Bus
from daq.core import InterlockStatus, NotFoundError, StateError, did_you_mean
from daq.drivers import Timebase
from daq.supervision.interlocks.interlock import Interlock, InterlockTarget
from daq.supervision.interlocks.memory import InterlockMemory
from daq.supervision.settings.interlock_settings import InterlockSettings
from daq.supervision.supervisor import Supervisor

__all__ = ["InterlockTarget", "Interlocks"]


class Interlocks:
    """All interlocks of the daemon.

    Args:
        settings: What each of them watches, and does.
        supervisor: Of the devices that they read, refuse and make safe.
        bus: Where the channels are.
        timebase: The daemon's timestamps.
        memory: What was latched when the daemon ended; without it, nothing was.
    """

    def __init__(
        self,
        settings: Sequence[InterlockSettings],
        supervisor: Supervisor,
        bus: Bus,
        timebase: Timebase,
        memory: InterlockMemory | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._bus = bus
        self._timebase = timebase
        self._memory = memory or InterlockMemory()
        self._locks = {each.name: self._make(each) for each in settings}
        self._programs: InterlockTarget | None = None
        self._watching: trio.Nursery | None = None

    def __repr__(self) -> str:
        states = ", ".join(f"{name} {lock.rule.state}" for name, lock in self._locks.items())
        return f"<Interlocks: {states or 'none'}>"

    async def run(
        self,
        programs: InterlockTarget,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Watch until cancelled."""
        self._programs = programs
        async with trio.open_nursery() as self._watching:
            async with trio.open_nursery() as starting:
                for lock in self._locks.values():
                    starting.start_soon(self._watching.start, lock.live, programs)
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
        """These count from now on. What has not changed notices nothing; what goes is released.

        One that has changed refuses until it was heard, and one that had tripped stays so until it
        hears otherwise: there is no moment in between in which nobody watches.
        """
        before, self._locks = self._locks, {}
        for each in settings:
            old = before.get(each.name)
            if old is not None and old.settings == each:
                self._locks[each.name] = before.pop(each.name)
                continue
            self._locks[each.name] = lock = self._make(each, old)
            if self._watching is not None and self._programs is not None:
                self._watching.start_soon(lock.live, self._programs)
        for name, lock in before.items():
            lock.end(self._locks.get(name))

    def _make(self, settings: InterlockSettings, old: Interlock | None = None) -> Interlock:
        parts = (self._supervisor, self._bus, self._timebase, self._memory)
        return Interlock(settings, *parts, predecessor=old)

    def status(self) -> tuple[InterlockStatus, ...]:
        """How each of them is, in the order of the configuration."""
        return tuple(lock.status() for lock in self._locks.values())

    def reset(self, name: str, by: str, note: str = "") -> InterlockStatus:
        """Release one that is latched; who did, when and why is kept.

        Raises NotFoundError, or StateError when its condition is still true.
        """
        if name not in self._locks:
            known = ", ".join(self._locks) or "none"
            raise NotFoundError(
                f"there is no interlock {name!r}; there are {known}",
                advice=did_you_mean(name, self._locks),
            )
        self._locks[name].reset(by, note)
        return self._locks[name].status()
