"""Publishing where a device is while it moves."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

__all__ = ["MotionFollower"]


class MotionFollower:
    """Looks at a moving device at a steady rate.

    A scan makes thousands of moves a second on a fast device. So a move does not wake anybody: it
    sets an alarm, and what has ended before the alarm rings is never followed.
    """

    def __init__(
        self, is_moving: Callable[[], bool], look: Callable[[], Awaitable[None]], period_s: float
    ) -> None:
        self._is_moving = is_moving
        self._look = look
        self._period_s = period_s
        self._nap = trio.CancelScope()

    def notice(self) -> None:
        """A motion began: look after one period."""
        if math.isinf(self._nap.deadline):
            self._nap.deadline = trio.current_time() + self._period_s

    async def run(self) -> None:
        """Follow every motion until cancelled."""
        while True:
            while self._is_moving():
                await self._look()
                await trio.sleep(self._period_s)
            with trio.CancelScope() as self._nap:
                await trio.sleep_forever()
