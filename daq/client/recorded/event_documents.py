"""A run that was fetched as event-model documents, for bluesky's callbacks, databroker and tiled.

What the daemon streams live is composed of the same parts; here frames are in the events, since the
file in which they lie may be on another machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import EventBlock, RunStart, RunStop, find_grid, planned_axes
from daq.core.columns import with_nan
from daq.core.names import table_names
from daq.wire.convert import RecordedRun, RecordedStream
from daq.wire.event_model import Document, compose_documents, unpack_page

__all__ = ["run_documents"]

Array = npt.NDArray[Any]
PAGE_ROWS = 1000


def run_documents(
    run: RecordedRun, streams: Mapping[str, Mapping[str, Array]], *, pages: bool = False
) -> Iterator[Document]:
    """`(name, document)` from start to stop, in the order in which bluesky emits them.

    Args:
        run: The run's record.
        streams: For each stream its columns, with `time` (datetime64[ns]) among them, and with
            `time of NAME` where the time of each value is known.
        pages: Events as `event_page` of up to 1000 rows instead of one `event` each.

    Yields:
        Name and document.
    """
    summary = run.summary
    stop = None
    if summary.outcome is not None:
        stop = RunStop(summary.outcome, summary.ended_ns, summary.reason, summary.by)
    blocks = (
        block
        for stream in run.streams
        if stream.name in streams
        for block in _blocks(stream, streams[stream.name])
    )
    start = _with_grid(run, streams.get("primary", {}))
    for name, document in compose_documents(start, blocks, stop, axes=_axes(run)):
        if name == "event_page" and not pages:
            yield from unpack_page(document)
        else:
            yield name, document


def _blocks(stream: RecordedStream, table: Mapping[str, Array]) -> Iterator[EventBlock]:
    times = table["time"].astype("datetime64[ns]").astype(np.int64)
    names = table_names(column.name for column in stream.columns)
    read = {c.name: table.get(f"time of {c.name}") for c in stream.columns}
    known = {  # what is missing was not read at any time of its own
        n: np.where(np.isnat(t), times, t.astype("datetime64[ns]").astype(np.int64))
        for n, t in read.items()
        if t is not None and t.dtype.kind == "M"
    }
    for first in range(0, len(times), PAGE_ROWS):
        rows = slice(first, first + PAGE_ROWS)
        values = {column: table[name][rows] for column, name in names.items()}
        read_at = {column: moments[rows] for column, moments in known.items()}
        yield EventBlock(stream.name, first, stream.columns, times[rows], values, read_at)


def _with_grid(run: RecordedRun, table: Mapping[str, Array]) -> RunStart:
    """How the run began, with the grid that its events lie on where no plan noted one."""
    metadata, axes = run.start.metadata, _axes(run)
    if planned_axes(metadata) or not all(name in table for name in axes):
        return run.start
    grid = find_grid(metadata, {name: with_nan(table[name]) for name in axes}, axes)
    if grid is None:
        return run.start
    found = {
        "motors": list(grid.axes),
        "shape": list(grid.shape),
        "extents": [[float(axis[0]), float(axis[-1])] for axis in grid.positions],
    }
    return replace(run.start, metadata={**found, **metadata})


def _axes(run: RecordedRun) -> list[str]:
    """What the scan moved."""
    return [
        column.name
        for stream in run.streams
        if stream.name == "primary"
        for column in stream.columns
        if column.role == "positioner" and not column.shape
    ]
