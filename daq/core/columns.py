"""How a column widens when what comes does not fit what came before, and nothing is lost by it.

Whole numbers become floats where each of them is exact as one; lengths that differ make an array of
varying length; an event without a value leaves it missing. What has no common form, such as a text
among numbers, is kept apart, in a column of its own in the same table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core.documents import Column, EventBlock

__all__ = [
    "cast_known",
    "concatenated",
    "filled_up",
    "is_exact",
    "is_ragged",
    "joined",
    "missing_values",
    "nothing",
    "rows_missing",
    "widened_block",
    "widened_values",
    "with_nan",
]

Array = npt.NDArray[Any]

_EXACT = 2**53
"""Up to here every whole number is a float."""


def is_exact(value: Any) -> bool:
    """Whether a number, or each of an array, keeps its value as a float of 64 bits."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return True
    return int(array.min()) >= -_EXACT and int(array.max()) <= _EXACT


def joined(column: Column, new: Column, *, exact: bool) -> Column | None:
    """The column that holds the samples of both; None when there is none without a loss.

    `exact` tells whether all whole numbers of both are exact as floats.
    """
    if column.source != new.source or not _units_agree(column, new):
        return None
    if len(column.shape) != len(new.shape):
        return None
    dtype = column.dtype
    if (dtype == "O") != (new.dtype == "O"):
        return None
    if new.dtype != dtype:
        wider = np.promote_types(dtype, new.dtype)
        loses = any(np.dtype(d).kind in "iu" for d in (dtype, new.dtype)) and wider.kind in "fc"
        if wider.hasobject or (loses and not exact):
            return None
        dtype = wider.str
    shape = tuple(a if a == b else 0 for a, b in zip(column.shape, new.shape, strict=True))
    role = "positioner" if "positioner" in (column.role, new.role) else column.role
    optional = column.optional or new.optional
    units = column.units or new.units
    return replace(column, units=units, dtype=dtype, shape=shape, role=role, optional=optional)


def _units_agree(column: Column, new: Column) -> bool:
    """Of what a script gives itself, a number without units may be in those of the others."""
    given = not column.source and not (column.units and new.units)
    return column.units == new.units or given


def widened_block(block: EventBlock, columns: Iterable[Column]) -> EventBlock:
    """The same events with columns that hold more than theirs, in the order of `columns`."""
    wanted = tuple(columns)
    if wanted == block.columns:
        return block
    own = {column.name: column for column in block.columns}
    values, times = {}, {}
    for column in wanted:
        if column.name in own:
            values[column.name] = widened_values(
                block.values[column.name], own[column.name], column
            )
            times[column.name] = block.column_times.get(column.name, block.timestamps)
        else:
            values[column.name] = missing_values(len(block.timestamps), column)
            times[column.name] = block.timestamps
    return replace(block, columns=wanted, values=values, column_times=times)


def widened_values(values: Array, column: Column, wanted: Column) -> Array:
    """Values of `column` as those of `wanted`, which holds all that it does, and more."""
    if len(column.shape) != len(wanted.shape) or (column.dtype == "O") != (wanted.dtype == "O"):
        return missing_values(len(values), wanted)  # it had no value yet, and could be anything
    if wanted.varies and not column.varies:
        masked = np.ma.getmaskarray(values) if column.optional else None
        gone = _gone(masked) if masked is not None else np.zeros(len(values), bool)
        samples = np.empty(len(values), object)
        for row, sample in enumerate(np.ma.getdata(values)):
            samples[row] = None if gone[row] else sample.astype(wanted.dtype, copy=False)
        return samples
    if wanted.varies:
        samples = np.empty(len(values), object)
        for row, sample in enumerate(values):
            samples[row] = None if sample is None else sample.astype(wanted.dtype, copy=False)
        return samples
    if wanted.dtype == "O":
        return values
    if not isinstance(values, np.ma.MaskedArray):
        cast: Array = values.astype(wanted.dtype, copy=False)
        return np.ma.asarray(cast) if wanted.optional else cast
    mask = np.ma.getmaskarray(values)
    return np.ma.array(cast_known(values, mask, wanted.dtype), mask=mask)


