"""Waiting for somebody else, fairly: who was late himself does not blame another for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

__all__ = ["FairTimeout"]

T = TypeVar("T")

_PUNCTUAL_S = 0.02
"""Timers of a process that is not held up fire earlier than so long after their time."""


class FairTimeout:
    """So many seconds for an answer, from now on.

    A process that gets no CPU, or whose loop is held up, wakes long after a deadline, and the
    answer may be there, unread. A timer that fired late tells: then the time is given once more, so
    that what is there is seen, and what never comes is missed all the same.

    Args:
        seconds: What the answer may take; may be infinite.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = trio.current_time() + seconds
        """Trio time at which it ends, unless this process is late then."""
        self._seconds = seconds

    async def wait(self, step: Callable[[], Awaitable[T]]) -> T:
        """What `step` gives; raises trio.TooSlowError.

        It may be cancelled and begun again, and must lose nothing by that.
        """
        with trio.move_on_at(self.deadline):
            return await step()
        now = trio.current_time()
        if now - self.deadline > _PUNCTUAL_S:
            with trio.move_on_at(now + self._seconds):
                return await step()
        raise trio.TooSlowError
