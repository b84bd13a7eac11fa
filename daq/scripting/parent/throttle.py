"""A token bucket: how long to wait so that a flood becomes a stream."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate` per second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._time: float | None = None

    def spend(self, cost: float, now: float) -> float:
        """Take `cost` tokens at time `now`; returns the seconds to wait before going on."""
        if self._time is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._time) * self._rate)
        self._time = now
        self._tokens -= cost
        return max(0.0, -self._tokens / self._rate)

    def __repr__(self) -> str:
        return f"<TokenBucket {self._tokens:.0f} of {self._burst:.0f}, {self._rate:.0f}/s>"
