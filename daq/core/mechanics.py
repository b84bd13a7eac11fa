"""How simulated things move: trapezoidal profiles (pure), an axis and a switch on a clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Axis", "Profile", "Switch", "braking", "trapezoid"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A motion in one direction: speed up, cruise, slow down. Positions in the axis's units."""

    start: float
    end: float
    speed: float = 0.0
    """The highest speed, units/s."""
    ramp: float = 0.0
    """Seconds from rest to `speed`; 0 when it begins at full speed."""
    cruise: float = 0.0
    """Seconds at `speed`."""
    brake: float = 0.0
    """Seconds from `speed` to rest."""

    @property
    def duration(self) -> float:
        """Seconds until it rests."""
        return self.ramp + self.cruise + self.brake

    @property
    def direction(self) -> float:
        """1.0 upwards, -1.0 downwards."""
        return math.copysign(1.0, self.end - self.start)

    def position(self, t: float) -> float:
        """Where it is `t` seconds after its begin."""
        t = max(t, 0.0)
        if t >= self.duration:
            return self.end
        return self.start + self.direction * self._travelled(t)

    def velocity(self, t: float) -> float:
        """Its speed, without sign, `t` seconds after its begin."""
        if not 0.0 <= t < self.duration:
            return 0.0
        if t < self.ramp:
            return self.speed * t / self.ramp
        if t < self.ramp + self.cruise:
            return self.speed
        return self.speed * (self.duration - t) / self.brake

    def _travelled(self, t: float) -> float:
        if t < self.ramp:
            return 0.5 * self.speed * t * t / self.ramp
        if t < self.ramp + self.cruise:
            return self.speed * (0.5 * self.ramp + t - self.ramp)
        left = self.duration - t
        return abs(self.end - self.start) - 0.5 * self.speed * left * left / self.brake


def trapezoid(start: float, end: float, velocity: float, acceleration: float) -> Profile:
    """From rest to rest, never faster than `velocity`; a short way never reaches it."""
    distance = abs(end - start)
    speed = min(velocity, math.sqrt(distance * acceleration))
    if speed == 0.0:
        return Profile(start, end)
    ramp = speed / acceleration
    cruise = max(0.0, distance / speed - ramp)
    return Profile(start, end, speed, ramp=ramp, cruise=cruise, brake=ramp)


def braking(start: float, velocity: float, acceleration: float) -> Profile:
    """From `velocity` (signed) to rest as fast as `acceleration` allows."""
    seconds = abs(velocity) / acceleration
    return Profile(start, start + 0.5 * velocity * seconds, abs(velocity), brake=seconds)


class Axis:
    """A motor and the carriage that it moves, where they physically are at any time.

    The carriage follows the motor with a play of `backlash`: after a reversal the motor turns that
    far before the carriage follows. Encoders sit on the motor. Time is `clock`'s, in seconds.
    """

    def __init__(
        self,
        position: float,
        velocity: float,
        acceleration: float,
        clock: Callable[[], float],
        backlash: float = 0.0,
    ) -> None:
        self.velocity = velocity
        """Cruising speed of the next motion, units/s."""
        self.acceleration = acceleration
        """Of the next motion, units/s²."""
        self._backlash = backlash
        self._clock = clock
        self._profile = Profile(position, position)
        self._began = -math.inf
        self._carriage_began = position

    def __repr__(self) -> str:
        return f"<Axis {self._profile.start:g} -> {self._profile.end:g}>"

    def plan(self, target: float) -> Profile:
        """The motion that `begin(target)` would be, now."""
        return trapezoid(self.position(), target, self.velocity, self.acceleration)

    def begin(self, target: float) -> None:
        """Set off for `target`; returns at once."""
        self._follow(self.plan(target))

    def halt(self) -> None:
        """Slow down to rest as fast as it can; returns at once."""
        profile, t = self._profile, self._clock() - self._began
        speed = profile.direction * profile.velocity(t)
        self._follow(braking(profile.position(t), speed, self.acceleration))

    def position(self) -> float:
        """Where the motor is now."""
        return self._profile.position(self._clock() - self._began)

    def carriage(self) -> float:
        """Where the carriage is now."""
        motor, play = self.position(), 0.5 * self._backlash
        return min(max(self._carriage_began, motor - play), motor + play)

    def is_moving(self) -> bool:
        return self._clock() < self.ends_at

    @property
    def target(self) -> float:
        """Where the last motion ends, or has ended."""
        return self._profile.end

    @property
    def braking_time(self) -> float:
        """Seconds that a stop takes at most, from the highest speed of the last motion."""
        return self._profile.speed / self.acceleration

    @property
    def ends_at(self) -> float:
        """The clock's time at which the motion is or was over."""
        return self._began + self._profile.duration

    def _follow(self, profile: Profile) -> None:
        self._carriage_began = self.carriage()
        self._profile = profile
        self._began = self._clock()


class Switch:
    """What takes `delay_s` to open or close, or to go on or off; on its way it is as it was."""

    def __init__(self, is_on: bool, delay_s: float, clock: Callable[[], float]) -> None:
        self.delay_s = delay_s
        self._clock = clock
        self._before = self._after = is_on
        self._arrives = -math.inf

    def is_on(self) -> bool:
        return self._after if self._clock() >= self._arrives else self._before

    def turn(self, on: bool) -> None:
        """Set off; returns at once."""
        self._before, self._after = self.is_on(), on
        self._arrives = self._clock() + self.delay_s
