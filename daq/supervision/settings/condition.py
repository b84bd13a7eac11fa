"""What is wrong with a channel, as the configuration says it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Condition"]


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
