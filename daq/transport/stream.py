"""What a port needs of a connection, and how one is opened by its address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from daq.transport.serial_port import open_serial
from daq.transport.settings import PortSettings
from daq.transport.tcp import open_tcp
from daq.transport.visa import open_visa

__all__ = ["ByteStream", "OpenStream", "open_stream"]


class ByteStream(Protocol):
    """A connection. After `ConnectionLostError` only `close` may be called."""

    async def send(self, data: bytes) -> None:
        """Hand over all of `data`; waits while flow control holds it up. ConnectionLostError."""

    async def receive(self) -> bytes:
        """At least one byte; waits for it. ConnectionLostError."""

    def receive_nowait(self) -> bytes:
        """What has arrived and was not taken, possibly nothing."""

    async def close(self) -> None:
        """Let go, without waiting for what was not sent yet."""


OpenStream = Callable[[PortSettings], Awaitable[ByteStream]]


async def open_stream(settings: PortSettings) -> ByteStream:
    """A serial line, a TCP connection or a VISA resource, by its address. Raises OSError."""
    if settings.is_visa:
        return await open_visa(settings.address, settings.visa_library)
    if settings.tcp is not None:
        return await open_tcp(*settings.tcp)
    return await open_serial(settings)
