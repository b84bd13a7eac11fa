"""From threads that are not Trio's into Trio: calls, and streams of items, that end with us."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any, Generic, TypeVar

import trio

from daq.core import CommunicationError

__all__ = ["Crossing"]

T = TypeVar("T")

_BUFFER = 2


class _End:
    """The last item of a stream that ended by itself."""


class _Raised(Generic[T]):
    """An item that is an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Crossing:
    """Runs Trio functions for foreign threads, as tasks of `nursery`: they end with it.

    A thread that waits here when the nursery is cancelled gets CommunicationError at once, so that
    a server of threads can be shut down within a bound.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()

    def call(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run one Trio function to its end, from a thread of anybody's."""

        async def once() -> AsyncGenerator[T, None]:
            yield await function(*arguments)

        return next(iter(self.stream(once)))

    def stream(self, produce: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
        """The items of a Trio generator; it ends when this iterator is closed."""
        receive: trio.MemoryReceiveChannel[Any] = self._cross(self._begin, produce)
        try:
            while not isinstance(item := self._cross_async(_next, receive), _End):
                if isinstance(item, _Raised):
                    raise item.error
                yield item
        finally:
            with suppress(CommunicationError):  # with the loop, the generator has ended too
                self._cross(receive.close)

    def _begin(
        self, produce: Callable[[], AsyncGenerator[T, None]]
    ) -> trio.MemoryReceiveChannel[Any]:
        send, receive = trio.open_memory_channel[Any](_BUFFER)
        try:
            self._nursery.start_soon(_pump, produce, send)
        except RuntimeError as error:  # the nursery has ended
            raise _ending() from error
        return receive

    def _cross(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return trio.from_thread.run_sync(function, *arguments, trio_token=self._token)
        except trio.RunFinishedError as error:
            raise _ending() from error

    def _cross_async(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return trio.from_thread.run(function, *arguments, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled) as error:
            raise _ending() from error


async def _pump(
    produce: Callable[[], AsyncGenerator[Any, None]], send: trio.MemorySendChannel[Any]
) -> None:
    with send:
        try:
            async with aclosing(produce()) as items:
                async for item in items:
                    await send.send(item)
            await send.send(_End())
        except trio.BrokenResourceError:
            return  # the other side has left
        except Exception as error:  # noqa: BLE001 - it is raised on the other side
            with suppress(trio.BrokenResourceError):
                await send.send(_Raised(error))


async def _next(receive: trio.MemoryReceiveChannel[Any]) -> Any:
    try:
        return await receive.receive()
    except trio.EndOfChannel:
        raise _ending() from None


def _ending() -> CommunicationError:
    return CommunicationError("the daemon is stopping", advice="call again when it is back")
