"""Waiting for a commanded motion: over, stopped by somebody, or too late."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto

import trio

__all__ = ["Ending", "MotionWait"]


class Ending(Enum):
    """How the waiting ended."""

    OVER = auto()
    """It is at rest."""
    STOPPED = auto()
    """It is at rest, and `halt` was called before."""
    LATE = auto()
    """It did not come to rest in time."""


class MotionWait:
    """Asks an instrument at a steady pace whether it still moves.

    Args:
        is_moving: Asks it.
        period_s: From one question to the next.
        settled: So many times in a row it has to be at rest.
    """

    def __init__(
        self, is_moving: Callable[[], Awaitable[bool]], period_s: float, settled: int = 1
    ) -> None:
        self._is_moving = is_moving
        self._period_s = period_s
        self._settled = settled
        self._halts = 0

    def begin(self) -> int:
        """Before the command is sent; gives what `wait` needs to know of stops that come after."""
        return self._halts

    def halt(self) -> None:
        """A stop is sent: who waits for a motion waits for it in vain."""
        self._halts += 1

    async def wait(self, begun: int, timeout_s: float, settled: int | None = None) -> Ending:
        """Until the motion that began with `begun` is over, at most `timeout_s` seconds.

        It is over when it was seen at rest `settled` times in a row, as usual where that is None.
        """
        deadline = trio.current_time() + timeout_s
        rests = 0
        while True:
            rests = 0 if await self._is_moving() else rests + 1
            if rests >= (settled or self._settled):
                return Ending.STOPPED if self._halts != begun else Ending.OVER
            if trio.current_time() >= deadline:
                return Ending.LATE
            await trio.sleep(self._period_s)
