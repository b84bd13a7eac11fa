"""Datasets that grow: one column of a stream, or the samples of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

__all__ = ["GrowingDataset", "dataset_name", "text_type"]

_CHUNK_BYTES = 64 << 10
_CHUNK_ROWS = 1024
_DIRECT_BYTES = 16 << 10


def text_type() -> Any:
    """Variable-length UTF-8."""
    return h5py.string_dtype("utf-8")


def dataset_name(name: str, taken: Sequence[str] = ()) -> str:
    """A name that HDF5 can take for a column, device or channel called `name`."""
    safe = name.replace("/", "_").replace("\0", "_").strip() or "unnamed"
    safe = "_" if safe in {".", ".."} else safe
    while safe in taken:
        safe += "_"
    return safe


class GrowingDataset:
    """An extendable, chunked dataset that rows are appended to.

    Large samples, such as frames, get a chunk each and bypass HDF5's chunk cache and conversion:
    nearly as fast as writing a plain file.
    """

    def __init__(self, group: h5py.Group, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        kind = text_type() if np.dtype(dtype).hasobject else np.dtype(dtype)
        sample = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        self._direct = sample >= _DIRECT_BYTES and 0 not in shape
        self._dtype = kind
        rows = 1 if self._direct else min(_CHUNK_ROWS, max(1, _CHUNK_BYTES // max(sample, 1)))
        self.dataset = group.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            dtype=kind,
            chunks=(rows, *(max(1, n) for n in shape)),
        )
        self._rows = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add rows of the dataset's shape and type."""
        first, self._rows = self._rows, self._rows + len(values)
        self.dataset.resize(self._rows, axis=0)
        if not self._direct:
            self.dataset[first:] = values
            return
        corner = (0,) * (values.ndim - 1)
        for row, sample in enumerate(np.ascontiguousarray(values, dtype=self._dtype), first):
            self.dataset.id.write_direct_chunk((row, *corner), sample)
