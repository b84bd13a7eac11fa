"""From a journal to its HDF5 file: the one way that both a closing run and a recovery take.

While a run is open, its conversion follows the journal at some distance and reads from it what was
acknowledged since. Nothing waits in memory for HDF5: however fast data comes in, what has not yet
been converted lies in the journal, which is in the page cache anyway, and a slow or failing HDF5
delays neither acknowledgement nor producer. If the conversion fails it starts over from the
journal; if that fails too, the journal stays for the next start of the daemon.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from daq.core import RunOutcome, RunStart, RunStop, RunSummary, StorageError
from daq.storage.directories import Directories
from daq.storage.hdf5_file import RunFile
from daq.storage.records import RowBatch
from daq.storage.replay import Batch, JournalReplay

__all__ = ["Conversion", "close_summary", "convert_journal", "summarize"]


class Conversion:
    """Turns one journal into one HDF5 file, a few MiB at a time. Blocks: for worker threads."""

    def __init__(self, journal: Path, directories: Directories) -> None:
        self._directories = directories
        self._replay = JournalReplay(journal)
        self._file: RunFile | None = None
        self._last_ns = 0
        self.start: RunStart | None = None
        self.stop: RunStop | None = None
        """How the run ended, when its end is in the journal."""

    @property
    def offset(self) -> int:
        """Bytes of the journal that are in the file."""
        return self._replay.offset

    @property
    def torn(self) -> int:
        """Bytes behind the last good record, at the journal's end."""
        return self._replay.torn

    @property
    def points(self) -> int:
        """Events in the file."""
        return self._file.points if self._file else 0

    @property
    def path(self) -> Path:
        """Where the complete file will be."""
        if self._file is None:
            raise StorageError("the journal does not say yet which run it holds")
        return self._file.path

    @property
    def last_ns(self) -> int:
        """The newest time that the journal knows."""
        return self._last_ns

    def advance(self, end: int | None = None) -> bool:
        """Convert the next few MiB, up to the offset `end`; False when there is nothing more."""
        try:
            batches = self._replay.read(end)
            for batch in batches or ():
                self._write(batch)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise self._failure(error) from error
        return batches is not None

    def _write(self, batch: Batch) -> None:
        if isinstance(batch, RunStop):
            self.stop = batch
        elif isinstance(batch, RunStart):
            self.start = batch
            self._last_ns = batch.started_ns
            self._file = RunFile(self._directories.run_file(batch), batch)
        elif self._file is None:
            raise StorageError("the journal does not begin with the start of its run")
        else:
            self._last_ns = max(self._last_ns, int(batch.timestamps[-1]))
            if isinstance(batch, RowBatch):
                self._file.write_rows(batch)
            else:
                self._file.write_block(batch)

    def finish(self, stop: RunStop) -> None:
        """Complete the file under its final name, on disk."""
        if self._file is None:
            raise StorageError("the journal holds no run")
        try:
            self._file.finish(stop)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise self._failure(error) from error
        self.stop = stop
        self._replay.close()

    def abandon(self) -> None:
        """Remove the incomplete file; the journal stays."""
        self._replay.close()
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def _failure(self, error: Exception) -> StorageError:
        where = self._file.path if self._file else self._directories.root
        return StorageError(
            f"{where}: the HDF5 file cannot be written: {error}",
            advice="the data is safe in the journal; it is converted at the daemon's next start",
        )


def convert_journal(
    journal: Path, directories: Directories, stop: RunStop | None = None
) -> Conversion | None:
    """Convert a whole journal and complete its file; None when nothing was ever acknowledged in it.

    `stop` is how the run ended if the journal does not say it; without one either, it ends as
    `interrupted`. The journal stays.
    """
    conversion = Conversion(journal, directories)
    try:
        while conversion.advance():
            pass
        if conversion.start is None:
            conversion.abandon()
            return None
        conversion.finish(conversion.stop or stop or _interrupted(conversion))
    except StorageError:
        conversion.abandon()
        raise
    return conversion


def _interrupted(conversion: Conversion) -> RunStop:
    torn = f", {conversion.torn} bytes of an unfinished record cut off" if conversion.torn else ""
    return RunStop(
        RunOutcome.INTERRUPTED,
        conversion.last_ns,
        f"the daemon ended without closing the run: {conversion.points} points recovered{torn}",
    )


def summarize(start: RunStart) -> RunSummary:
    """The catalogue's line of a run that has just been opened."""
    return RunSummary(
        run_id=start.run_id,
        name=start.name,
        started_ns=start.started_ns,
        user=start.user,
        execution_id=start.execution_id,
        script_name=start.script_name,
        metadata=start.metadata,
    )


def close_summary(summary: RunSummary, stop: RunStop, points: int, path: Path) -> RunSummary:
    """The catalogue's line of a run that has ended."""
    return replace(
        summary,
        ended_ns=stop.ended_ns,
        outcome=stop.outcome,
        reason=stop.reason,
        by=stop.by,
        points=points,
        path=str(path),
    )
