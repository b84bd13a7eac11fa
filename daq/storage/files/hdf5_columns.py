"""Datasets that grow: one column of a stream, or the samples of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from daq.storage.files.compression import Filters
from daq.storage.journal.placed import Placed, Sample

__all__ = ["GrowingDataset", "text_type"]

_CHUNK_BYTES = 64 << 10
_CHUNK_ROWS = 1024
_CACHE_SLOTS = 11
_DIRECT_BYTES = 16 << 10
_AHEAD = 64
"""Rows by which a dataset of large samples grows."""


def text_type() -> Any:
    """Variable-length UTF-8."""
    return h5py.string_dtype("utf-8")


class GrowingDataset:
    """An extendable, chunked dataset that rows are appended to.

    Large samples, such as frames, get a chunk each and bypass HDF5's chunk cache and conversion:
    nearly as fast as writing a plain file. They may be `put` ahead of the rows that count.
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
        sample = kind.itemsize * int(np.prod(shape, dtype=np.int64))
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
            chunks=(rows, *(max(1, n) for n in shape)),
            # Of what is appended, two chunks are all that is ever touched again; and there may be
            # thousands of datasets.
            rdcc_nbytes=2 * rows * max(sample, 1),
            rdcc_nslots=_CACHE_SLOTS,
            **(filters if is_large else {}),
        )
        self._shape = shape
        self._corner = (0,) * len(shape)
        self._rows = 0
        self._allocated = 0

    def append(self, values: npt.NDArray[Any] | Sequence[Sample]) -> None:
        """Add rows of the dataset's shape and type; those that are placed lie there already."""
        first, self._rows = self._rows, self._rows + len(values)
        self._reach(self._rows)
        if isinstance(values, np.ndarray) and not self._one_by_one:
            self._write(first, values)
            return
        for row, sample in enumerate(values, first):
            if isinstance(sample, Placed):
                continue
            if self._direct:
                data = np.ascontiguousarray(sample, dtype=self._dtype)
                self.dataset.id.write_direct_chunk((row, *self._corner), data)
            else:
                self.dataset[row] = sample

    def _write(self, first: int, values: npt.NDArray[Any]) -> None:
        if self._dtype.hasobject or values.dtype != self._dtype:
            self.dataset[first : self._rows] = values
            return
        # What `dataset[...] = values` ends in. On its way there it looks at the file four times,
        # which takes three times as long as to write a few samples.
        there = self.dataset.id.get_space()
        there.select_hyperslab((first, *self._corner), values.shape)
        here = h5py.h5s.create_simple(values.shape)
        self.dataset.id.write(here, there, np.ascontiguousarray(values))

    def put(self, row: int, sample: memoryview) -> int:
        """Write one large sample, and return where in the file it lies."""
        if row >= self._allocated:
            self._reach(row + _AHEAD)  # to grow costs more than a twentieth of the writing
        corner = (row, *self._corner)
        self.dataset.id.write_direct_chunk(corner, sample)
        return int(self.dataset.id.get_chunk_info_by_coord(corner).byte_offset)

    def _reach(self, rows: int) -> None:
        if rows > self._allocated:
            self.dataset.id.set_extent((rows, *self._shape))
            self._allocated = rows

    def finish(self) -> None:
        """Cut off what never counted."""
        if self._allocated > self._rows:
            self.dataset.id.set_extent((self._rows, *self._shape))
            self._allocated = self._rows
