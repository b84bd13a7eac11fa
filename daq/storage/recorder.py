"""Records one run: events as they are taken, and what the bus carries beside them.

`append` returns when the event is in the journal; the HDF5 file follows the journal from behind
(see `files/conversion.py`), so it delays nothing and holds nothing in memory. Only large samples
go to the HDF5 file first, since that is where they stay (see `daq.storage.journal.placed`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import trio

from daq.bus import Bus, LosslessSubscription
from daq.core import (
    INTERLOCK_CHANNELS,
    Column,
    Event,
    Measurement,
    Reading,
    RunOutcome,
    RunStart,
    RunStop,
    RunSummary,
    StateError,
    StorageError,
)
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.disk_watch import DiskWatch
from daq.storage.files.compression import Filters
from daq.storage.files.conversion import Conversion, discard_journal
from daq.storage.files.directories import Directories
from daq.storage.files.summaries import close_summary, count_points, summarize, tell_incomplete
from daq.storage.journal.run_journal import RunJournal, again, begin_journal, in_thread
from daq.storage.stall_watch import StallWatch

__all__ = ["BUFFER_BYTES", "DURABILITIES", "RunRecorder"]

_BATCH_BYTES = 4 << 20
_BATCH_BLOCKS = 16_384
"""Of single samples; to encode them takes some tens of milliseconds."""
_SYNC_PERIOD_S = 1.0
_MONITOR_PERIOD_S = 0.02
_FLOOD_BLOCKS, _FLOOD_PERIOD_S = 1000, 0.1
_CONVERT_PERIOD_S = 0.5
_CONVERT_BYTES = 16 << 20
_CONVERT_REST = 4.0
"""Times as long as it took: no more than a fifth of a processor."""

_WATCH_PERIOD_S = 0.1

_STUCK_S = 30.0
"""How long the disk may do nothing while a run is being closed."""
_MARK_S = 5.0

BUFFER_BYTES = 256 << 20
"""What may wait for the disk before whoever publishes has to wait too."""

DISK = "disk"
DURABILITIES = ("process", DISK)
"""What an acknowledged event can survive; see `RunStart.durability`."""

_log = logging.getLogger(__name__)


class RunRecorder:
    """An open run. `Storage.open_run` makes it and owns its task."""

    def __init__(
        self,
        start: RunStart,
        directories: Directories,
        bus: Bus,
        catalogue: Catalogue,
        filters: Filters = MappingProxyType({}),
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._filters = filters
        self._buffer_bytes = buffer_bytes
        self.run_id = start.run_id
        self.start = start
        self.path = directories.journal(start.run_id)
        """The journal, while the run is open."""
        self._directories = directories
        self._bus = bus
        self._catalogue = catalogue
        self._journal: RunJournal | None = None
        self._conversion: Conversion | None = None
        self.is_stuck = False
        """Whether threads that wait for the disk still hold its files."""
        self._failure: StorageError | None = None
        self._stop: RunStop | None = None
        self._ready = trio.Event()
        self._stopping = trio.Event()
        self._ended = trio.Event()
        self._summary = summarize(start)
        self._error: StorageError | None = StorageError(
            f"{self.path}: the run was cut off before its file was complete",
            advice="the journal is kept; the daemon's next start completes the file",
        )

    def __repr__(self) -> str:
        state = "closed" if self._ended.is_set() else "open"
        return f"<RunRecorder {self.run_id} {state} {self.points} points>"

    @property
    def points(self) -> int:
        """Events acknowledged so far, of all streams."""
        return self._journal.points if self._journal else 0

    @property
    def acknowledged(self) -> int:
        """Bytes of the journal that can be read back."""
        return self._journal.size if self._journal else 0

    @property
    def last_ns(self) -> int:
        """When the newest event was taken; when the run began, while there is none."""
        return (self._journal and self._journal.last_ns) or self.start.started_ns

    @property
    def summary(self) -> RunSummary:
        """The run as it is now."""
        return count_points(self._summary, self._counts())

    def _counts(self) -> dict[str, int]:
        return self._journal.counts if self._journal else {}

    def streams(self) -> dict[str, tuple[tuple[Column, ...], int]]:
        """Every stream so far: its columns, and how many events it has."""
        return self._journal.streams() if self._journal else {}

    async def wait_beyond(self, offset: int) -> bool:
        """Until something behind this offset of the journal can be read; False at the run's end."""
        if self._journal is None or self._stopping.is_set():
            return False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_stop, nursery.cancel_scope)
            await self._journal.wait_beyond(offset)
            nursery.cancel_scope.cancel()
        return not self._stopping.is_set()

    async def _cancel_at_stop(self, scope: trio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def append(self, event: Event) -> None:
        """Store an event; it survives the death of the daemon when this returns.

        The first event of a stream fixes its columns. Raises StorageError when the event does not
        fit them or the disk fails, StateError when the run is closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._journal is None or self._stop is not None:
            raise StateError(f"run {self.run_id} is not open; nothing can be added to it")
        await self._journal.append_event(event)

    async def close(self, stop: RunStop) -> RunSummary:
        """End the run; returns when its HDF5 file is complete, on disk and catalogued.

        The work is done by the run's own task, so a caller that is cancelled leaves nothing half
        done. Calling it again waits for the same end. Raises StorageError when the file could not
        be written, or when the disk did nothing for 30 s: the journal then stays, and is read and
        completed later.
        """
        self.request_close(stop)
        await self._ended.wait()
        if self._error is not None:
            raise again(self._error)
        return self._summary

    def request_close(self, stop: RunStop) -> None:
        """Begin to end the run; the first request counts."""
        if self._stop is None:
            self._stop = stop
            self._stopping.set()

    async def wait_ready(self) -> None:
        """Wait until everything is stored from now on; raises StorageError when that failed."""
        await self._ready.wait()
        if self._journal is None and self._error is not None:
            raise again(self._error)

    async def wait_ended(self) -> None:
        """Wait until the run has ended, well or not."""
        await self._ended.wait()

    # ---------------------------------------------------------------------------- the run's task

    async def run(self) -> None:
        """Record until `close`. Raises nothing: `wait_ready`, `append` and `close` do."""
        watch = StallWatch(self._progress)
        try:
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(self._give_up_when_stuck, watch, scope)
                with scope:
                    await self._record_and_complete()
                if self._failure is not None:
                    await self._mark(self._failure)
                nursery.cancel_scope.cancel()
        finally:
            watch.end()
            self._ready.set()
            self._ended.set()

    async def _record_and_complete(self) -> None:
        try:
            # Subscribed before it is ready: what is published after `open_run` is stored.
            with self._bus.record(capacity_bytes=self._buffer_bytes) as subscription:
                states = _interlocks(self._bus, self.start.started_ns)
                await self._catalogue.put(self._summary)
                writer = await in_thread(lambda: begin_journal(self.path, self.start))
                try:
                    conversion = self._conversion = await in_thread(
                        lambda: Conversion(self.path, self._directories, self._filters)
                    )
                    journal = self._journal = RunJournal(
                        writer, conversion, self.start, on_disk=self.start.durability == DISK
                    )
                    if states:
                        await journal.append_blocks(states)
                    await self._record(journal, conversion, subscription)
                    await self._finish(journal, conversion)
                finally:
                    writer.close()
        except StorageError as error:
            self._failure = error

    async def _give_up_when_stuck(self, watch: StallWatch, scope: trio.CancelScope) -> None:
        """Bound the end of the run: a disk may hang for ever, and whoever closes must not.

        The threads that wait for it are left behind; what they still do harms nobody. The list of
        runs may be on the same disk: the answer does not wait for it for long either.
        """
        await self._stopping.wait()
        if not await watch.wait_stalled(_STUCK_S):
            return
        self.is_stuck = True
        self._failure = StorageError(
            f"{self.path}: the disk did nothing for {_STUCK_S:g} s while the run was being closed; "
            f"its {self.points} events are in the journal",
            advice="check the disk; the daemon's next start completes the file",
        )
        scope.cancel()
        await watch.wait_end(_MARK_S)
        self._close_with(self._failure)
        self._ended.set()

    def _progress(self) -> object:
        return self.acknowledged, self._conversion.progress if self._conversion else 0

    async def _record(
        self, journal: RunJournal, conversion: Conversion, subscription: LosslessSubscription
    ) -> None:
        async with trio.open_nursery() as parts:
            parts.start_soon(self._keep_on_disk, journal)
            parts.start_soon(self._watch_disk, journal, subscription)
            parts.start_soon(self._record_monitors, journal, subscription)
            self._ready.set()
            pause_s = _CONVERT_PERIOD_S
            while not await self._stopped_within(pause_s):
                pause_s = await in_thread(lambda: self._catch_up(conversion, journal))
            subscription.close()

    def _catch_up(self, conversion: Conversion, journal: RunJournal) -> float:
        """Convert what was acknowledged since the last time; returns when to do it again, in s.

        A thousand channels take HDF5 as long for one sample of each as for a hundred: what comes in
        small pieces is left to gather.
        """
        began, first = time.monotonic(), conversion.offset
        try:
            while conversion.offset < journal.size and not self._stopping.is_set():
                if not conversion.advance(journal.size):
                    break
        except StorageError as error:
            _log.error("%s; the run goes on in its journal", error.message)
        if conversion.offset - first >= _CONVERT_BYTES:
            return _CONVERT_PERIOD_S
        return max(_CONVERT_PERIOD_S, _CONVERT_REST * (time.monotonic() - began))

    async def _keep_on_disk(self, journal: RunJournal) -> None:
        """fsync, and the catalogue's count of points, every second while something changes."""
        noted = 0
        while not await self._stopped_within(_SYNC_PERIOD_S):
            await journal.sync()
            if journal.points != noted:
                noted = journal.points
                try:
                    await self._catalogue.put_points(self.summary)
                except StorageError as error:
                    _log.error("%s", error.message)  # the count is a courtesy

    async def _watch_disk(self, journal: RunJournal, subscription: LosslessSubscription) -> None:
        watch = DiskWatch(self.run_id, self._buffer_bytes)
        while not await self._stopped_within(_WATCH_PERIOD_S):
            watch.look(subscription.waiting_bytes, journal.syncing_s)

    async def _stopped_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._stopping.wait()
        return self._stopping.is_set()

    async def _record_monitors(
        self, journal: RunJournal, subscription: LosslessSubscription
    ) -> None:
        pause_s = _MONITOR_PERIOD_S
        async for block in subscription:
            # A moment's worth goes to the journal at once: waking for each costs more than writing.
            if subscription.waiting_bytes < _BATCH_BYTES:
                await self._stopped_within(pause_s)
            blocks = [b for b in _take_batch(block, subscription) if b.event is None]
            try:
                if blocks:
                    await journal.append_blocks(blocks)
            except StorageError as error:
                journal.fail(error)
                subscription.close()
                return
            # Of many small blocks more are gathered, since those of a channel make one record.
            pause_s = _FLOOD_PERIOD_S if len(blocks) > _FLOOD_BLOCKS else _MONITOR_PERIOD_S

    async def _finish(self, journal: RunJournal, conversion: Conversion) -> None:
        stop = self._final_stop(journal)
        await journal.append_stop(stop)
        self._summary = await in_thread(
            lambda: conversion.complete(stop, journal.size, journal.points)
        )
        await self._catalogue.put(self._summary)
        await in_thread(lambda: discard_journal(self.path, Path(self._summary.path)))
        self._error = None

    def _final_stop(self, journal: RunJournal) -> RunStop:
        stop = self._stop or RunStop(RunOutcome.INTERRUPTED, self.start.started_ns)
        if journal.failure is None or stop.outcome is not RunOutcome.COMPLETED:
            return stop
        return replace(stop, outcome=RunOutcome.FAILED, reason=journal.failure.message)

    def _close_with(self, error: StorageError) -> None:
        """The run has ended, and its file is not complete."""
        self._error = error
        stop = self._stop or RunStop(RunOutcome.FAILED, self.start.started_ns)
        if self._journal is not None:
            stop = self._final_stop(self._journal)
        closed = close_summary(summarize(self.start), stop, self._counts(), self.path)
        self._summary = tell_incomplete(closed, error.message)

    async def _mark(self, error: StorageError) -> None:
        """Say on record that the file is not complete."""
        _log.error("run %s: %s", self.run_id, error.message)
        self._close_with(error)
        await self._catalogue.put_or_keep(self._summary)


def _interlocks(bus: Bus, now_ns: int) -> list[Measurement]:
    """How the interlocks are as the run begins: they say so only when they change."""
    blocks = [bus.latest(name) for name in bus.channels() if name.startswith(INTERLOCK_CHANNELS)]
    return [
        Measurement.single(block.channel, Reading(block.last(), now_ns), "", block.sequence)
        for block in blocks
        if block is not None
    ]


def _take_batch(first: Measurement, subscription: LosslessSubscription) -> list[Measurement]:
    """The block and what waits behind it, up to a size worth one write."""
    batch, size = [first], first.nbytes
    while size < _BATCH_BYTES and len(batch) < _BATCH_BLOCKS:
        block = subscription.receive_nowait()
        if block is None:
            break
        batch.append(block)
        size += block.nbytes
    return batch
