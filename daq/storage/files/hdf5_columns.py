"""Datasets that grow: one column of a stream, or the samples of a channel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from daq.core import Column
from daq.core.columns import cast_known
from daq.storage.files.compression import Filters
from daq.storage.journal.placed import Placed, Sample

__all__ = ["GrowingDataset", "may_be_inexact", "pieces", "stored_type", "text_type"]

_TRUTH = "|u1"
"""HDF5 has no truth values; what h5py makes of them few other programs can read."""

_CHUNK_BYTES = 64 << 10
_CHUNK_ROWS = 1024
_FREE_CHUNK, _GROWING_BYTES = 256, 1 << 20
_CACHE_SLOTS = 11
_DIRECT_BYTES = 16 << 10
_COPY_BYTES = 8 << 20
_AHEAD = 64
"""Rows by which a dataset of large samples grows."""


def _growing_chunk(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Of samples whose lengths of 0 grow: some hundred numbers that way, and no more than a MiB.

    HDF5 refuses chunks of 4 GiB, which an empty list of lists of long lists would come to.
    """
    free = shape.count(0)
    sample = [n or max(1, round(_FREE_CHUNK ** (1 / free))) for n in shape]
    while item_bytes * math.prod(sample) > _GROWING_BYTES:
        longest = max(range(len(sample)), key=sample.__getitem__)
        sample[longest] = -(-sample[longest] // 2)
    rows = _GROWING_BYTES // (item_bytes * math.prod(sample))
    return (min(rows, _CHUNK_ROWS // 8), *sample)


def stored_type(column: Column, *, exact: bool) -> str:
    """The type in the file; `exact` when each whole number of the column is one as a float too.

    Of numbers that may be missing these become floats, so that what is missing is NaN.
    """
    kind = np.dtype(column.dtype).kind
    if column.optional and not column.shape and kind in "biu" and exact:
        return "<f8"
    return _TRUTH if kind == "b" else column.dtype


def may_be_inexact(column: Column) -> bool:
    """Whether `stored_type` depends on how long its whole numbers are."""
    return not column.shape and column.dtype[1:] in ("i8", "u8")


def text_type() -> Any:
    """Variable-length UTF-8."""
    return h5py.string_dtype("utf-8")


def pieces(rows: int, row_bytes: int) -> Iterator[slice]:
    """The rows in pieces that fit into memory."""
    step = max(1, _COPY_BYTES // max(1, row_bytes))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


class GrowingDataset:
    """An extendable, chunked dataset that rows are appended to.

    Large samples, such as frames, get a chunk each and bypass HDF5's chunk cache and conversion:
    nearly as fast as writing a plain file. They may be `put` ahead of the rows that count.

    A length of 0 in `shape` grows with the longest sample; what is left over is NaN, or 0 where the
    type has none.
    """

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        dtype: str,
        shape: tuple[int, ...],
        filters: Filters = MappingProxyType({}),
    ) -> None:
        kind = text_type() if np.dtype(dtype).hasobject else np.dtype(dtype)
        sample = self.sample_bytes = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        is_large = sample >= _DIRECT_BYTES
        self._direct = is_large and not filters
        self._one_by_one = is_large
        self._dtype = kind
        rows = 1 if is_large else min(_CHUNK_ROWS, max(1, _CHUNK_BYTES // max(sample, 1)))
        self.dataset = group.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *(n or None for n in shape)),
            dtype=kind,
            chunks=_growing_chunk(shape, kind.itemsize) if 0 in shape else (rows, *shape),
            fillvalue=kind.type(np.nan) if kind.kind in "fc" else None,
            # Of what is appended, two chunks are all that is ever touched again; and there may be
            # thousands of datasets.
            rdcc_nbytes=2 * rows * max(sample, 1) if 0 not in shape else None,
            rdcc_nslots=_CACHE_SLOTS,
            **(filters if is_large else {}),
        )
        self.shape = shape
        self.holds_placed = False
        """Whether it has samples of which something else tells where they lie."""
        self._corner = (0,) * len(shape)
        self._whole = shape
        """Of a sample that fills a chunk."""
        self.rows = 0
        self.allocated = 0

    def append(self, values: npt.NDArray[Any] | Sequence[Sample]) -> None:
        """Add rows of the dataset's shape and type; those that are placed lie there already."""
        first, self.rows = self.rows, self.rows + len(values)
        self.reach(self.rows)
        if isinstance(values, np.ndarray) and not self._one_by_one:
            self._write(first, values)
            return
        for row, sample in enumerate(values, first):
            if isinstance(sample, Placed):
                continue
            self._write_sample(row, sample)

    def append_some(self, values: npt.NDArray[Any] | Sequence[Sample | None], gone: Any) -> None:
        """Add rows of which those that are `gone` have no value."""
        if not isinstance(values, np.ndarray) or self._one_by_one:
            first = self.rows
            self.skip(len(values))
            for row in np.flatnonzero(~gone).tolist():
                sample = values[row]
                if not isinstance(sample, Placed):
                    self._write_sample(first + row, np.ma.getdata(np.asanyarray(sample)))
            return
        if self._dtype.hasobject:
            self.append(np.array(["" if value is None else value for value in values], object))
            return
        self.append(cast_known(values, gone, self._dtype))

    def append_ragged(self, samples: Sequence[Any]) -> None:
        """Add rows of samples of different lengths, and None for those without."""
        there = [sample for sample in samples if sample is not None]
        widest = tuple(max((s.shape[i] for s in there), default=0) for i in range(len(self.shape)))
        self.grow(widest)
        first = self.rows
        self.skip(len(samples))
        size = self._dtype.itemsize * int(np.prod(widest, dtype=np.int64))
        for piece in pieces(len(samples), size):
            part = samples[piece]
            fill = np.nan if self._dtype.kind in "fc" else 0
            block = np.full((len(part), *widest), fill, self._dtype)
            for row, sample in enumerate(part):
                if sample is not None:
                    corner: Any = (row, *map(slice, sample.shape))
                    block[corner] = sample
            where = slice(first + piece.start, first + piece.stop)
            if block.size:
                self.dataset[(where, *map(slice, widest))] = block

    def _write_sample(self, row: int, sample: Any) -> None:
        if self._direct and sample.shape == self._whole:
            data = np.ascontiguousarray(sample, dtype=self._dtype)
            self.dataset.id.write_direct_chunk((row, *self._corner), data)
        elif sample.size:
            self.dataset[(row, *map(slice, sample.shape))] = sample

    def grow(self, shape: tuple[int, ...]) -> None:
        """Have room for samples of this shape too."""
        wider = tuple(map(max, self.shape, shape))
        if wider != self.shape:
            self.shape = wider
            self.dataset.id.set_extent((self.allocated, *wider))

    def skip(self, rows: int) -> None:
        """Add rows without a value, or whose values come by another way."""
        self.rows += rows
        self.reach(self.rows)

    def _write(self, first: int, values: npt.NDArray[Any]) -> None:
        if self._dtype.hasobject or values.dtype != self._dtype:
            self.dataset[first : self.rows] = values
            return
        # What `dataset[...] = values` ends in. On its way there it looks at the file four times,
        # which takes three times as long as to write a few samples.
        there = self.dataset.id.get_space()
        there.select_hyperslab((first, *self._corner), values.shape)
        here = h5py.h5s.create_simple(values.shape)
        self.dataset.id.write(here, there, np.ascontiguousarray(values))

    def put(self, row: int, sample: memoryview) -> int:
        """Write one large sample, and return where in the file it lies."""
        self.holds_placed = True
        if row >= self.allocated:
            self.reach(row + _AHEAD)  # to grow costs more than a twentieth of the writing
        corner = (row, *self._corner)
        self.dataset.id.write_direct_chunk(corner, sample)
        return int(self.dataset.id.get_chunk_info_by_coord(corner).byte_offset)

    def ahead(self) -> Iterator[int]:
        """The rows beyond those that count in which a sample lies already."""
        for row in range(self.rows, self.allocated):
            chunk = self.dataset.id.get_chunk_info_by_coord((row, *self._corner))
            if chunk.byte_offset is not None:
                yield row

    def reach(self, rows: int) -> None:
        if rows > self.allocated:
            self.dataset.id.set_extent((rows, *self.shape))
            self.allocated = rows

    def finish(self) -> None:
        """Cut off what never counted."""
        if self.allocated > self.rows:
            self.dataset.id.set_extent((self.rows, *self.shape))
            self.allocated = self.rows
