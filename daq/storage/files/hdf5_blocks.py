"""The small columns of a stream that has many: side by side, in one dataset for each type.

    column_blocks/<type>/values    a row for each event, a place in the row for each column
                         missing   1 where an event has no value
                         offsets   when each value was read, in ns after the `time` of its event
                         column, units, dtype, source, role, note, dataset, index
                                   of the column at each place; an empty name for one that moved on
    <column>                       a view of its place in `values`, for whom wants it by its name

A dataset of its own takes a column 18 KB and some milliseconds, a place here 0.9 KB and less than
one. The views are made at the end. Of `missing` and `offsets` nothing is on disk where all is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import eq
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from daq.core import Column
from daq.core.columns import cast_known, is_exact, nothing, rows_missing
from daq.storage.files.hdf5_columns import may_be_inexact, pieces, stored_type, text_type
from daq.storage.journal.row_records import RowBatch
from daq.wire.hdf5_names import BLOCKS

__all__ = ["COLUMN_FACTS", "ColumnBlocks", "fits_block"]

Array = npt.NDArray[Any]

COLUMN_FACTS = ("column", "units", "dtype", "source", "role", "note", "dataset")
_CHUNK_BYTES = 64 << 10
_CHUNK_COLUMNS = 512
_LEAST_ROWS, _MOST_ROWS = 16, 1024
_CACHE_SLOTS = 1009
_CACHE_BYTES = 8 << 20
"""Two rows of chunks of 10,000 columns."""
_MOST_SAMPLES = 128
"""Of an array that may stand beside others."""
_TEXT = "text"
_TEXT_COST = 4000
"""A text takes as long as so many bytes of numbers: to write many holds up all other threads."""


def fits_block(column: Column) -> bool:
    """Whether the column may stand beside others: its samples are scalars, or short arrays."""
    return not column.varies and int(np.prod(column.shape)) <= _MOST_SAMPLES


@dataclass(slots=True)
class _Member:
    """A column, and its place in a block."""

    column: Column
    dataset: str
    index: int
    """Among the columns of the stream."""
    exact: bool = True
    """Whether each whole number so far is one as a float too."""
    block: str = ""
    place: int = 0

    @property
    def wanted_block(self) -> str:
        """The name of the block for its type and shape: `float64`, `uint8_2x3`, `text`."""
        stored = stored_type(self.column, exact=self.exact)
        kind = _TEXT if stored == "O" else str(np.dtype(stored))
        return "_".join(filter(None, (kind, "x".join(map(str, self.column.shape)))))

    def facts(self) -> tuple[str, ...]:
        """What is told of it, as `COLUMN_FACTS`."""
        c = self.column
        return c.name, c.units, c.dtype, c.source, c.role, c.note, self.dataset


class ColumnBlocks:
    """Writes the blocks of one stream."""

    def __init__(self, stream: h5py.Group) -> None:
        self._stream = stream
        self._members: dict[str, _Member] = {}
        self._blocks: dict[str, _Block] = {}
        self.steps = 0
        """It grows while something is done."""

    def __contains__(self, column: str) -> bool:
        return column in self._members

    @property
    def datasets(self) -> list[h5py.Dataset]:
        """All that have a row for each event, and a place in it for each column."""
        return [dataset for block in self._blocks.values() for dataset in block.datasets]

    def column(self, name: str) -> Column:
        """The column as it is by now."""
        return self._members[name].column

    def add(self, columns: Sequence[tuple[Column, str, int]], rows: int) -> None:
        """Begin columns, each with the name of its dataset and its index, after so many events."""
        members = [_Member(*column) for column in columns]
        self._members |= {member.column.name: member for member in members}
        for key, group in groupby(sorted(members, key=_wanted), _wanted):
            fresh = list(group)
            block = self._block(key, fresh)
            first = block.extend(fresh, rows)
            block.leave_out(rows, first)

    def widen(self, columns: Sequence[Column], rows: int) -> None:
        """Hold what these columns hold; all of them are here already."""
        for column in columns:
            self._members[column.name].column = column
        self._settle(rows)

    def give_up(self, name: str, rows: int) -> tuple[int, Iterator[tuple[list[Any], Array]]]:
        """Let a column go that has become something else.

        Returns its index, and in pieces its samples, None for a missing one, with their times.
        """
        member = self._members.pop(name)
        block = self._blocks[member.block]
        block.members[member.place] = None
        return member.index, block.samples(member.place, self._stream["time"], rows)

    def append(self, batch: RowBatch, rows: int) -> None:
        """Add the rows of a batch behind the `rows` that there are."""
        if not self._members:
            return
        numbers = {column.name: number for number, column in enumerate(batch.columns)}
        self._look_for_long_numbers(batch, numbers, rows)
        for block in self._blocks.values():
            block.append(batch, numbers, rows)
            self.steps += 1

    def finish(self, rows: int) -> None:
        """Tell the columns of each block, and make a view of each."""
        for block in self._blocks.values():
            block.describe()
            for _ in block.make_views(self._stream, rows):
                self.steps += 1

    def _look_for_long_numbers(
        self, batch: RowBatch, numbers: Mapping[str, int], rows: int
    ) -> None:
        exact = {name for names, table in batch.tables if is_exact(table) for name in names}
        inexact = [
            member
            for name, member in self._members.items()
            if member.exact
            and may_be_inexact(member.column)
            and name in numbers
            and name not in exact
            and not is_exact(np.ma.compressed(np.asanyarray(batch.values[name])))
        ]
        for member in inexact:
            member.exact = False
        if inexact:
            self._settle(rows)

    def _settle(self, rows: int) -> None:
        """Move those columns that are no longer of the type of their block."""
        strays = [m for m in self._members.values() if m.wanted_block != m.block]
        for (old, new), group in groupby(sorted(strays, key=_way), _way):
            moved = list(group)
            source = self._blocks[old]
            self._block(new, moved).take_over(source, moved, rows)
            if not any(source.members):
                del self._stream[BLOCKS][old], self._blocks[old]
            self.steps += 1

    def _block(self, key: str, members: Sequence[_Member]) -> _Block:
        if key not in self._blocks:
            if BLOCKS not in self._stream:
                self._stream.create_group(BLOCKS).attrs["NX_class"] = "NXcollection"
            shape = members[0].column.shape
            self._blocks[key] = _Block(self._stream[BLOCKS], key, shape, len(members))
        return self._blocks[key]


def _wanted(member: _Member) -> str:
    return member.wanted_block


def _way(member: _Member) -> tuple[str, str]:
    return member.block, member.wanted_block


class _Block:
    """The columns of one type and shape."""

    def __init__(self, parent: h5py.Group, key: str, shape: tuple[int, ...], width: int) -> None:
        self._key = key
        self._shape = shape
        kind = key.partition("_")[0]
        self._is_text = kind == _TEXT
        self._dtype = np.dtype(object if self._is_text else kind)
        self._nothing = "" if self._is_text else nothing(self._dtype.str)
        self.members: list[_Member | None] = []
        group = self._group = parent.create_group(key)
        group.attrs["NX_class"] = "NXdata"
        group.attrs["signal"] = "values"
        sample = self._dtype.itemsize * int(np.prod(shape))
        columns = min(max(16, _CHUNK_COLUMNS * 8 // sample), max(16, width))
        rows = _CHUNK_BYTES // (columns * sample)
        self._chunks = (min(_MOST_ROWS, max(_LEAST_ROWS, rows)), columns)
        fill = None if self._is_text else self._dtype.type(self._nothing)
        stored = text_type() if self._is_text else self._dtype
        self.values = self._dataset("values", stored, fill, shape)
        self.missing = self._dataset("missing", np.dtype("|u1"), 0)
        self.offsets = self._dataset("offsets", np.dtype("<i8"), 0)
        self.offsets.attrs["units"] = "ns"

    def _dataset(
        self, name: str, dtype: Any, fill: Any, shape: tuple[int, ...] = ()
    ) -> h5py.Dataset:
        return self._group.create_dataset(
            name,
            shape=(0, 0, *shape),
            maxshape=(None, None, *shape),
            dtype=dtype,
            chunks=(*self._chunks, *shape),
            fillvalue=fill,
            rdcc_nbytes=_CACHE_BYTES,
            rdcc_nslots=_CACHE_SLOTS,
        )

    @property
    def datasets(self) -> tuple[h5py.Dataset, ...]:
        """Those that have a row for each event."""
        return self.values, self.missing, self.offsets

    def extend(self, members: Sequence[_Member], rows: int) -> int:
        """Give these columns a place each, behind all others; returns the first one's."""
        first = len(self.members)
        for place, member in enumerate(members, first):
            member.block, member.place = self._key, place
        self.members += members
        self._reach(rows)
        return first

    def leave_out(self, rows: int, first: int) -> None:
        """The columns from `first` on have no value in the `rows` so far."""
        width = len(self.members) - first
        for part in pieces(rows, width):
            self.missing[part, first:] = np.ones((part.stop - part.start, width), np.uint8)

    def append(self, batch: RowBatch, numbers: Mapping[str, int], rows: int) -> None:
        """Add the rows of a batch, in which each column has its number."""
        shape = (len(batch.timestamps), len(self.members))
        values = np.full((*shape, *self._shape), self._nothing, self._dtype)
        missing = np.ones(shape, bool)
        places = {m.column.name: m.place for m in self.members if m and m.column.name in numbers}
        _fill(values, missing, batch, places)
        values[missing] = self._nothing
        end = rows + len(values)
        self._reach(end)
        self.values[rows:end] = values
        if missing.any():
            self.missing[rows:end] = missing.astype(np.uint8)
        columns = [numbers[name] for name in places]
        if columns:
            offsets = np.zeros(shape, np.int64)
            read = batch.column_times[:, columns] - batch.timestamps[:, None]
            offsets[:, list(places.values())] = read
            if offsets.any():
                self.offsets[rows:end] = offsets

    def take_over(self, old: _Block, members: Sequence[_Member], rows: int) -> None:
        """Have columns of another block, as this one's type, with all that is in them so far."""
        places = [member.place for member in members]
        for place in places:
            old.members[place] = None
        first = self.extend(members, rows)
        has_offsets = old.offsets.id.get_storage_size() > 0
        for part in pieces(rows, 8 * int(np.prod(old.values.shape[1:]))):
            missing = old.missing[part][:, places]
            self.missing[part, first:] = missing
            if has_offsets:
                self.offsets[part, first:] = old.offsets[part][:, places]
            if not missing.all():  # else it may have been of any type
                values = old.values[part][:, places]
                self.values[part, first:] = cast_known(values, missing.astype(bool), self._dtype)

    def samples(
        self, place: int, time: h5py.Dataset, rows: int
    ) -> Iterator[tuple[list[Any], Array]]:
        """What is in one column so far, and when each was read."""
        for part in pieces(rows, 8 * int(np.prod(self._shape))):
            gone = self.missing[part, place].astype(bool).tolist()
            values = self.values[part, place]
            known = [None if gone[row] else values[row] for row in range(len(gone))]
            yield known, time[part] + self.offsets[part, place]

    def _reach(self, rows: int) -> None:
        for dataset in self.datasets:
            dataset.id.set_extent((rows, len(self.members), *dataset.shape[2:]))

    def describe(self) -> None:
        """Say which column is at each place, and name that dimension."""
        nobody = ("",) * len(COLUMN_FACTS)
        told = [member.facts() if member else nobody for member in self.members]
        for fact, texts in zip(COLUMN_FACTS, zip(*told, strict=True), strict=True):
            dataset = self._group.create_dataset(fact, shape=(len(texts),), dtype=text_type())
            for part in pieces(len(texts), _TEXT_COST):
                dataset[part] = texts[part]
        index = [member.index if member else -1 for member in self.members]
        self._group.create_dataset("index", data=np.array(index, np.int64))
        optional = [member is not None and member.column.optional for member in self.members]
        self._group.create_dataset("optional", data=np.array(optional, np.uint8))
        self._group["column"].make_scale("column")
        for dataset in self.datasets:
            dataset.dims[1].attach_scale(self._group["column"])
        for number, length in enumerate(self._shape):
            scale = self._group.create_dataset(f"sample_{number}", data=np.arange(length))
            scale.make_scale(scale.name.rpartition("/")[2])
            self.values.dims[2 + number].attach_scale(scale)

    def make_views(self, stream: h5py.Group, rows: int) -> Iterator[None]:
        """Make each column a dataset of the stream, that shows its place in this one.

        What `h5py.VirtualLayout` does, which takes several times as long.
        """
        kind, path = self.values.id.get_type(), self.values.name.encode()
        corner = (0,) * len(self._shape)
        here = h5py.h5s.create_simple((rows, *self._shape))
        there = h5py.h5s.create_simple((rows, len(self.members), *self._shape))
        text, single = (
            h5py.h5t.py_create(text_type(), logical=True),
            h5py.h5s.create(h5py.h5s.SCALAR),
        )
        for member in filter(None, self.members):
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            if rows:
                there.select_hyperslab((0, member.place, *corner), (rows, 1, *self._shape))
                layout.set_virtual(here, b".", path, there)
            view = h5py.h5d.create(stream.id, member.dataset.encode(), kind, here, layout)
            if member.column.units:
                units = h5py.h5a.create(view, b"units", text, single)
                units.write(np.array(member.column.units, text.dtype))
            yield


def _fill(values: Array, missing: Array, batch: RowBatch, places: Mapping[str, int]) -> None:
    """Put what the batch has of some columns into their places."""
    left = dict(places)
    for names, table in batch.tables:
        found = [(left.pop(name), number) for number, name in enumerate(names) if name in left]
        if found:
            to, of = map(_indices, zip(*found, strict=True))
            values[:, to] = table[:, of]
            missing[:, to] = False
    for name, place in left.items():
        column = np.asanyarray(batch.values[name])
        gone = missing[:, place] = rows_missing(column)
        if not gone.all():
            values[:, place] = np.ma.getdata(column)


def _indices(numbers: Sequence[int]) -> slice | list[int]:
    """As a slice where they follow one another: numpy is quicker with that."""
    whole = range(numbers[0], numbers[0] + len(numbers))
    return slice(whole.start, whole.stop) if all(map(eq, numbers, whole)) else list(numbers)
