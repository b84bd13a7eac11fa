"""Completes the files of runs whose journals were left: by a dead daemon, or by a full disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from daq.core import RunOutcome, RunSummary, StorageError
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.files.compression import Filters
from daq.storage.files.conversion import Conversion, convert_journal, discard_journal
from daq.storage.files.directories import Directories
from daq.storage.files.summaries import tell_incomplete
from daq.storage.journal.framing import HEADER_BYTES
from daq.storage.journal.journal import UnreadableJournalError
from daq.storage.journal.run_journal import in_thread

__all__ = ["Recovery", "close_lost_runs"]

_TELL_S = 5.0

_log = logging.getLogger(__name__)


class Recovery:
    """Turns every journal left over into a clean file and closes its run in the catalogue.

    A journal is removed only when its file is complete and catalogued. One that cannot be converted
    stays where it is, is reported, and keeps nobody from starting. Everything else goes on
    meanwhile: the runs say that they are being recovered, and are read from their journals.
    """

    def __init__(self, directories: Directories, catalogue: Catalogue, filters: Filters) -> None:
        self._directories = directories
        self._catalogue = catalogue
        self._filters = filters
        self._left: dict[str, Path] = {}
        self.recovered: list[RunSummary] = []
        """The runs whose files were completed."""
        self._conversion: Conversion | None = None
        self._size = 0

    async def look(self, is_busy: Callable[[str], bool] = lambda _: False) -> None:
        """Find the journals that are left; that of a run that `is_busy` is still written to."""
        found = await in_thread(lambda: sorted(self._directories.journals.glob("*.journal")))
        self._left = {journal.stem: journal for journal in found if not is_busy(journal.stem)}

    def is_waiting(self, run_id: str) -> bool:
        """Whether the run's journal is still to be converted."""
        return run_id in self._left

    def status(self) -> str:
        """What is being done, in words; empty when nothing is left."""
        if not self._left:
            return ""
        run_id, *others = self._left
        waiting = f"; {len(others)} more wait" if others else ""
        return f"run {run_id} is being recovered from its journal: {self._progress()}{waiting}"

    def _progress(self) -> str:
        done = self._conversion.offset if self._conversion else 0
        return f"{100 * done // max(1, self._size)} % of {self._size / 1e6:.1f} MB"

    def show(self, summary: RunSummary) -> RunSummary:
        """The run's line with how its recovery comes on, if it is being recovered."""
        journal = self._left.get(summary.run_id)
        if journal is None:
            return summary
        is_first = next(iter(self._left)) == summary.run_id
        how = f"being recovered from its journal: {self._progress() if is_first else 'waiting'}"
        reason = "; ".join(filter(None, (summary.reason, how)))
        return replace(summary, reason=reason, path=str(journal))

    async def run(self) -> None:
        """Recover what `look` found, one after the other."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            while self._left:
                run_id, journal = next(iter(self._left.items()))
                try:
                    await self._recover(journal)
                except (StorageError, OSError) as error:  # the next may have more luck
                    _log.error("%s is left for the next start: %s", journal, error)
                finally:
                    self._left.pop(run_id, None)
            nursery.cancel_scope.cancel()

    async def _tell(self) -> None:
        while self._left:
            await trio.sleep(_TELL_S)
            _log.info("%s", self.status())

    async def _recover(self, journal: Path) -> None:
        known = await self._catalogue.get(journal.stem)
        try:
            summary = await self._convert(journal, known)
        except UnreadableJournalError as error:
            aside = journal.with_suffix(".unreadable")
            await self._give_up(known, aside, error)
            await trio.to_thread.run_sync(journal.rename, aside)
            _log.error("%s: it is kept as %s", error.message, aside)
            return
        except StorageError as error:
            _log.error("%s", error.message)
            await self._give_up(known, journal, error)
            return
        if summary is None:
            return
        await self._catalogue.put(summary)
        await trio.to_thread.run_sync(discard_journal, journal, Path(summary.path))
        _log.warning("run %s (%s): %s", summary.run_id, summary.name, summary.reason or "recovered")
        self.recovered.append(summary)

    async def _give_up(self, known: RunSummary | None, journal: Path, error: StorageError) -> None:
        """Say on record why the run has no file, and where its journal is."""
        if known is not None:
            reason = f"it could not be recovered from {journal}: {error.message}"
            await self._catalogue.put(_lost(replace(known, path=str(journal)), reason))

    async def _convert(self, journal: Path, known: RunSummary | None) -> RunSummary | None:
        try:
            return await in_thread(lambda: self._convert_now(journal, known))
        except trio.Cancelled:
            if self._conversion is not None:
                self._conversion.cancel()
            raise

    def _convert_now(self, journal: Path, known: RunSummary | None) -> RunSummary | None:
        """Convert it; a journal in which nothing was ever acknowledged is no run and goes away."""
        self._conversion = None
        if not journal.exists():
            return None  # closed meanwhile
        self._size = journal.stat().st_size
        if self._size <= HEADER_BYTES:
            _log.info("%s is removed: nothing was ever stored in it", journal)
            journal.unlink()
            return None
        summary = convert_journal(
            journal, self._directories, filters=self._filters, known=known, watch=self._follow
        )
        if summary is None:
            raise UnreadableJournalError(f"{journal}: it tells nothing of any run")
        return summary

    def _follow(self, conversion: Conversion) -> None:
        self._conversion = conversion


async def close_lost_runs(catalogue: Catalogue, recovery: Recovery) -> None:
    """At the start no run is open; one that is listed as open and has no journal never began."""
    for summary in await catalogue.list_open():
        if not recovery.is_waiting(summary.run_id):
            await catalogue.put(_lost(summary, "the daemon died before anything was stored"))


def _lost(summary: RunSummary, why: str) -> RunSummary:
    closed = replace(
        summary,
        ended_ns=summary.ended_ns or summary.started_ns,
        outcome=summary.outcome or RunOutcome.INTERRUPTED,
    )
    return tell_incomplete(closed, why)
