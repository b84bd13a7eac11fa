"""The catalogue's line of a run, from what is on record about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from daq.core import RunStart, RunStop, RunSummary

__all__ = ["close_summary", "count_points", "own_reason", "summarize", "tell_incomplete"]

_MAIN = "primary"


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
        order_ns=start.order_ns or start.started_ns,
    )


def count_points(summary: RunSummary, counts: Mapping[str, int]) -> RunSummary:
    """The line with the events of each stream; the main one is `primary`, else the first."""
    others = dict(counts)
    main = _MAIN if _MAIN in others else next(iter(others), _MAIN)
    return replace(summary, points=others.pop(main, 0), other_points=others)


def close_summary(
    summary: RunSummary, stop: RunStop, counts: Mapping[str, int], path: Path
) -> RunSummary:
    """The catalogue's line of a run that has ended, with the events of each stream."""
    return replace(
        count_points(summary, counts),
        ended_ns=stop.ended_ns,
        outcome=stop.outcome,
        reason=stop.reason,
        by=stop.by,
        path=str(path),
    )


def own_reason(summary: RunSummary) -> str:
    """Why the run ended, without why its file is not complete."""
    return summary.reason.removesuffix(summary.incomplete).removesuffix("; ")


def tell_incomplete(summary: RunSummary, why: str) -> RunSummary:
    """The line of a run whose file is not complete; how it ended stays as it is."""
    reason = own_reason(summary)
    reason = reason if why in reason else "; ".join(filter(None, (reason, why)))
    return replace(summary, reason=reason, incomplete=why)
