"""What a stream has received: put together in its last place while it comes."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable

from daq.wire.grpc_tuning import MAX_MESSAGE_BYTES

__all__ = ["Inbox"]

PREFIX_BYTES = 5
LARGE_BYTES = 16 << 10
"""From this size on a message is handed out as a view of the memory that it was received into."""
ROOMS = 4
ADMITTED_BYTES = 64 << 10
"""The peer is told of room in portions: telling takes longer than copying a few KiB."""


class Inbox:
    """Stands in for `grpclib.protocol.Buffer`, and knows that what comes are gRPC messages.

    The prefix of a message tells its size, so that there is a place for the message before it
    comes, and each byte is copied once. grpclib 0.4.9 keeps the frames and joins them.

    What is taken out is acknowledged, and what has come of a message that is waited for; so a peer
    whose messages nobody reads is held up when it has filled the stream's window.
    """

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        self._acknowledge = acknowledge
        self._unacknowledged = 0
        self._ahead = 0
        """How much more was acknowledged than taken out."""
        self._complete: deque[bytes | memoryview] = deque()
        """Prefix, message, prefix, message."""
        self._is_prefix = True
        self._is_refused = False
        self._rooms: deque[bytearray] = deque(maxlen=ROOMS)
        self._begin(PREFIX_BYTES)
        self._asked: asyncio.Future[None] | None = None
        self._has_ended = False

    def _begin(self, size: int) -> None:
        self._piece = memoryview(self._room(size) if size >= LARGE_BYTES else bytearray(size))
        self._filled = 0

    def _room(self, size: int) -> bytearray:
        """Memory for a large message; that of an earlier one when nobody holds it any more.

        Fresh memory comes page by page, which takes longer than to fill it.

        Returns:
            At least `size` bytes.
        """
        for room in self._rooms:
            if len(room) == size:
                try:
                    room.append(room.pop())  # refused while there is a view of it
                except BufferError:
                    continue
                return room
        room = bytearray(size)
        self._rooms.append(room)
        return room

    def add(self, data: bytes | memoryview, ack_size: int) -> None:
        """Take what came; `ack_size` is what it was in the window of the stream."""
        self._unacknowledged += ack_size
        rest = memoryview(data)
        while rest and not self._is_refused:
            taken = rest[: len(self._piece) - self._filled]
            self._piece[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rest = rest[len(taken) :]
            if self._filled == len(self._piece):
                self._finish()
        self._wake()

    def _finish(self) -> None:
        piece = self._piece
        self._complete.append(piece if len(piece) >= LARGE_BYTES else bytes(piece))
        size = PREFIX_BYTES
        if self._is_prefix:
            (size,) = struct.unpack_from(">I", piece, 1)
            if size > MAX_MESSAGE_BYTES:  # whoever reads the prefix ends the stream
                self._is_refused = True
                return
        self._is_prefix = not self._is_prefix
        self._begin(size)
        if not size:
            self._finish()

    def eof(self) -> None:
        """Nothing more comes."""
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        if self._asked is None or self._asked.done():
            return
        if self._complete or self._has_ended:
            self._asked.set_result(None)
        else:
            self._admit(self._unacknowledged)

    def _admit(self, size: int) -> None:
        size = min(size, self._unacknowledged)
        if size:
            self._unacknowledged -= size
            self._ahead += size
            self._acknowledge(size)

    async def read(self, size: int) -> bytes | memoryview:
        """The next piece, of `size` bytes; empty at the end. As `grpclib.stream` asks for them.

        Returns:
            The bytes.

        Raises:
            AssertionError: The stream ended within a message.
        """
        while not self._complete and not self._has_ended:
            self._admit(self._unacknowledged)
            self._asked = asyncio.get_running_loop().create_future()
            await self._asked
        if self._complete:
            piece = self._complete.popleft()
            self._ahead -= len(piece)
            if self._ahead < -ADMITTED_BYTES:
                self._admit(-self._ahead)
            return piece
        if self._filled or not self._is_prefix:
            raise AssertionError(f"the stream ended, {size} bytes were expected")
        return b""

    def unacked_size(self) -> int:
        """What was never asked for."""
        size, self._unacknowledged = self._unacknowledged, 0
        return size
