"""StreamBlocks: what is published, gathered into Arrow batches, for high rates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import trio

from daq.api.bridge import Emit
from daq.api.ipc import measurement_to_ipc
from daq.api.measurement_stream import viewer_capacity
from daq.bus import Bus, LossySubscription
from daq.core import Measurement
from daq.supervision import Device
from daq.wire.generated import daq as pb

__all__ = ["merge", "stream_blocks"]

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
    with bus.view(*request.channels, capacity=capacity) as view:
        while True:
            gathered, is_full = await _gather(view)
            for block in merge(gathered):
                await emit(
                    pb.MeasurementBlock(
                        channel=block.channel,
                        ipc=measurement_to_ipc(block),
                        sequence=block.sequence,
                        samples=len(block),
                        dropped=view.statistics().dropped,
                    )
                )
            if not is_full:
                await trio.sleep(period)


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


def merge(blocks: Iterable[Measurement]) -> list[Measurement]:
    """Join the blocks of each channel that follow one another without a gap, in their order."""
    rows: list[list[Measurement]] = []
    open_row: dict[str, list[Measurement]] = {}
    for block in blocks:
        row = open_row.get(block.channel)
        if row is not None and _continues(row[-1], block):
            row.append(block)
        else:
            open_row[block.channel] = row = [block]
            rows.append(row)
    return [_joined(row) for row in rows]


def _continues(before: Measurement, block: Measurement) -> bool:
    return (
        block.sequence == before.sequence + len(before)
        and block.sample_shape == before.sample_shape
        and block.values.dtype == before.values.dtype
        and block.units == before.units
    )


def _joined(row: list[Measurement]) -> Measurement:
    if len(row) == 1:
        return row[0]
    return Measurement(
        row[0].channel,
        np.concatenate([block.timestamps for block in row]),
        np.concatenate([block.values for block in row]),
        row[0].units,
        row[0].sequence,
    )
