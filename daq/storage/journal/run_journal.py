"""The journal of an open run, shared by the tasks that write to it.

A small record is written there and then, since that takes a few microseconds and a hop to a thread
takes tens; a large one, and every fsync, goes to a thread. Large samples are placed in the HDF5
file at once, and the journal only says where (`daq.storage.journal.placed`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import trio

from daq.core import Column, Event, Measurement, RunStart, RunStop, StorageError
from daq.storage.journal import records
from daq.storage.journal.encoder import RunEncoder
from daq.storage.journal.framing import Buffer, encode_record
from daq.storage.journal.journal import JournalWriter
from daq.storage.journal.placed import Placer
from daq.storage.journal.records import Kind

__all__ = ["RunJournal", "again", "begin_journal", "in_thread"]

T = TypeVar("T")

_INLINE_BYTES = 64 << 10
_INLINE_BLOCKS = 256
"""To encode them takes about a millisecond."""
_WRITE_TIMEOUT_S = 10.0
_SLOW_WRITE_S = 0.01
_SLOW_SYNC_S = 0.05
_WARY_S = 1.0
_SEGMENT_BYTES = 4 << 20
_DESCRIPTION_SHARE = 16
"""What is repeated is no more than about a sixteenth of a long journal."""

_log = logging.getLogger(__name__)


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread. Cancelled, it lets the thread go: a disk may hang for ever."""
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def again(error: StorageError) -> StorageError:
    """The same error, to be raised in one more task."""
    return StorageError(error.message, advice=error.advice)


def begin_journal(path: Path, start: RunStart) -> JournalWriter:
    """A new journal that holds the run's start, twice and on disk. Blocks."""
    writer = JournalWriter(path)
    try:
        writer.write(encode_record(Kind.START, records.encode_start(start)) * 2)
        writer.sync()
        writer.sync_name()
    except StorageError:
        writer.close()
        path.unlink(missing_ok=True)
        raise
    return writer


