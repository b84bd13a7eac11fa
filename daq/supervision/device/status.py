"""What is known about a device now: one cache, versioned, read by everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from daq.core import DeviceSnapshot, DeviceState, Invalid, OfflineError, Scalar
from daq.drivers import Timebase

__all__ = ["DeviceStatus"]


class DeviceStatus:
    """The state and the cached fields of one device; every change counts its version up."""

    def __init__(self, device_id: str, timebase: Timebase, on_change: Callable[[], None]) -> None:
        self.id = device_id
        self.state = DeviceState.CONNECTING
        self.reason = ""
        self.version = 0
        self.advice = "the daemon keeps trying to reach it; see `devices`"
        """What helps while it is offline."""
        self.failed_questions = 0
        """Counts the answers that could not be understood."""
        self.is_followed = False
        """A command looks at its motion all the time: nobody else has to ask where it is."""
        self._misunderstood = False
        self._timebase = timebase
        self._on_change = on_change
        self._fields: dict[str, Scalar] = {}
        self._invalid: dict[str, str] = {}
        self._owed = self._unreferenced = ""
        self._noted_at: dict[str, int] = {}
        self._notes = 0
        self._changed_ns = timebase.now_ns()
        self._away_since_ns = 0
        self._next_attempt_ns = 0

    def __repr__(self) -> str:
        return f"<DeviceStatus {self.id} {self.state} version {self.version}>"

    @property
    def notes(self) -> int:
        """Counts what commands noted; taken before a poll, it tells `merge` what is newer."""
        return self._notes

    @property
    def position(self) -> float | None:
        """Where it was seen last."""
        position = self._fields.get("position")
        return position if isinstance(position, float) else None

    def snapshot(self, activity: str) -> DeviceSnapshot:
        return DeviceSnapshot(
            id=self.id,
            state=self.state,
            version=self.version,
            timestamp_ns=self._changed_ns,
            reason=self.reason,
            activity=activity,
            fields=dict(self._fields),
            owed=self._owed,
            unreferenced=self._unreferenced,
            invalid=dict(self._invalid),
            failed_questions=self.failed_questions,
            next_attempt_ns=self._next_attempt_ns,
        )

    def touch(self) -> None:
        """Something changed: wake those who watch."""
        self.version += 1
        self._changed_ns = self._timebase.now_ns()
        self._on_change()

    def note(self, name: str, value: Scalar | Invalid) -> None:
        """A command saw a field's value, or that it has none now."""
        if not self.state.is_online:
            return
        self._notes += 1
        self._noted_at[name] = self._notes
        if self._put(name, value):
            self.touch()

    def owe(self, debt: str) -> None:
        """What it is owed; empty when that is done."""
        if self._owed != debt:
            self._owed = debt
            self.touch()

    def lose_reference(self, why: str) -> None:
        """It does not know where it is; empty when it does."""
        if self._unreferenced != why:
            self._unreferenced = why
            self.touch()

    def forget_older(self, notes: int) -> None:
        """What was seen before `notes` is not true any more: the device was changed."""
        kept = {name for name, noted in self._noted_at.items() if noted > notes} | {"streaming"}
        for known in (self._fields, self._invalid):
            for name in known.keys() - kept:
                known.pop(name)
        self.touch()

    def note_at_rest(self, *names: str) -> None:
        """The driver has said that these flags, of those that it polls, are down.

        Noted also when they were not up: a poll that is under way may have seen them up before.
        """
        for name in names:
            if name in self._fields:
                self.note(name, False)

    def note_motion(self, moving: bool) -> None:
        """A look at its motion understood what it said."""
        if "moving" in self._fields:
            self.note("moving", moving)
        self.understand()

    def count_failed_question(self, reason: str) -> None:
        """It answered, and the answer could not be understood: that is not to be lost."""
        self.failed_questions += 1
        self._misunderstood = True
        self.judge(DeviceState.DEGRADED, f"an answer was wrong: {self._without_id(reason)}")

    def understand(self) -> None:
        """It answers as it should again."""
        if self._misunderstood:
            self._misunderstood = False
            self.judge(DeviceState.READY)

    def tells_only_motion(self) -> bool:
        """Whether a look at its motion tells all that a poll does."""
        return not self._invalid and self._fields.keys() <= {"position", "moving", "streaming"}

    def merge(self, fields: Mapping[str, Scalar | Invalid], notes: int) -> None:
        """A poll that began at `notes` saw these; what commands saw since is newer."""
        if not self.state.is_online:
            return
        fresh = [
            self._put(name, value)
            for name, value in fields.items()
            if self._noted_at.get(name, 0) <= notes
        ]
        if any(fresh):
            self.touch()

    def _put(self, name: str, value: Scalar | Invalid) -> bool:
        """True when that is news."""
        if isinstance(value, Invalid):
            is_news = self._invalid.get(name) != value.reason
            self._invalid[name] = value.reason
            return self._fields.pop(name, None) is not None or is_news
        is_news = name not in self._fields or self._fields[name] != value
        self._fields[name] = value
        return self._invalid.pop(name, None) is not None or is_news

    def ready(self, fields: Mapping[str, Scalar | Invalid]) -> None:
        """The device answered: it is usable from now on."""
        self.state = DeviceState.READY
        self.reason = ""
        self._clear()
        for name, value in fields.items():
            self._put(name, value)
        self.touch()

    def _clear(self) -> None:
        self._misunderstood = False
        self._fields.clear()
        self._invalid.clear()
        self._noted_at.clear()

    def judge(self, state: DeviceState, reason: str = "") -> None:
        """A device that is online answers in time (READY), late (DEGRADED) or not yet (STALE)."""
        if self.state.is_online and (self.state, self.reason) != (state, reason):
            self.state = state
            self.reason = reason
            self.touch()

    def busy(self, reason: str) -> None:
        """It waits for what was declared to take long: that is not to be silent."""
        if self.state is DeviceState.CONNECTING and self.reason != reason:
            self.reason = reason
            self.touch()
        self.judge(DeviceState.BUSY, reason)

    def attempt_in(self, seconds: float | None) -> None:
        """After how long it will be tried again; None when nobody waits for that."""
        after = 0 if seconds is None else self._timebase.now_ns() + round(seconds * 1e9)
        if self._next_attempt_ns != after:
            self._next_attempt_ns = after
            self.touch()

    def disabled(self, reason: str, since_ns: int) -> None:
        """Taken out of use by a person, until `connecting`."""
        self._away_since_ns = since_ns
        self.state = DeviceState.DISABLED
        self.reason = reason
        self._clear()
        self._next_attempt_ns = 0
        self.touch()

    def connecting(self) -> None:
        """In use again: to be reached as at the start."""
        self.state = DeviceState.CONNECTING
        self.reason = ""
        self.touch()

    def offline(self, reason: str) -> None:
        """The device cannot be reached. What was known about it is no longer true."""
        if self.state is DeviceState.DISABLED:
            return  # that it cannot be reached is no news
        reason = self._without_id(reason)
        if self.state is DeviceState.OFFLINE and self.reason == reason:
            return
        if self.state is not DeviceState.OFFLINE:
            self._away_since_ns = self._timebase.now_ns()
        self.state = DeviceState.OFFLINE
        self.reason = reason
        self._clear()
        self.touch()

    def unavailable(self) -> str:
        """Why the device cannot be used, since when; empty when it can."""
        if self.state.is_online:
            return ""
        if self.state is DeviceState.CONNECTING:
            return f"{self.id}: still being connected{self.reason and f': {self.reason}'}"
        since = datetime.fromtimestamp(self._away_since_ns / 1e9, UTC)
        return f"{self.id}: {self.state} since {since:%Y-%m-%d %H:%M:%S} UTC: {self.reason}"

    def require_ready(self) -> None:
        """Raise OfflineError unless the device can be used now."""
        if self.state.is_online:
            return
        disabled = self.state is DeviceState.DISABLED
        advice = self.how_to_enable if disabled else self.advice
        raise OfflineError(self.unavailable(), advice=advice)

    @property
    def how_to_enable(self) -> str:
        """What to do about a device that is disabled."""
        return f"put it into use again: `enable {self.id}`"

    def _without_id(self, reason: str) -> str:
        return reason.removeprefix(f"{self.id}: ")

    def is_armed(self) -> bool:
        """Whether it waits for a trigger."""
        return bool(self._fields.get("armed"))

    def is_moving(self) -> bool:
        """Whether it moves, as it was last heard."""
        return bool(self._fields.get("moving"))