def cast_known(values: Array, gone: Array, dtype: Any) -> Array:
    """The values as another type, and what stands for nothing where they are `gone`.

    `gone` tells it of each number, or with fewer dimensions of whole samples.
    """
    each = gone.reshape(*gone.shape, *(1,) * (values.ndim - gone.ndim))
    known: Array = np.where(each, np.asarray(0, values.dtype), np.ma.getdata(values)).astype(dtype)
    if known.dtype.kind in "fc":
        known[gone] = np.nan
    return known


def missing_values(rows: int, column: Column) -> Array:
    """`rows` events without a value of `column`."""
    if column.varies or column.dtype == "O":
        return np.full(rows, None, object)
    filled = np.full((rows, *column.shape), nothing(column.dtype), column.dtype)
    return np.ma.array(filled, mask=np.ones(filled.shape, bool))


def nothing(dtype: str) -> Any:
    """What stands where no value is: NaN where the type has it, else 0."""
    return np.nan if np.dtype(dtype).kind in "fc" else 0


def with_nan(values: Array, *, exact: bool = False) -> Array:
    """Numbers with NaN where values are missing, for what knows no other way; else as they are.

    With `exact`, whole numbers that no float is equal to stay what they are, among objects, with
    None for a missing one.
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if not np.ma.is_masked(values):
        return np.ma.getdata(values)
    if exact and not is_exact(np.ma.compressed(values)):
        objects: Array = np.ma.getdata(values).astype(object)
        objects[np.ma.getmaskarray(values)] = None
        return objects
    dtype = values.dtype if values.dtype.kind in "fc" else np.dtype(np.float64)
    filled: Any = values.astype(dtype)
    return np.asarray(filled.filled(np.nan))


def is_ragged(values: Array) -> bool:
    """Whether these are arrays of different lengths."""
    return values.dtype.hasobject and any(isinstance(value, np.ndarray) for value in values)


def filled_up(values: Array, *, exact: bool = False) -> tuple[Array, Array]:
    """Arrays of different lengths as one of the longest, and their lengths; 0 for none.

    What is left over is NaN, so whole numbers become floats; with `exact` as in `with_nan`.
    """
    samples = [value for value in values if value is not None]
    depth = samples[0].ndim
    lengths = np.array([(0,) * depth if v is None else v.shape for v in values], np.int64)
    dtype = np.result_type(*{sample.dtype for sample in samples})
    roomy = dtype if dtype.kind in "fc" else np.dtype(np.float64)
    if exact and not all(map(is_exact, samples)):
        roomy = np.dtype(object)
    filling = None if roomy.hasobject else np.nan
    full = np.full((len(values), *lengths.max(axis=0)), filling, roomy)
    for row, sample in enumerate(values):
        if sample is not None:
            corner: Any = (row, *map(slice, sample.shape))
            full[corner] = sample
    return full, lengths


def _gone(mask: Any) -> Array:
    """Which rows are missing; a sample is there as a whole, or not at all."""
    return np.asarray(mask.reshape(len(mask), -1).all(axis=1) if mask.ndim > 1 else mask)


def rows_missing(values: Array) -> Array:
    """For each event whether it has no value."""
    if isinstance(values, np.ma.MaskedArray):
        if values.ndim > 1 and not values[0:1].size:
            return np.zeros(len(values), bool)
        return _gone(np.ma.getmaskarray(values))
    if values.dtype == object:
        return np.array([value is None for value in values], bool)
    return np.zeros(len(values), bool)


def concatenated(parts: Iterable[Array]) -> Array:
    """Values of one column, block behind block."""
    arrays = list(parts)
    if any(isinstance(array, np.ma.MaskedArray) for array in arrays):
        masked: Array = np.ma.concatenate(arrays)  # type: ignore[no-untyped-call]
        return masked
    return np.concatenate(arrays)
