"""A Newport ESP300: three axes behind one command line."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from daq.core.mechanics import Axis
from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["Esp300Simulator"]

_VERSION = "ESP300 Version 3.04 07/27/01"
_COMMAND = re.compile(r"(?P<axis>\d*)\s*(?P<word>[A-Z]{2})\s*(?P<rest>.*)")
_BUFFER = 10

_GENERAL = {
    0: "NO ERROR DETECTED",
    6: "COMMAND DOES NOT EXIST",
    7: "PARAMETER OUT OF RANGE",
    9: "AXIS NUMBER OUT OF RANGE",
    37: "AXIS NUMBER MISSING",
    38: "COMMAND PARAMETER MISSING",
}
_AXIS = {
    1: "PARAMETER OUT OF RANGE",
    6: "POSITIVE SOFTWARE LIMIT DETECTED",
    7: "NEGATIVE SOFTWARE LIMIT DETECTED",
    10: "MAXIMUM VELOCITY EXCEEDED",
    11: "MAXIMUM ACCELERATION EXCEEDED",
    13: "MOTOR NOT ENABLED",
}


class _CommandError(Exception):
    """The controller's own error code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Stage:
    """One axis: its mechanics and its settings."""

    motor: Axis
    controller: Esp300Simulator
    number: int
    powered: bool = False
    target: float = 0.0
    offset: float = 0.0
    """What `DH` and homing added to the motor's position."""
    low: float = -25.0
    high: float = 25.0
    units: int = 2
    """Millimetres."""
    homing_velocity: float = 5.0

    def serial(self) -> int:
        return self.controller.serial + self.number - 1

    def position(self) -> float:
        return round(self.motor.position() + self.offset, 4)


class Esp300Simulator(LineInstrument):
    """Motion done is 1, moving is 0. Motors are off until `MO`; errors wait for `TB?` or `TE?`.

    Args:
        clock: Its time.
        velocity: Of all axes at the start, mm/s.
        acceleration: Of all axes at the start, mm/s².
        latency: Seconds before it answers.
    """

    highest_velocity = 400.0
    highest_acceleration = 40000.0

    def __init__(
        self,
        clock: Clock,
        velocity: float = 10.0,
        acceleration: float = 40.0,
        latency: float = 0.002,
    ) -> None:
        super().__init__(clock, latency)
        self.stages = {
            number: _Stage(Axis(0.0, velocity, acceleration, clock=clock), self, number)
            for number in (1, 2, 3)
        }
        self._errors: list[tuple[int, float]] = []
        self._held: deque[str] = deque()
        self._resumes_at: Callable[[], float] = lambda: -math.inf
        """Until then it carries out nothing more: a wait was asked for."""

    @property
    def name(self) -> str:
        return "Newport ESP300"

    def command(self, text: str) -> None:
        parts = [part.strip() for part in text.upper().split(";") if part.strip()]
        if any(part.endswith(("ST", "AB")) for part in parts):
            self._held.extendleft(reversed(parts))  # an emergency does not wait
            self._resumes_at = lambda: -math.inf
        else:
            self._held.extend(parts)
        self._go_on()

    def next_due(self) -> float | None:
        due = super().next_due()
        if not self._held:
            return due
        return self._resumes_at() if due is None else min(due, self._resumes_at())

    def take_due(self) -> bytes:
        self._go_on()
        return super().take_due()

    def plugged_in(self) -> None:
        super().plugged_in()
        self._held.clear()
        self._resumes_at = lambda: -math.inf

    def _go_on(self) -> None:
        """Carry out what has come, up to the next wait."""
        while self._held and self.clock() >= self._resumes_at():
            try:
                self._carry_out(self._held.popleft())
            except _CommandError as error:
                self._errors.append((error.code, self.clock()))
                del self._errors[:-_BUFFER]

    def _carry_out(self, text: str) -> None:
        match = _COMMAND.fullmatch(text)
        if match is None:
            raise _CommandError(6)
        word, rest = match["word"], match["rest"].strip()
        if self._controller(word, rest, match["axis"]):
            return
        asked, changed = _QUERIES.get(word), _COMMANDS.get(word)
        if asked is None and changed is None:
            raise _CommandError(6)
        number = self._axis(match["axis"])
        stage = self.stages[number]
        if asked is not None and (rest == "?" or (changed is None and rest == "")):
            self.reply(asked(stage))
        elif changed is not None and rest != "?":
            try:
                changed(self, stage, _number(word, rest))
            except _CommandError as error:
                raise _CommandError(
                    error.code if error.code > 30 else 100 * number + error.code
                ) from error
        else:
            raise _CommandError(6)

    def _controller(self, word: str, rest: str, axis: str) -> bool:
        """Commands to the controller itself."""
        if word == "VE":
            self.reply(_VERSION)
        elif word == "TB":
            code, at = self._errors.pop(0) if self._errors else (0, self.clock())
            self.reply(f"{code}, {round(at * 1e3) % 10**9}, {_message(code)}")
        elif word == "TE":
            self.reply(str(self._errors.pop(0)[0] if self._errors else 0))
        elif word in ("ST", "AB") and not axis:
            for stage in self.stages.values():
                _halt(self, stage, 0.0)
        elif word == "RS":
            self._errors.clear()
            for stage in self.stages.values():
                _power_off(self, stage, 0.0)
        elif word in ("WS", "WP"):
            stages = [self.stages[self._axis(axis)]] if axis else list(self.stages.values())
            self._resumes_at = lambda: max(stage.motor.ends_at for stage in stages)
        elif word == "WT":
            at = self.clock() + _number(word, rest) / 1e3
            self._resumes_at = lambda: at
        else:
            return False
        return True

    def _axis(self, text: str) -> int:
        if not text:
            raise _CommandError(37)
        if int(text) not in self.stages:
            raise _CommandError(9)
        return int(text)


