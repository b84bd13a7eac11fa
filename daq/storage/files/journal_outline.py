"""What a journal tells of its run, without the data."""

from __future__ import annotations

from pathlib import Path

from daq.core import Column, RunStart, RunStop, StorageError
from daq.storage.files.hdf5_reader import StreamInfo
from daq.storage.journal.replay import JournalReplay
from daq.storage.journal.row_records import RowBatch

__all__ = ["describe_journal"]


def describe_journal(path: Path) -> tuple[RunStart, RunStop | None, tuple[StreamInfo, ...]]:
    """All but the data; without a stop when the journal does not say it. Blocks."""
    start: RunStart | None = None
    stop: RunStop | None = None
    points: dict[str, int] = {}
    columns: dict[str, tuple[Column, ...]] = {}
    with JournalReplay(path) as replay:
        while (batches := replay.read()) is not None:
            for batch in batches:
                if isinstance(batch, RunStart):
                    start = batch
                elif isinstance(batch, RunStop):
                    stop = batch
                elif isinstance(batch, RowBatch):
                    points[batch.stream] = points.get(batch.stream, 0) + len(batch.timestamps)
                    columns[batch.stream] = batch.columns  # the last are the widest
    if start is None:
        raise StorageError(f"{path}: the journal does not begin with the start of its run")
    return start, stop, tuple(StreamInfo(name, n, columns[name]) for name, n in points.items())
