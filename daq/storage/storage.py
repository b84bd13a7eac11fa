"""Everything that is kept, behind one door."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from daq.bus import Bus
from daq.core import (
    EventBlock,
    NotFoundError,
    ParameterError,
    RunOutcome,
    RunStart,
    RunStop,
    RunSummary,
    StateError,
    StorageError,
)
from daq.storage.catalogue import Catalogue
from daq.storage.compression import compression_filters
from daq.storage.database import Database
from daq.storage.directories import Directories
from daq.storage.hdf5_file import partial_path
from daq.storage.hdf5_reader import StreamInfo, describe_file, read_block, require_stream
from daq.storage.journal_reader import follow_journal, read_journal
from daq.storage.ledger import Ledger
from daq.storage.recorder import BUFFER_BYTES, DURABILITIES, RunRecorder
from daq.storage.recovery import recover_runs

__all__ = ["RunDescription", "Storage"]

_OWNERS_GRACE_S = 5.0
_CHUNK_BYTES = 1 << 20
_DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class RunDescription:
    """All that is known of a run but its data."""

    summary: RunSummary
    start: RunStart
    streams: tuple[StreamInfo, ...]


class Storage:
    """Records runs, finds them and reads them back. `run` must be running for anything to work.

    Args:
        directory: Where everything is kept.
        bus: What it carries beside of events is stored in the runs that are open.
        compression: Of frames and long waveforms; see `daq.storage.compression`.
        buffer_bytes: What may wait for the disk before whoever publishes has to wait too.

    Raises ConfigurationError for a compression that there is not.
    """

    def __init__(
        self,
        directory: Path,
        bus: Bus,
        *,
        compression: str = "",
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._buffer_bytes = buffer_bytes
        self._filters = compression_filters(compression)
        self._directories = Directories(directory)
        self._bus = bus
        self._database = Database(self._directories.database)
        self._catalogue = Catalogue(self._database)
        self._open: dict[str, RunRecorder] = {}
        self._opening: trio.MemorySendChannel[RunRecorder] | None = None
        self.ledger = Ledger(self._database)
        """Scripts and executions."""
        self.recovered: tuple[RunSummary, ...] = ()
        """The runs that the previous daemon left open."""

    def __repr__(self) -> str:
        return f"<Storage {self._directories.root} {len(self._open)} open>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the recorders until cancelled; started when every orphaned run is recovered.

        Cancelled, it lets the owners of open runs close them, closes those that nobody does, and
        ends when all files are complete, or at its deadline: a journal then holds what is missing.
        """
        await trio.to_thread.run_sync(self._directories.create)
        with self._directories.locked():
            await self._database.open()
            try:
                self.recovered = await recover_runs(
                    self._directories, self._catalogue, self._filters
                )
                await self._keep_recorders(task_status)
            finally:
                with trio.CancelScope(shield=True):
                    await self._database.close()

    async def _keep_recorders(self, task_status: trio.TaskStatus[None]) -> None:
        drain = trio.CancelScope(shield=True)
        ending = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._own_recorders, drain, ending)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                drain.deadline = trio.current_time() + _OWNERS_GRACE_S + _DRAIN_S
                ending.set()

    async def _own_recorders(
        self,
        drain: trio.CancelScope,
        ending: trio.Event,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Ends by end-of-channel when every run is closed, or at the deadline of `drain`."""
        send, receive = trio.open_memory_channel[RunRecorder](0)
        with drain, send, receive:
            async with trio.open_nursery() as recorders:
                recorders.start_soon(self._close_at_end, ending, send)
                self._opening = send
                task_status.started()
                async for recorder in receive:
                    recorders.start_soon(self._keep, recorder)

    async def _keep(self, recorder: RunRecorder) -> None:
        try:
            await recorder.run()
        finally:
            del self._open[recorder.run_id]

    async def _close_at_end(
        self, ending: trio.Event, send: trio.MemorySendChannel[RunRecorder]
    ) -> None:
        await ending.wait()
        with trio.move_on_after(_OWNERS_GRACE_S):
            for recorder in tuple(self._open.values()):
                await recorder.wait_ended()
        send.close()
        for recorder in tuple(self._open.values()):
            recorder.request_close(
                RunStop(RunOutcome.INTERRUPTED, recorder.last_ns, "the daemon was shut down")
            )

    # ------------------------------------------------------------------------------------ runs

    async def open_run(self, start: RunStart) -> RunRecorder:
        """Open a run; what the bus carries from now on is stored in it.

        Raises StorageError when the disk refuses, StateError when storage does not run,
        ParameterError for a durability that there is not.
        """
        if start.durability not in DURABILITIES:
            raise ParameterError(
                f"a run cannot have the durability {start.durability!r}",
                advice=f"choose one of {', '.join(DURABILITIES)}",
            )
        if self._opening is None or start.run_id in self._open:
            what = "is open already" if start.run_id in self._open else "cannot be opened now"
            raise StateError(f"run {start.run_id} {what}")
        recorder = RunRecorder(
            start,
            self._directories,
            self._bus,
            self._catalogue,
            self._filters,
            self._buffer_bytes,
        )
        self._open[start.run_id] = recorder
        try:
            await self._opening.send(recorder)
        except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
            del self._open[start.run_id]
            raise StateError(f"run {start.run_id} cannot be opened: storage has ended") from error
        except trio.Cancelled:
            del self._open[start.run_id]
            raise
        try:
            await recorder.wait_ready()
        except trio.Cancelled:
            recorder.request_close(
                RunStop(RunOutcome.STOPPED, start.started_ns, "cancelled while it was being opened")
            )
            raise
        return recorder

    async def list_runs(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        name: str = "",
        outcome: str = "",
        since_ns: int = 0,
        until_ns: int = 0,
        execution_id: str = "",
    ) -> tuple[list[RunSummary], int]:
        """A page of runs, newest first, and how many fit in all; see `Catalogue.page`."""
        return await self._catalogue.page(
            limit=limit,
            offset=offset,
            name=name,
            outcome=outcome,
            since_ns=since_ns,
            until_ns=until_ns,
            execution_id=execution_id,
        )

    async def find_run(self, ref: str = "") -> RunSummary:
        """The run that `ref` means: an id, a unique beginning of one, a name, empty for the newest.

        Raises NotFoundError or AmbiguousError.
        """
        summary = await self._catalogue.find(ref)
        recorder = self._open.get(summary.run_id)
        return recorder.summary if recorder else summary

    async def describe_run(self, run_id: str) -> RunDescription:
        """How a run came about and what it holds; of an open one, so far."""
        summary = await self._known(run_id)
        recorder = self._open.get(run_id)
        if recorder is not None:
            streams = (StreamInfo(n, count, c) for n, (c, count) in recorder.streams().items())
            return RunDescription(recorder.summary, recorder.start, tuple(streams))
        path = _file_of(summary)
        start, _, infos = await trio.to_thread.run_sync(describe_file, path)
        return RunDescription(summary, start, infos)

    async def read_run(
        self, run_id: str, stream: str = "primary", columns: Sequence[str] = ()
    ) -> AsyncGenerator[EventBlock, None]:
        """The events of a stream in blocks of a few MiB; of an open run, those stored so far.

        Raises NotFoundError for a run, stream or column that does not exist.
        """
        summary = await self._known(run_id)
        recorder = self._open.get(run_id)
        if recorder is not None:
            await recorder.wait_ready()
            require_stream(stream, tuple(recorder.streams()))
            blocks = read_journal(recorder, self._placed(recorder), stream, columns)
        else:
            blocks = _read_file(_file_of(summary), stream, columns)
        async with aclosing(blocks):
            async for block in blocks:
                yield block

    async def follow_run(self, run_id: str) -> AsyncGenerator[EventBlock, None]:
        """The events of all streams from the first on; of an open run as they come, to its end.

        Those of one stream come in their order. Raises NotFoundError for an unknown run,
        StorageError for one whose file could not be completed.
        """
        await self._known(run_id)
        seen: dict[str, int] = {}
        recorder = self._open.get(run_id)
        if recorder is not None:
            await recorder.wait_ready()
            blocks = follow_journal(recorder, self._placed(recorder))
            async with aclosing(blocks):
                async for block in blocks:
                    seen[block.stream] = block.first + len(block.timestamps)
                    yield block
            await recorder.wait_ended()
        path = _file_of(await self._known(run_id))
        _, _, streams = await trio.to_thread.run_sync(describe_file, path)
        for stream in streams:
            blocks = _read_file(path, stream.name, (), seen.get(stream.name, 0))
            async with aclosing(blocks):
                async for block in blocks:
                    yield block

    async def read_file(self, run_id: str) -> AsyncGenerator[tuple[bytes, int], None]:
        """The HDF5 file of a run that has ended, in chunks of a MiB, each with the whole size.

        Raises NotFoundError for an unknown run, StateError for an open one.
        """
        summary = await self._known(run_id)
        if run_id in self._open:
            raise StateError(
                f"run {run_id} is still open: its file is not complete",
                advice="read its events, or wait for its end",
            )
        path = _file_of(summary)
        try:
            async with await trio.open_file(path, "rb") as file:
                size = await file.seek(0, os.SEEK_END)
                await file.seek(0)
                while chunk := await file.read(_CHUNK_BYTES):
                    yield chunk, size
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from error

    def file_of(self, run: RunDescription) -> Path:
        """The run's HDF5 file: where it is, or where it will be when the run has ended."""
        return Path(run.summary.path or self._directories.run_file(run.start)).absolute()

    def _placed(self, recorder: RunRecorder) -> Path:
        """Where the large samples of an open run lie."""
        return partial_path(self._directories.run_file(recorder.start))

    async def _known(self, run_id: str) -> RunSummary:
        summary = await self._catalogue.get(run_id)
        if summary is None:
            raise NotFoundError(
                f"there is no run {run_id!r}", advice="list the runs to see their ids"
            )
        return summary


def _file_of(summary: RunSummary) -> Path:
    path = Path(summary.path)
    if path.suffix != ".h5":
        raise StorageError(
            f"run {summary.run_id} has no file: {summary.reason or 'it is being completed'}",
            advice="if its journal is there, the daemon's next start completes the file",
        )
    return path


async def _read_file(
    path: Path, stream: str, columns: Sequence[str], first: int = 0
) -> AsyncGenerator[EventBlock, None]:
    """The events of a finished run from `first` on."""
    read = partial(read_block, path, stream, columns)
    while (block := await trio.to_thread.run_sync(read, first)) is not None:
        yield block
        first += len(block.timestamps)
