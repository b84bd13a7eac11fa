"""The receiving ends of the bus: a lossless one and a lossy one, told apart by type.

A lossless subscriber makes the producer wait when it is full; a lossy one drops by a stated policy
and counts what it dropped, so a slow viewer costs nobody else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from heapq import heappop, heappush, heapreplace
from typing import Self

import trio

from daq.bus.channel_log import ChannelLog
from daq.core import Measurement

__all__ = ["LosslessSubscription", "LossySubscription", "Overflow", "Statistics"]

BLOCK_BYTES = 400
"""What Python takes for a block and its two arrays, beside of what is in them."""


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


class _Subscription(ABC):
    """What both kinds share: patterns, waiting, an end, and the counters."""

    def __init__(self, patterns: tuple[str, ...], capacity_bytes: int) -> None:
        if capacity_bytes < 1:
            raise ValueError(f"a subscription holds at least one byte, not {capacity_bytes}")
        self.patterns = patterns
        """Glob patterns of the channels; empty for all."""
        self._capacity_bytes = capacity_bytes
        self._closed = False
        self._delivered = 0

    def __repr__(self) -> str:
        channels = ", ".join(self.patterns) or "*"
        return f"<{type(self).__name__} {channels} {self.statistics()}>"

    def matches(self, channel: str) -> bool:
        """Whether it is subscribed to the channel."""
        return not self.patterns or any(fnmatchcase(channel, glob) for glob in self.patterns)

    @abstractmethod
    def statistics(self) -> Statistics: ...

    @abstractmethod
    def close(self) -> None:
        """No more blocks come in; what is buffered can still be received."""

    def receive_nowait(self) -> Measurement | None:
        """The next block, or None when nothing waits."""
        block = self._take()
        if block is not None:
            self._delivered += len(block)
        return block

    async def receive(self) -> Measurement:
        """The next block; raises trio.EndOfChannel after `close` when all was received."""
        # Before a block is taken: a cancelled reader must not lose one, nor read on for ever.
        await trio.lowlevel.checkpoint_if_cancelled()
        while (block := self.receive_nowait()) is None:
            if self._closed:
                raise trio.EndOfChannel
            await self._wait()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return block

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Measurement:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    @abstractmethod
    def _take(self) -> Measurement | None: ...

    @abstractmethod
    async def _wait(self) -> None:
        """Until there may be a block, or the end."""


class _Place:
    """How far a viewer has read in one channel's log."""

    __slots__ = ("_viewer", "index", "log", "samples")

    def __init__(self, log: ChannelLog, viewer: LossySubscription) -> None:
        self._viewer = viewer
        self.log = log
        self.index = log.end
        self.samples = log.samples
        """Samples of the channel that are accounted for: delivered or dropped."""

    def arrived(self, arrival: int) -> None:
        self._viewer.take_note(self, arrival)

    def next_arrival(self) -> int:
        return self.log.entry(self.index).arrival

    def is_at_end(self) -> bool:
        return self.index == self.log.end

    def catch_up(self, capacity: int, capacity_bytes: int) -> int:
        """Skip what is more than may wait; returns how many samples that were."""
        log = self.log
        if self.index == log.end - 1:
            return 0  # one may always wait: so it is for who keeps up, and quick
        index = max(self.index, log.first, log.end - capacity)
        while log.end - index > 1 and log.bytes - log.entry(index).bytes_before > capacity_bytes:
            index += 1
        if index == self.index:
            return 0
        self.index = index
        skipped = log.entry(index).samples_before - self.samples
        self.samples += skipped
        return skipped

    def take(self, most: int) -> list[Measurement]:
        """The next blocks, one at least."""
        log, end = self.log, min(self.log.end, self.index + most)
        row = [log.entry(index).block for index in range(self.index, end)]
        self.index = end
        self.samples += sum(map(len, row))
        return row


