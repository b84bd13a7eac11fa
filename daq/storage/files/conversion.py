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
import threading
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from daq.core import Column, RunOutcome, RunStart, RunStop, RunSummary, StorageError
from daq.storage.files.compression import Filters
from daq.storage.files.directories import Directories
from daq.storage.files.hdf5_file import RunFile, partial_path
from daq.storage.files.hdf5_reader import summarize_file
from daq.storage.files.journal_outline import describe_journal
from daq.storage.files.summaries import close_summary, summarize
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
    ) -> None:
        self._journal = journal
        self._directories = directories
        self._filters = filters
        self._replay = JournalReplay(journal, placed)
        self._file: RunFile | None = None
        self._turn = threading.Lock()
        self._broken: StorageError | None = None
        self._unsynced = False
        self._last_ns = 0
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
            self._write(batch)
        return batches is not None

    def _write(self, batch: Batch) -> None:
        if isinstance(batch, RunStop):
            self.stop = batch
        elif isinstance(batch, RunStart):
            self._last_ns = batch.started_ns
            self._file = RunFile(self._directories.run_file(batch), batch, self._filters)
        else:
            self._last_ns = max(self._last_ns, int(batch.timestamps[-1]))
            if isinstance(batch, RowBatch):
                self._opened().write_rows(batch)
            else:
                self._opened().write_block(batch)

    def finish(self, stop: RunStop) -> RunSummary:
        """Complete the file under its final name, on disk."""
        with self._turn:
            file = self._opened()
            try:
                file.finish(stop)
            except _HDF5_ERRORS as error:
                raise self._fail(error) from error
            self._replay.close()
        return close_summary(summarize(file.start), stop, file.points, file.path)

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
            done = convert_journal(self._journal, self._directories, stop, self._filters)
        if done is None or done.points != points:
            found = done.points if done else 0
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
        lost = ""
        if self._replay.cut:
            lost = ", what came later had not reached the disk"
        elif self._replay.torn:
            lost = f", {self._replay.torn} bytes of an unfinished record cut off"
        return RunStop(
            RunOutcome.INTERRUPTED,
            self._last_ns,
            f"the daemon ended without closing the run: {self.points} points recovered{lost}",
        )

    # ---------------------------------------------------------------------- the large samples' way

    def place_value(
        self, stream: str, columns: tuple[Column, ...], column: int, row: int, sample: memoryview
    ) -> Placed | None:
        """Put a large sample of an event where it belongs; None when HDF5 has failed."""
        return self._place(lambda f: f.place_value(stream, columns, column, row, sample), sample)

    def place_block(
        self, index: int, channel: ChannelInfo, row: int, sample: memoryview
    ) -> Placed | None:
        """Put a large sample of a channel where it belongs; None when HDF5 has failed."""
        return self._place(lambda f: f.place_block(index, channel, row, sample), sample)

    def _place(self, put: Callable[[RunFile], int], sample: memoryview) -> Placed | None:
        if self._filters:
            return None  # what it becomes, and so where it lies, is only known when it is written
        with self._turn:
            if self._broken is not None:
                return None
            try:
                if self._file is None:
                    self._advance(None)
                offset = put(self._opened())
            except _HDF5_ERRORS as error:
                _log.error("%s; large samples go to the journal", self._fail(error).message)
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
) -> RunSummary | None:
    """Convert a whole journal and complete its file; None when nothing was ever acknowledged in it.

    `stop` is how the run ended if the journal does not say it; without one either, it ends as
    `interrupted`. The journal stays, see `discard_journal`.
    """
    start = _start_of(journal)
    if start is None:
        return None
    path = directories.run_file(start)
    complete = _completed_before(path, journal)
    if complete is not None:
        return complete
    conversion = Conversion(journal, directories, filters, placed=_set_aside(path))
    try:
        while conversion.advance():
            pass
        return conversion.finish(conversion.stop or stop or conversion.interruption())
    except StorageError:
        conversion.abandon()
        raise


def _start_of(journal: Path) -> RunStart | None:
    with JournalReplay(journal) as replay:
        first = next(replay.read() or iter(()), None)
    return first if isinstance(first, RunStart) else None


def _completed_before(path: Path, journal: Path) -> RunSummary | None:
    """The run, when the daemon died after its file was complete and before the journal was gone.

    The large samples lie in that file and nowhere else: it must not be made anew.
    """
    try:
        found = summarize_file(path)
    except StorageError:
        return None
    start, _, streams = describe_journal(journal)
    is_all = found.points >= sum(stream.points for stream in streams)
    return found if is_all and found.run_id == start.run_id else None


def discard_journal(journal: Path, path: Path) -> None:
    """Remove the journal of a run whose file at `path` is complete and catalogued.

    The large samples that were set aside go last: the journal is worth nothing without them.
    """
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
