"""Bytes that have arrived and wait to be taken."""

from __future__ import annotations

import trio

__all__ = ["ConnectionLostError", "Inbox"]

_MOST = 1 << 20
"""Bytes. An instrument that talks without being asked must not fill the memory."""


class ConnectionLostError(Exception):
    """The other end is gone; the message says how that was noticed."""


class Inbox:
    """Filled by a callback, emptied by one task."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._arrival = trio.Event()
        self._ended: str | None = None

    def __repr__(self) -> str:
        state = "open" if self._ended is None else f"ended: {self._ended}"
        return f"<Inbox {len(self._bytes)} bytes, {state}>"

    def put(self, data: bytes) -> None:
        """Something arrived. What is older than the newest mebibyte is forgotten."""
        self._bytes += data
        if len(self._bytes) > _MOST:
            del self._bytes[:-_MOST]
        self._arrival.set()

    def end(self, reason: str) -> None:
        """Nothing more will arrive; the first reason stays."""
        if self._ended is None:
            self._ended = reason
        self._arrival.set()

    def take_nowait(self) -> bytes:
        """What has arrived, possibly nothing."""
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    async def take(self) -> bytes:
        """At least one byte; waits for it. Raises ConnectionLostError."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._bytes and self._ended is None:
            self._arrival = trio.Event()
            await self._arrival.wait()
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
        if not self._bytes and self._ended is not None:
            raise ConnectionLostError(self._ended)
        return self.take_nowait()

    def require_open(self) -> None:
        """Raise ConnectionLostError when the other end is known to be gone."""
        if self._ended is not None:
            raise ConnectionLostError(self._ended)
