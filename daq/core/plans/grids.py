"""The grid of a run, assembled from what each event says of its place.

Never from the order of the events: a run may have been stopped, a function at each point may have
recorded too, and lines may run either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core.measurement import Array

__all__ = ["Grid", "find_grid", "planned_axes"]

_APART = 8.0
"""The least step between two places, in largest distances within one."""
_ROUNDING = 1.0 - 1e-9
_ANSWERS = 4
"""How many ways to tell steps from jitter are tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where each event of a stream lies on a grid."""

    axes: tuple[str, ...]
    """The columns that span it, the slow one first."""
    shape: tuple[int, ...]
    places: npt.NDArray[np.intp]
    """For each event its place in the flattened grid; no two have the same."""
    positions: tuple[Array, ...]
    """For each axis its positions, of shape (n,): the mean readback, or where it was to be."""

    def spread(self, values: Array) -> Array:
        """The values of a column on the grid; nothing (NaN, NaT, None) where none was measured."""
        size, dtype = int(np.prod(self.shape)), values.dtype
        if len(values) < size:
            dtype = _roomy(dtype)
        full = np.full((size, *values.shape[1:]), _nothing(dtype), dtype)
        full[self.places] = values
        return full.reshape(*self.shape, *values.shape[1:])


def planned_axes(metadata: Mapping[str, Any]) -> list[str]:
    """The motors that a plan noted in the metadata of its run; empty without a plan."""
    motors = metadata.get("motors")
    if not isinstance(motors, list) or not all(isinstance(name, str) for name in motors):
        return []
    return motors


def find_grid(
    metadata: Mapping[str, Any], columns: Mapping[str, Array], axes: Sequence[str]
) -> Grid | None:
    """The grid of a stream's events, or None when they do not lie on one.

    Args:
        metadata: Of the run: a grid scan noted its motors, shape and extents.
        columns: The stream's columns, of shape (n, ...).
        axes: The columns that were moved, for a run without a plan: their positions then have to
            make a grid, complete but for the end of the last line.
    """
    if str(metadata.get("plan_name", "")).endswith("grid_scan"):
        return _planned(metadata, columns)
    if "plan_name" in metadata or len(axes) < 2:
        return None
    return _found(columns, axes)


def _planned(metadata: Mapping[str, Any], columns: Mapping[str, Array]) -> Grid | None:
    motors, shape = planned_axes(metadata), metadata.get("shape")
    extents = metadata.get("extents", [None] * len(motors))
    if not isinstance(shape, list) or not motors or len(shape) != len(motors):
        return None
    placed = [
        _on_axis(columns[motor], int(length), ends)
        for motor, length, ends in zip(motors, shape, extents, strict=False)
        if motor in columns and columns[motor].ndim == 1 and columns[motor].dtype.kind in "fiu"
    ]
    if len(placed) != len(motors) or any(axis is None for axis in placed):
        return None
    return _assembled(motors, [axis for axis in placed if axis is not None])


def _on_axis(
    values: Array, length: int, ends: Sequence[float] | None
) -> tuple[npt.NDArray[np.intp], Array] | None:
    """The index of each value on an axis, and the axis; None when one is nearer to no place."""
    if ends is None:  # of a plan that did not note them
        return next((found for found in _levels(values) if len(found[1]) == length), None)
    start, stop = ends
    axis = np.linspace(start, stop, length)
    step = (stop - start) / max(length - 1, 1)
    if length == 1:
        return np.zeros(len(values), np.intp), _mean_at(values, np.zeros(len(values), int), axis)
    if step == 0.0 or not np.isfinite(values).all():
        return None
    index = np.rint((values - start) / step)
    if np.any((index < 0) | (index >= length)):
        return None
    place = index.astype(np.intp)
    return place, _mean_at(values, place, axis)


def _found(columns: Mapping[str, Array], axes: Sequence[str]) -> Grid | None:
    """A grid that the positions make by themselves; one that is complete is the likelier one."""
    ways = list(product(*(_levels(columns[name]) for name in axes)))
    sizes = [int(np.prod([len(axis) for _, axis in levels])) for levels in ways]
    for levels, size in sorted(zip(ways, sizes, strict=True), key=lambda way: way[1]):
        if size < len(levels[0][0]) or min(len(axis) for _, axis in levels) == 1:
            continue
        # How often the index changes from one event to the next: the slow axis the least.
        changes = [int(np.count_nonzero(np.diff(index))) for index, _ in levels]
        order = np.argsort(changes, kind="stable")
        grid = _assembled([axes[i] for i in order], [levels[i] for i in order])
        if grid is not None and _is_whole(grid):
            return grid
    return None


def _is_whole(grid: Grid) -> bool:
    """Whether nothing is missing, but for the end of one line."""
    lines = int(np.prod(grid.shape)) // grid.shape[-1]
    filled = np.bincount(grid.places // grid.shape[-1], minlength=lines)
    return bool(filled.all()) and int(np.count_nonzero(filled < grid.shape[-1])) <= 1


def _assembled(
    names: Sequence[str], axes: Sequence[tuple[npt.NDArray[np.intp], Array]]
) -> Grid | None:
    """The grid, unless two events claim one place."""
    shape = tuple(len(axis) for _, axis in axes)
    places = np.ravel_multi_index(tuple(index for index, _ in axes), shape)
    if len(np.unique(places)) != len(places):
        return None
    return Grid(tuple(names), shape, places, tuple(axis for _, axis in axes))


def _levels(values: Array) -> list[tuple[npt.NDArray[np.intp], Array]]:
    """The few positions that values may lie around: for each value its index, and the positions.

    Steps between positions are told from the jitter of readbacks by their size. Which is which is
    not always plain, so there are several answers, the plainest first; none for what is no number.
    """
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        return []
    ordered = np.sort(values.astype(np.float64))
    gaps = np.diff(ordered)
    sizes = np.sort(gaps[gaps > 0.0])[::-1]
    # Against what comes next in size; the least step of all may be the step of a line.
    ratios = sizes / np.append(sizes[1:], sizes[-1:] / _APART)
    plain = np.argsort(-ratios, kind="stable")[:_ANSWERS]
    found = []
    for least in [sizes[i] for i in plain if ratios[i] >= _APART * _ROUNDING]:
        starts = ordered[np.concatenate([[True], gaps >= least])]
        index = np.searchsorted(starts, values.astype(np.float64), side="right") - 1
        found.append((index, _mean_at(values, index, starts)))
    return found


def _mean_at(values: Array, index: npt.NDArray[np.intp], axis: Array) -> Array:
    """The mean of the values at each place of an axis; where there is none, the axis itself."""
    total = np.bincount(index, values, len(axis))
    count = np.bincount(index, minlength=len(axis))
    return np.where(count > 0, total / np.maximum(count, 1), axis)


def _roomy(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A type that also has a value for nothing."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype


def _nothing(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "M":
        return np.datetime64("NaT", "ns")
    if dtype.kind in "biu":
        return 0  # of a grid that is full
    return None if dtype.kind == "O" else np.nan
