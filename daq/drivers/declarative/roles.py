"""What a description makes of its values: capabilities, the safe state, the last will."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daq.config import KeyPath
from daq.core import STANDARD, DeviceParameter, Limits, Scalar, did_you_mean
from daq.drivers.declarative.expression import Expression
from daq.drivers.declarative.model import Act, Motion, StandardValue, Trigger, Value, Will
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.tables import DescriptionTable, MovableTable, StandardTable
from daq.drivers.declarative.values import fits

__all__ = ["Roles"]

_UNBOUNDED = Limits(float("-inf"), float("inf"))

_DEFAULT_SETTLED = "abs(position - setpoint) <= tolerance"


@dataclass(frozen=True, slots=True)
class Roles:
    """Reads the tables that name values and actions."""

    root: DescriptionTable
    values: Mapping[str, Value]
    actions: Mapping[str, Act]
    phrases: Phrases

    def reading(self) -> str:
        """`[readable]`."""
        table = self.root.readable
        at = ("readable", "value")
        value = None if table is None else self._value(at, table.value, read=True)
        if value is None:
            return ""
        if value.dtype == "str":
            self._note(at, f"{value.name!r} is a text, not a reading")
        if not value.units:
            self._note(at, f"{value.name!r} needs `units` (`1` for a plain number)")
        return value.name

    def standard(self) -> dict[str, StandardValue]:
        """The tables of standard parameters: `[wavelength]`, `[temperature]`, ..."""
        found: dict[str, StandardValue] = {}
        for name, row in STANDARD.items():
            table: StandardTable | None = getattr(self.root, name)
            if table is None:
                continue
            apart = bool(table.setpoint)
            value = self._value((name, "value"), table.value, read=True, write=not apart)
            setpoint = value
            if apart:
                setpoint = self._value((name, "setpoint"), table.setpoint, write=True)
            if value is not None and setpoint is not None:
                self._check_standard(row, value, setpoint)
                found[name] = StandardValue(
                    value.name, table.setpoint, table.tolerance, table.settle
                )
        return found

    def _check_standard(self, row: DeviceParameter, value: Value, setpoint: Value) -> None:
        for key, each in (("value", value), ("setpoint", setpoint)):
            if each.dtype != row.dtype:
                text = f"{each.name!r} is of type {each.dtype}, not {row.dtype}"
                self._note((row.name, key), text)
        if row.dtype == "float" and setpoint.limits is None:
            self._note((row.name, "value"), f"{setpoint.name!r} needs `limits`")

    def motion(self) -> Motion | None:
        """`[movable]`."""
        table = self.root.movable
        if table is None:
            return None
        position = self._value(("movable", "position"), table.position, read=True)
        setpoint = position
        if table.setpoint:
            setpoint = self._value(("movable", "setpoint"), table.setpoint, write=True)
        elif position is not None and not position.write:
            text = f"{position.name!r} has no `write`; name a `setpoint` too"
            self._note(("movable", "position"), text)
        motion = self._read_motion(table, position, setpoint)
        self._check_motion(motion, position)
        return motion

    def _read_motion(
        self, table: MovableTable, position: Value | None, setpoint: Value | None
    ) -> Motion | None:
        known = ("position", "setpoint", "tolerance", *self._readable())
        settled = self._expression("settled", table.settled, known)
        limits = None if setpoint is None else setpoint.limits
        motion = Motion(
            position="" if position is None else position.name,
            setpoint="" if setpoint is None else setpoint.name,
            tolerance=table.tolerance,
            limits=limits or _UNBOUNDED,
            circle=table.circle,
            settled=settled or Expression(_DEFAULT_SETTLED, known),
            stable_s=table.stable,
            timeout_s=table.timeout,
            interval_s=table.interval,
            home=self._home(table, limits),
            stop=self._action(("movable", "stop"), table.stop) if table.stop else None,
            hold=table.hold,
            ramp_step=table.ramp_step,
            requires=self._expression("requires", table.requires, self._readable()),
            referenced=self._expression("referenced", table.referenced, self._readable()),
        )
        return None if position is None or setpoint is None else motion

    def _check_motion(self, motion: Motion | None, position: Value | None) -> None:
        if motion is None or position is None:
            return
        for key, name in (("position", motion.position), ("setpoint", motion.setpoint)):
            if self.values[name].dtype not in ("float", "int"):
                self._note(("movable", key), f"the value {name!r} is not a number")
        if motion.limits is _UNBOUNDED:
            self._note(("movable", "setpoint"), f"the value {motion.setpoint!r} needs `limits`")
        if not position.units:
            self._note(("movable", "position"), f"the value {motion.position!r} needs `units`")
        look_s = (position.read.timeout_s or 0.0) if position.read else 0.0
        if look_s >= motion.timeout_s:
            how = f"one look at {motion.position!r} may take {look_s:g} s, as it declares"
            self._note(("movable", "timeout"), f"{motion.timeout_s:g} s is too short: {how}")
        if motion.stop is None and not motion.hold and motion.ramp_step is None:
            how = "says not how it is stopped: give `stop`, an action, or `hold` or `ramp_step`"
            self._note(("movable",), how)
        if isinstance(motion.home, str) and not motion.tells_rest:
            how = "after an action, `settled` has to tell the end of it without `setpoint`"
            self._note(("movable", "home"), how)

    def _home(self, table: MovableTable, limits: Limits | None) -> str | float | None:
        if isinstance(table.home, str):
            return self._action(("movable", "home"), table.home)
        if table.home is not None and limits is not None and table.home not in limits:
            self._note(("movable", "home"), f"{table.home:g} is outside of the limits {limits}")
        return table.home

    def trigger(self) -> Trigger | None:
        """`[trigger]`: actions."""
        table = self.root.trigger
        if table is None:
            return None
        disarm = self._action(("trigger", "disarm"), table.disarm) if table.disarm else None
        arm = self._action(("trigger", "arm"), table.arm)
        return Trigger(arm, self._action(("trigger", "trigger"), table.trigger), disarm)

    def safe(self) -> dict[str, Scalar]:
        """`[safe]`: values and what they are in the safe state."""
        state: dict[str, Scalar] = {}
        for name, given in self.root.safe.items():
            at, value = ("safe", name), self.values.get(name)
            if value is None:
                self._note(at, f"there is no value {name!r}{_near(name, self.values)}")
            elif not value.is_readable or not value.write:
                self._note(at, "only what is read and written can be made safe")
            elif not self._takes(value, given):
                self._note(at, f"{given!r} is not a {value.dtype} that it takes")
            else:
                state[name] = given
        return state

    def will(self) -> Will | None:
        """`[last_will]`."""
        table = self.root.last_will
        if table is None:
            return None
        at = ("last_will", "send")
        if not table.send:
            self._note(at, "is empty; give it as send = a text or a list of texts")
        if bool(table.ask) != bool(table.reply):
            self._note(("last_will",), "ask and reply belong together")
        return Will(
            tuple(self.phrases.template(at, text) for text in table.send),
            table.summary,
            self.phrases.template(("last_will", "ask"), table.ask) if table.ask else None,
            self.phrases.pattern(("last_will", "reply"), table.reply),
        )

    @staticmethod
    def _takes(value: Value, given: Scalar) -> bool:
        within = value.limits is None or given in value.limits
        return fits(value, given) and within and (not value.choices or given in value.words)

    def _value(
        self, at: KeyPath, name: str, *, read: bool = False, write: bool = False
    ) -> Value | None:
        value = self.values.get(name)
        if value is None:
            if name:
                self._note(at, f"there is no value {name!r}{_near(name, self.values)}")
            return None
        for needed, there, word in (
            (read, value.is_readable, "read"),
            (write, bool(value.write), "write"),
        ):
            if needed and not there:
                self._note(at, f"the value {name!r} needs `{word}`")
        return value

    def _action(self, at: KeyPath, name: str) -> str:
        if name and name not in self.actions:
            self._note(at, f"there is no action {name!r}{_near(name, self.actions)}")
        return name

    def _expression(self, key: str, text: str, known: Iterable[str]) -> Expression | None:
        return self.phrases.expression(("movable", key), text, known)

    def _readable(self) -> list[str]:
        return [
            name
            for name, value in self.values.items()
            if value.is_readable and value.dtype != "waveform"
        ]

    def _note(self, at: KeyPath, text: str) -> None:
        self.phrases.mistakes.note(at, text)


def _near(name: str, known: Mapping[str, object]) -> str:
    if near := did_you_mean(name, known, "; "):
        return near
    return f"; there are {', '.join(known)}" if known else "; there are none"
