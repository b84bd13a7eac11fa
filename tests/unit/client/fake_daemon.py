"""A daemon of canned answers behind a real gRPC server, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from grpclib.const import Handler, Status
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from daq.core import DaqError
from daq.wire.generated import daq as pb
from daq.wire.status import to_status

Answer = Callable[[Any], Any]

_PASSES = 5
"""Of the loop, in which who has knocked is let in: asyncio (3.11) loses a connection that it is
just accepting when it is told to close."""


class _Accepting(Server):
    """Knows its connections, also those on which nothing was asked yet."""

    def __init__(self, handlers: list[Any]) -> None:
        super().__init__(handlers)
        self._accepted: list[H2Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        self._accepted.append(super()._protocol_factory())
        return self._accepted[-1]

    def abort_connections(self) -> None:
        for protocol in self._accepted:
            connection = getattr(protocol, "connection", None)  # there is none before it was made
            if hasattr(connection, "_transport"):  # nor this once it was closed
                connection._transport.abort()


class FakeDaemon:
    """`answers` maps a method's name to a function of its request.

    It returns the answer, or a list (or an async generator) of the messages of a stream, or raises
    a DaqError. What was asked is in `requests`, and streams that the client left in `cancelled`.
    One that is `older` has no other methods than those of `answers`.
    """

    def __init__(self, answers: Mapping[str, Answer] | None = None, *, older: bool = False) -> None:
        self.older = older
        self.answers: dict[str, Answer] = dict(answers or {})
        self.requests: list[tuple[str, Any]] = []
        self.cancelled: list[str] = []
        self.stream_ended = threading.Event()
        self.address = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def last(self, method: str) -> Any:
        """The newest request of that method."""
        return [request for name, request in self.requests if name == method][-1]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def go_away(self) -> None:
        """Close all connections at once, as a daemon that died."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    def cut(self) -> None:
        """Break every connection, but go on listening: a network that failed for a moment."""
        self._loop.call_soon_threadsafe(self._server.abort_connections)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self.go_away()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = self._server = _Accepting([self])
        await server.start("127.0.0.1", 0)
        assert server._server is not None
        self.address = f"127.0.0.1:{server._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
        self._ready.set()
        await self._stopping.wait()
        for _ in range(_PASSES):
            await asyncio.sleep(0)
        server.close()
        server.abort_connections()
        await asyncio.wait_for(server.wait_closed(), 5)

    def __mapping__(self) -> dict[str, Handler]:
        services = (
            pb.ControlServiceBase(), pb.HardwareServiceBase(), pb.RunServiceBase(),
            pb.BenchServiceBase(),
        )  # fmt: skip
        return {
            route: handler._replace(func=self._handler(method))
            for service in services
            for route, handler in service.__mapping__().items()
            if (method := route.rpartition("/")[2]) in self.answers or not self.older
        }

    def _handler(self, method: str) -> Callable[[Stream[Any, Any]], Any]:
        async def handle(stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            self.requests.append((method, request))
            try:
                await self._answer(method, request, stream)
            except DaqError as error:
                status, message, metadata = to_status(error)
                await stream.send_trailing_metadata(
                    status=Status[status], status_message=message, metadata=metadata
                )
            except asyncio.CancelledError:
                self.cancelled.append(method)
                self.stream_ended.set()
                raise

        return handle

    async def _answer(self, method: str, request: Any, stream: Stream[Any, Any]) -> None:
        answer = self.answers[method](request)
        if inspect.isasyncgen(answer):
            async for message in answer:
                await stream.send_message(message)
        elif inspect.isawaitable(answer):
            await stream.send_message(await answer)
        else:
            for message in answer if isinstance(answer, list) else [answer]:
                await stream.send_message(message)
