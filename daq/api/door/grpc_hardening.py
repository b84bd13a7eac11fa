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
import ssl
from collections.abc import Collection, Sequence
from typing import Any, cast

import grpclib.server
import grpclib.utils
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol
from h2.errors import ErrorCodes
from h2.events import RequestReceived

from daq.api.door.call_boundary import OpenCalls
from daq.api.door.grpc_sending import FairStream
from daq.wire.bulk_codec import BulkCodec
from daq.wire.gathering import GatheringTransport
from daq.wire.grpc_tuning import TolerantProcessor, TunedProtocol, tune

__all__ = ["HardenedServer", "tune_allocator"]

logger = logging.getLogger(__name__)

READ_BYTES = 32 << 10
MAX_UNREAD_BYTES = 1 << 20
BACKLOG = 128
"""Clients that may wait to be accepted."""
HANDSHAKE_S = 10.0
"""After so long without a TLS handshake a connection is closed."""

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

    transport: asyncio.Transport

    def __init__(self, *arguments: Any, connections: _Connections) -> None:
        super().__init__(*arguments)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)  # only now: one that fails in TLS's handshake is never lost
        if transport.get_extra_info("ssl_object") is None:
            # What the socket does not take at once is waited for, to the last byte: `FairStream`
            # writes past the transport when nothing waits in it.
            self.transport.set_write_buffer_limits(0)
        # A read of many small frames, such as pings, keeps the loop for 15 us each.
        cast("Any", transport).max_size = READ_BYTES
        loop = asyncio.get_running_loop()
        super().connection_made(GatheringTransport(transport, loop.call_soon))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Streams wait for room before they write; what HTTP/2 itself answers, to pings and
        # settings, does not.
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            logger.warning("cutting off a client that asks without end and reads nothing")
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)

    def say_goodbye(self) -> None:
        """GOAWAY and close: the client learns that no new call is welcome on this connection."""
        if self.transport.is_closing():
            return
        try:
            self.connection._connection.close_connection(ErrorCodes.NO_ERROR)  # noqa: SLF001
            self.connection.flush()
        except Exception:
            logger.exception("could not say goodbye to a client")
        self.connection.close()


class _Connections(set[_ServerProtocol]):
    """Those that are open."""

    def __init__(self) -> None:
        super().__init__()
        self._none_left = asyncio.Event()

    def discard(self, protocol: object) -> None:
        super().discard(protocol)
        if not self:
            self._none_left.set()

    async def close(self, timeout: float) -> None:
        """Say goodbye to every client, and leave those that do not go within `timeout` seconds."""
        for protocol in tuple(self):
            protocol.say_goodbye()
        if self:
            self._none_left.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), timeout)
        for protocol in tuple(self):  # a peer that reads nothing never lets us close
            protocol.transport.abort()


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
        self._connections = _Connections()

    def _protocol_factory(self) -> H2Protocol:
        plain = super()._protocol_factory()
        return _ServerProtocol(
            plain.handler, plain.config, plain.h2_config, connections=self._connections
        )

    async def listen(
        self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None = None
    ) -> None:
        """Accept clients on sockets that are bound."""
        patience = HANDSHAKE_S if tls else None
        for bound in sockets:
            # One connection at a time: with no descriptor left, asyncio up to Python 3.13 schedules
            # a retry and logs a traceback for each of `backlog`, and each retry does so again.
            self._listeners.append(
                await self._loop.create_server(
                    self._protocol_factory,
                    sock=bound,
                    ssl=tls,
                    ssl_handshake_timeout=patience,
                    backlog=1,
                )
            )
            bound.listen(BACKLOG)

    async def shut_down(self, grace_s: float, close_s: float) -> None:
        """End all calls, then all connections. Takes at most about `grace_s` + 2 x `close_s`."""
        for listener in self._listeners:
            listener.close()
        await self._calls.end(grace_s, close_s)
        await self._connections.close(close_s)
