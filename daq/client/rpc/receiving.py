"""A connection that takes in bulk data past h2, which looks at every frame several times.

Written against grpclib 0.4.9 and h2 4.4.1, whose insides it uses;
`tests/unit/client/test_receiving.py` fails when they change.

h2 and grpclib copy each byte seven times on its way from the socket to the message, and need some
60 us for each frame. Here a byte is copied once, from the memory that the socket is read into to
the place of its message.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from grpclib.protocol import Connection, Stream
from h2.connection import ConnectionState, H2Connection
from h2.stream import StreamState
from hyperframe.frame import DataFrame

from daq.client.rpc.inbox import Inbox
from daq.wire.gathering import GatheringTransport
from daq.wire.grpc_tuning import TunedProtocol

__all__ = ["ClientProtocol"]

READ_BYTES = 512 << 10
"""What one system call may bring: the fewer, the better."""
FRAME_BYTES = 256 << 10
"""Long ones cost nothing here, and a message of 64 KiB with its schema is one frame."""
FIRST_READ_BYTES = 16 << 10
"""A connection that brings little needs little memory."""
BULK_BYTES = 1024
"""Smaller frames are h2's."""

_HEADER_BYTES = 9
_TLS_ALERT = 0x15
"""The first byte of one. In HTTP/2 it would begin a frame of more than a MiB."""


class _ClientStream(Stream):
    """A stream with an `Inbox`."""

    def init_stream(self, stream_id: int, connection: Connection) -> None:
        super().init_stream(stream_id, connection)
        self.buffer = Inbox(partial(connection.ack, stream_id))  # type: ignore[assignment]


class ClientProtocol(TunedProtocol, asyncio.BufferedProtocol):
    """A connection to a daemon: calls leave in one piece, bulk data come in past h2."""

    frame_bytes = FRAME_BYTES
    heard = False
    """Whether anything came that is not an alert of TLS."""
    _transport: Any = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._read_into = memoryview(bytearray(FIRST_READ_BYTES))
        self._cut = b""
        """Of a frame's header, when it did not come in one piece."""
        self._left = 0
        """Bytes of the current frame that have not come yet."""
        self._inbox: Inbox | None = None
        """Where they go; None when the frame is h2's."""

    def connection_made(self, transport: Any) -> None:
        """asyncio: the connection stands."""
        self._transport = transport
        loop = asyncio.get_running_loop()
        super().connection_made(GatheringTransport(transport, loop.call_soon))
        connection = self.connection
        connection.create_stream = partial(  # type: ignore[method-assign]
            _ClientStream,
            connection,
            connection._connection,  # noqa: SLF001
            connection._transport,  # noqa: SLF001
        )

    def abort(self) -> None:
        """Leave without a farewell."""
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """asyncio: where the next bytes go."""
        return self._read_into

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: so many bytes have come."""
        self.data_received(self._read_into[:nbytes])
        if nbytes == len(self._read_into) < READ_BYTES:
            self._read_into = memoryview(bytearray(READ_BYTES))

    def data_received(self, data: Any) -> None:
        """Tell frames of bulk data from all others, which h2 gets as they came."""
        self.heard = self.heard or data[0] != _TLS_ALERT
        if self._cut:
            data, self._cut = memoryview(self._cut + bytes(data)), b""
        begin = position = 0  # between them lies what is h2's
        while position < len(data):
            if not self._left:
                header = data[position : position + _HEADER_BYTES]
                if len(header) < _HEADER_BYTES:
                    self._cut = bytes(header)
                    break
                if _is_bulk(header):
                    self._pass_on(data[begin:position])  # it may open the stream, or end it
                    begin = position
                self._begin_frame(header)
                position += _HEADER_BYTES
                if self._inbox is not None:
                    begin = position
            taken = min(self._left, len(data) - position)
            if self._inbox is not None:
                self._inbox.add(data[position : position + taken], taken)
                begin = position + taken
            self._left -= taken
            position += taken
            if not self._left:
                self._inbox = None
        self._pass_on(data[begin:position])

    def _pass_on(self, data: memoryview) -> None:
        if data and not self.connection.is_closing():
            super().data_received(bytes(data))

    def _begin_frame(self, header: memoryview) -> None:
        self._left = int.from_bytes(header[:3], "big")
        if not _is_bulk(header):
            return
        number = int.from_bytes(header[5:], "big")
        stream = self.processor.streams.get(number)
        if stream is not None and not self.connection.is_closing():
            h2 = self.connection._connection  # noqa: SLF001
            if _consume(h2, number, self._left):
                self._inbox = stream.buffer  # type: ignore[assignment]
                stream.data_received += self._left
                self.connection.data_received += self._left


def _is_bulk(header: memoryview) -> bool:
    """Whether a frame is DATA without padding that does not end its stream, and large."""
    size = int.from_bytes(header[:3], "big")
    return header[3] == DataFrame.type and not header[4] and size >= BULK_BYTES


def _consume(h2: H2Connection, number: int, size: int) -> bool:
    """Note down in h2 that a frame of data came; False leaves all of it to h2, and its errors."""
    stream = h2.streams.get(number)
    if (
        stream is None
        or h2.state_machine.state is not ConnectionState.CLIENT_OPEN
        or stream.state_machine.state not in (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
        or not stream.state_machine.headers_received
        or stream._expected_content_length is not None  # noqa: SLF001
        or size > h2.max_inbound_frame_size
    ):
        return False
    windows = (h2._inbound_flow_control_window_manager, stream._inbound_window_manager)  # noqa: SLF001
    if any(size > window.current_window_size for window in windows):
        return False
    for window in windows:
        window.window_consumed(size)
    return True
