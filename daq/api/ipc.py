"""Arrow IPC: how columns of data travel inside of a message."""

from __future__ import annotations

import pyarrow as pa

from daq.core import Column, EventBlock, Measurement
from daq.wire.arrow import to_arrow

__all__ = ["events_to_ipc", "measurement_to_ipc"]


def events_to_ipc(block: EventBlock) -> bytes:
    """An IPC stream of one record batch."""
    batch = to_arrow(block)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def measurement_to_ipc(block: Measurement) -> bytes:
    """The samples as the rows of a table with one column, which bears the channel's name."""
    column = Column(block.channel, block.units, block.values.dtype.str, block.sample_shape)
    return events_to_ipc(
        EventBlock(
            block.channel,
            block.sequence,
            (column,),
            block.timestamps,
            {block.channel: block.values},
        )
    )
