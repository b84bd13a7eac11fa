"""One stream of events in a run's file: a group with a dataset for each column.

    <column>               the values
    time                   when each event was taken
    timestamps/<column>    when each value was read
    valid/<column>         1 where there is a value, of columns in which some are missing
    lengths/<column>       the lengths of each array, of columns in which they differ
    column_blocks/<type>   the scalar columns of a stream that has many, see `hdf5_blocks`

A column may widen while it is written (`daq.core.columns`). Its dataset is then made anew, or
grows: arrays of different lengths are filled up to the longest. What is missing is NaN, also among
whole numbers where each of those is exact as a float; an empty text; 0 in arrays of whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from daq.core import Column, axis_label
from daq.core.columns import cast_known, is_exact, missing_values, rows_missing
from daq.storage.files.compression import Filters
from daq.storage.files.hdf5_blocks import ColumnBlocks, fits_block
from daq.storage.files.hdf5_columns import GrowingDataset, may_be_inexact, pieces, stored_type
from daq.storage.files.nexus import nexus_group
from daq.storage.journal.row_records import RowBatch
from daq.wire.hdf5_names import STREAM_PARTS, dataset_name

__all__ = ["StreamGroup", "time_dataset"]

Array = npt.NDArray[Any]

_FLAG = "|u1"
_EPOCH = "nanoseconds since 1970-01-01T00:00:00"
"""As netCDF says it, so that its readers have times and not numbers."""

MOST_APART = 64
"""Scalars and short arrays with a dataset each; a stream that has more has the others in blocks."""


class StreamGroup:
    """Writes one stream's group."""

    def __init__(
        self,
        group: h5py.Group,
        stream: str,
        index: int,
        filters: Filters = MappingProxyType({}),
    ) -> None:
        self.group = group
        self.columns: tuple[Column, ...] = ()
        self.rows = 0
        self._filters = filters
        self._writers: dict[str, _ColumnWriter] = {}
        self._blocks = ColumnBlocks(group)
        self._names: dict[str, str] = {}
        """Of each column's dataset."""
        self._taken = set(STREAM_PARTS)
        self._apart = 0
        """Scalars and short arrays with a dataset of their own."""
        group.attrs["stream"] = stream
        group.attrs["index"] = index
        nexus_group(group, "timestamps", "NXcollection")
        self._time = time_dataset(group, "time")
        self._time.dataset.attrs["units"] = _EPOCH

    @property
    def progress(self) -> int:
        """It grows while datasets are made, of which there may be thousands."""
        return len(self._writers) + self._blocks.steps

    def name_of(self, column: str) -> str:
        """The name of a column's dataset."""
        return self._names[column]

    @property
    def own_datasets(self) -> list[str]:
        """Of the columns that do not stand side by side."""
        return [self._names[column] for column in self._writers]

    @property
    def block_datasets(self) -> list[h5py.Dataset]:
        """Of the columns that stand side by side."""
        return self._blocks.datasets

    def widen(self, columns: tuple[Column, ...]) -> None:
        """Have at least these columns, each at least as wide as here."""
        if columns == self.columns:
            return
        self._widen_blocks([column for column in columns if column.name in self._blocks])
        for column in columns:
            writer = self._writers.get(column.name)
            if writer is not None:
                writer.widen(column)
        self._add([column for column in columns if column.name not in self._names])
        self.columns = tuple(map(self._column, self._names))

    def _column(self, name: str) -> Column:
        return self._blocks.column(name) if name in self._blocks else self._writers[name].column

    def _widen_blocks(self, columns: Sequence[Column]) -> None:
        self._blocks.widen([column for column in columns if fits_block(column)], self.rows)
        for column in columns:
            if not fits_block(column):
                index, parts = self._blocks.give_up(column.name, self.rows)
                writer = self._add_writer(column, index, rows=0)
                for values, times in parts:
                    writer.append(values, times)

    def _add(self, columns: Sequence[Column]) -> None:
        small = [column for column in columns if fits_block(column)]
        is_many = self._apart + len(small) > MOST_APART
        side_by_side = []
        for index, column in enumerate(columns, len(self._names)):
            name = self._names[column.name] = dataset_name(column.name, self._taken)
            self._taken.add(name)
            if is_many and fits_block(column):
                side_by_side.append((column, name, index))
            else:
                self._add_writer(column, index, self.rows)
        self._blocks.add(side_by_side, self.rows)
        self._apart += 0 if is_many else len(small)

    def _add_writer(self, column: Column, index: int, rows: int) -> _ColumnWriter:
        name = self._names[column.name]
        writer = _ColumnWriter(self.group, name, column, index, rows, self._filters)
        self._writers[column.name] = writer
        return writer

    def append(self, batch: RowBatch) -> None:
        """Add rows. Those of a batch from before the stream widened are missing what came later."""
        if not self.columns or len(batch.columns) >= len(self.columns):
            self.widen(batch.columns)
        self._time.append(batch.timestamps)
        index = {column.name: number for number, column in enumerate(batch.columns)}
        for name, writer in self._writers.items():
            if name in index:
                writer.append(batch.values[name], batch.column_times[:, index[name]])
            else:
                rows = missing_values(len(batch.timestamps), writer.column)
                writer.append(rows, batch.timestamps)
        self._blocks.append(batch, self.rows)
        self.rows += len(batch.timestamps)

    def put(self, column: str, row: int, sample: memoryview) -> int:
        """Write one large sample ahead of its row; returns where it lies."""
        return self._writers[column].values.put(row, sample)

    def finish(self) -> None:
        """Cut off what never counted."""
        for writer in self._writers.values():
            writer.values.finish()
        self._blocks.finish(self.rows)


