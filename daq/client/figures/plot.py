"""A sensible picture of a run, or of several, without being told what is in it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from daq.client.figures.choice import Drawn, Table, choose
from daq.client.figures.labels import safe_text
from daq.client.figures.panels import Panel
from daq.core import ParameterError, StorageError
from daq.wire.convert import RecordedRun

__all__ = ["LOGS", "draw_run", "save_figure"]

LOGS = ("x", "y", "xy")
"""Which axes may be logarithmic."""

_MOST_PANELS = 8


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file. Raises StorageError when it cannot be written."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: the picture cannot be written: {reason}") from error


def draw_run(
    run: RecordedRun,
    table: Table,
    *,
    columns: Sequence[str] = (),
    log: str = "",
    overlay: Sequence[tuple[RecordedRun, Table]] = (),
) -> Figure:
    """Draw a stream of a run.

    What was moved is the axis. One axis: every column that was read against it, one panel each,
    with up and down told apart and no line between separate sweeps. Two axes: a map, of cells when
    the events lie on a grid, else of coloured points. Waveforms: those of all events, coloured by
    what was moved. Frames: the last one. What was counted has error bars.

    Args:
        run: The run's record.
        table: The stream's columns as arrays of shape (n, *sample_shape), and `time`.
        columns: Which columns to draw; by default the first eight that were read.
        log: `x`, `y` or `xy`: which axes are logarithmic; in a map and an image `y` is the colour.
        overlay: More runs to draw into the same panels, as (run, table).

    Returns:
        The figure.

    Raises:
        NotFoundError: There is nothing to draw, or no such column.
        ParameterError: There is no such `log`.
    """
    if log not in ("", *LOGS):
        raise ParameterError(f"log is one of {', '.join(map(repr, LOGS))}, not {log!r}")
    drawn = choose(run, table, columns)
    others = [_alike(drawn, *other) for other in overlay]
    signals = drawn.signals[:_MOST_PANELS]
    figure = Figure(figsize=(7.0, 1.2 + 3.2 * len(signals)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(run, len(overlay)))
    panels = figure.subplots(len(signals), 1, squeeze=False)[:, 0]
    for axes, signal in zip(panels, signals, strict=True):
        along = [other for other in others if signal.name in other.table]
        Panel(axes, signal, log_x="x" in log, log_y="y" in log).draw([drawn, *along])
    if more := len(drawn.signals) - len(signals):
        figure.supxlabel(f"and {more} more columns: name those to draw with columns=[...]")
    return figure


def _alike(first: Drawn, run: RecordedRun, table: Table) -> Drawn:
    """Another run, of which the same is drawn against the same."""
    names = [c.name for c in first.signals if c.name in table]
    other = choose(run, table, names)
    axes = [c for c in first.axes if c.name in table]
    return Drawn(run, table, other.signals, axes or other.axes, other.grid)


def _title(run: RecordedRun, others: int) -> str:
    summary = run.summary
    if others:
        return f"{safe_text(summary.name or summary.run_id)} and {others} more"
    outcome = str(summary.outcome) if summary.outcome else "open"
    name = safe_text(summary.name or summary.run_id)
    return f"{name} ({outcome}, {summary.points_in_words})"
