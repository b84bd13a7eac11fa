"""Two streams joined in memory: an instrument in the same process, also in virtual time."""

from __future__ import annotations

import trio

from daq.transport.inbox import Inbox

__all__ = ["LoopbackStream", "loopback_pair"]


class LoopbackStream:
    """One end of the pair; what is sent here is received there."""

    def __init__(self, mine: Inbox, peer: Inbox) -> None:
        self._mine = mine
        self._peer = peer

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._mine.require_open()
        self._peer.put(data)

    async def receive(self) -> bytes:
        return await self._mine.take()

    def receive_nowait(self) -> bytes:
        return self._mine.take_nowait()

    async def close(self) -> None:
        """End both directions, as pulling a plug does."""
        self._mine.end("this end was closed")
        self._peer.end("the other end was closed")
        await trio.lowlevel.checkpoint()


def loopback_pair() -> tuple[LoopbackStream, LoopbackStream]:
    """Two ends of one connection."""
    one, other = Inbox(), Inbox()
    return LoopbackStream(one, other), LoopbackStream(other, one)
