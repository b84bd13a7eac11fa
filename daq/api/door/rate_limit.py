"""At most so many samples a second of each channel: the newest, or the mean of what came since."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from daq.core import Measurement

__all__ = ["ChannelLimiter", "Gathered", "Mean", "Newest"]

Key = tuple[str, str, tuple[int, ...]]
"""Channel, units, shape of a sample: what differs in them is not averaged together."""


class Gathered(Protocol):
    """What came of a channel since something was sent."""

    averaged: int
    """Samples in the mean; 0 when it is none."""

    def add(self, block: Measurement) -> None: ...

    def result(self) -> Measurement:
        """A block whose last sample is to be sent."""


class Newest:
    """The newest sample."""

    averaged = 0

    def __init__(self, first: Measurement) -> None:
        self._block = first

    def add(self, block: Measurement) -> None:
        self._block = block

    def result(self) -> Measurement:
        return self._block


class Mean:
    """The mean of all samples: of their values, number by number, and of their times."""

    def __init__(self, first: Measurement) -> None:
        self._first = first
        self._start_ns = int(first.timestamps[0])
        self.averaged = 0
        self._sum: npt.NDArray[Any] | float = 0.0
        self._elapsed_ns = 0
        self.add(first)

    def add(self, block: Measurement) -> None:
        wide = np.complex128 if block.values.dtype.kind == "c" else np.float64
        self._sum = self._sum + block.values.sum(axis=0, dtype=wide)
        # From the first sample on: sums of times since 1970 would leave 64 bits.
        self._elapsed_ns += int((block.timestamps - self._start_ns).sum())
        self.averaged += len(block)

    def result(self) -> Measurement:
        moment = self._start_ns + self._elapsed_ns // self.averaged
        mean = np.asarray(self._sum / self.averaged)[np.newaxis]
        first = self._first
        return Measurement(first.channel, np.array([moment]), mean, first.units, first.sequence)


class ChannelLimiter:
    """Gathers what comes of each channel, and hands it out at most once a period.

    The first block of a channel is due at once; the last one always comes, if late.
    """

    def __init__(self, period_s: float, gather: Callable[[Measurement], Gathered]) -> None:
        self._period_s = period_s
        self._gather = gather
        self._waiting: dict[Key, Gathered] = {}
        self._free_at: dict[Key, float] = {}

    def offer(self, block: Measurement) -> None:
        key = (block.channel, block.units, block.sample_shape)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = self._gather(block)
        else:
            waiting.add(block)

    def next_due(self) -> float:
        """When something is due next; never (infinity) while nothing waits."""
        return min((self._free(key) for key in self._waiting), default=math.inf)

    def due(self, now: float) -> list[Gathered]:
        """Take out what is due."""
        keys = [key for key in self._waiting if self._free(key) <= now]
        self._free_at.update(dict.fromkeys(keys, now + self._period_s))
        return [self._waiting.pop(key) for key in keys]

    def _free(self, key: Key) -> float:
        return self._free_at.get(key, -math.inf)
