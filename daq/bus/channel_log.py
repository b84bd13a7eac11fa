"""The last blocks of one channel, kept once for all its viewers."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from daq.core import Measurement

__all__ = ["ChannelLog", "Entry", "Reader"]


class Entry(NamedTuple):
    """A block in its channel's log."""

    block: Measurement
    arrival: int
    """Counts the blocks of all channels, so that a viewer of several reads them in order."""
    samples_before: int
    bytes_before: int


class Reader(Protocol):
    """Somebody who reads a log."""

    def arrived(self, arrival: int) -> None:
        """There is an entry for a reader that had read everything."""


class ChannelLog:
    """Viewers read it each at their own place, so a block is stored once, however many there are.

    It keeps what the most patient viewer may still want, and nothing when there is none. A viewer
    that stalls is only a number that does not grow: appending costs the same.
    """

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.first = 0
        """The index of the oldest entry that is kept; indices count from the channel's start."""
        self.samples = 0
        """Samples that were ever appended."""
        self.bytes = 0
        self.idle: set[Reader] = set()
        """The readers that have read everything: they are told of the next entry, once."""
        self._entries: deque[Entry] = deque()
        self._capacity = 0
        self._capacity_bytes = 0

    def __repr__(self) -> str:
        return f"<ChannelLog {self.channel} {self.first} to {self.end}>"

    @property
    def end(self) -> int:
        """The index that the next entry will have."""
        return self.first + len(self._entries)

    def entry(self, index: int) -> Entry:
        """From `first` to before `end`."""
        return self._entries[index - self.first]

    def keep(self, capacity: int, capacity_bytes: int) -> None:
        """Keep so many blocks, and so many bytes, from now on; the newest block is always kept."""
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._shorten()

    def append(self, block: Measurement, arrival: int) -> None:
        """Add the newest block and wake who waits for it."""
        self._entries.append(Entry(block, arrival, self.samples, self.bytes))
        self.samples += len(block)
        self.bytes += block.nbytes
        self._shorten()
        if self.idle:
            for reader in self.idle:
                reader.arrived(arrival)
            self.idle.clear()

    def _shorten(self) -> None:
        entries = self._entries
        while len(entries) > self._capacity or (
            len(entries) > 1 and self.bytes - entries[0].bytes_before > self._capacity_bytes
        ):
            entries.popleft()
            self.first += 1
