"""Files and directories that must stay what they were when the daemon opened them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import trio

from daq.core import StorageError

__all__ = ["Place", "PlaceWatch"]

LOOK_S = 2.0

_log = logging.getLogger(__name__)


class Place:
    """What a path led to. Blocks: for worker threads.

    The kernel goes on to read and write a file that has no name any more, and says nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._was = _identity(path)

    def trouble(self) -> str:
        """What has become of it, in words; empty while the path leads to the same."""
        now = _identity(self.path)
        if now == self._was:
            return ""
        return f"{self.path} was {'removed' if now is None else 'replaced'} while the daemon runs"

    def require(self) -> None:
        """Raise StorageError when it is another."""
        if why := self.trouble():
            raise StorageError(f"{why}: what is written now could not be found again", advice=BACK)


BACK = "put it back where it was, or stop the daemon first: what it has stored is still in it"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - the same, in half the time
    except OSError:
        return None
    return status.st_dev, status.st_ino


class PlaceWatch:
    """Looks after some places, and says once when one is lost and once when it is back."""

    def __init__(self) -> None:
        self._places: tuple[Place, ...] = ()
        self.problem = ""
        """What is wrong now; empty when nothing is."""

    def begin(self, places: Iterable[Place]) -> None:
        """From now on these."""
        self._places = tuple(places)

    async def run(self) -> None:
        """Look every two seconds until cancelled."""
        while True:
            await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look now."""
        troubles = await trio.to_thread.run_sync(
            lambda: [place.trouble() for place in self._places], abandon_on_cancel=True
        )
        problem = next(filter(None, troubles), "")
        if problem != self.problem:
            if problem:
                _log.error("%s: %s", problem, BACK)
            else:
                _log.warning("the storage directory is back where it was")
            self.problem = problem

    async def require(self) -> None:
        """Raise StorageError when something is not where it was."""
        await self.look()
        if self.problem:
            raise StorageError(f"{self.problem}: nothing new is stored", advice=BACK)