def _message(code: int) -> str:
    if code < 100:
        return _GENERAL.get(code, "UNKNOWN ERROR")
    return f"AXIS-{code // 100} {_AXIS.get(code % 100, 'UNKNOWN ERROR')}"


_DEFAULTS = {"OR": 1.0, "DH": 0.0}


def _number(word: str, rest: str) -> float:
    if word in _WITHOUT_PARAMETER:
        return 0.0
    if not rest:
        if word in _DEFAULTS:
            return _DEFAULTS[word]
        raise _CommandError(38)
    try:
        return float(rest)
    except ValueError:
        raise _CommandError(7) from None


def _move(esp: Esp300Simulator, stage: _Stage, target: float) -> None:
    if not stage.powered:
        raise _CommandError(13)
    if target > stage.high:
        raise _CommandError(6)
    if target < stage.low:
        raise _CommandError(7)
    stage.target = target
    if not esp.stuck:
        stage.motor.begin(target - stage.offset)


def _move_by(esp: Esp300Simulator, stage: _Stage, distance: float) -> None:
    _move(esp, stage, stage.position() + distance)


def _home(esp: Esp300Simulator, stage: _Stage, mode: float) -> None:
    if mode not in (0, 1, 2, 3, 4, 5, 6):
        raise _CommandError(1)
    if not stage.powered:
        raise _CommandError(13)
    stage.offset = 0.0
    stage.target = 0.0
    if not esp.stuck:
        velocity = stage.motor.velocity
        stage.motor.velocity = min(stage.homing_velocity, velocity)
        stage.motor.begin(0.0)
        stage.motor.velocity = velocity


def _halt(esp: Esp300Simulator, stage: _Stage, _: float) -> None:
    if stage.motor.is_moving() and not esp.stuck:
        stage.motor.halt()


def _power_on(_: Esp300Simulator, stage: _Stage, __: float) -> None:
    stage.powered = True


def _power_off(esp: Esp300Simulator, stage: _Stage, _: float) -> None:
    _halt(esp, stage, 0.0)
    stage.powered = False


def _define_home(_: Esp300Simulator, stage: _Stage, value: float) -> None:
    stage.offset = value - stage.motor.position()


def _set_velocity(esp: Esp300Simulator, stage: _Stage, value: float) -> None:
    if not 0 < value <= esp.highest_velocity:
        raise _CommandError(10)
    stage.motor.velocity = value


def _set_acceleration(esp: Esp300Simulator, stage: _Stage, value: float) -> None:
    if not 0 < value <= esp.highest_acceleration:
        raise _CommandError(11)
    stage.motor.acceleration = value


def _set_homing_velocity(esp: Esp300Simulator, stage: _Stage, value: float) -> None:
    if not 0 < value <= esp.highest_velocity:
        raise _CommandError(10)
    stage.homing_velocity = value


def _set_low(_: Esp300Simulator, stage: _Stage, value: float) -> None:
    stage.low = value


def _set_high(_: Esp300Simulator, stage: _Stage, value: float) -> None:
    stage.high = value


def _set_units(_: Esp300Simulator, stage: _Stage, value: float) -> None:
    if value not in range(12):
        raise _CommandError(1)
    stage.units = int(value)


_WITHOUT_PARAMETER = frozenset({"MO", "MF", "ST", "AB"})

_QUERIES: dict[str, Callable[[_Stage], str]] = {
    "TP": lambda stage: f"{stage.position():.6g}",
    "TV": lambda stage: "0" if not stage.motor.is_moving() else f"{stage.motor.velocity:.6g}",
    "PA": lambda stage: f"{stage.target:.6g}",
    "DP": lambda stage: f"{stage.target:.6g}",
    "MD": lambda stage: str(int(not stage.motor.is_moving())),
    "MO": lambda stage: str(int(stage.powered)),
    "VA": lambda stage: f"{stage.motor.velocity:.6g}",
    "VU": lambda _: f"{Esp300Simulator.highest_velocity:.6g}",
    "AC": lambda stage: f"{stage.motor.acceleration:.6g}",
    "AG": lambda stage: f"{stage.motor.acceleration:.6g}",
    "AU": lambda _: f"{Esp300Simulator.highest_acceleration:.6g}",
    "OH": lambda stage: f"{stage.homing_velocity:.6g}",
    "SL": lambda stage: f"{stage.low:.6g}",
    "SR": lambda stage: f"{stage.high:.6g}",
    "SN": lambda stage: str(stage.units),
    "DH": lambda stage: f"{stage.offset:.6g}",
    "ID": lambda stage: f"ILS50CC, SN{stage.serial():04d}",
}

_COMMANDS: dict[str, Callable[[Esp300Simulator, _Stage, float], None]] = {
    "PA": _move,
    "PR": _move_by,
    "OR": _home,
    "DH": _define_home,
    "ST": _halt,
    "AB": _halt,
    "MO": _power_on,
    "MF": _power_off,
    "VA": _set_velocity,
    "AC": _set_acceleration,
    "AG": _set_acceleration,
    "OH": _set_homing_velocity,
    "SL": _set_low,
    "SR": _set_high,
    "SN": _set_units,
}
