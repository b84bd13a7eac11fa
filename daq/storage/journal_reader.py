"""Reads the events of a run from its journal: while it is open, and when it has no file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import trio

from daq.core import Column, EventBlock, StorageError
from daq.core.columns import missing_values, widened_block
from daq.storage.journal.replay import Batch, JournalReplay
from daq.storage.journal.row_records import RowBatch
from daq.storage.recorder import RunRecorder

__all__ = ["follow_journal", "read_journal"]

_GATHER_S = 0.02
"""What comes within this time travels together: a follower is woken 50 times a second at most."""


class JournalBlocks:
    """The events that a journal holds. Blocks: for worker threads, one at a time.

    `placed` is the file in which large samples lie. Of all streams, each with the columns that it
    had at the time; or of one, with the columns of `wanted`.
    """

    def __init__(
        self, path: Path, placed: Path, stream: str | None = None, wanted: Sequence[Column] = ()
    ) -> None:
        self._replay = JournalReplay(path, placed, live=True)
        self._batches: Iterator[Batch] | None = None
        self._stream = stream
        self._wanted = wanted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._replay.close()

    @property
    def offset(self) -> int:
        """Bytes of the journal that were read."""
        return self._replay.offset

    @property
    def cut(self) -> bool:
        """Whether a large sample was not there any more: the run has ended meanwhile."""
        return self._replay.cut

    def next(self, end: int | None) -> EventBlock | None:
        """The next events, of those before the journal's offset `end` if there is one."""
        while True:
            for batch in self._batches or ():
                if isinstance(batch, RowBatch) and self._stream in (None, batch.stream):
                    block = _block(batch)
                    return widened_block(block, self._wanted) if self._wanted else block
            self._batches = self._replay.read(end)
            if self._batches is None:
                return None


async def follow_journal(recorder: RunRecorder, placed: Path) -> AsyncGenerator[EventBlock, None]:
    """The events of all streams of an open run, as they are acknowledged, until it is closed.

    The last ones may be missing then: they are in the run's file.
    """
    with await trio.to_thread.run_sync(JournalBlocks, recorder.path, placed) as blocks:
        while not blocks.cut:
            end = recorder.acknowledged
            while (block := await trio.to_thread.run_sync(blocks.next, end)) is not None:
                yield block
            if not await recorder.wait_beyond(end):
                return
            await trio.sleep(_GATHER_S)


async def read_journal(
    path: Path,
    placed: Path,
    stream: str | None = None,
    wanted: Sequence[Column] = (),
    end: int | None = None,
) -> AsyncGenerator[EventBlock, None]:
    """The events of one stream, or of all, that are in a journal before its offset `end`.

    Of one stream with the columns of `wanted`, as it has them at its end.

    Raises StorageError when the run's file is completed meanwhile: its large samples have moved.
    """
    opened = trio.to_thread.run_sync(JournalBlocks, path, placed, stream, wanted)
    with await opened as blocks:
        while (block := await trio.to_thread.run_sync(blocks.next, end)) is not None:
            yield block
        if blocks.cut:
            raise StorageError(
                f"{placed}: the run's file was completed while it was being read",
                advice="read it again",
            )


def _block(batch: RowBatch) -> EventBlock:
    values = {c.name: _values(batch.values[c.name], c) for c in batch.columns}
    times = {c.name: batch.column_times[:, number] for number, c in enumerate(batch.columns)}
    return EventBlock(batch.stream, batch.first, batch.columns, batch.timestamps, values, times)


def _values(values: Any, column: Column) -> npt.NDArray[Any]:
    """As an `EventBlock` holds them; large samples come as a list."""
    if not isinstance(values, list):
        return np.asanyarray(values)
    if not column.optional:
        return np.asarray(values)
    filled = missing_values(len(values), column)
    for row, sample in enumerate(values):
        if sample is not None:
            filled[row] = sample
    return filled
