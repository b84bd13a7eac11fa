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
from typing import Any

import grpclib.server
import grpclib.utils
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol

from daq.api.door.admission import Admission, DoorLimits
from daq.api.door.call_boundary import OpenCalls
from daq.api.door.connection import Connections, ServerProtocol
from daq.api.door.seldom import Seldom
from daq.wire.bulk_codec import BulkCodec
from daq.wire.grpc_tuning import tune

__all__ = ["HardenedServer", "tune_allocator"]

BACKLOG = 128
"""Clients that may wait to be accepted."""
HANDSHAKE_S = 10.0
"""After so long without a TLS handshake a connection is closed."""

WRITTEN_BY_CLIENTS = (
    "grpclib.server",
    "grpclib.protocol",
    "daq.api.door.connection",
    "daq.wire.grpc_tuning",
)
"""Logs to which whoever reaches the port adds a line with whatever is no call, some a traceback."""
_SELDOM = Seldom()

SERVER_CONFIGURATION = Configuration(
    # Larger than a stream's, so that one stream that nobody reads does not block its connection.
    http2_connection_window_size=16 << 20,
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


class HardenedServer(grpclib.server.Server):
    """grpclib's server with the adjustments of this module, and with an end that is bounded.

    The end of grpclib 0.4.9 hangs on Python 3.12 and later while a client stays connected, and
    leaves handlers that were cancelled without an answer.
    """

    def __init__(
        self, services: Collection[Any], calls: OpenCalls, limits: DoorLimits | None = None
    ) -> None:
        tune()
        # trio-asyncio replaces asyncio.current_task, which knows no loop of Trio on Python 3.12 and
        # later; grpclib keeps the one that it found when it was imported, maybe before that.
        grpclib.utils._current_task = asyncio.current_task  # noqa: SLF001
        super().__init__(services, codec=BulkCodec(), config=SERVER_CONFIGURATION)
        for name in WRITTEN_BY_CLIENTS:
            logging.getLogger(name).addFilter(_SELDOM)
        self._calls = calls
        self._listeners: list[asyncio.Server] = []
        self._connections = Connections(Admission(limits or DoorLimits()))

    def _protocol_factory(self) -> H2Protocol:
        plain = super()._protocol_factory()
        return ServerProtocol(
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
        self._connections.look_after(self._calls.end_revoked)

    async def shut_down(self, grace_s: float, close_s: float) -> None:
        """End all calls, then all connections. Takes at most about `grace_s` + 2 x `close_s`."""
        for listener in self._listeners:
            listener.close()
        await self._calls.end(grace_s, close_s)
        await self._connections.close(close_s)
