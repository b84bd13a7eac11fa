"""Reads a finished run's file back. All calls block: they belong into a worker thread."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from daq.core import (
    Column,
    EventBlock,
    NotFoundError,
    RunStart,
    RunStop,
    RunSummary,
    StorageError,
)
from daq.storage.files.compression import load_filters
from daq.storage.files.hdf5_block_reader import known_values, places_in, read_places
from daq.storage.files.nexus import Converted, read_start, read_stop
from daq.storage.files.summaries import close_summary, summarize

__all__ = [
    "StreamInfo",
    "describe_file",
    "read_block",
    "read_converted",
    "require_stream",
    "select_columns",
    "summarize_file",
]

_BLOCK_BYTES = 8 << 20
_MOST_ROWS = 65_536
_DAMAGES = (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)
"""What h5py raises for a file that does not hold what it should."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a run."""

    name: str
    points: int
    columns: tuple[Column, ...]


def describe_file(path: Path) -> tuple[RunStart, RunStop, tuple[StreamInfo, ...]]:
    """All but the data."""
    with _opened(path) as entry:
        return read_start(entry), read_stop(entry), tuple(_streams(entry))


def summarize_file(path: Path) -> RunSummary:
    """The catalogue's line of the run; raises StorageError when it is no complete run."""
    with _opened(path) as entry:
        counts = {str(group.attrs["stream"]): len(group["time"]) for group in _in_order(entry)}
        return close_summary(summarize(read_start(entry)), read_stop(entry), counts, path)


def read_converted(path: Path) -> Converted | None:
    """What the file says of its journal; None by a version that said nothing."""
    with _opened(path) as entry:
        if "journal_bytes" not in entry.attrs:
            return None
        damage = str(entry.attrs.get("journal_damage", ""))
        return Converted(int(entry.attrs["journal_bytes"]), damage)


def read_block(path: Path, stream: str, wanted: Sequence[str], first: int) -> EventBlock | None:
    """Events of a stream from `first` on, as many as make a handy block; None at the end.

    The file is opened for each block, so nothing stays open when a reader walks away.
    """
    with _opened(path) as entry:
        group = _group(entry, stream)
        if group is None:
            return None
        layout = _Layout(group)
        apart, beside = layout.apart, layout.beside
        columns = select_columns(stream, layout.columns, wanted)
        end = min(first + _rows(columns), len(group["time"]))
        for column in columns:
            if column.varies:
                end = _fewer_rows(group["lengths"][apart[column.name].name], column, first, end)
        if first >= end:
            return None
        own = [beside[column.name] for column in columns if column.name in beside]
        values, times = read_places(group, own, first, end)
        for column in columns:
            if column.name in apart:
                name = apart[column.name].name
                values[column.name] = _column_values(group, name, column, first, end)
                times[column.name] = group["timestamps"][name][first:end]
        return EventBlock(stream, first, columns, group["time"][first:end], values, times)


def require_stream(stream: str, streams: Sequence[str]) -> None:
    """Raise NotFoundError when there are streams, but not this one."""
    if streams and stream not in streams:
        raise NotFoundError(
            f"the run has no stream {stream!r}", advice=f"it has {', '.join(streams)}"
        )


def select_columns(
    stream: str, columns: tuple[Column, ...], wanted: Sequence[str]
) -> tuple[Column, ...]:
    """The columns of these names, in the order asked for; all when none is named."""
    by_name = {column.name: column for column in columns}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise NotFoundError(
            f"stream {stream!r} has no column {', '.join(map(repr, missing))}",
            advice=f"it has {', '.join(by_name)}",
        )
    return tuple(by_name[name] for name in wanted) or columns


@contextmanager
def _opened(path: Path) -> Iterator[h5py.Group]:
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise StorageError(
            f"{path}: the file is not there", advice="was it moved or deleted?"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{path}: the file cannot be read: {error}", advice="it is damaged, or not HDF5"
        ) from error
    with file:
        try:
            yield file["entry"]
        except _DAMAGES as error:
            raise StorageError(
                f"{path}: the file holds no complete run: {error}",
                advice="it is damaged, or not written by daq",
            ) from error


