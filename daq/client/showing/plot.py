"""A sensible picture of a run without being told what is in it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from daq.core import Column, NotFoundError, StorageError, axis_label
from daq.wire.convert import RecordedRun

__all__ = ["draw_run", "plot_run", "save_figure"]

Array = npt.NDArray[Any]
Table = Mapping[str, Array]

_TIME = "time"
_MOST_POINTS = 5000
_LEAST_GRID = 2


def plot_run(run: RecordedRun, table: Table, path: Path) -> Path:
    """Draw a stream of a run into an image file and return its path; see `draw_run`.

    Raises StorageError when `path` cannot be written.
    """
    save_figure(draw_run(run, table), path)
    return path


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file. Raises StorageError when it cannot be written."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{path}: the picture cannot be written: {reason}") from error


def draw_run(run: RecordedRun, table: Table) -> Figure:
    """Draw a stream of a run.

    `table` holds the stream's columns as arrays of shape (n, *sample_shape), and `time`. What was
    moved is the axis. One axis: every detector against it, one below the other. Two axes: a map, of
    cells when the points fill a grid, else of coloured points. Waveforms and frames: the last one.
    Raises NotFoundError when there is nothing to draw.
    """
    columns = [c for c in _columns(run, table) if table[c.name].dtype.kind in "biuf"]
    signals = [c for c in columns if c.role == "detector"] or columns[-1:]
    if not signals or not len(table[signals[0].name]):
        raise NotFoundError(f"run {run.summary.run_id} holds no numbers that can be drawn")
    axes = [c for c in columns if c.role == "positioner" and not c.shape and c not in signals]
    figure = Figure(figsize=(7.0, 1.2 + 3.2 * len(signals)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(run))
    panels = figure.subplots(len(signals), 1, squeeze=False)[:, 0]
    for panel, signal in zip(panels, signals, strict=True):
        _draw(panel, signal, axes, table)
    return figure


def _columns(run: RecordedRun, table: Table) -> tuple[Column, ...]:
    """The described columns of the stream that the table comes from."""
    wanted = set(table) - {_TIME}
    for stream in run.streams:
        if wanted <= {column.name for column in stream.columns}:
            return tuple(column for column in stream.columns if column.name in wanted)
    return tuple(Column(n, "", table[n].dtype.str, table[n].shape[1:]) for n in sorted(wanted))


def _title(run: RecordedRun) -> str:
    summary = run.summary
    outcome = str(summary.outcome) if summary.outcome else "open"
    return f"{summary.name or summary.run_id}  ({outcome}, {summary.points} points)"


def _draw(panel: Axes, signal: Column, axes: Sequence[Column], table: Table) -> None:
    if len(signal.shape) > 1:
        _draw_frame(panel, signal, table)
    elif signal.shape:
        _draw_waveform(panel, signal, table)
    elif len(axes) == 2:
        _draw_map(panel, signal, axes[0], axes[1], table)
    else:
        _draw_line(panel, signal, axes, table)


def _label(column: Column) -> str:
    return axis_label(column.name, column.units)


def _draw_line(panel: Axes, signal: Column, axes: Sequence[Column], table: Table) -> None:
    values = table[signal.name]
    if axes:
        x, label = table[axes[0].name], _label(axes[0])
    elif _TIME in table:
        time = table[_TIME].astype("datetime64[ns]").astype(np.int64)
        x, label = (time - time[0]) / 1e9, "time (s)"
    else:
        x, label = np.arange(len(values)), "event"
    style = "." if len(values) > _MOST_POINTS else ".-"
    panel.plot(x, values, style, linewidth=1.0, markersize=4.0)
    panel.set(xlabel=label, ylabel=_label(signal))
    panel.grid(visible=True, alpha=0.3)


def _draw_map(panel: Axes, signal: Column, slow: Column, fast: Column, table: Table) -> None:
    x, y, values = table[fast.name], table[slow.name], table[signal.name]
    grid = _as_grid(y, x, values)
    if grid is None:
        drawn: Any = panel.scatter(x, y, c=values, s=16.0)
    else:
        drawn = panel.pcolormesh(*grid, shading="nearest")
    _colour_bar(panel, drawn, signal)
    panel.set(xlabel=_label(fast), ylabel=_label(slow))


def _as_grid(slow: Array, fast: Array, values: Array) -> tuple[Array, Array, Array] | None:
    """Fast and slow axes and values as (rows, columns), when the events went line by line.

    Positions are read back and differ a little from line to line, so lines are found by where the
    slow axis makes its steps; a last line that is not complete is filled up with nothing (NaN).
    """
    steps = np.abs(np.diff(slow))
    largest = steps.max(initial=0.0)
    if largest == 0.0:
        return None
    starts = np.flatnonzero(np.concatenate([[True], steps > largest / 2]))
    lengths = np.diff(np.append(starts, len(slow)))
    width = int(lengths[0])
    if width < _LEAST_GRID or np.any(lengths[:-1] != width) or lengths[-1] > width:
        return None
    missing = len(starts) * width - len(slow)
    lines = [
        np.append(a.astype(np.float64), np.full(missing, np.nan)).reshape(-1, width)
        for a in (fast, slow, values)
    ]
    _unsnake(lines)
    x = np.broadcast_to(np.nanmean(lines[0], axis=0), lines[0].shape)
    y = np.broadcast_to(np.nanmean(lines[1], axis=1)[:, np.newaxis], lines[1].shape)
    return x, y, lines[2]


def _unsnake(lines: Sequence[Array]) -> None:
    """Turn the lines that ran backwards, in place."""
    direction = np.nanmean(np.diff(lines[0], axis=1), axis=1)
    backwards = direction * direction[0] < 0
    for line in lines:
        line[backwards] = line[backwards, ::-1]


def _draw_waveform(panel: Axes, signal: Column, table: Table) -> None:
    values = table[signal.name]
    panel.plot(values[-1], linewidth=1.0)
    panel.set(xlabel="sample", ylabel=_label(signal), title=f"event {len(values) - 1}")
    panel.grid(visible=True, alpha=0.3)


def _draw_frame(panel: Axes, signal: Column, table: Table) -> None:
    values = table[signal.name]
    frame = values[-1].reshape(-1, *signal.shape[-2:])[-1]
    _colour_bar(panel, panel.imshow(frame, origin="upper"), signal)
    panel.set(xlabel="column (px)", ylabel="row (px)", title=f"event {len(values) - 1}")


def _colour_bar(panel: Axes, drawn: Any, signal: Column) -> None:
    panel.get_figure(root=True).colorbar(drawn, ax=panel, label=_label(signal))  # type: ignore[union-attr]
