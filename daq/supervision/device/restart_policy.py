"""When to try a lost device again: pure arithmetic."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["RestartPolicy"]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential back-off with jitter that never gives up.

    The jitter keeps devices that were lost together, such as those on one hub, from all coming
    back in the same instant.
    """

    first_s: float = 0.5
    factor: float = 2.0
    longest_s: float = 30.0
    jitter: float = 0.1
    """Each delay is varied by up to this fraction, both ways."""

    def __post_init__(self) -> None:
        if self.first_s <= 0 or self.longest_s < self.first_s:
            raise ValueError(f"delays run from {self.first_s:g} s to {self.longest_s:g} s")
        if self.factor < 1 or not 0 <= self.jitter < 1:
            raise ValueError(
                f"factor {self.factor:g} is at least 1, jitter {self.jitter:g} in [0, 1)"
            )

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after so many failures in a row, counted from 1."""
        delay = self.first_s
        for _ in range(failures - 1):
            if delay >= self.longest_s:
                break
            delay *= self.factor
        return min(delay, self.longest_s) * (1 + self.jitter * rng.uniform(-1, 1))
