"""Places that are given to users in turn: who asks for many waits behind himself."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from daq.core import OverloadError

__all__ = ["FairQueue"]


class FairQueue:
    """At most `places` at a time, and `waiting` of one user.

    A place that becomes free goes to the user who has waited longest for one, whoever else of the
    others has asked how often.
    """

    def __init__(self, what: str, places: int, waiting: int) -> None:
        self._what = what
        self._free = places
        self._most = waiting
        self._waiting: dict[str, deque[trio.Event]] = {}
        """By user, in the order in which they are served."""

    def __repr__(self) -> str:
        waiting = sum(map(len, self._waiting.values()))
        return f"<FairQueue of {self._what}: {self._free} free, {waiting} waiting>"

    @asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """A place for the block. Raises OverloadError when the user waits for too many already."""
        await self._take(user)
        try:
            yield
        finally:
            self._give()

    async def _take(self, user: str) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._free:
            self._free -= 1
            return
        mine = self._waiting.setdefault(user, deque())
        if len(mine) >= self._most:
            raise OverloadError(
                f"{user or 'you'} has {len(mine)} {self._what} waiting already, which is the limit",
                advice="wait until some are done",
            )
        turn = trio.Event()
        mine.append(turn)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():
                self._give()
            else:
                self._leave(user, turn)
            raise

    def _leave(self, user: str, turn: trio.Event) -> None:
        mine = self._waiting[user]
        mine.remove(turn)
        if not mine:
            del self._waiting[user]

    def _give(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        user = next(iter(self._waiting))
        mine = self._waiting.pop(user)
        mine.popleft().set()
        if mine:
            self._waiting[user] = mine  # behind all others
