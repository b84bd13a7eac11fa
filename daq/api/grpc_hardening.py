"""What the server adjusts inside of the libraries, beside what `daq.wire.grpc_tuning` does.

Written against grpclib 0.4.9, h2 4.4.1 and glibc. Each adjustment says why;
`tests/unit/api/test_grpc_hardening.py` fails when a version changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import grpclib.server
import grpclib.utils
from grpclib.config import Configuration
from grpclib.protocol import Connection, H2Protocol, Stream
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import StreamClosedError

from daq.api.guard import OpenCalls
from daq.wire.bulk_codec import BulkCodec
from daq.wire.grpc_tuning import TolerantProcessor, TunedProtocol, tune

__all__ = ["HardenedServer", "tune_allocator"]

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 32 << 20
"""The largest request is a script; larger ones are refused before they are buffered."""

TURN_COST = 1 << 20
FRAME_COST = 32 << 10
"""A stream pays for each byte and for each frame that it sends; at `TURN_COST`, which is about a
millisecond of work, everybody else gets a turn."""

SERVER_CONFIGURATION = Configuration(
    # Larger than a stream's, so that one stream that nobody reads does not block its connection.
    http2_connection_window_size=64 << 20,
    http2_stream_window_size=4 << 20,
)


def tune_allocator() -> None:
    """Let glibc keep the large temporary buffers of messages instead of returning each at once.

    By default every buffer of more than 128 KiB is mapped, faulted in and unmapped; measured here,
    that halves the throughput of messages of 1 MiB. Other C libraries are left alone.
    """
    libc = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 256 << 20)  # M_TRIM_THRESHOLD


class FairStream(Stream):
    """A stream of the server that bounds what it receives and takes turns when it sends.

    grpclib 0.4.9 sends without a pause until a window or the socket is full: 1.9 s without any
    other task were measured. And it copies each message once more, into a BytesIO.
    """

    max_message_bytes = MAX_REQUEST_BYTES

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__(
            connection,
            connection._connection,  # noqa: SLF001
            connection._transport,  # noqa: SLF001
            stream_id=number,
        )
        self._number = number
        self._spent = 0

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        rest = memoryview(data)
        while True:
            await self.connection.write_ready.wait()
            if self._transport.is_closing():  # asyncio would swallow the rest, with warnings
                raise StreamClosedError(self._number)
            window = self._h2_connection.local_flow_control_window(self._number)
            if window <= 0:
                self.window_updated.clear()
                await self.window_updated.wait()
                continue
            size = min(window, self._h2_connection.max_outbound_frame_size, len(rest))
            chunk, rest = rest[:size], rest[size:]
            self._send_frame(chunk, end_stream=end_stream and not rest)
            self._spent += size + FRAME_COST
            if self._spent >= TURN_COST:
                self._spent = 0
                await asyncio.sleep(0)
            if not rest:
                return

    def _send_frame(self, chunk: memoryview, *, end_stream: bool) -> None:
        self._h2_connection.send_data(self._number, chunk, end_stream=end_stream)
        self._transport.write(self._h2_connection.data_to_send())
        self.data_sent += len(chunk)
        self.connection.data_sent += len(chunk)
        self.connection.data_send_process()


class _ServerProcessor(TolerantProcessor):
    """Makes a `FairStream` of each request."""

    def process_request_received(self, event: RequestReceived) -> None:
        stream = FairStream(self.connection, event.stream_id)
        headers = cast("list[tuple[str, str]]", event.headers)  # as the configuration decodes them
        # grpclib fills `headers` on the client's side only; `receive_message` needs them here too,
        # for the compression.
        stream.headers = headers
        self.handler.accept(stream, headers, self.register(stream))


class _ServerProtocol(TunedProtocol):
    """One connection of a client, which the server can close for good."""

    processor_class = _ServerProcessor

    def __init__(self, *arguments: Any, on_lost: Callable[[_ServerProtocol], None]) -> None:
        super().__init__(*arguments)
        self.transport: asyncio.Transport | None = None
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_lost(self)
        super().connection_lost(exc)

    def say_goodbye(self) -> None:
        """GOAWAY and close: the client learns that no new call is welcome on this connection."""
        if self.transport is None or self.transport.is_closing():
            return
        try:
            self.connection._connection.close_connection(ErrorCodes.NO_ERROR)  # noqa: SLF001
            self.connection.flush()
        except Exception:
            logger.exception("could not say goodbye to a client")
        self.connection.close()


class HardenedServer(grpclib.server.Server):
    """grpclib's server with the adjustments of this module, and with an end that is bounded.

    The end of grpclib 0.4.9 hangs on Python 3.12 and later while a client stays connected, and
    leaves handlers that were cancelled without an answer.
    """

    def __init__(self, services: Collection[Any], calls: OpenCalls) -> None:
        tune()
        # trio-asyncio replaces asyncio.current_task, which knows no loop of Trio on Python 3.12 and
        # later; grpclib keeps the one that it found when it was imported, maybe before that.
        grpclib.utils._current_task = asyncio.current_task  # noqa: SLF001
        super().__init__(services, codec=BulkCodec(), config=SERVER_CONFIGURATION)
        self._calls = calls
        self._listeners: list[asyncio.Server] = []
        self._connections: set[_ServerProtocol] = set()
        self._all_lost = asyncio.Event()

    def _protocol_factory(self) -> H2Protocol:
        plain = super()._protocol_factory()
        protocol = _ServerProtocol(
            plain.handler, plain.config, plain.h2_config, on_lost=self._forget
        )
        self._connections.add(protocol)
        return protocol

    def _forget(self, protocol: _ServerProtocol) -> None:
        self._connections.discard(protocol)
        if not self._connections:
            self._all_lost.set()

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept clients on sockets that are bound."""
        for bound in sockets:
            self._listeners.append(
                await self._loop.create_server(self._protocol_factory, sock=bound)
            )

    async def shut_down(self, grace_s: float, close_s: float) -> None:
        """End all calls, then all connections. Takes at most about `grace_s` + 2 x `close_s`."""
        for listener in self._listeners:
            listener.close()
        await self._calls.end(grace_s, close_s)
        for protocol in tuple(self._connections):
            protocol.say_goodbye()
        if self._connections:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_lost.wait(), close_s)
        for protocol in tuple(self._connections):  # a peer that reads nothing never lets us close
            if protocol.transport is not None:
                protocol.transport.abort()
