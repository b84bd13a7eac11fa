"""Reads what a description makes of its values: capabilities, the safe state, the last will."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from daq.core import STANDARD, DeviceParameter, Limits, Scalar
from daq.drivers.declarative.expression import Expression
from daq.drivers.declarative.model import Command, Motion, StandardValue, Trigger, Value, Will
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.source import Table
from daq.drivers.declarative.values import fits

__all__ = ["Roles"]

_UNBOUNDED = Limits(float("-inf"), float("inf"))

_DEFAULT_SETTLED = "abs(position - setpoint) <= tolerance"


@dataclass(frozen=True, slots=True)
class Roles:
    """Reads the tables that name values and actions."""

    root: Table
    values: Mapping[str, Value]
    actions: Mapping[str, tuple[Command, ...]]
    phrases: Phrases

    def reading(self) -> str:
        """`[readable]`."""
        table = self.root.table("readable")
        if table is None:
            return ""
        value = self._value(table, "value", read=True)
        table.finish()
        if value is None:
            return ""
        if value.dtype == "str":
            table.problem("value", f"{value.name!r} is a text, not a reading")
        if not value.units:
            table.problem("value", f"{value.name!r} needs `units` (`1` for a plain number)")
        return value.name

    def standard(self) -> dict[str, StandardValue]:
        """The tables of standard parameters: `[wavelength]`, `[temperature]`, ..."""
        found: dict[str, StandardValue] = {}
        for name, row in STANDARD.items():
            table = self.root.table(name)
            if table is None:
                continue
            apart = "setpoint" in table
            value = self._value(table, "value", read=True, write=not apart)
            setpoint = self._value(table, "setpoint", write=True) if apart else value
            tolerance = table.number("tolerance", 0.0) if "tolerance" in table else None
            settle_s = table.number("settle", 0.0, "s") if "settle" in table else None
            table.finish()
            if value is not None and setpoint is not None:
                self._check_standard(table, row, value, setpoint)
                name_set = setpoint.name if apart else ""
                found[name] = StandardValue(value.name, name_set, tolerance, settle_s)
        return found

    def _check_standard(
        self, table: Table, row: DeviceParameter, value: Value, setpoint: Value
    ) -> None:
        for key, each in (("value", value), ("setpoint", setpoint)):
            if each.dtype != row.dtype:
                table.problem(key, f"{each.name!r} is of type {each.dtype}, not {row.dtype}")
        if row.dtype == "float" and setpoint.limits is None:
            table.problem("value", f"{setpoint.name!r} needs `limits`")

    def motion(self) -> Motion | None:
        """`[movable]`."""
        table = self.root.table("movable")
        if table is None:
            return None
        position = self._value(table, "position", read=True)
        same = "setpoint" not in table
        setpoint = position if same else self._value(table, "setpoint", write=True)
        if same and position is not None and position.write is None:
            table.problem("position", f"{position.name!r} has no `write`; name a `setpoint` too")
        motion = self._read_motion(table, position, setpoint)
        self._check_motion(table, motion, position)
        table.finish()
        return motion

    def _read_motion(
        self, table: Table, position: Value | None, setpoint: Value | None
    ) -> Motion | None:
        settled = self._settled(table)
        step = table.number("ramp_step", 0.0)
        stop = self._action(table, "stop") if "stop" in table else None
        limits = None if setpoint is None else setpoint.limits
        motion = Motion(
            position="" if position is None else position.name,
            setpoint="" if setpoint is None else setpoint.name,
            tolerance=table.number("tolerance"),
            limits=limits or _UNBOUNDED,
            settled=settled or Expression(_DEFAULT_SETTLED, ("position", "setpoint", "tolerance")),
            stable_s=table.number("stable", 0.0, "s"),
            timeout_s=table.number("timeout", 60.0, "s"),
            interval_s=table.number("interval", 0.05, "s"),
            home=self._home(table, limits),
            stop=stop,
            hold=table.truth("hold", False),
            ramp_step=step if "ramp_step" in table else None,
            requires=self.phrases.expression(table, "requires", self._readable()),
        )
        return None if position is None or setpoint is None else motion

    def _check_motion(self, table: Table, motion: Motion | None, position: Value | None) -> None:
        if motion is None or position is None:
            return
        if motion.limits is _UNBOUNDED:
            table.problem("setpoint", f"the value {motion.setpoint!r} needs `limits`")
        if not position.units:
            table.problem("position", f"the value {motion.position!r} needs `units`")
        if not motion.interval_s > 0 or motion.ramp_step == 0:
            table.problem("interval", "`interval` and `ramp_step` are greater than 0")
        if motion.stop is None and not motion.hold and motion.ramp_step is None:
            table.problem(
                (), "says not how it is stopped: give `stop`, an action, or `hold` or `ramp_step`"
            )
        if isinstance(motion.home, str) and "setpoint" in motion.settled.names:
            table.problem(
                "home", "after an action, `settled` has to tell the end of it without `setpoint`"
            )

    def _settled(self, table: Table) -> Expression | None:
        known = ("position", "setpoint", "tolerance", *self._readable())
        return self.phrases.expression(table, "settled", known)

    def _home(self, table: Table, limits: Limits | None) -> str | float:
        home = table.given("home", "an action, or a position", None)
        if isinstance(home, str):
            return self._action(table, "home") or ""
        if isinstance(home, bool) or not isinstance(home, int | float):
            table.problem("home", "is missing; give it as home = an action, or a position")
            return 0.0
        if limits is not None and home not in limits:
            table.problem("home", f"{home} is outside of the limits {limits}")
        return float(home)

    def trigger(self) -> Trigger | None:
        """`[trigger]`: actions."""
        table = self.root.table("trigger")
        if table is None:
            return None
        disarm = self._action(table, "disarm") if "disarm" in table else None
        arm, trigger = self._action(table, "arm"), self._action(table, "trigger")
        table.finish()
        return Trigger(arm, trigger, disarm)

    def safe(self) -> dict[str, Scalar]:
        """`[safe]`: values and what they are in the safe state."""
        table = self.root.table("safe")
        state: dict[str, Scalar] = {}
        if table is None:
            return state
        for name, given in table.values.items():
            value = self.values.get(name)
            if value is None:
                table.problem(name, f"there is no value {name!r}{_near(name, self.values)}")
            elif value.read is None or value.write is None:
                table.problem(name, "only what is read and written can be made safe")
            elif not fits(value, given) or (value.limits is not None and given not in value.limits):
                table.problem(name, f"{given!r} is not a {value.dtype} that it takes")
            else:
                state[name] = given
        return state

    def will(self) -> Will | None:
        """`[last_will]`."""
        table = self.root.table("last_will")
        if table is None:
            return None
        texts, summary = table.texts("send"), table.text("summary", "")
        if not texts:
            table.problem("send", "is missing; give it as send = a text or a list of texts")
        table.finish()
        templates = [self.phrases.make_template(table, "send", text) for text in texts]
        return Will(tuple(templates), summary)

    def _value(
        self, table: Table, key: str, *, read: bool = False, write: bool = False
    ) -> Value | None:
        name = table.text(key)
        value = self.values.get(name)
        if value is None:
            if name:
                table.problem(key, f"there is no value {name!r}{_near(name, self.values)}")
            return None
        for needed, there, word in ((read, value.read, "read"), (write, value.write, "write")):
            if needed and there is None:
                table.problem(key, f"the value {name!r} needs `{word}`")
        return value

    def _action(self, table: Table, key: str) -> str:
        name = table.text(key)
        if name and name not in self.actions:
            table.problem(key, f"there is no action {name!r}{_near(name, self.actions)}")
        return name

    def _readable(self) -> list[str]:
        return [name for name, value in self.values.items() if value.read is not None]


def _near(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(known)}" if known else "; there are none"
