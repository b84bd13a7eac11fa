"""A TCP connection to a serial server, or to an instrument on the network."""

from __future__ import annotations

import socket

import trio

from daq.transport.inbox import ConnectionLostError

__all__ = ["TcpStream", "open_tcp"]

_CHUNK = 65536


async def open_tcp(host: str, port: int) -> TcpStream:
    """Connect; raises OSError."""
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise _reason(error) from error
    # A plain socket from here on: what has arrived can then be looked at without waiting, to
    # throw a late reply away before the next question.
    return TcpStream(socket.socket(fileno=stream.socket.detach()))


def _reason(error: OSError) -> OSError:
    """Trio says that all attempts have failed, and why each did only in its cause."""
    cause = error.__cause__
    if isinstance(cause, ExceptionGroup):
        cause = cause.exceptions[0]
    return cause if isinstance(cause, OSError) else error


class TcpStream:
    """Bytes over a connected, non-blocking socket that this object owns."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        # Commands are a few bytes each, and an instrument answers only to a whole one.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            except OSError as error:
                raise ConnectionLostError(f"sending failed: {error.strerror}") from error

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            data = self._receive_some()
            if data is not None:
                return data
            await trio.lowlevel.wait_readable(self._socket)

    def receive_nowait(self) -> bytes:
        """What has arrived, possibly nothing; the end of the connection is left to `receive`."""
        taken = bytearray()
        while True:
            try:
                data = self._receive_some()
            except ConnectionLostError:
                data = None
            if data is None:
                return bytes(taken)
            taken += data

    async def close(self) -> None:
        self._socket.close()
        await trio.lowlevel.checkpoint()

    def _receive_some(self) -> bytes | None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionLostError(f"receiving failed: {error.strerror}") from error
        if not data:
            raise ConnectionLostError("the other end closed the connection")
        return data
