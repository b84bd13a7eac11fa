"""Everything that is kept, behind one door."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import trio

from daq.bus import Bus
from daq.core import (
    EventBlock,
    ParameterError,
    RunOutcome,
    RunStart,
    RunStop,
    RunSummary,
    StateError,
    StorageError,
)
from daq.storage.catalogue.catalogue import Catalogue, RunQuery
from daq.storage.catalogue.database import Database
from daq.storage.catalogue.ledger import Ledger
from daq.storage.catalogue.rebuild import Rebuilding, rebuild_catalogue
from daq.storage.files.compression import compression_filters
from daq.storage.files.directories import Directories
from daq.storage.files.place import Place, PlaceWatch
from daq.storage.recorder import BUFFER_BYTES, DURABILITIES, RunRecorder
from daq.storage.recovery import Recovery, close_lost_runs
from daq.storage.run_reader import RunDescription, RunReader

__all__ = ["Storage"]

_OWNERS_GRACE_S = 5.0
_DRAIN_S = 10.0


_log = logging.getLogger(__name__)


class Storage:
    """Records runs, finds them and reads them back. `run` must be running for anything to work.

    Args:
        directory: Where everything is kept.
        bus: What it carries beside of events is stored in the runs that are open.
        compression: Of frames and long waveforms; see `daq.storage.files.compression`.
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
        self._last_order_ns = 0
        """Of the newest run."""
        self._catalogue = Catalogue(self._database)
        self._watch = PlaceWatch()
        self._open: dict[str, RunRecorder] = {}
        self._rebuilding = trio.Lock()
        self._stuck: set[str] = set()
        """Runs whose files a thread still holds that waits for the disk."""
        self._recovery = Recovery(self._directories, self._catalogue, self._filters)
        self._recovered = trio.Event()
        self._reader = RunReader(
            self._directories, self._catalogue, self._open, self._recovery.show
        )
        self._opening: trio.MemorySendChannel[RunRecorder] | None = None
        self.ledger = Ledger(self._database)
        """Scripts and executions."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should know before working."""
        problems = (*self._database.problems, self._watch.problem, self._recovery.status())
        return tuple(filter(None, problems))

    @property
    def recovered(self) -> tuple[RunSummary, ...]:
        """The runs that were left without a file and are complete by now."""
        return tuple(self._recovery.recovered)

    async def wait_recovered(self) -> None:
        """Wait until every run is complete that the previous daemon left open, or given up."""
        await self._recovered.wait()

    def is_idle(self) -> bool:
        """Whether no run is open."""
        return not self._open

    def __repr__(self) -> str:
        return f"<Storage {self._directories.root} {len(self._open)} open>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the recorders until cancelled; what the previous daemon left is recovered meanwhile.

        Cancelled, it lets the owners of open runs close them, closes those that nobody does, and
        ends when all files are complete, or at its deadline: a journal then holds what is missing.
        """
        await trio.to_thread.run_sync(self._directories.create)
        with self._directories.locked():
            await self._database.open()
            try:
                self._watch.begin(await trio.to_thread.run_sync(self._places))
                self._last_order_ns = await self._catalogue.last_order_ns()
                await self._recovery.look()
                await close_lost_runs(self._catalogue, self._recovery)
                await self._keep_recorders(task_status)
            finally:
                with trio.CancelScope(shield=True):
                    await self._database.close()

    def _places(self) -> list[Place]:
        here = self._directories
        return [Place(path) for path in (here.root, here.journals, here.runs, here.database)]

    async def _keep_recorders(self, task_status: trio.TaskStatus[None]) -> None:
        drain = trio.CancelScope(shield=True)
        ending = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._own_recorders, drain, ending)
            nursery.start_soon(self._watch.run)
            try:
                task_status.started()
                await self._recover()
                self._recovered.set()
                await self._list_all()
                await trio.sleep_forever()
            finally:
                drain.deadline = trio.current_time() + _OWNERS_GRACE_S + _DRAIN_S
                ending.set()

    async def _recover(self) -> None:
        async with self._rebuilding:
            await self._recovery.run()

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
            if recorder.is_stuck:
                self._stuck.add(recorder.run_id)

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

        One that nobody waits for, since this was cancelled, is closed again.

        Raises StorageError when the disk refuses, and what `begin_run` raises.
        """
        recorder = await self.begin_run(start)
        try:
            await recorder.wait_ready()
        except trio.Cancelled:
            reason = "cancelled while it was being opened"
            recorder.request_close(RunStop(RunOutcome.STOPPED, start.started_ns, reason))
            raise
        return recorder

    async def begin_run(self, start: RunStart) -> RunRecorder:
        """Begin to open a run, for whoever says how it ended even if it was never ready.

        The caller waits until it is ready, and closes it whatever happens.

        Raises StateError when storage does not run, ParameterError for a durability that there is
        not, StorageError when the storage directory is not where it was.
        """
        if start.durability not in DURABILITIES:
            raise ParameterError(
                f"a run cannot have the durability {start.durability!r}",
                advice=f"choose one of {', '.join(DURABILITIES)}",
            )
        await self._watch.require()
        if self._opening is None or start.run_id in self._open:
            what = "is open already" if start.run_id in self._open else "cannot be opened now"
            raise StateError(f"run {start.run_id} {what}")
        self._last_order_ns = max(start.started_ns, self._last_order_ns + 1)
        recorder = RunRecorder(
            replace(start, order_ns=self._last_order_ns),
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
        return recorder

    async def list_runs(self, **query: Unpack[RunQuery]) -> tuple[list[RunSummary], int]:
        """A page of runs, newest first, and how many fit in all."""
        runs, total = await self._catalogue.page(**query)
        return [self._recovery.show(run) for run in runs], total

    async def find_run(self, ref: str = "") -> RunSummary:
        """The run that `ref` means: an id, a unique beginning of one, a name, empty for the newest.

        Raises NotFoundError or AmbiguousError.
        """
        summary = await self._catalogue.find(ref)
        recorder = self._open.get(summary.run_id)
        return recorder.summary if recorder else self._recovery.show(summary)

    async def describe_run(self, run_id: str) -> RunDescription:
        """How a run came about and what it holds; of an open one, so far."""
        return await self._reader.describe(run_id)

    def read_run(
        self, run_id: str, stream: str = "primary", columns: Sequence[str] = ()
    ) -> AsyncGenerator[EventBlock, None]:
        """The events of a stream in blocks of a few MiB; of an open run, those stored so far.

        Raises NotFoundError for a run, stream or column that does not exist.
        """
        return self._reader.read(run_id, stream, columns)

    def follow_run(self, run_id: str) -> AsyncGenerator[EventBlock, None]:
        """The events of all streams from the first on; of an open run as they come, to its end.

        Those of one stream come in their order. Raises NotFoundError for an unknown run.
        """
        return self._reader.follow(run_id)

    def read_file(self, run_id: str) -> AsyncGenerator[tuple[bytes, int], None]:
        """The HDF5 file of a run that has ended, in chunks of a MiB, each with the whole size.

        Raises NotFoundError for an unknown run, StateError for one that has no complete file.
        """
        return self._reader.read_file(run_id)

    def file_of(self, run: RunDescription) -> Path:
        """The run's HDF5 file: where it is, or where it will be when it is complete."""
        return self._reader.file_of(run)

    # --------------------------------------------------------------------------- the catalogue

    async def rebuild_catalogue(self) -> AsyncGenerator[Rebuilding, None]:
        """Complete the files that wait for room on the disk, then list every run from its file.

        Nothing else waits for it, and nothing is forgotten: see `daq.storage.catalogue.rebuild`.
        """
        await self._recovered.wait()
        await self._recovery.look(self._is_busy)
        await self._recover()
        async with aclosing(self._list_files()) as steps:
            async for step in steps:
                yield step

    def _is_busy(self, run_id: str) -> bool:
        return run_id in self._open or run_id in self._stuck

    async def _list_files(self) -> AsyncGenerator[Rebuilding, None]:
        async with aclosing(rebuild_catalogue(self._directories, self._catalogue)) as steps:
            async for step in steps:
                yield step
        await self._database.mark_whole()

    async def _list_all(self) -> None:
        """What a database that is new, or was damaged, does not know yet."""
        try:
            if await self._database.is_whole():
                return
            async with aclosing(self._list_files()) as steps:
                async for step in steps:
                    for problem in step.problems:
                        _log.warning("%s", problem)
        except StorageError as error:
            _log.error("the catalogue is not complete: %s", error.message)
            return
        if step.files:
            _log.warning("the catalogue was rebuilt from %d files", step.files)
