"""Waiting for somebody else, fairly: what this process was late itself does not count."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

__all__ = ["Patience"]

T = TypeVar("T")

_TICK_S = 0.1
_PUNCTUAL_S = 0.02
"""Timers of a process that is not held up fire earlier than so long after their time."""


class Patience:
    """So many seconds for an answer, from now on.

    A process that gets no CPU wakes up long after a deadline, and the answer may be there, unread.
    So the time is waited in ticks. One whose timer fired late counts half, however late it was:
    what comes while nobody could look is seen, and what never comes is missed all the same.

    Args:
        seconds: What the answer may take; may be infinite.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = trio.current_time() + seconds
        """Trio time at which it ends when this process is never late."""
        self._left = 1.0 if math.isinf(seconds) else max(1.0, math.ceil(seconds / _TICK_S))
        """Ticks."""
        self._tick_s = seconds / self._left

    async def wait(self, step: Callable[[], Awaitable[T]]) -> T:
        """What `step` gives; raises trio.TooSlowError.

        It is cancelled and begun again at every tick, and must lose nothing by that.
        """
        while self._left > 0:
            until = trio.current_time() + self._tick_s
            with trio.move_on_at(until):
                return await step()
            self._left -= 1.0 if trio.current_time() - until < _PUNCTUAL_S else 0.5
        raise trio.TooSlowError
