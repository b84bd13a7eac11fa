"""Reads the events of a run that is still open, from its journal."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from daq.core import EventBlock, StorageError
from daq.storage.hdf5_reader import select_columns
from daq.storage.records import RowBatch
from daq.storage.replay import JournalReplay

__all__ = ["journal_blocks"]


def journal_blocks(
    path: Path, placed: Path, end: int, stream: str, wanted: Sequence[str]
) -> Generator[EventBlock, None, None]:
    """The events of a stream that were acknowledged before the journal's offset `end`.

    `placed` is the file in which large samples lie. Raises StorageError when the run is closed
    meanwhile and that file is gone.
    """
    with JournalReplay(path, placed) as replay:
        while (batches := replay.read(end)) is not None:
            for batch in batches:
                if isinstance(batch, RowBatch) and batch.stream == stream:
                    yield _block(batch, wanted)
        if replay.cut:
            raise StorageError(
                f"{placed}: the run was closed while it was being read", advice="read it again"
            )


def _block(batch: RowBatch, wanted: Sequence[str]) -> EventBlock:
    columns = select_columns(batch.stream, batch.columns, wanted)
    values = {column.name: np.asarray(batch.values[column.name]) for column in columns}
    return EventBlock(batch.stream, batch.first, columns, batch.timestamps, values)
