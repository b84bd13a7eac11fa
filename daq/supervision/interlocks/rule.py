"""When an interlock trips and when it clears: times and values in, changes out; no I/O."""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum

from daq.core import InterlockState
from daq.supervision.settings.condition import Condition

__all__ = ["Change", "InterlockRule"]


class Change(StrEnum):
    """What a sample, or the time alone, did to an interlock."""

    TRIPPED = "tripped"
    CLEARED = "cleared"


class InterlockRule:
    """One interlock's state. Every method is told the time, in seconds that never go back.

    Args:
        condition: What is wrong.
        now: When it begins to watch.
        tripped: Why it had tripped before; it stays so until it hears otherwise.
    """

    def __init__(self, condition: Condition, now: float, tripped: str = "") -> None:
        self.condition = condition
        self.tripped = bool(tripped)
        self.why = tripped
        """What is wrong, or was when it tripped: `0.6 W, above 0.5 W`."""
        self._was_good = False
        """It has been heard to be well at least once since it watches."""
        self._heard_at = now
        self._silent = False
        self._since: float | None = None
        """Since when what is seen asks for the opposite of the present state."""

    def __repr__(self) -> str:
        return f"<InterlockRule {self.condition.describe()}: {self.state}>"

    @property
    def state(self) -> InterlockState:
        """What is known of what it watches."""
        if self.tripped:
            return InterlockState.LATCHED if self.latched else InterlockState.TRIPPED
        if self._since is not None:
            return InterlockState.PENDING
        return InterlockState.OK if self._was_good else InterlockState.UNKNOWN

    @property
    def is_unheard(self) -> bool:
        """Whether its channel was never heard to be well since it watches."""
        return not self._was_good

    @property
    def refuses(self) -> bool:
        """Whether what it guards is refused now: nothing is green that was not heard to be."""
        return self.tripped or not self._was_good

    @property
    def latched(self) -> bool:
        """Nothing is wrong any more, but it waits to be reset."""
        return self.tripped and self.condition.latched and self._since is not None

    @property
    def deadline(self) -> float:
        """When time alone may change something; infinite when it cannot."""
        deadlines = [math.inf]
        if self._since is not None and not self.latched:
            deadlines.append(self._since + self._patience)
        if not self._silent:
            deadlines.append(self._heard_at + self.condition.stale_s)
        return min(deadlines)

    def expect_within(self, stale_s: float) -> None:
        """From now on it trips after so long a silence."""
        if stale_s != self.condition.stale_s:
            self.condition = replace(self.condition, stale_s=stale_s)

    def sample(self, now: float, low: float, high: float, units: str = "") -> Change | None:
        """A block of samples came, of which these are the extremes; NaN is always wrong."""
        wrong = not self._is_good(low, high) if self.tripped else self._is_bad(low, high)
        return self._hear(now, self._explain(low, high, units) if wrong else "")

    def cannot_judge(self, now: float, why: str) -> Change | None:
        """A block came of which nothing can be said: `it cannot be judged: text`."""
        return self._hear(now, f"it cannot be judged: {why}")

    def tick(self, now: float) -> Change | None:
        """Time has passed; call it at `deadline`. A second change is due at once after a first."""
        silent_from = self._heard_at + self.condition.stale_s
        if self._silent or now < silent_from:
            return self._settle(now)
        if change := self._settle(silent_from):
            return change
        self._silent = True
        self._see(silent_from, f"silent for {self.condition.stale_s:g} s")
        return self._settle(now)

    def reset(self, now: float) -> Change | None:
        """Release a latched one; None when its condition is still true, or nothing is latched."""
        self.tick(now)
        return self._clear() if self.latched else None

    @property
    def _patience(self) -> float:
        return self.condition.clear_s if self.tripped else self.condition.hold_s

    def _hear(self, now: float, wrong: str) -> Change | None:
        change = self.tick(now)
        self._heard_at, self._silent = now, False
        self._see(now, wrong)
        self._was_good |= not wrong
        return change or self._settle(now)

    def _see(self, at: float, wrong: str) -> None:
        """From `at` on this is wrong, or nothing is."""
        if bool(wrong) is self.tripped:
            self._since = None
            return
        if wrong:
            self.why = wrong
        if self._since is None:
            self._since = at

    def _settle(self, now: float) -> Change | None:
        """What lasted long enough takes effect."""
        if self._since is None or self.latched or now < self._since + self._patience:
            return None
        if self.tripped:
            return self._clear()
        self.tripped, self._since = True, None
        return Change.TRIPPED

    def _clear(self) -> Change:
        self.tripped, self._since, self.why = False, None, ""
        return Change.CLEARED

    def _is_bad(self, low: float, high: float) -> bool:
        inside = high <= self.condition.above and low >= self.condition.below
        return not inside  # so that NaN is bad

    def _is_good(self, low: float, high: float) -> bool:
        highest = min(self.condition.clear_below, self.condition.above)
        lowest = max(self.condition.clear_above, self.condition.below)
        return high <= highest and low >= lowest

    def _explain(self, low: float, high: float, units: str) -> str:
        suffix = f" {units}" if units else ""
        if math.isnan(low) or math.isnan(high):
            return "not a number"
        if high > self.condition.above:
            return f"{high:.6g}{suffix}, above {self.condition.above:g}{suffix}"
        if low < self.condition.below:
            return f"{low:.6g}{suffix}, below {self.condition.below:g}{suffix}"
        return "not yet back where it clears"
