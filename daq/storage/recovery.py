"""What the daemon does at its start for the runs that its death left open."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import trio

from daq.core import RunOutcome, RunStop, RunSummary, StorageError
from daq.storage.catalogue import Catalogue
from daq.storage.compression import Filters
from daq.storage.conversion import Conversion, close_summary, convert_journal, summarize
from daq.storage.directories import Directories
from daq.storage.journal import file_header

__all__ = ["recover_runs"]

_log = logging.getLogger(__name__)


async def recover_runs(
    directories: Directories, catalogue: Catalogue, filters: Filters = MappingProxyType({})
) -> tuple[RunSummary, ...]:
    """Turn every journal left over into a clean file and close its run in the catalogue.

    A journal is removed only when its file is complete and catalogued. One that cannot be converted
    stays where it is, is reported, and keeps nobody from starting.
    """
    journals = await trio.to_thread.run_sync(lambda: sorted(directories.journals.glob("*.journal")))
    found = [await _recover(journal, directories, catalogue, filters) for journal in journals]
    for summary in await catalogue.list_open():
        await catalogue.put(_lost(summary, "the daemon died before anything was stored"))
    return tuple(summary for summary in found if summary is not None)


async def _recover(
    journal: Path, directories: Directories, catalogue: Catalogue, filters: Filters
) -> RunSummary | None:
    known = await catalogue.get(journal.stem)
    try:
        done = await trio.to_thread.run_sync(
            _convert, journal, directories, _known_stop(known), filters
        )
    except StorageError as error:
        _log.error("%s", error.message)
        if known is not None:
            reason = f"it could not be recovered from {journal}: {error.message}"
            await catalogue.put(_lost(replace(known, path=str(journal)), reason))
        return None
    if done is None:
        return None
    summary = _summary(done)
    await catalogue.put(summary)
    await trio.to_thread.run_sync(journal.unlink)
    _log.warning("run %s (%s): %s", summary.run_id, summary.name, summary.reason or "recovered")
    return summary


def _summary(done: Conversion) -> RunSummary:
    if done.start is None or done.stop is None:
        raise StorageError("a converted journal has a start and an end")
    return close_summary(summarize(done.start), done.stop, done.points, done.path)


def _known_stop(known: RunSummary | None) -> RunStop | None:
    """How the run ended, if its end could still be catalogued but not be written to the journal."""
    if known is None or known.outcome is None:
        return None
    return RunStop(known.outcome, known.ended_ns, known.reason, known.by)


def _convert(
    journal: Path, directories: Directories, stop: RunStop | None, filters: Filters
) -> Conversion | None:
    """Convert it; a journal in which nothing was ever acknowledged is no run and goes away."""
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
