"""StreamBlocks: what is published, gathered into Arrow batches, for high rates."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import trio

from daq.api.door.bridge import Emit
from daq.api.door.ipc import measurement_to_ipc
from daq.api.streams.measurement_stream import viewer_capacity
from daq.bus import Bus, LossySubscription
from daq.core import Measurement, merge_blocks
from daq.supervision import Device
from daq.wire.generated import daq as pb

__all__ = ["stream_blocks"]

DEFAULT_RATE_HZ = 50
GATHER_BYTES = 1 << 20
"""A message is full then; larger blocks travel alone."""


async def stream_blocks(
    bus: Bus,
    devices: Iterable[Device],
    request: pb.BlockRequest,
    emit: Emit[pb.MeasurementBlock],
) -> None:
    """Send every sample, in as few messages as the rate allows, until the client leaves."""
    channels = [device.description.channel for device in devices]
    period = 1.0 / (request.max_rate_hz or DEFAULT_RATE_HZ)
    capacity = viewer_capacity(channels, request.channels)
    lz4 = pb.CompressionType.COMPRESSION_LZ4 in request.accepted_compression
    with bus.view(*request.channels, capacity=capacity) as view:
        while True:
            gathered, is_full = await _gather(view)
            for block in merge_blocks(gathered):
                await emit(
                    pb.MeasurementBlock(
                        channel=block.channel,
                        ipc=await _encode(block, lz4=lz4),
                        sequence=block.sequence,
                        samples=len(block),
                        dropped=view.dropped,
                    )
                )
            if not is_full:
                await trio.sleep(period)


async def _encode(block: Measurement, *, lz4: bool) -> bytes:
    if not lz4:
        return measurement_to_ipc(block)
    encode = partial(measurement_to_ipc, block, lz4=True)
    return await trio.to_thread.run_sync(encode, abandon_on_cancel=True)


async def _gather(view: LossySubscription) -> tuple[list[Measurement], bool]:
    """What waits, at least one block; and whether there may be more."""
    blocks = [await view.receive()]
    size = blocks[0].nbytes
    while size < GATHER_BYTES:
        block = view.receive_nowait()
        if block is None:
            return blocks, False
        blocks.append(block)
        size += block.nbytes
    return blocks, True
