"""Arrow IPC: how columns of data travel inside of a message."""

from __future__ import annotations

import pyarrow as pa

from daq.core import EventBlock, Measurement
from daq.wire.arrow import measurement_to_arrow, to_arrow

__all__ = ["events_to_ipc", "measurement_to_ipc"]


def events_to_ipc(block: EventBlock) -> bytes:
    """An IPC stream of one record batch."""
    return _to_ipc(to_arrow(block))


def measurement_to_ipc(block: Measurement) -> bytes:
    """An IPC stream of one record batch with one column, which bears the channel's name."""
    return _to_ipc(measurement_to_arrow(block))


def _to_ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