def _in_order(entry: h5py.Group) -> list[h5py.Group]:
    """The groups of the streams."""
    groups = [g for g in entry.values() if isinstance(g, h5py.Group) and "stream" in g.attrs]
    return sorted(groups, key=lambda group: int(group.attrs["index"]))


def _streams(entry: h5py.Group) -> Iterator[StreamInfo]:
    for group in _in_order(entry):
        columns = _Layout(group).columns
        yield StreamInfo(str(group.attrs["stream"]), len(group["time"]), columns)


def _group(entry: h5py.Group, stream: str) -> h5py.Group | None:
    groups = {
        str(group.attrs["stream"]): group
        for group in entry.values()
        if isinstance(group, h5py.Group) and "stream" in group.attrs
    }
    require_stream(stream, sorted(groups))
    return groups.get(stream)


@dataclass(frozen=True, slots=True)
class _Apart:
    """A column that has a dataset of its own."""

    name: str
    index: int
    column: Column


class _Layout:
    """Where the columns of a stream are."""

    def __init__(self, group: h5py.Group) -> None:
        places = places_in(group)
        self.beside = {place.column.name: place for place in places}
        self.apart = _datasets(group, {place.dataset for place in places})
        both = {place.index: place.column for place in places}
        both |= {each.index: each.column for each in self.apart.values()}
        self.columns = tuple(both[index] for index in sorted(both))


def _datasets(group: h5py.Group, views: Collection[str]) -> dict[str, _Apart]:
    """By column; `views` are those of columns that stand side by side."""
    found = {}
    for name in group:
        attributes = {} if name in views else group[name].attrs
        if "column" in attributes:
            found[str(attributes["column"])] = _apart(name, group[name])
    return found


def _apart(name: str, dataset: h5py.Dataset) -> _Apart:
    attributes = dataset.attrs
    column = Column(
        str(attributes["column"]),
        str(attributes["units"]),
        str(attributes["dtype"]),
        tuple(int(n) for n in attributes.get("shape", dataset.shape[1:])),
        str(attributes["source"]),
        str(attributes["role"]),
        bool(attributes.get("optional", False)),
        str(attributes.get("note", "")),
    )
    return _Apart(name, int(attributes["index"]), column)


def _rows(columns: Sequence[Column]) -> int:
    """How many events make a block of a handy size."""
    size = sum(np.dtype(c.dtype).itemsize * int(np.prod(c.shape, dtype=int)) for c in columns)
    return int(min(_MOST_ROWS, max(1, _BLOCK_BYTES // max(1, size))))


def _fewer_rows(lengths: h5py.Dataset, column: Column, first: int, end: int) -> int:
    """Where a block of a handy size ends, whose arrays are as long as its longest."""
    if first >= end:
        return end
    longest = np.maximum.accumulate(lengths[first:end].prod(axis=1))
    sizes = longest * np.arange(1, len(longest) + 1) * np.dtype(column.dtype).itemsize
    return first + max(1, int(np.searchsorted(sizes, _BLOCK_BYTES, "right")))


def _column_values(
    group: h5py.Group, name: str, column: Column, first: int, end: int
) -> np.ndarray:
    """As an `EventBlock` holds them."""
    there = group["valid"][name][first:end].astype(bool) if column.optional else None
    if column.varies:
        lengths = group["lengths"][name][first:end]
        widest = tuple(int(n) for n in lengths.max(axis=0))
        block = _values(group[name], first, end, widest).astype(column.dtype, copy=False)
        samples = np.empty(len(block), object)
        for row, shape in enumerate(lengths):
            is_there = there is None or there[row]
            corner: Any = (row, *map(slice, shape))
            samples[row] = block[corner].copy() if is_there else None
        return samples
    return known_values(_values(group[name], first, end), there, column)


def _values(
    dataset: h5py.Dataset, first: int, end: int, widest: tuple[int, ...] = ()
) -> np.ndarray:
    where = (slice(first, end), *map(slice, widest))
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[where], dtype=object)
    try:
        return np.asarray(dataset[where])
    except OSError as error:
        # Compressed by a filter that is not HDF5's own, and nothing was written with it here yet.
        if load_filters():
            return np.asarray(dataset[where])
        raise StorageError(
            f"{dataset.file.filename}: {dataset.name} cannot be read: {error}",
            advice="it may be compressed by a filter of hdf5plugin: install that",
        ) from error
