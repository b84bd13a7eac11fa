"""Reads back the columns of a stream that stand side by side, see `hdf5_blocks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from daq.core import Column
from daq.storage.files.hdf5_blocks import COLUMN_FACTS
from daq.wire.hdf5_names import BLOCKS

__all__ = ["Place", "known_values", "places_in", "read_places"]

Array = npt.NDArray[Any]

_ONE_BY_ONE = 16
"""Columns of a block that are read each by itself; for more the whole of it is read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column is."""

    column: Column
    index: int
    """Among the columns of the stream."""
    dataset: str
    block: str
    number: int
    """Of its place in the block."""


def places_in(stream: h5py.Group) -> list[Place]:
    """All columns of the stream that stand side by side."""
    blocks = stream[BLOCKS].values() if BLOCKS in stream else ()
    return [place for block in blocks for place in _places(block)]


def _places(block: h5py.Group) -> Iterator[Place]:
    told = {fact: block[fact].asstr()[:].tolist() for fact in COLUMN_FACTS}
    shape, name_of_block = block["values"].shape[2:], block.name
    index, optional = block["index"][:].tolist(), block["optional"][:].astype(bool).tolist()
    for number, name in enumerate(told["column"]):
        if index[number] < 0:
            continue
        column = Column(
            name,
            told["units"][number],
            told["dtype"][number],
            shape,
            told["source"][number],
            told["role"][number],
            optional[number],
            told["note"][number],
        )
        yield Place(column, index[number], told["dataset"][number], name_of_block, number)


def read_places(
    stream: h5py.Group, places: Sequence[Place], first: int, end: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """By column the values, and when each was read, of events from `first` to before `end`."""
    values: dict[str, Array] = {}
    times: dict[str, Array] = {}
    taken = stream["time"][first:end]
    for name in dict.fromkeys(place.block for place in places):
        block = stream.file[name]
        own = [place for place in places if place.block == name]
        numbers = [place.number for place in own]
        data = _read(block["values"], first, end, numbers)
        missing = _read(block["missing"], first, end, numbers)
        offsets = _read(block["offsets"], first, end, numbers)
        for place, sample, gone, later in zip(own, data, missing, offsets, strict=True):
            there = ~gone.astype(bool) if place.column.optional else None
            values[place.column.name] = known_values(sample, there, place.column)
            times[place.column.name] = taken + later
    return values, times


def _read(dataset: h5py.Dataset, first: int, end: int, numbers: Sequence[int]) -> Sequence[Array]:
    """For each of the columns its values."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        dataset = dataset.asstr()
    if len(numbers) <= _ONE_BY_ONE:
        return [np.asarray(dataset[first:end, number]) for number in numbers]
    across = np.ascontiguousarray(np.asarray(dataset[first:end]).swapaxes(0, 1))
    return [across[number] for number in numbers]


def known_values(values: Array, there: Array | None, column: Column) -> Array:
    """What the file holds, as an `EventBlock` does; `there` are the events that have a value."""
    if there is None:
        return values if column.dtype == "O" else values.astype(column.dtype, copy=False)
    if column.dtype == "O":
        values[~there] = None
        return values
    gone = np.broadcast_to(~there.reshape(-1, *(1,) * (values.ndim - 1)), values.shape)
    known = np.where(gone, np.asarray(0, values.dtype), values).astype(column.dtype)
    return np.ma.array(known, mask=gone.copy(), fill_value=None)