class _ColumnWriter:
    """The datasets of one column."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        column: Column,
        index: int,
        rows: int,
        filters: Filters,
    ) -> None:
        self.name = name
        self.column = column
        self._group = group
        self._index = index
        self._filters = filters
        self._exact = True
        """Whether each whole number so far is one as a float too."""
        self._valid: GrowingDataset | None = None
        self._lengths: GrowingDataset | None = None
        self.values = self._new_values(column.shape)
        self._times = time_dataset(group["timestamps"], name)
        if rows:
            self.values.skip(rows)
            self._times.append(group["time"][:rows])
        self._add_companions(rows, there=False)
        self._describe()

    def _stored_as(self) -> str:
        return stored_type(self.column, exact=self._exact)

    def _new_values(self, shape: tuple[int, ...]) -> GrowingDataset:
        return GrowingDataset(self._group, self.name, self._stored_as(), shape, self._filters)

    def _add_companions(self, rows: int, *, there: bool) -> None:
        """What says which of the `rows` so far have a value, and how long each is."""
        if self.column.optional and self._valid is None:
            group = self._group.require_group("valid")
            group.attrs["NX_class"] = "NXcollection"
            self._valid = GrowingDataset(group, self.name, _FLAG, ())
            self._valid.append(np.full(rows, there, np.uint8))
        if self.column.varies and self._lengths is None:
            group = self._group.require_group("lengths")
            group.attrs["NX_class"] = "NXcollection"
            shape = self.values.shape
            self._lengths = GrowingDataset(group, self.name, "<i8", (len(shape),))
            self._lengths.append(np.full((rows, len(shape)), shape if there else 0, np.int64))

    def widen(self, column: Column) -> None:
        """Hold what `column` holds."""
        if column == self.column:
            return
        before, rows = (self._stored_as(), self.column.shape), self.values.rows
        self.column = column
        if (self._stored_as(), column.shape) != before:
            self._convert()
        self._add_companions(rows, there=True)
        self._describe()

    def _convert(self) -> None:
        """Make the dataset anew, of another type."""
        old = self.values
        where = self._group.file.require_group("replaced") if old.holds_placed else None
        if where is None:
            del self._group[self.name]
        else:
            # The journal still says of samples in it where they lie.
            self._group.move(self.name, f"{where.name}/{len(where)}")
        self.values = self._new_values(self.column.shape)
        if len(old.shape) == len(self.column.shape):
            self.values.grow(old.shape)
        self.values.skip(old.rows)
        if self.column.dtype == "O" or len(old.shape) != len(self.column.shape):
            return  # it was empty until now
        self.values.reach(old.allocated)
        for rows in pieces(old.rows, old.sample_bytes):
            self.values.dataset[rows] = self._converted(old.dataset[rows], rows)
        for row in old.ahead():  # not between them: what is missing there stays NaN
            self.values.dataset[row] = old.dataset[row]

    def _converted(self, values: Array, rows: slice) -> Array:
        gone = np.zeros(len(values), bool)
        if self._valid is not None:
            gone = ~self._valid.dataset[rows].astype(bool)
        return cast_known(values, gone, self.values.dataset.dtype)

    def append(self, values: Any, times: Array) -> None:
        """Add rows of this column, or of what it was before it widened."""
        self._times.append(times)
        gone = _missing(values)
        if self._valid is not None:
            self._valid.append((~gone).astype(np.uint8))
        before = self._stored_as()
        if self._exact and may_be_inexact(self.column):
            self._exact = is_exact(np.ma.compressed(values))
            if self._stored_as() != before:
                self._convert()
                self._describe()
        if self._lengths is not None:
            self._lengths.append(_lengths(values, len(self.column.shape)))
            self.values.append_ragged(values)
        elif gone.all():
            self.values.skip(len(gone))
        elif not gone.any():
            self.values.append(_plain(values, self.values.dataset.dtype))
        else:
            self.values.append_some(values, gone)

    def _describe(self) -> None:
        attributes, column = self.values.dataset.attrs, self.column
        attributes["units"] = column.units
        attributes["long_name"] = axis_label(column.name, column.units)
        attributes["column"] = column.name
        attributes["dtype"] = column.dtype
        attributes["source"] = column.source
        attributes["role"] = column.role
        attributes["index"] = self._index
        attributes["optional"] = np.uint8(column.optional)
        if column.varies:
            attributes["shape"] = np.array(column.shape, np.int64)
        if column.note:
            attributes["note"] = column.note


def time_dataset(group: h5py.Group, name: str) -> GrowingDataset:
    """Times in ns since the epoch."""
    column = GrowingDataset(group, name, "<i8", ())
    column.dataset.attrs["units"] = "ns"
    column.dataset.attrs["start"] = "1970-01-01T00:00:00+00:00"
    return column


def _missing(values: Any) -> Array:
    """For each row whether it has no value."""
    if isinstance(values, list):
        return np.array([value is None for value in values], bool)
    return rows_missing(values)


def _lengths(values: Sequence[Any], dimensions: int) -> Array:
    """The lengths of each sample; zeros where there is none."""
    lengths = [np.shape(v) if v is not None else (0,) * dimensions for v in values]
    return np.array(lengths, np.int64).reshape(len(values), dimensions)


def _plain(values: Any, dtype: np.dtype[Any]) -> Any:
    """Values none of which is missing, in the type of the dataset."""
    if isinstance(values, list) or dtype.hasobject:
        return values
    return np.ma.getdata(values).astype(dtype, copy=False)
