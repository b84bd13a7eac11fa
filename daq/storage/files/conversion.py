"""From a journal to its HDF5 file: the one way that both a closing run and a recovery take.

While a run is open, its conversion follows the journal at some distance and reads from it what was
acknowledged since. Nothing waits in memory for HDF5: however fast data comes in, what has not yet
been converted lies in the journal, which is in the page cache anyway, and a slow or failing HDF5
delays neither acknowledgement nor producer. If the conversion fails it is made anew from the
journal; if that fails too, the journal stays for the next start of the daemon.

Large samples take the other way round (`journal/placed.py`): they are put into the file first.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from daq.core import Column, RunOutcome, RunStart, RunStop, RunSummary, StorageError
from daq.storage.files.compression import Filters
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_file import RunFile, partial_path
from daq.storage.files.hdf5_reader import read_converted, summarize_file
from daq.storage.files.journal_outline import describe_journal
from daq.storage.files.nexus import Converted
from daq.storage.files.summaries import close_summary, own_reason, summarize
from daq.storage.journal.block_records import BlockBatch
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.placed import Placed, sample_check
from daq.storage.journal.replay import Batch, JournalReplay
from daq.storage.journal.row_records import RowBatch

__all__ = [
    "Conversion",
    "convert_journal",
    "discard_journal",
    "placed_in",
]

_TURN_S = 0.25
"""How long a large sample waits for the conversion; it goes to the journal then."""
_HDF5_ERRORS = (OSError, RuntimeError, ValueError, TypeError, KeyError)

_log = logging.getLogger(__name__)


class Conversion:
    """Turns one journal into one HDF5 file, a few MiB at a time. Blocks: for worker threads.

    One thread may place samples while another advances; they take turns. After a failure nothing
    more is converted or placed.
    """

    def __init__(
        self,
        journal: Path,
        directories: Directories,
        filters: Filters = MappingProxyType({}),
        *,
        placed: Path | None = None,
        acknowledged: int = 0,
    ) -> None:
        """`placed` for a run that is over; `acknowledged` is how many events it had at least."""
        self._acknowledged = acknowledged
        self._live = placed is None
        self._journal = journal
        self._directories = directories
        self._filters = filters
        self._replay = JournalReplay(journal, placed)
        self._file: RunFile | None = None
        self._turn = threading.Lock()
        self._broken: StorageError | None = None
        self._unsynced = False
        self._last_ns = 0
        self._anew: Conversion | None = None
        """The one that does it again, after this one failed."""
        self.stop: RunStop | None = None
        """How the run ended, when its end is in the journal."""

    @property
    def offset(self) -> int:
        """Bytes of the journal that were converted."""
        return self._replay.offset

    @property
    def points(self) -> int:
        """Events in the file."""
        return self._file.points if self._file else 0

    @property
    def progress(self) -> object:
        """Something moves while this changes: bytes converted, and what becomes of the file."""
        if self._anew is not None:
            return self._anew.progress
        return self.offset, self._file.progress if self._file else 0

    def cancel(self) -> None:
        """Convert nothing more; the journal is converted by somebody else later."""
        self._broken = StorageError(f"{self._journal}: its conversion was given up")

    def _follow(self, anew: Conversion) -> None:
        self._anew = anew

    def _opened(self) -> RunFile:
        if self._broken is not None:
            raise self._broken
        if self._file is None:
            raise StorageError("the journal does not begin with the start of its run")
        return self._file

    # --------------------------------------------------------------------------- the journal's way

    def advance(self, end: int | None = None) -> bool:
        """Convert the next few MiB, up to the offset `end`; False when there is nothing more."""
        with self._turn:
            if self._broken is not None:
                return False
            try:
                return self._advance(end)
            except _HDF5_ERRORS as error:
                raise self._fail(error) from error

    def _advance(self, end: int | None) -> bool:
        batches = self._replay.read(end)
        for batch in batches or ():
            if self._live and self._replay.is_damaged:
                # Large samples lie in the file by the number of their event, and that has moved.
                raise self._fail(StorageError(f"{self._journal}: the journal is damaged"))
            self._write(batch)
        return batches is not None

    def _write(self, batch: Batch) -> None:
        if isinstance(batch, RunStop):
            self.stop = batch
        elif isinstance(batch, RunStart):
            self._begin(batch)
        else:
            self._last_ns = max(self._last_ns, int(batch.timestamps[-1]))
            if isinstance(batch, RowBatch):
                self._opened().write_rows(batch)
            else:
                self._opened().write_block(batch)

    def begin(self, start: RunStart) -> None:
        """Begin the file of the run that began so; raises StorageError."""
        with self._turn:
            try:
                self._begin(start)
            except _HDF5_ERRORS as error:
                raise self._fail(error) from error

    def _begin(self, start: RunStart) -> None:
        if self._file is None:
            self._last_ns = start.started_ns
            self._file = RunFile(self._directories.run_file(start), start, self._filters)

    def finish(self, stop: RunStop) -> RunSummary:
        """Complete the file under its final name, on disk. It tells what is missing, and why."""
        with self._turn:
            file, losses = self._opened(), self._replay.losses()
            damage = losses.describe(file.points, self._acknowledged)
            stop = replace(stop, reason="; ".join(filter(None, (stop.reason, damage))))
            converted = Converted(self._replay.offset + losses.torn, damage, losses.gaps)
            try:
                file.tell(converted)
                file.finish(stop)
            except _HDF5_ERRORS as error:
                raise self._fail(error) from error
            self._replay.close()
        return close_summary(summarize(file.start), stop, file.counts, file.path)

    def complete(self, stop: RunStop, end: int, points: int) -> RunSummary:
        """Convert the rest up to the offset `end`, and finish; if that fails, all of it anew.

        Raises StorageError when that fails too, or when not all of `points` events are in the file.
        """
        done: RunSummary | None
        try:
            while self.offset < end and self.advance(end):
                pass
            done = self.finish(stop)
        except StorageError as error:
            _log.error("%s; it is made anew from the journal", error.message)
            self.abandon()
            done = convert_journal(
                self._journal, self._directories, stop, self._filters, watch=self._follow
            )
        if done is None or done.events != points:
            found = done.events if done else 0
            raise StorageError(
                f"{self._journal}: {points} events were acknowledged, {found} are in the file",
                advice="keep the journal: the disk or its file system is not to be trusted",
            )
        return done

    def abandon(self) -> None:
        """Let the incomplete file go. It stays: large samples may lie in it."""
        with self._turn:
            self._replay.close()
            if self._file is not None:
                self._file.abandon()
                self._broken = StorageError(f"{self._file.path}: the file was given up")

    def interruption(self) -> RunStop:
        """How a run ended whose journal does not say it."""
        torn = self._replay.losses().torn
        cut = f", {torn} bytes of an unfinished record cut off" if torn else ""
        return RunStop(
            RunOutcome.INTERRUPTED,
            self._last_ns,
            f"the daemon ended without closing the run: {self.points} points recovered{cut}",
        )

    # ---------------------------------------------------------------------- the large samples' way

    def place_value(
        self, stream: str, columns: tuple[Column, ...], column: int, row: int, sample: memoryview
    ) -> Placed | None:
        """Put a large sample of an event where it belongs; None when it cannot be done soon."""
        return self._place(lambda f: f.place_value(stream, columns, column, row, sample), sample)

    def place_block(
        self, index: int, channel: ChannelInfo, row: int, sample: memoryview
    ) -> Placed | None:
        """Put a large sample of a channel where it belongs; None when it cannot be done soon."""
        return self._place(lambda f: f.place_block(index, channel, row, sample), sample)

    def _place(self, put: Callable[[RunFile], int | None], sample: memoryview) -> Placed | None:
        if self._filters:
            return None  # what it becomes, and so where it lies, is only known when it is written
        if not self._turn.acquire(timeout=_TURN_S):
            return None  # it makes datasets, of which there may be thousands
        try:
            if self._broken is not None:
                return None
            if self._file is None:
                self._advance(None)
            offset = put(self._opened())
        except _HDF5_ERRORS as error:
            _log.error("%s; large samples go to the journal", self._fail(error).message)
            return None
        finally:
            self._turn.release()
        if offset is None:
            return None
        self._unsynced = True
        return Placed(offset, sample_check(sample))

    def sync(self) -> None:
        """Force to disk what was placed; raises StorageError when the disk fails."""
        if not self._unsynced or self._file is None:
            return
        self._unsynced = False
        try:
            fd = os.open(self._file.partial, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._error(error) from error

    def _fail(self, error: Exception) -> StorageError:
        self._broken = self._error(error)
        return self._broken

    def _error(self, error: Exception) -> StorageError:
        where = self._file.path if self._file else self._directories.root
        return StorageError(
            f"{where}: the HDF5 file cannot be written: {error}",
            advice="the data is safe in the journal; it is converted at the daemon's next start",
        )


def convert_journal(
    journal: Path,
    directories: Directories,
    stop: RunStop | None = None,
    filters: Filters = MappingProxyType({}),
    *,
    known: RunSummary | None = None,
    watch: Callable[[Conversion], None] = lambda _: None,
) -> RunSummary | None:
    """Convert a whole journal and complete its file; None when it tells nothing of any run.

    What is damaged in it is left out, and the run's reason tells so. The journal stays, see
    `discard_journal`.

    Args:
        journal: Of a run that is over.
        directories: Where its file goes.
        stop: How it ended, if the journal does not say it; else as `known`, or as `interrupted`.
        filters: For compression.
        known: What the catalogue says of it: how it began, if the journal does not, and how many
            events it had at least.
        watch: Is given the conversion, to see how it comes on.
    """
    start = _start_of(journal, known)
    if start is None:
        return None
    path = directories.run_file(start)
    complete = _completed_before(path, journal)
    if complete is not None:
        return complete
    conversion = Conversion(
        journal,
        directories,
        filters,
        placed=_set_aside(path),
        acknowledged=known.events if known else 0,
    )
    watch(conversion)
    try:
        conversion.begin(start)
        while conversion.advance():
            pass
        known_stop = _stop_of(known) if known else None
        return conversion.finish(conversion.stop or stop or known_stop or conversion.interruption())
    except StorageError:
        conversion.abandon()
        raise


def _start_of(journal: Path, known: RunSummary | None) -> RunStart | None:
    """How the run began: when all records of that are damaged, what can be said without them."""
    with JournalReplay(journal) as replay:
        first = next((batch for batch in _batches(replay)), None)
    if isinstance(first, RunStart):
        return first
    if known is not None:
        return RunStart(
            run_id=known.run_id,
            name=known.name,
            started_ns=known.started_ns,
            user=known.user,
            metadata=known.metadata,
            execution_id=known.execution_id,
            script_name=known.script_name,
        )
    if isinstance(first, RowBatch | BlockBatch):
        return RunStart(journal.stem, "recovered", int(first.timestamps[0]))
    return None


def _batches(replay: JournalReplay) -> Iterator[Batch]:
    while (batches := replay.read()) is not None:
        yield from batches


def _stop_of(known: RunSummary) -> RunStop | None:
    """How the run ended, if its end could still be catalogued but not be written to the journal."""
    if known.outcome is None:
        return None
    return RunStop(known.outcome, known.ended_ns, own_reason(known), known.by)


def _completed_before(path: Path, journal: Path) -> RunSummary | None:
    """The run, when the daemon died after its file was complete and before the journal was gone.

    The large samples lie in that file and nowhere else: it must not be made anew.
    """
    try:
        found, converted = summarize_file(path), read_converted(path)
    except StorageError:
        return None
    if found.run_id != journal.stem:
        return None
    if converted is not None:
        return found if converted.bytes == journal.stat().st_size else None
    _, _, streams = describe_journal(journal)  # by a version that did not note it
    return found if found.events >= sum(stream.points for stream in streams) else None


def discard_journal(journal: Path, path: Path) -> None:
    """Remove the journal of a run whose file at `path` is complete and catalogued.

    One that is damaged is kept beside the file, with the large samples that were set aside: what
    could not be read of it may be worth the work of a person. Otherwise those go last: the journal
    is worth nothing without them.
    """
    converted = read_converted(path)
    if converted is not None and converted.damage:
        kept = path.with_name(path.name + ".damaged-journal")
        shutil.move(journal, kept)
        _log.warning("%s is damaged: it is kept as %s", journal, kept)
        return
    journal.unlink()
    _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".placed")


def placed_in(path: Path) -> Path:
    """The file that holds the large samples of a journal whose complete file will be at `path`."""
    candidates = (_aside(path), partial_path(path))
    return next((file for file in candidates if file.exists()), path)


def _set_aside(path: Path) -> Path:
    """Rename an incomplete file, in which large samples may lie, so that a new one can be begun.

    One that was set aside before is kept: it is the original, what lies beside it a failed copy.
    """
    placed, aside = placed_in(path), _aside(path)
    if placed != aside and placed.exists():
        placed.rename(aside)
    return aside
