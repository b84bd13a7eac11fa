"""How the server sends: everybody gets a turn, and bulk data go from where they lie to the socket.

Written against grpclib 0.4.9 and h2 4.4.1, whose insides it uses;
`tests/unit/api/test_grpc_sending.py` fails when they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import Connection, Stream
from h2.connection import ConnectionInputs, H2Connection
from h2.exceptions import StreamClosedError
from h2.stream import StreamInputs

__all__ = ["FairStream"]

T = TypeVar("T")

MAX_REQUEST_BYTES = 4 << 20
"""The largest request is a script; larger ones are refused before they are buffered."""

TURN_COST = 1 << 20
FRAME_COST = 32 << 10
"""A stream pays for each byte and for each frame that it sends; at `TURN_COST`, which is about a
millisecond of work, everybody else gets a turn."""

_DATA_HEADER = struct.Struct(">BHBBI")
"""Length in 3 bytes, type and flags (0: DATA, and more to come), the number of the stream."""


class FairStream(Stream):
    """A stream of the server that bounds what it receives and takes turns when it sends.

    grpclib 0.4.9 sends without a pause until a window or the socket is full: 1.9 s without any
    other task were measured. And it copies each message once more, into a BytesIO.
    """

    max_message_bytes = MAX_REQUEST_BYTES
    counts_fields = True

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__(
            connection,
            connection._connection,  # noqa: SLF001
            connection._transport,  # noqa: SLF001
            stream_id=number,
        )
        self.client: Any = None
        """The connection that it is a stream of."""
        self.frames = 0
        """Of the request, so far."""
        self._is_late = False
        self._has_request = False
        self._number = number
        self._spent = 0
        self._flush = cast("Any", self._transport).flush

    @contextlib.contextmanager
    def receiving(self, size: int) -> Iterator[None]:
        """While a request of `size` bytes comes; raises GRPCError when there are too many."""
        if self.client is None:
            yield
            return
        with self.client.admission.receiving(self.client.peer, size) as refusal:
            if refusal:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, refusal)
            yield
        self._has_request = True

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do what takes some milliseconds where it keeps nobody waiting."""
        return await asyncio.get_running_loop().run_in_executor(None, work)

    async def recv_data(self, size: int) -> bytes:
        try:
            data = await super().recv_data(size)
        except AssertionError:
            if not self._is_late:
                raise
            data = b""
        if self._is_late and len(data) < size:
            raise GRPCError(Status.DEADLINE_EXCEEDED, "the request did not come to its end in time")
        return data

    def give_up_after(self, seconds: float) -> None:
        """Wait no longer for a request that began so long ago; the call is told."""
        if self._has_request or self._is_late or self.created is None:
            return
        if time.monotonic() - self.created > seconds:
            self._is_late = True
            self.buffer.eof()

    async def send_headers(self, headers: list[tuple[str, str]], end_stream: bool = False) -> None:
        await super().send_headers(headers, end_stream)
        if end_stream:  # the call is answered, and all of the answer waits in the transport
            self._flush()

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        rest = memoryview(data)
        while True:
            size = min(await self._room(), self._h2_connection.max_outbound_frame_size, len(rest))
            chunk, rest = rest[:size], rest[size:]
            self._h2_connection.send_data(self._number, chunk, end_stream=end_stream and not rest)
            self._transport.write(self._h2_connection.data_to_send())
            await self._note(size)
            if not rest:
                return

    async def send_bulk(self, head: bytes, payload: memoryview) -> None:
        """Send `head` and `payload` without a copy: the kernel takes them from where they lie.

        h2 and asyncio copy each byte five times on the way, and need some 60 us for each frame.
        """
        if self._transport.get_extra_info("ssl_object") is not None:
            await self.send_data(b"".join((head, payload)))
            return
        data = _Joined(head, payload)
        position = 0
        while position < len(data):
            size = min(await self._direct_room(), len(data) - position, TURN_COST)
            windows = _begin_data(self._h2_connection, self._number)
            end = self._write_frames(data, position, position + size)
            for window in windows:
                window.outbound_flow_control_window -= end - position
            await self._note(end - position)
            position = end

    def _write_frames(self, data: _Joined, begin: int, end: int) -> int:
        """Write frames of `data`; returns how far they got, at least one.

        Of a frame that the socket took in part, or that it has no room for, the rest waits in the
        transport, which tells by `write_ready` when there is room again.
        """
        longest = self._h2_connection.max_outbound_frame_size
        frames = [(first, min(first + longest, end)) for first in range(begin, end, longest)]
        written = self._write_now(
            [part for first, last in frames for part in self._frame(data, first, last)]
        )
        for first, last in frames:
            if written < _DATA_HEADER.size + last - first:
                if not written and first > begin:
                    return first
                self._transport.write(b"".join(self._frame(data, first, last))[written:])
                self._flush()  # nothing may come between
                return last
            written -= _DATA_HEADER.size + last - first
        return end

    def _frame(self, data: _Joined, begin: int, end: int) -> Iterator[bytes | memoryview]:
        size = end - begin
        yield _DATA_HEADER.pack(size >> 16, size & 0xFFFF, 0, 0, self._number)
        yield from data.parts(begin, end)

    def _write_now(self, buffers: list[bytes | memoryview]) -> int:
        try:
            return os.writev(self._transport.get_extra_info("socket").fileno(), buffers)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamClosedError(self._number) from error

    async def _direct_room(self) -> int:
        """The same, when nothing waits in the transport that would have to go first."""
        while True:
            room = await self._room()
            self._flush()
            if self.connection.write_ready.is_set():
                return room

    async def _room(self) -> int:
        """How much the client takes, as soon as it takes something."""
        while True:
            await self.connection.write_ready.wait()
            if self._transport.is_closing():  # asyncio would swallow the rest, with warnings
                raise StreamClosedError(self._number)
            window: int = self._h2_connection.local_flow_control_window(self._number)
            if window > 0:
                return window
            self.window_updated.clear()
            await self.window_updated.wait()

    async def _note(self, size: int) -> None:
        """Keep grpclib's accounts, and give others a turn when it is due."""
        self.data_sent += size
        self.connection.data_sent += size
        self.connection.data_send_process()
        self._spent += size + FRAME_COST
        if self._spent >= TURN_COST:
            self._spent = 0
            await asyncio.sleep(0)


class _Joined:
    """Two buffers as one, without a copy."""

    def __init__(self, head: bytes, payload: memoryview) -> None:
        self._head = memoryview(head)
        self._payload = payload

    def __len__(self) -> int:
        return len(self._head) + len(self._payload)

    def parts(self, begin: int, end: int) -> Iterator[memoryview]:
        """The bytes from `begin` to `end`, in one or two pieces."""
        size = len(self._head)
        if begin < size:
            yield self._head[begin:end]
        if end > size:
            yield self._payload[max(0, begin - size) : end - size]


def _begin_data(h2: H2Connection, number: int) -> tuple[Any, Any]:
    """Tell h2 of data that it does not see; gives what keeps its two windows.

    Raises what h2 raises where data must not be sent.
    """
    stream = h2.streams[number]
    h2.state_machine.process_input(ConnectionInputs.SEND_DATA)
    stream.state_machine.process_input(StreamInputs.SEND_DATA)
    return h2, stream
