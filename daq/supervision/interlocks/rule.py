"""When an interlock trips and when it clears: times and values in, changes out; no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Change", "Condition", "InterlockRule"]


class Change(StrEnum):
    """What a sample, or the time alone, did to an interlock."""

    TRIPPED = "tripped"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong with a channel. All limits in its units, all times in seconds."""

    above: float = math.inf
    below: float = -math.inf
    clear_below: float = math.inf
    """Hysteresis: once above, it is over only when the value is not above this any more."""
    clear_above: float = -math.inf
    stale_s: float = math.inf
    """Wrong too when no sample came for so long."""
    hold_s: float = 0.0
    """It trips only when it was wrong all of this time."""
    clear_s: float = 0.0
    """It clears only when nothing was wrong all of this time."""
    latched: bool = False
    """It clears only when it is reset."""

    def __post_init__(self) -> None:
        if not self.below <= self.above:
            raise ValueError(f"between {self.below:g} and {self.above:g} there is nothing")
        if self.above < self.clear_below < math.inf or -math.inf < self.clear_above < self.below:
            raise ValueError("it would clear while its condition is true")
        if max(self.clear_above, self.below) > min(self.clear_below, self.above):
            raise ValueError("it could never clear")

    def describe(self, units: str = "") -> str:
        """`above 0.5 W or silent for 5 s`."""
        suffix = f" {units}" if units else ""
        parts = [f"above {self.above:g}{suffix}"] if self.above != math.inf else []
        if self.below != -math.inf:
            parts.append(f"below {self.below:g}{suffix}")
        if self.stale_s != math.inf:
            parts.append(f"silent for {self.stale_s:g} s")
        return " or ".join(parts)


class InterlockRule:
    """One interlock's state. Every method is told the time, in seconds that never go back."""

    def __init__(self, condition: Condition, now: float) -> None:
        self.condition = condition
        self.tripped = False
        self.why = ""
        """What is wrong, or was when it tripped: `0.6 W, above 0.5 W`."""
        self._heard_at = now
        self._silent = False
        self._since: float | None = None
        """Since when what is seen asks for the opposite of the present state."""

    def __repr__(self) -> str:
        return f"<InterlockRule {self.condition.describe()}: {'TRIPPED' if self.tripped else 'ok'}>"

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

    def sample(self, now: float, low: float, high: float, units: str = "") -> Change | None:
        """A block of samples came, of which these are the extremes; NaN is always wrong."""
        change = self.tick(now)
        self._heard_at, self._silent = now, False
        wrong = not self._is_good(low, high) if self.tripped else self._is_bad(low, high)
        self._see(now, self._explain(low, high, units) if wrong else "")
        return change or self._settle(now)

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
