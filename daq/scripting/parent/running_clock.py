"""Wall time without the time spent paused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["RunningClock"]


class RunningClock:
    """Starts when it is first asked, and stands still while paused."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._paused = 0.0
        self._since: float | None = None
        self._pauses = 0
        self._resumed = trio.Event()

    def elapsed(self) -> float:
        """Seconds that it has run."""
        now = trio.current_time()
        if self._started is None:
            self._started = now
        return (now if self._since is None else self._since) - self._started - self._paused

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still for the block; blocks may overlap."""
        self.elapsed()
        self._pauses += 1
        if self._since is None:
            self._since = trio.current_time()
            self._resumed = trio.Event()
        try:
            yield
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._paused += trio.current_time() - self._since
                self._since = None
                self._resumed.set()

    async def wait_until(self, seconds: float) -> None:
        """Until it has run for so long."""
        while (left := seconds - self.elapsed()) > 0:
            if self._since is not None:
                await self._resumed.wait()
            else:
                await trio.sleep(left)
