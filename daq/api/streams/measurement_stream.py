"""StreamMeasurements: what is published, a sample a message, at a rate that the client chose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

import numpy as np
import trio

from daq.api.door.bridge import Emit
from daq.api.door.rate_limit import ChannelLimiter, Mean, Newest
from daq.bus import Bus, LossySubscription
from daq.core import Channel
from daq.supervision import Device
from daq.wire.convert import data_points
from daq.wire.generated import daq as pb

__all__ = ["stream_measurements", "viewer_capacity"]

VIEWER_BYTES = 64 << 20
MIN_BLOCKS, MAX_BLOCKS = 4, 4096

INLINE_BYTES = 64 << 10
"""A larger block is not worked on in the loop."""

CHUNK = 64
"""Messages that are built at once: about a millisecond of work, however large the block is."""


async def stream_measurements(
    bus: Bus,
    devices: Iterable[Device],
    request: pb.MeasurementRequest,
    emit: Emit[pb.DataPoint],
) -> None:
    """Send every sample, or with a rate the newest or the mean of each channel, without end."""
    channels = [device.description.channel for device in devices]
    capacity = viewer_capacity(channels, request.channels)
    with bus.view(*request.channels, capacity=capacity) as view:
        if request.max_rate_hz:
            gather = Mean if request.average else Newest
            limiter = ChannelLimiter(1.0 / request.max_rate_hz, gather)
            await _send_limited(view, limiter, emit)
        else:
            await _send_all(view, emit)


async def _send_all(view: LossySubscription, emit: Emit[pb.DataPoint]) -> None:
    async for block in view:
        for start in range(0, len(block), CHUNK):
            chunk = range(start, min(start + CHUNK, len(block)))
            for point in data_points(block, view.dropped, indices=chunk):
                await emit(point)


async def _send_limited(
    view: LossySubscription, limiter: ChannelLimiter, emit: Emit[pb.DataPoint]
) -> None:
    while True:
        block = None
        with trio.move_on_at(limiter.next_due()):
            block = await view.receive()
        while block is not None:
            if block.nbytes > INLINE_BYTES:  # to average frames takes milliseconds
                await trio.to_thread.run_sync(limiter.offer, block)
            else:
                limiter.offer(block)
            block = view.receive_nowait()
        for gathered in limiter.due(trio.current_time()):
            result = gathered.result()
            for point in data_points(result, view.dropped, indices=[len(result) - 1]):
                point.averaged = gathered.averaged
                await emit(point)


def viewer_capacity(channels: Iterable[Channel], patterns: Iterable[str]) -> int:
    """How many blocks a viewer may hold, so that one that stalls on frames does not eat memory."""
    largest = max(_sample_bytes(channels, tuple(patterns)), default=8)
    return min(max(VIEWER_BYTES // largest, MIN_BLOCKS), MAX_BLOCKS)


def _sample_bytes(channels: Iterable[Channel], patterns: tuple[str, ...]) -> Iterator[int]:
    for channel in channels:
        if not patterns or any(fnmatchcase(channel.name, pattern) for pattern in patterns):
            yield max(1, math.prod(channel.shape) * np.dtype(channel.dtype).itemsize)
