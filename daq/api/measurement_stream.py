"""StreamMeasurements: what is published, a sample a message, at a rate that the client chose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

import numpy as np
import trio

from daq.api.bridge import Emit
from daq.bus import Bus, LossySubscription
from daq.core import Channel, Measurement
from daq.supervision import Device
from daq.wire.convert import data_points
from daq.wire.generated import daq as pb

__all__ = ["ChannelLimiter", "stream_measurements", "viewer_capacity"]

VIEWER_BYTES = 64 << 20
MIN_BLOCKS, MAX_BLOCKS = 4, 4096

CHUNK = 64
"""Messages that are built at once: about a millisecond of work, however large the block is."""


async def stream_measurements(
    bus: Bus,
    devices: Iterable[Device],
    request: pb.MeasurementRequest,
    emit: Emit[pb.DataPoint],
) -> None:
    """Send every sample, or with a rate the newest of each channel, until the client leaves."""
    channels = [device.description.channel for device in devices]
    capacity = viewer_capacity(channels, request.channels)
    with bus.view(*request.channels, capacity=capacity) as view:
        if request.max_rate_hz:
            await _send_newest(view, 1.0 / request.max_rate_hz, emit)
        else:
            await _send_all(view, emit)


async def _send_all(view: LossySubscription, emit: Emit[pb.DataPoint]) -> None:
    async for block in view:
        for start in range(0, len(block), CHUNK):
            chunk = range(start, min(start + CHUNK, len(block)))
            for point in data_points(block, view.dropped, indices=chunk):
                await emit(point)


async def _send_newest(view: LossySubscription, period_s: float, emit: Emit[pb.DataPoint]) -> None:
    limiter = ChannelLimiter(period_s)
    while True:
        with trio.move_on_at(limiter.next_due()):
            limiter.offer(await view.receive())
        while (block := view.receive_nowait()) is not None:
            limiter.offer(block)
        for due in limiter.due(trio.current_time()):
            newest = [len(due) - 1]
            for point in data_points(due, view.dropped, indices=newest):
                await emit(point)


class ChannelLimiter:
    """Keeps the newest block of each channel, and hands it out at most once a period.

    The first block of a channel is due at once; the last one always comes, if late.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._waiting: dict[str, Measurement] = {}
        self._free_at: dict[str, float] = {}

    def offer(self, block: Measurement) -> None:
        self._waiting[block.channel] = block

    def next_due(self) -> float:
        """When the next block is due; never (infinity) while none waits."""
        return min((self._free(channel) for channel in self._waiting), default=math.inf)

    def due(self, now: float) -> list[Measurement]:
        """Take out what is due."""
        channels = [channel for channel in self._waiting if self._free(channel) <= now]
        self._free_at.update(dict.fromkeys(channels, now + self._period_s))
        return [self._waiting.pop(channel) for channel in channels]

    def _free(self, channel: str) -> float:
        return self._free_at.get(channel, -math.inf)


def viewer_capacity(channels: Iterable[Channel], patterns: Iterable[str]) -> int:
    """How many blocks a viewer may hold, so that one that stalls on frames does not eat memory."""
    largest = max(_sample_bytes(channels, tuple(patterns)), default=8)
    return min(max(VIEWER_BYTES // largest, MIN_BLOCKS), MAX_BLOCKS)


def _sample_bytes(channels: Iterable[Channel], patterns: tuple[str, ...]) -> Iterator[int]:
    for channel in channels:
        if not patterns or any(fnmatchcase(channel.name, pattern) for pattern in patterns):
            yield max(1, math.prod(channel.shape) * np.dtype(channel.dtype).itemsize)
