"""Arrow IPC: how columns of data travel inside of a message."""

from __future__ import annotations

from typing import Literal, cast

import pyarrow as pa

from daq.core import EventBlock, Measurement
from daq.wire.arrow import measurement_to_arrow, to_arrow

__all__ = ["events_to_ipc", "measurement_to_ipc"]


def events_to_ipc(block: EventBlock, *, times: bool = False) -> bytes:
    """An IPC stream of one record batch; no copy of it is made before it is sent.

    With `times` each column is followed by one that tells when its values were read.
    """
    return _to_ipc(to_arrow(block, times=times))


def measurement_to_ipc(block: Measurement, *, lz4: bool = False) -> bytes:
    """An IPC stream of one record batch with one column, which bears the channel's name."""
    return _to_ipc(measurement_to_arrow(block), "lz4" if lz4 else None)


def _to_ipc(batch: pa.RecordBatch, compression: Literal["lz4"] | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    # The memory itself, for the socket: what takes bytes takes a view of them.
    return cast("bytes", memoryview(sink.getvalue()))
