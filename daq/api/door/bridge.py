"""The door between the two worlds: gRPC handlers run under asyncio, everything else under Trio.

Both run on one thread, so no lock is needed. Both methods are structured: a handler does not end,
by result, error or cancellation, before the Trio task that it started has ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

if TYPE_CHECKING:
    import trio_asyncio

__all__ = ["Bridge", "Emit"]

T = TypeVar("T")
Emit = Callable[[T], Awaitable[None]]
"""How a producer hands out an item; waits while the consumer is behind."""


class Bridge:
    """Lets an asyncio task call Trio functions."""

    def __init__(self, loop: trio_asyncio.TrioEventLoop) -> None:
        self._loop = loop

    async def call(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run one Trio function to its end. Cancelling the caller cancels it."""
        result: T = await self._loop.trio_as_future(function, *arguments)
        return result

    async def subscribe(
        self, producer: Callable[[Emit[T]], Awaitable[None]], *, buffer: int
    ) -> AsyncGenerator[T, None]:
        """The items that a Trio producer emits; at most `buffer` of them wait to be taken.

        The producer ends with the generator, so close it (`aclosing`). Its error is raised here,
        after the items that came before.
        """
        queue = _Queue[T](buffer)

        async def run() -> None:
            error: BaseException | None = None
            try:
                await producer(queue.put)
            except BaseException as caught:
                error = caught
                raise
            finally:
                queue.close(error)

        producing = self._loop.trio_as_future(run)
        try:
            async for item in queue:
                yield item
        finally:
            producing.cancel()
            await asyncio.wait([producing])
            # It was raised above; what nobody retrieves is reported to the loop once more.
            if not producing.cancelled():
                producing.exception()


class _Queue(Generic[T]):
    """Bounded, from one Trio task to one asyncio task on the same thread."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._room = trio.Event()
        self._arrival: asyncio.Future[None] | None = None
        self._closed = False
        self._error: BaseException | None = None

    async def put(self, item: T) -> None:
        """Trio's side: waits for room.

        While there is some, nobody else gets a turn: what was made together leaves together, for a
        fifth less work.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while len(self._items) >= self._capacity:
            self._room = trio.Event()
            await self._room.wait()
        self._items.append(item)
        self._wake()

    def close(self, error: BaseException | None) -> None:
        """Trio's side: nothing more comes, because of `error` if there is one."""
        self._closed = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def __aiter__(self) -> _Queue[T]:
        return self

    async def __anext__(self) -> T:
        """Asyncio's side: the next item, then the producer's error or the end."""
        while not self._items:
            if self._closed:
                self._raise_end()
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        item = self._items.popleft()
        self._room.set()
        return item

    def _raise_end(self) -> None:
        if self._error is None:
            raise StopAsyncIteration
        if isinstance(self._error, Exception):
            raise self._error
        # The Trio task was cancelled from its own side: the daemon ends.
        raise asyncio.CancelledError from self._error