class RunJournal:
    """Appends events and blocks. The first failure of the disk is final: the run has failed.

    What the run, its streams and its channels are is repeated as the journal grows, each time when
    it is twice as long and at the latest every few MiB: what is intact of a damaged journal can be
    read from any of its copies.
    """

    def __init__(
        self, writer: JournalWriter, placer: Placer, start: RunStart, *, on_disk: bool = False
    ) -> None:
        self._writer = writer
        self._start = start
        self._described_bytes = writer.size
        self._repeat_at = 2 * writer.size
        self._on_disk = on_disk
        """Whether every acknowledgement waits for the disk."""
        self._commit_turn = trio.Lock()
        self._placer = placer
        self._encoder = RunEncoder(placer)
        self._turn = trio.Lock()
        self._grown = trio.Event()
        self._sync_began = math.inf
        self._wary_until = -math.inf
        self.counts: dict[str, int] = {}
        """Events acknowledged so far, by stream."""
        self._last_ns = 0
        self._failure: StorageError | None = None
        self._hangs = False
        """Whether a thread still waits for the disk."""

    @property
    def points(self) -> int:
        """Events acknowledged so far."""
        return sum(self.counts.values())

    @property
    def last_ns(self) -> int:
        """The time of the newest event; 0 while there is none."""
        return self._last_ns

    @property
    def size(self) -> int:
        """Bytes acknowledged so far."""
        return self._writer.synced if self._on_disk else self._writer.size

    @property
    def failure(self) -> StorageError | None:
        """Why nothing can be added any more."""
        return self._failure

    def streams(self) -> dict[str, tuple[tuple[Column, ...], int]]:
        """Every stream so far: its columns, and how many events it has."""
        return self._encoder.streams()

    async def wait_beyond(self, size: int) -> None:
        """Until more than `size` bytes are acknowledged."""
        while self.size <= size:
            if self._grown.is_set():
                self._grown = trio.Event()
            await self._grown.wait()

    async def append_event(self, event: Event) -> None:
        """Returns when the event would survive the death of this process."""
        large = self._encoder.takes_long(event)
        await self._append(lambda: self._encoder.event(event), large=large)
        self.counts[event.stream] = self.counts.get(event.stream, 0) + 1
        self._last_ns = event.timestamp_ns

    async def append_blocks(self, blocks: list[Measurement]) -> None:
        """Returns when the blocks would survive the death of this process."""
        nbytes = sum(block.nbytes for block in blocks)
        large = nbytes > _INLINE_BYTES or len(blocks) > _INLINE_BLOCKS
        await self._append(lambda: self._encoder.blocks(blocks), large=large)

    async def append_stop(self, stop: RunStop) -> None:
        """How the run ended: the last record, for which a disk that was full may still have room.

        Raises StorageError when the disk refuses it, and had refused nothing before.
        """
        stopped = encode_record(Kind.STOP, records.encode_stop(stop, self.points))
        if self._failure is None:
            await self._append(lambda: stopped)
        elif not self._hangs:
            with suppress(StorageError):
                async with self._turn:
                    await self._bounded(lambda: self._writer.write(stopped))

    async def _append(self, encode: Callable[[], list[Buffer]], *, large: bool = False) -> None:
        """Encode and write as one step, in turn, that no cancellation can split.

        `large` when already the encoding is too much for the loop's thread.
        """
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            if self._failure is not None:
                raise again(self._failure)
            buffers = await self._bounded(encode) if large else encode()
            if self._writer.size >= self._repeat_at:
                is_long = self._described_bytes > _INLINE_BYTES
                described = await self._bounded(self._repetition) if is_long else self._repetition()
                buffers = [*described, *buffers]
            await self._write(buffers)
        finally:
            self._turn.release()
        if self._on_disk:
            await self._commit(self._writer.size)
        self._grown.set()

    def _repetition(self) -> list[Buffer]:
        start = encode_record(Kind.START, records.encode_start(self._start))
        described = [*start, *self._encoder.descriptions]
        size, self._described_bytes = self._writer.size, sum(map(len, described))
        least = _DESCRIPTION_SHARE * self._described_bytes
        self._repeat_at = size + max(min(size, _SEGMENT_BYTES), least)
        return described

    async def _commit(self, size: int) -> None:
        """Return when the journal is on disk up to `size`; whoever waits shares the next fsync."""
        with trio.CancelScope(shield=True):  # each fsync is bounded
            async with self._commit_turn:
                if self._failure is not None:
                    raise again(self._failure)
                if self._writer.synced >= size:
                    return
                try:
                    await self._bounded(self._sync)
                except StorageError as error:
                    self.fail(error)
                    raise

    async def _write(self, buffers: list[Buffer]) -> None:
        try:
            if sum(map(len, buffers)) <= _INLINE_BYTES and not self._disk_is_slow():
                began = time.monotonic()
                self._writer.write(buffers)
                if (now := time.monotonic()) - began > _SLOW_WRITE_S:
                    self._wary_until = now + _WARY_S
            else:
                await self._bounded(lambda: self._writer.write(buffers))
        except StorageError as error:
            self.fail(error)
            raise

    def _disk_is_slow(self) -> bool:
        """Whether a write may wait for the disk: then it must not be done on the loop.

        A write goes to memory, but on a disk that stalls even that comes to wait at some point, for
        the file system's own journal. The fsync of every second feels it first.
        """
        now = time.monotonic()
        return now < self._wary_until or self.syncing_s > _SLOW_SYNC_S

    async def _bounded(self, work: Callable[[], T]) -> T:
        """In a thread, beyond the reach of the caller's cancellation, but not for ever."""
        with trio.move_on_after(_WRITE_TIMEOUT_S, shield=True):
            return await in_thread(work)
        self._hangs = True
        error = StorageError(
            f"{self._writer.path}: the disk took no data for {_WRITE_TIMEOUT_S:g} s",
            advice="check the disk, or the connection to it",
        )
        self.fail(error)
        raise error

    @property
    def syncing_s(self) -> float:
        """For how long the disk has been busy with an fsync; 0 when it is not."""
        return max(0.0, time.monotonic() - self._sync_began)

    async def sync(self) -> None:
        """Force to disk what is not there yet."""
        if self._writer.dirty and self._failure is None:
            try:
                await in_thread(self._sync)
            except StorageError as error:
                self.fail(error)

    def _sync(self) -> None:
        self._sync_began = time.monotonic()
        try:
            # What the journal refers to first: a record never outlives the sample that it promises.
            self._placer.sync()
            self._writer.sync()
        finally:
            self._sync_began = math.inf

    def fail(self, error: StorageError) -> None:
        """Take nothing any more."""
        if self._failure is None:
            _log.error("%s", error.message)
            self._failure = error
