"""Streams that come back after a lost connection, and the count of what was missed meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from daq.client.rpc.connection import Connection, ConnectionLostError
from daq.core import CommunicationError

__all__ = ["GapCounter", "resuming"]

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

Item = TypeVar("Item")


async def resuming(
    connection: Connection, open_stream: Callable[[], AsyncGenerator[Item, None]]
) -> AsyncGenerator[tuple[int, Item], None]:
    """The items of a stream, each with the number of interruptions before it.

    A stream that was lost is opened again until the connection's `resume_s` have passed without an
    item; then the error that ended it is raised. One that never came up fails at once.

    Yields:
        Interruptions so far, and the item.

    Raises:
        CommunicationError: What ended the stream for good.
    """
    loop = asyncio.get_running_loop()
    interruptions = 0
    lost: CommunicationError | None = None
    deadline, pause, alive = 0.0, FIRST_PAUSE_S, False
    heard_at = loop.time()
    while True:
        items = open_stream()
        try:
            async with aclosing(items):
                async for item in items:
                    alive, lost, pause = True, None, FIRST_PAUSE_S
                    heard_at = loop.time()
                    yield interruptions, item
        except CommunicationError as error:
            came_up = alive or isinstance(error, ConnectionLostError)
            if not came_up or not connection.is_open or not connection.resume_s:
                raise
            if lost is None:
                # It went silent before that was noticed.
                silent_s = min(loop.time() - heard_at, connection.silence_s)
                lost, deadline = error, loop.time() - silent_s + connection.resume_s
                interruptions += 1
                log.warning("a stream was interrupted: %s", error.message)
            if loop.time() + pause > deadline:
                raise lost from error
            alive = True  # it was there, so what fails from now on is coming back
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


class GapCounter:
    """Counts samples that were missed while the connection was lost, by their sequence numbers."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._interruptions = 0
        self._carried = 0
        self._dropped = 0

    def take(
        self, interruptions: int, channel: str, sequence: int, dropped: int, samples: int = 1
    ) -> tuple[int, int]:
        """The samples missed right before this one, and all that were missed or dropped so far.

        Args:
            interruptions: How often the stream was interrupted before this sample.
            channel: Its channel, which has a sequence of its own.
            sequence: Its number in that sequence, from 0 when the daemon started.
            dropped: What the daemon dropped since the stream was opened the last time.
            samples: How many samples it stands for; `sequence` is that of the first.

        Returns:
            How many right before, and how many in all.
        """
        if interruptions != self._interruptions:
            self._interruptions = interruptions
            self._carried += self._dropped
        self._dropped = dropped
        gap = 0
        if self._seen.get(channel, interruptions) != interruptions:
            previous = self._last[channel]
            # A lower number is that of a daemon that was restarted: it counts from 0 again.
            gap = sequence - previous - 1 if sequence > previous else sequence
            self._carried += gap
        self._seen[channel], self._last[channel] = interruptions, sequence + samples - 1
        return gap, self._carried + dropped
