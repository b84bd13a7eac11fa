"""Where an adaptive scan goes next."""

from __future__ import annotations

import math

from daq.scripting.child.plans.paths import passed

__all__ = ["Stepper"]

_MUCH_SMALLER = 0.8


class Stepper:
    """Chooses the next position from what was measured at the last ones; no I/O.

    Both ends are measured, however large the steps may be. A value that is no finite number tells
    nothing: the next step is as long as the last one.
    """

    def __init__(
        self,
        start: float,
        stop: float,
        min_step: float,
        max_step: float,
        target_delta: float,
        backstep: bool,
    ) -> None:
        self.position = start
        self.finished = False
        self._start, self._stop = start, stop
        self._min, self._max, self._delta = min_step, max_step, target_delta
        self._backstep = backstep
        self._direction = math.copysign(1.0, stop - start)
        self._step = max_step
        self._known: tuple[float, float] | None = None
        """The last position that told something, and the value there."""
        self._blind = False
        """Whether a later position told nothing: a step over it is not taken again."""

    @property
    def fraction(self) -> float:
        """How much of the way is done, 0 to 1."""
        return passed(self._start, self._stop, self.position)

    def take(self, value: float) -> None:
        """Learn what the target was at `position`, and move `position` on, or back."""
        here, known = self.position, self._known
        if not math.isfinite(value):
            self._blind = True
        else:
            self._known = (here, value)
            if known is not None:
                step = abs(here - known[0])
                self._step = self._wanted(abs(value - known[1]), step)
                if self._backstep and not self._blind and self._step < _MUCH_SMALLER * step:
                    self._known = known
                    self._go(known[0] + self._direction * self._step)
                    return
            self._blind = False
        self.finished = here == self._stop
        self._go(here + self._direction * self._step)

    def _wanted(self, change: float, step: float) -> float:
        """The step after which the target should have changed by what is wanted."""
        wanted = self._delta * step / change if change else self._max
        return min(max(wanted, self._min), self._max)

    def _go(self, position: float) -> None:
        beyond = (position - self._stop) * self._direction >= 0
        self.position = self._stop if beyond else position