class LossySubscription(_Subscription):
    """A viewer's end: bounded, never makes a producer wait, counts what it drops.

    Bounded for each channel in blocks and in bytes, since 1,000 scalars are nothing and 1,000
    frames are gigabytes, and a camera must not push a stage's positions out.
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
        self._capacity = 1 if overflow is Overflow.LATEST else capacity
        self._places: list[_Place] = []
        self._unread: list[tuple[int, _Place]] = []
        """A heap of the places that are not at the end of their logs, by the arrival of what comes
        next; one that has dropped something since stands too early in it."""
        self._rest: deque[Measurement] = deque()
        """What was not yet received when it was closed."""
        self._readers: set[trio.Event] = set()
        """A wake-up for each reader that waits."""
        self._dropped = 0

    @property
    def bounds(self) -> tuple[int, int]:
        """How many blocks, and how many bytes, of a channel may wait for it."""
        return (self._capacity, self._capacity_bytes)

    @property
    def dropped(self) -> int:
        """Samples that were dropped before what was received last; `statistics` knows of all."""
        return self._dropped

    def follow(self, log: ChannelLog) -> None:
        """Read this log from its end on."""
        place = _Place(log, self)
        self._places.append(place)
        log.idle.add(place)

    def take_note(self, place: _Place, arrival: int) -> None:
        """Something came for a place that had read everything."""
        heappush(self._unread, (arrival, place))
        for arrived in self._readers:
            arrived.set()

    def statistics(self) -> Statistics:
        for _, place in self._unread:
            self._dropped += place.catch_up(*self.bounds)
        lag = sum(place.log.samples - place.samples for _, place in self._unread)
        lag += sum(len(block) for block in self._rest)
        return Statistics(self._delivered, self._dropped, lag)

    def close(self) -> None:
        if self._closed:
            return
        while (block := self._take()) is not None:
            self._rest.append(block)
        self._closed = True
        for place in self._places:
            place.log.idle.discard(place)
        self._places.clear()
        for arrived in self._readers:
            arrived.set()

    def receive_row_nowait(self, most: int) -> list[Measurement]:
        """What waits of the channel whose turn it is, at most so many blocks.

        The further the reader is behind, the less a block costs it: so it catches up.
        """
        row = [] if self._closed else self._take_row(most)
        self._delivered += sum(map(len, row))
        return row

    def _take(self) -> Measurement | None:
        if self._closed:
            return self._rest.popleft() if self._rest else None
        row = self._take_row(1)
        return row[0] if row else None

    def _take_row(self, most: int) -> list[Measurement]:
        while self._unread:
            arrival, place = self._unread[0]
            self._dropped += place.catch_up(self._capacity, self._capacity_bytes)
            next_arrival = place.next_arrival()
            if next_arrival != arrival:
                heapreplace(self._unread, (next_arrival, place))
                continue
            row = place.take(most)
            if place.is_at_end():
                heappop(self._unread)
                place.log.idle.add(place)
            else:
                heapreplace(self._unread, (place.next_arrival(), place))
            return row
        return []

    async def _wait(self) -> None:
        arrived = trio.Event()
        self._readers.add(arrived)
        try:
            await arrived.wait()
        finally:
            self._readers.discard(arrived)


def _memory(block: Measurement) -> int:
    """What a block takes while it waits: of one sample, most of it is not the sample."""
    return block.nbytes + BLOCK_BYTES


class LosslessSubscription(_Subscription):
    """The recorder's end: when it is full, producers wait, first come, first served.

    Bounded by bytes, not by blocks, since a frame weighs as much as a million scalars.
    """

    def __init__(self, patterns: tuple[str, ...], capacity_bytes: int) -> None:
        super().__init__(patterns, capacity_bytes)
        self._blocks: deque[Measurement] = deque()
        self._bytes = 0
        self._waiting = 0
        self._arrived = trio.Event()
        self._room = trio.Event()
        self._queue = trio.StrictFIFOLock()

    def statistics(self) -> Statistics:
        return Statistics(self._delivered, 0, self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """What waits to be received; from the capacity on producers wait."""
        return self._bytes

    def send_nowait(self, block: Measurement) -> bool:
        """Take the block in if there is room and nobody waits for some."""
        nbytes = _memory(block)
        if self._queue.locked() or not self._fits(nbytes):
            return False
        self._store(block, nbytes)
        return True

    async def send(self, block: Measurement) -> None:
        """Take the block in, waiting for room.

        Producers that wait keep their order: two of one channel must not overtake each other.
        """
        nbytes = _memory(block)
        async with self._queue:
            while not self._closed and not self._fits(nbytes):
                if self._room.is_set():
                    self._room = trio.Event()
                await self._room.wait()
            self._store(block, nbytes)

    def close(self) -> None:
        self._closed = True
        self._arrived.set()
        self._room.set()

    def _fits(self, nbytes: int) -> bool:
        """One block always fits, however large."""
        return not self._blocks or self._bytes + nbytes <= self._capacity_bytes

    def _store(self, block: Measurement, nbytes: int) -> None:
        if self._closed:
            return
        self._blocks.append(block)
        self._bytes += nbytes
        self._waiting += len(block)
        self._arrived.set()

    def _take(self) -> Measurement | None:
        if not self._blocks:
            return None
        block = self._blocks.popleft()
        self._bytes -= _memory(block)
        self._waiting -= len(block)
        self._room.set()
        return block

    async def _wait(self) -> None:
        if self._arrived.is_set():
            self._arrived = trio.Event()
        await self._arrived.wait()
