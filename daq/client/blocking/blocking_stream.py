"""A stream of the asynchronous client as an ordinary iterator."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import Generic, Self, TypeVar

from daq.client.blocking.call import FOREVER_S, Action, Call
from daq.client.calls.async_client import AsyncClient

__all__ = ["BlockingStream"]

CLOSE_S = 2.0

Item = TypeVar("Item")
Source = Callable[[AsyncClient], AsyncGenerator[Item, None]]


class BlockingStream(Generic[Item]):
    """Iterate over it, and close it or leave its `with` block when done.

    Memory is bounded: when `depth` items wait, no more are taken off the wire, and the daemon
    begins to drop and to count. One that is forgotten ends by itself.
    """

    def __init__(
        self, source: Source[Item], depth: int, start: Callable[[Action[None]], Call[None]]
    ) -> None:
        self._pump = _Pump(source, depth)
        self._call = start(self._pump.run)
        self._call.future.add_done_callback(self._pump.on_done)
        weakref.finalize(self, self._call.cancel)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        return self._pump.take(self._call)

    def close(self) -> None:
        """End the stream; the daemon is told at once."""
        if self._call.is_here:
            self._call.cancel()
            self._pump.drain(CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Pump(Generic[Item]):
    """Between the thread that takes items off the wire and the one that reads them.

    It does not know the stream that it serves, so that this can be forgotten.
    """

    def __init__(self, source: Source[Item], depth: int) -> None:
        self._source = source
        self._depth = depth
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._make_room: Callable[[], object] = lambda: None
        self._ended = False
        self._error: BaseException | None = None

    async def run(self, client: AsyncClient) -> None:
        """Take items off the wire; in the portal's thread."""
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
            self.end(error)

    def on_done(self, _: Future[None]) -> None:
        """The call that pumps is over."""
        self.end(None)

    def end(self, error: BaseException | None) -> None:
        """No more items come."""
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._changed.notify_all()

    def take(self, call: Call[None]) -> Item:
        """The next item, or what ended the stream."""
        with self._changed:
            while not self._items:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    raise StopIteration
                call.check_here()
                self._changed.wait(FOREVER_S)
            was_full = len(self._items) >= self._depth
            item = self._items.popleft()
            if was_full and not self._ended:
                self._make_room()
        return item

    def drain(self, timeout: float) -> None:
        """Wait for the end and forget what was not read."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout)
            self._items.clear()
