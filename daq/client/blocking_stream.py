"""A stream of the asynchronous client as an ordinary iterator."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from daq.client.async_client import AsyncClient
    from daq.client.portal import Call

__all__ = ["BlockingStream"]

CLOSE_S = 2.0

Item = TypeVar("Item")


class BlockingStream(Generic[Item]):
    """Iterate over it, and close it or leave its `with` block when done.

    Memory is bounded: when `depth` items wait, no more are taken off the wire, and the daemon
    begins to drop and to count.
    """

    def __init__(
        self, source: Callable[[AsyncClient], AsyncGenerator[Item, None]], depth: int
    ) -> None:
        self._source = source
        self._depth = depth
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._make_room: Callable[[], object] = lambda: None
        self._ended = False
        self._error: BaseException | None = None
        self._call: Call[None] | None = None

    def attach(self, call: Call[None]) -> None:
        """Note the call that pumps, to be able to end it."""
        self._call = call
        call.future.add_done_callback(lambda _: self._end(None))

    async def pump(self, client: AsyncClient) -> None:
        """Take items off the wire; runs in the portal's thread."""
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        self._make_room = lambda: loop.call_soon_threadsafe(room.set)
        try:
            async with aclosing(self._source(client)) as items:
                async for item in items:
                    with self._changed:
                        self._items.append(item)
                        full = len(self._items) >= self._depth
                        if full:
                            room.clear()
                        self._changed.notify()
                    if full:
                        await room.wait()
        except Exception as error:  # noqa: BLE001 - it is raised where the items are read
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        with self._changed:
            while not self._items:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    raise StopIteration
                self._changed.wait()
            was_full = len(self._items) >= self._depth
            item = self._items.popleft()
            if was_full and not self._ended:
                self._make_room()
        return item

    def close(self) -> None:
        """End the stream; the daemon is told at once."""
        if self._call is None:
            return
        self._call.cancel()
        with self._changed:
            self._changed.wait_for(lambda: self._ended, CLOSE_S)
            self._items.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
