"""Reads runs back, from where their events are.

A run that is open is read from its journal, one that has ended from its file. One whose file could
not be completed, for want of room on the disk, is read from its journal until it is.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from daq.core import (
    EventBlock,
    NotFoundError,
    RunStart,
    RunSummary,
    StateError,
    StorageError,
)
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.files.conversion import placed_in
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_file import partial_path
from daq.storage.files.hdf5_reader import (
    StreamInfo,
    describe_file,
    read_block,
    require_stream,
    select_columns,
)
from daq.storage.files.journal_outline import describe_journal
from daq.storage.journal_reader import follow_journal, read_journal
from daq.storage.recorder import RunRecorder

__all__ = ["RunDescription", "RunReader"]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RunDescription:
    """All that is known of a run but its data."""

    summary: RunSummary
    start: RunStart
    streams: tuple[StreamInfo, ...]


class RunReader:
    """Knows where the events of every run are; `recorders` are those that are open."""

    def __init__(
        self,
        directories: Directories,
        catalogue: Catalogue,
        recorders: Mapping[str, RunRecorder],
        show: Callable[[RunSummary], RunSummary],
    ) -> None:
        """`show` gives a run's line as it is now: one that is being recovered has a journal."""
        self._show = show
        self._directories = directories
        self._catalogue = catalogue
        self._recorders = recorders

    async def describe(self, run_id: str) -> RunDescription:
        """How a run came about and what it holds; of an open one, so far."""
        summary = await self._known(run_id)
        recorder = self._recorders.get(run_id)
        if recorder is not None:
            streams = (StreamInfo(n, count, c) for n, (c, count) in recorder.streams().items())
            return RunDescription(recorder.summary, recorder.start, tuple(streams))
        path = _place_of(summary)
        describe = describe_journal if _is_journal(path) else describe_file
        start, _, infos = await trio.to_thread.run_sync(describe, path)
        return RunDescription(summary, start, infos)

    async def read(
        self, run_id: str, stream: str, columns: Sequence[str] = ()
    ) -> AsyncGenerator[EventBlock, None]:
        """The events of a stream in blocks of a few MiB; of an open run, those stored so far.

        Raises NotFoundError for a run, stream or column that does not exist.
        """
        summary = await self._known(run_id)
        recorder = self._recorders.get(run_id)
        if recorder is not None:
            await recorder.wait_ready()
            end, streams = recorder.acknowledged, recorder.streams()
            require_stream(stream, tuple(streams))
            known = streams[stream][0] if stream in streams else ()
            wanted = select_columns(stream, known, columns)
            placed = self._placed_while_open(recorder)
            blocks = read_journal(recorder.path, placed, stream, wanted, end)
        elif _is_journal(path := _place_of(summary)):
            start, _, infos = await trio.to_thread.run_sync(describe_journal, path)
            require_stream(stream, [info.name for info in infos])
            known = next((info.columns for info in infos if info.name == stream), ())
            wanted = select_columns(stream, known, columns)
            blocks = read_journal(path, self._placed(start), stream, wanted)
        else:
            blocks = _read_file(path, stream, columns)
        async with aclosing(blocks):
            async for block in blocks:
                yield block

    async def follow(self, run_id: str) -> AsyncGenerator[EventBlock, None]:
        """The events of all streams from the first on; of an open run as they come, to its end.

        Those of one stream come in their order. Raises NotFoundError for an unknown run.
        """
        await self._known(run_id)
        seen: dict[str, int] = {}
        recorder = self._recorders.get(run_id)
        if recorder is not None:
            await recorder.wait_ready()
            async with aclosing(
                follow_journal(recorder, self._placed_while_open(recorder))
            ) as blocks:
                async for block in blocks:
                    seen[block.stream] = block.first + len(block.timestamps)
                    yield block
            await recorder.wait_ended()
        rest = self._read_rest(_place_of(await self._known(run_id)), seen)
        async with aclosing(rest) as blocks:
            async for block in blocks:
                yield block

    async def _read_rest(
        self, path: Path, seen: Mapping[str, int]
    ) -> AsyncGenerator[EventBlock, None]:
        """The events of all streams of a run that has ended, but those that were `seen`."""
        if _is_journal(path):
            start, _, _ = await trio.to_thread.run_sync(describe_journal, path)
            async with aclosing(read_journal(path, self._placed(start))) as blocks:
                async for block in blocks:
                    skip = seen.get(block.stream, 0) - block.first
                    if skip < len(block.timestamps):
                        yield _without_first(block, skip) if skip > 0 else block
            return
        _, _, streams = await trio.to_thread.run_sync(describe_file, path)
        for stream in streams:
            first = seen.get(stream.name, 0)
            async with aclosing(_read_file(path, stream.name, (), first)) as blocks:
                async for block in blocks:
                    yield block

    async def read_file(self, run_id: str) -> AsyncGenerator[tuple[bytes, int], None]:
        """The HDF5 file of a run that has ended, in chunks of a MiB, each with the whole size.

        Raises NotFoundError for an unknown run, StateError for one that is open or could not be
        completed.
        """
        summary = await self._known(run_id)
        if run_id in self._recorders:
            raise StateError(
                f"run {run_id} is still open: its HDF5 file is not complete",
                advice="export its events in another format, or wait for its end",
            )
        path = _place_of(summary)
        if _is_journal(path):
            raise StateError(
                f"run {run_id} could not be completed: it has no HDF5 file yet",
                advice="make room on the disk, then `daq client runs rebuild` completes it; until "
                "then export its events in another format",
            )
        try:
            async with await trio.open_file(path, "rb") as file:
                size = await file.seek(0, os.SEEK_END)
                await file.seek(0)
                while chunk := await file.read(_CHUNK_BYTES):
                    yield chunk, size
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from error

    def file_of(self, run: RunDescription) -> Path:
        """The run's HDF5 file: where it is, or where it will be when it is complete."""
        path = Path(run.summary.path)
        if run.summary.path and not _is_journal(path):
            return path.absolute()
        return self._directories.run_file(run.start).absolute()

    def _placed_while_open(self, recorder: RunRecorder) -> Path:
        return partial_path(self._directories.run_file(recorder.start))

    def _placed(self, start: RunStart) -> Path:
        return placed_in(self._directories.run_file(start))

    async def _known(self, run_id: str) -> RunSummary:
        summary = await self._catalogue.get(run_id)
        if summary is None:
            raise NotFoundError(
                f"there is no run {run_id!r}", advice="list the runs to see their ids"
            )
        return self._show(summary)


def _is_journal(path: Path) -> bool:
    return path.suffix == ".journal"


def _place_of(summary: RunSummary) -> Path:
    """The file or the journal of a run that has ended."""
    if not summary.path:
        raise StorageError(
            f"run {summary.run_id} has no file: {summary.reason or 'it is being completed'}"
        )
    return Path(summary.path)


def _without_first(block: EventBlock, rows: int) -> EventBlock:
    return replace(
        block,
        first=block.first + rows,
        timestamps=block.timestamps[rows:],
        values={name: values[rows:] for name, values in block.values.items()},
        column_times={name: times[rows:] for name, times in block.column_times.items()},
    )


async def _read_file(
    path: Path, stream: str, columns: Sequence[str], first: int = 0
) -> AsyncGenerator[EventBlock, None]:
    """The events of a finished run from `first` on."""
    read = partial(read_block, path, stream, columns)
    while (block := await trio.to_thread.run_sync(read, first)) is not None:
        yield block
        first += len(block.timestamps)
