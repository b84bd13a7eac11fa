"""Completes the files of runs whose journals were left: by a dead daemon, or by a full disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import trio

from daq.core import RunOutcome, RunSummary, StorageError
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.files.compression import Filters
from daq.storage.files.conversion import convert_journal, discard_journal
from daq.storage.files.directories import Directories
from daq.storage.journal.framing import HEADER_BYTES
from daq.storage.journal.journal import UnreadableJournalError

__all__ = ["close_lost_runs", "recover_runs"]

_log = logging.getLogger(__name__)


async def recover_runs(
    directories: Directories,
    catalogue: Catalogue,
    filters: Filters = MappingProxyType({}),
    is_busy: Callable[[str], bool] = lambda _: False,
) -> tuple[RunSummary, ...]:
    """Turn every journal left over into a clean file and close its run in the catalogue.

    A journal is removed only when its file is complete and catalogued. One that cannot be converted
    stays where it is, is reported, and keeps nobody from starting. That of a run that `is_busy` is
    still written to, and left alone.
    """
    journals = await trio.to_thread.run_sync(lambda: sorted(directories.journals.glob("*.journal")))
    left = [journal for journal in journals if not is_busy(journal.stem)]
    found = [await _recover(journal, directories, catalogue, filters) for journal in left]
    return tuple(summary for summary in found if summary is not None)


async def close_lost_runs(catalogue: Catalogue) -> None:
    """At the start no run is open; one that is listed as open and has no journal never began."""
    for summary in await catalogue.list_open():
        await catalogue.put(_lost(summary, "the daemon died before anything was stored"))


async def _recover(
    journal: Path, directories: Directories, catalogue: Catalogue, filters: Filters
) -> RunSummary | None:
    known = await catalogue.get(journal.stem)
    try:
        summary = await trio.to_thread.run_sync(_convert, journal, directories, known, filters)
    except UnreadableJournalError as error:
        aside = journal.with_suffix(".unreadable")
        await _give_up(known, aside, error, catalogue)
        await trio.to_thread.run_sync(journal.rename, aside)
        _log.error("%s: it is kept as %s", error.message, aside)
        return None
    except StorageError as error:
        _log.error("%s", error.message)
        await _give_up(known, journal, error, catalogue)
        return None
    if summary is None:
        return None
    await catalogue.put(summary)
    await trio.to_thread.run_sync(discard_journal, journal, Path(summary.path))
    _log.warning("run %s (%s): %s", summary.run_id, summary.name, summary.reason or "recovered")
    return summary


async def _give_up(
    known: RunSummary | None, journal: Path, error: StorageError, catalogue: Catalogue
) -> None:
    """Say on record why the run has no file, and where its journal is."""
    if known is not None:
        reason = f"it could not be recovered from {journal}: {error.message}"
        await catalogue.put(_lost(replace(known, path=str(journal)), reason))


def _convert(
    journal: Path, directories: Directories, known: RunSummary | None, filters: Filters
) -> RunSummary | None:
    """Convert it; a journal in which nothing was ever acknowledged is no run and goes away."""
    if not journal.exists():
        return None  # closed meanwhile
    if journal.stat().st_size <= HEADER_BYTES:
        _log.info("%s is removed: nothing was ever stored in it", journal)
        journal.unlink()
        return None
    summary = convert_journal(journal, directories, filters=filters, known=known)
    if summary is None:
        raise UnreadableJournalError(f"{journal}: it tells nothing of any run")
    return summary


def _lost(summary: RunSummary, reason: str) -> RunSummary:
    return replace(
        summary,
        ended_ns=summary.ended_ns or summary.started_ns,
        outcome=RunOutcome.INTERRUPTED,
        reason=reason,
    )
