"""A bound for work that may hang for ever with the disk: it runs while nothing moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from daq.storage.journal.run_journal import in_thread

__all__ = ["StallWatch"]

_LOOK_S = 0.1


class StallWatch:
    """Watches how far some work has come, by the clock on the wall: disks know no other.

    `progress` tells how far; what it gives is only compared, and it is asked from a thread.
    """

    def __init__(self, progress: Callable[[], object]) -> None:
        self._progress = progress
        self._over = threading.Event()

    def end(self) -> None:
        """The work is done, or given up: nobody needs to wait any more."""
        self._over.set()

    async def wait_stalled(self, limit_s: float) -> bool:
        """Wait until nothing has moved for `limit_s`; False when the work ended before."""
        return await in_thread(lambda: self._is_stalled(limit_s))

    async def wait_end(self, limit_s: float) -> None:
        """Wait for the end of the work, but not for longer than that."""
        await in_thread(lambda: self._over.wait(limit_s))

    def _is_stalled(self, limit_s: float) -> bool:
        seen, since = self._progress(), time.monotonic()
        while not self._over.wait(_LOOK_S):
            if (reached := self._progress()) != seen:
                seen, since = reached, time.monotonic()
            elif time.monotonic() - since > limit_s:
                return True
        return False
