"""Completes the files of runs whose journals were left: by a dead daemon, or by a full disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import trio

from daq.core import RunOutcome, RunStop, RunSummary, StorageError
from daq.storage.catalogue.catalogue import Catalogue
from daq.storage.files.compression import Filters
from daq.storage.files.conversion import convert_journal, discard_journal
from daq.storage.files.directories import Directories
from daq.storage.journal.journal import file_header

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
        summary = await trio.to_thread.run_sync(
            _convert, journal, directories, _known_stop(known), filters
        )
    except StorageError as error:
        _log.error("%s", error.message)
        if known is not None:
            reason = f"it could not be recovered from {journal}: {error.message}"
            await catalogue.put(_lost(replace(known, path=str(journal)), reason))
        return None
    if summary is None:
        return None
    await catalogue.put(summary)
    await trio.to_thread.run_sync(discard_journal, journal, Path(summary.path))
    _log.warning("run %s (%s): %s", summary.run_id, summary.name, summary.reason or "recovered")
    return summary


def _known_stop(known: RunSummary | None) -> RunStop | None:
    """How the run ended, if its end could still be catalogued but not be written to the journal."""
    if known is None or known.outcome is None:
        return None
    return RunStop(known.outcome, known.ended_ns, known.reason, known.by)


def _convert(
    journal: Path, directories: Directories, stop: RunStop | None, filters: Filters
) -> RunSummary | None:
    """Convert it; a journal in which nothing was ever acknowledged is no run and goes away."""
    if not journal.exists():
        return None  # closed meanwhile
    if journal.stat().st_size <= len(file_header()):
        journal.unlink()
        return None
    done = convert_journal(journal, directories, stop, filters)
    if done is None:
        journal.rename(journal.with_suffix(".unreadable"))
    return done


def _lost(summary: RunSummary, reason: str) -> RunSummary:
    return replace(
        summary,
        ended_ns=summary.ended_ns or summary.started_ns,
        outcome=RunOutcome.INTERRUPTED,
        reason=reason,
    )
