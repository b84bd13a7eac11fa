"""What to draw of a run: which columns, against which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Column, Grid, NotFoundError, did_you_mean, find_grid, planned_axes
from daq.core.columns import filled_up, is_ragged, with_nan
from daq.core.names import table_names
from daq.wire.convert import RecordedRun

__all__ = ["LARGEST", "Drawn", "Table", "choose", "numbers", "problem"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
Table = Mapping[str, Array]

TIME = "time"
LARGEST = 1e300
"""Beyond it the range of an axis is no number any more."""
_STANDS = 1e-4
"""A motor that varied by so little of where it is stood still."""
_STRAIGHT = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A stream of a run, with what is to be drawn of it."""

    run: RecordedRun
    table: Table
    signals: list[Column]
    axes: list[Column]
    """What was moved and varied: one for curves, two for a map, none for what is told by time."""
    grid: Grid | None

    def of(self, column: Column) -> Numbers:
        """The values of a column as floats."""
        return numbers(self.table[column.name])

    @property
    def time_s(self) -> Numbers:
        """Seconds since the first event, or the number of the event where no time is known."""
        if TIME not in self.table:
            return np.arange(len(next(iter(self.table.values()), ())), dtype=np.float64)
        times = self.table[TIME].astype("datetime64[ns]").astype(np.int64)
        return (times - times[:1]) / 1e9


def choose(run: RecordedRun, table: Table, wanted: Sequence[str] = ()) -> Drawn:
    """What was moved is the axis, what was read is drawn against it.

    Returns:
        Which columns are axes, and which are drawn.

    Raises:
        NotFoundError: There is nothing to draw, or no column of a name that is wanted.
    """
    table = {n: with_nan(filled_up(v)[0] if is_ragged(v) else v) for n, v in table.items()}
    columns = [c for c in _columns(run, table) if table[c.name].dtype.kind in "biufc"]
    planned = planned_axes(run.summary.metadata)
    moved = [c for c in columns if c.role == "positioner" and not c.shape]
    moved.sort(key=lambda c: planned.index(c.name) if c.name in planned else len(planned))
    if wanted:
        signals = [_named(name, columns, table) for name in wanted]
    else:
        signals = [c for c in columns if c not in moved] or moved[-1:]
    if not signals or not len(table[signals[0].name]):
        raise NotFoundError(f"run {run.summary.run_id} holds no numbers that can be drawn")
    moved = [c for c in moved if c not in signals]
    grid = find_grid(run.summary.metadata, table, [c.name for c in moved])
    return Drawn(run, table, signals, _axes(moved, table, grid), grid)


def numbers(values: Array) -> Numbers:
    """As floats: of complex numbers the magnitude, of missing ones NaN."""
    values = with_nan(values)
    return (np.abs(values) if values.dtype.kind == "c" else values).astype(np.float64)


def problem(name: str, values: Numbers, *, positive: bool = False) -> str:
    """Why these cannot be drawn, in a sentence; empty when they can."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"{name}: none of {values.size} values is a finite number"
    if np.abs(finite).max() > LARGEST:
        return f"{name}: values of {np.abs(finite).max():.3g} are too large to be drawn"
    if positive and not np.any(finite > 0):
        return f"{name}: no value is positive, so there is nothing on a logarithmic axis"
    return ""


def _columns(run: RecordedRun, table: Table) -> tuple[Column, ...]:
    """The described columns of the stream that the table comes from."""
    wanted = set(table) - {TIME}
    for stream in run.streams:
        names = table_names(column.name for column in stream.columns)
        if wanted <= set(names.values()):
            columns = (replace(column, name=names[column.name]) for column in stream.columns)
            return tuple(column for column in columns if column.name in wanted)
    return tuple(Column(n, "", table[n].dtype.str, table[n].shape[1:]) for n in sorted(wanted))


def _named(name: str, columns: Sequence[Column], table: Table) -> Column:
    for column in columns:
        if column.name == name:
            return column
    if name in table:
        raise NotFoundError(f"the column {name!r} holds no numbers that can be drawn")
    names = [column.name for column in columns]
    raise NotFoundError(
        f"there is no column {name!r}; there are {', '.join(names)}",
        advice=did_you_mean(name, names),
    )


def _axes(moved: Sequence[Column], table: Table, grid: Grid | None) -> list[Column]:
    """Without those that stood still, or that only went along with the first."""
    if grid is not None:
        long = {n for n, length in zip(grid.axes, grid.shape, strict=True) if length > 1}
        by_name = {c.name: c for c in moved}
        axes = [by_name[name] for name in grid.axes if name in by_name]
        return [c for c in axes if c.name in long] or axes[-1:]
    varied = [c for c in moved if _varies(numbers(table[c.name]))] or list(moved[:1])
    first = [numbers(table[c.name]) for c in varied[:1]]
    return [c for i, c in enumerate(varied) if not i or not _follows(table[c.name], first[0])]


def _varies(values: Numbers) -> bool:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return False
    return bool(np.ptp(finite) > _STANDS * np.abs(finite).max())


def _follows(values: Array, first: Numbers) -> bool:
    """Whether a motor moved with the first one along a line."""
    both = np.isfinite(first) & np.isfinite(values)
    if np.count_nonzero(both) < 3:
        return True
    with np.errstate(all="ignore"):
        straight = abs(np.corrcoef(first[both], values[both])[0, 1])
    return bool(straight > _STRAIGHT)
