"""The one clock of a daemon: every timestamp comes from it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import trio

__all__ = ["Timebase"]

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_STEP_NS = 50_000_000
"""A wall clock that is farther off than this was set; one that is merely corrected stays closer."""


class Timebase:
    """Timestamps that follow Trio's clock: steady in real time, virtual in tests.

    Anchored to the wall clock at first, and again where `follow_wall_clock` may.
    """

    def __init__(self) -> None:
        self._epoch_ns = 0
        self._origin = 0.0
        self._anchor()

    def now_ns(self) -> int:
        """Now, ns since the epoch."""
        return self._epoch_ns + round((trio.current_time() - self._origin) * 1e9)

    async def follow_wall_clock(self, may_jump: Callable[[], bool]) -> None:
        """Follow a wall clock that is set, as after the start of a machine, until cancelled.

        Within a run or an execution time must not jump: it is followed once `may_jump` says so.
        """
        told = 0
        while True:
            await trio.sleep(_LOOK_S)
            step_ns = time.time_ns() - self.now_ns()
            if abs(step_ns) < _STEP_NS:
                told = 0
            elif may_jump():
                self._anchor()
                logger.warning("the clock was set by %+.3f s; time follows it", step_ns / 1e9)
            elif abs(step_ns - told) >= _STEP_NS:
                told = step_ns
                logger.warning(
                    "the clock was set by %+.3f s; time follows it once nothing runs",
                    step_ns / 1e9,
                )

    def _anchor(self) -> None:
        self._epoch_ns = time.time_ns()
        self._origin = trio.current_time()
