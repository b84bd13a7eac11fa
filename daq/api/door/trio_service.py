"""How a service is written: its methods are Trio functions, and the decorators bring them over."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from betterproto.grpc.grpclib_server import ServiceBase
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from daq.api.audit import describe_call
from daq.api.door.bridge import Bridge, Emit

__all__ = ["TrioService", "immediate", "streaming", "unary"]

Self = TypeVar("Self", bound="TrioService")
Request = TypeVar("Request")
Reply = TypeVar("Reply")


class TrioService(ServiceBase):
    """Base of the services: holds the bridge on which their methods cross."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def _call_rpc_handler_server_stream(
        self,
        handler: Callable[[Any], AsyncGenerator[Any, None]],
        stream: Stream[Any, Any],
        request: Any,
    ) -> None:
        # betterproto 2.0.0b7 leaves the generator of a cancelled call to the garbage collector, and
        # with it the Trio task behind it.
        async with aclosing(handler(request)) as replies:
            async for reply in replies:
                await stream.send_message(reply)


def _require(request: object) -> None:
    """Grpclib hands on None when the client ended its side without a message."""
    if request is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "the call came without a request message")
    describe_call(request)


def unary(
    method: Callable[[Self, Request], Awaitable[Reply]],
) -> Callable[[Self, Request], Coroutine[Any, Any, Reply]]:
    """A method with one reply: `async def method(self, request) -> Reply`, under Trio."""

    @functools.wraps(method)
    async def handler(self: Self, request: Request) -> Reply:
        _require(request)
        return await self._bridge.call(method, self, request)

    return handler


def immediate(
    method: Callable[[Self, Request], Reply],
) -> Callable[[Self, Request], Coroutine[Any, Any, Reply]]:
    """A method with one reply that is known: `def method(self, request) -> Reply`, on the spot.

    It waits for nothing, so it needs no task under Trio; that saves a fifth of a short call.
    """

    @functools.wraps(method)
    async def handler(self: Self, request: Request) -> Reply:
        _require(request)
        return method(self, request)

    return handler


def streaming(
    *, buffer: int
) -> Callable[
    [Callable[[Self, Request, Emit[Reply]], Awaitable[None]]],
    Callable[[Self, Request], AsyncIterator[Reply]],
]:
    """A method with many replies: `async def method(self, request, emit)`, under Trio.

    `emit` waits while `buffer` replies are on their way, so that what is dropped for a slow client
    is dropped at the source, where it is counted.
    """

    def decorate(
        method: Callable[[Self, Request, Emit[Reply]], Awaitable[None]],
    ) -> Callable[[Self, Request], AsyncIterator[Reply]]:
        @functools.wraps(method)
        async def handler(self: Self, request: Request) -> AsyncGenerator[Reply, None]:
            _require(request)
            producer = functools.partial(method, self, request)
            async with aclosing(self._bridge.subscribe(producer, buffer=buffer)) as replies:
                async for reply in replies:
                    yield reply

        return handler

    return decorate
