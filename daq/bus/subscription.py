"""The receiving ends of the bus: a lossless one and a lossy one, told apart by type.

A lossless subscriber makes the producer wait when it is full; a lossy one drops by a stated policy
and counts what it dropped, so a slow viewer costs nobody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Self

import trio

from daq.core import Measurement

__all__ = ["LosslessSubscription", "LossySubscription", "Overflow", "Statistics"]


class Overflow(StrEnum):
    """What a full lossy subscription does with the next block."""

    DROP_OLDEST = "drop_oldest"
    LATEST = "latest"
    """Keep only the newest block of each channel."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counted in samples since the subscription began; `lag` is what waits to be received now."""

    delivered: int
    dropped: int
    lag: int


class _Buffer:
    """What both kinds share: blocks in order, a wake-up, an end, and the counters."""

    def __init__(self, patterns: tuple[str, ...], capacity_bytes: int) -> None:
        if capacity_bytes < 1:
            raise ValueError(f"a subscription holds at least one byte, not {capacity_bytes}")
        self.patterns = patterns
        """Glob patterns of the channels; empty for all."""
        self._capacity_bytes = capacity_bytes
        self._blocks: OrderedDict[Hashable, Measurement] = OrderedDict()
        self._arrivals = count()
        self._arrived = trio.Event()
        self._closed = False
        self._bytes = 0
        self._delivered = 0
        self._dropped = 0
        self._waiting = 0

    def __repr__(self) -> str:
        channels = ", ".join(self.patterns) or "*"
        return f"<{type(self).__name__} {channels} {self.statistics()}>"

    def statistics(self) -> Statistics:
        return Statistics(self._delivered, self._dropped, self._waiting)

    def close(self) -> None:
        """No more blocks come in; what is buffered can still be received."""
        self._closed = True
        self._arrived.set()

    def receive_nowait(self) -> Measurement | None:
        """The next block, or None when nothing waits."""
        return self._take() if self._blocks else None

    async def receive(self) -> Measurement:
        """The next block; raises trio.EndOfChannel after `close` when all was received."""
        # Before a block is taken: a cancelled reader must not lose one, nor read on for ever.
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._blocks:
            if self._closed:
                raise trio.EndOfChannel
            if self._arrived.is_set():
                self._arrived = trio.Event()
            await self._arrived.wait()
        block = self._take()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return block

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Measurement:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def _fits(self, block: Measurement) -> bool:
        """One block always fits, however large."""
        return not self._blocks or self._bytes + block.nbytes <= self._capacity_bytes

    def _put(self, block: Measurement, key: Hashable | None = None) -> None:
        """Add at the end, or where `key` already has its place."""
        self._blocks[next(self._arrivals) if key is None else key] = block
        self._waiting += len(block)
        self._bytes += block.nbytes
        self._arrived.set()

    def _take(self) -> Measurement:
        block = self._remove()
        self._delivered += len(block)
        return block

    def _remove(self) -> Measurement:
        """Take the oldest out."""
        _, block = self._blocks.popitem(last=False)
        self._forget(block)
        return block

    def _forget(self, block: Measurement) -> None:
        self._waiting -= len(block)
        self._bytes -= block.nbytes


class LossySubscription(_Buffer):
    """A viewer's end: bounded, never makes a producer wait, counts what it drops.

    Bounded in blocks and in bytes, since 1,000 scalars are nothing and 1,000 frames are gigabytes.
    """

    def __init__(
        self,
        patterns: tuple[str, ...],
        capacity: int,
        overflow: Overflow,
        capacity_bytes: int,
    ) -> None:
        super().__init__(patterns, capacity_bytes)
        if capacity < 1:
            raise ValueError(f"a subscription holds at least one block, not {capacity}")
        self._capacity = capacity
        self._overflow = overflow

    def offer(self, block: Measurement) -> None:
        """Take the block in, dropping by the policy when there is no room."""
        if self._closed:
            return
        if self._overflow is Overflow.LATEST:
            self._replace(block)
            return
        while len(self._blocks) >= self._capacity or not self._fits(block):
            self._dropped += len(self._remove())
        self._put(block)

    def _replace(self, block: Measurement) -> None:
        """Put the block where the older one of its channel waits, so that no channel starves."""
        older = self._blocks.get(block.channel)
        if older is not None:
            self._dropped += len(older)
            self._forget(older)
        self._put(block, block.channel)


class LosslessSubscription(_Buffer):
    """The recorder's end: when it is full, producers wait, first come, first served.

    Bounded by bytes, not by blocks, since a frame weighs as much as a million scalars.
    """

    def __init__(self, patterns: tuple[str, ...], capacity_bytes: int) -> None:
        super().__init__(patterns, capacity_bytes)
        self._room = trio.Event()
        self._queue = trio.StrictFIFOLock()

    async def send(self, block: Measurement) -> None:
        """Take the block in, waiting for room; does not yield when there is some.

        Producers that wait keep their order: two of one channel must not overtake each other.
        """
        if self._queue.locked() or not self._fits(block):
            async with self._queue:
                await self._wait_room(block)
                self._store(block)
        else:
            self._store(block)

    def close(self) -> None:
        super().close()
        self._room.set()

    async def _wait_room(self, block: Measurement) -> None:
        while not self._closed and not self._fits(block):
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()

    def _store(self, block: Measurement) -> None:
        if not self._closed:
            self._put(block)

    def _remove(self) -> Measurement:
        block = super()._remove()
        self._room.set()
        return block
