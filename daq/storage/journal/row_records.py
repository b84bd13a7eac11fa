"""The records of events.

A row is packed by a layout that its stream's columns fix, so that thousands of rows unpack in one
numpy call: numbers, and arrays of a fixed shape, in front; behind them what takes more or less room
from row to row: large arrays, arrays whose lengths differ, texts. Where values may be missing a bit
tells for each whether it is there. A stream whose columns widen goes on with another layout.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Column, Event, StorageError
from daq.core.columns import missing_values, nothing
from daq.storage.journal.framing import Buffer
from daq.storage.journal.placed import LARGE_BYTES, Placed, Sample
from daq.storage.journal.records import clean_text, decode_large, encode_large, raw_bytes

__all__ = ["RowBatch", "RowLayout"]

Array = npt.NDArray[Any]
Place = Callable[[int, memoryview], Placed | None]
"""Puts the sample of a column, given by its index, where it belongs; None for nowhere."""

_CODES = {
    "<f8": "d",
    "<f4": "f",
    "<i8": "q",
    "<i4": "i",
    "<i2": "h",
    "|i1": "b",
    "<u8": "Q",
    "<u4": "I",
    "<u2": "H",
    "|u1": "B",
    "|b1": "?",
}
_LENGTH = struct.Struct("<I")
_PRESENT = "present"


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Consecutive rows of one stream, as columns."""

    stream: str
    columns: tuple[Column, ...]
    first: int
    """Sequence of the first row."""
    timestamps: npt.NDArray[np.int64]
    """Shape (n,)."""
    column_times: npt.NDArray[np.int64]
    """Shape (n, number of columns)."""
    values: Mapping[str, Array | list[Sample | None]]
    """Column name to an array of shape (n, *column.shape), as in an `EventBlock`; large samples as
    a list of n samples, some of which may lie elsewhere, and None where nothing is."""
    tables: tuple[tuple[tuple[str, ...], Array], ...] = ()
    """Some of the same, all at once: names of columns, and an array of shape (n, columns)."""

    def part(self, begin: int, end: int) -> RowBatch:
        """Its rows from `begin` to before `end`."""
        return replace(
            self,
            first=self.first + begin,
            timestamps=self.timestamps[begin:end],
            column_times=self.column_times[begin:end],
            values={name: column[begin:end] for name, column in self.values.items()},
            tables=tuple((names, table[begin:end]) for names, table in self.tables),
        )

    @property
    def sample_bytes(self) -> int:
        """Of one row, what its large samples take when they are fetched."""
        large = [c for c in self.columns if isinstance(self.values[c.name], list)]
        return sum(_size(column) for column in large)


class RowLayout:
    """How the rows of one stream are packed, as long as it has these columns."""

    def __init__(self, stream: str, columns: tuple[Column, ...]) -> None:
        self.stream = stream
        self.columns = columns
        self._names = [c.name for c in columns]
        self._optional = [c.name for c in columns if c.optional]
        self._strings = [c for c in columns if np.dtype(c.dtype).hasobject]
        self._scalars = [c for c in columns if not c.shape and c.dtype in _CODES]
        placed = {c.name for c in (*self._strings, *self._scalars)}
        arrays = [c for c in columns if c.name not in placed]
        self._large = {
            number: column
            for number, column in enumerate(columns)
            if column.name not in placed and _size(column) >= LARGE_BYTES
        }
        self.has_large = bool(self._large)
        """Whether it has columns whose samples may lie elsewhere."""
        small = [c for c in arrays if _size(c) < LARGE_BYTES]
        self._loose = [c for c in small if c.varies or c.optional]
        self._arrays = [c for c in small if not (c.varies or c.optional)]
        self._scalar_names = [c.name for c in self._scalars]
        codes = "".join(_CODES[c.dtype] for c in self._scalars)
        bits = (len(self._optional) + 7) // 8
        self._fixed = struct.Struct(f"<IQq{len(columns)}q{codes}" + (f"{bits}s" if bits else ""))
        self._tables = [
            (f"t:{number}", dtype, optional, tuple(column.name for column in group))
            for number, ((dtype, optional), group) in enumerate(
                groupby(self._scalars, attrgetter("dtype", "optional"))
            )
        ]
        """Scalars of one type that lie side by side: a field for each of thousands takes long."""
        self._dtype = np.dtype(
            [
                ("stream", "<u4"),
                ("sequence", "<u8"),
                ("time", "<i8"),
                ("column_times", "<i8", (len(columns),)),
                *((field, dtype, (len(names),)) for field, dtype, _, names in self._tables),
                *([(_PRESENT, "u1", (bits,))] if bits else []),
                *((f"v:{c.name}", c.dtype, c.shape) for c in self._arrays),
            ]
        )
        self._has_tail = bool(self._strings or self._large or self._loose)

    def encode(self, index: int, event: Event, place: Place | None = None) -> list[Buffer]:
        """Pack an event; `place` may put its large samples elsewhere.

        Raises StorageError that names the column that does not fit.
        """
        values, times, now = event.values, event.timestamps, event.timestamp_ns
        extra: tuple[bytes, ...] = ()
        if self._optional:
            extra = (self._presence(values),)
            values = {**values, **{name: 0 for name in self._optional if values.get(name) is None}}
        try:
            fixed = self._fixed.pack(
                index,
                event.sequence,
                now,
                *[times.get(name, now) for name in self._names],
                *[values[name] for name in self._scalar_names],
                *extra,
            )
        except (KeyError, struct.error, TypeError, ValueError, OverflowError) as error:
            raise StorageError(self._explain(event)) from error
        if len(self._scalars) == len(self._names):
            return [fixed]
        arrays = [raw_bytes(self._array(c, event)) for c in self._arrays]
        large = [(n, self._array(c, event)) for n, c in self._large.items() if self._has(c, event)]
        loose = [self._loose_bytes(c, event) for c in self._loose if self._has(c, event)]
        texts = [self._text_bytes(c, event) for c in self._strings if self._has(c, event)]
        # Last: only what is known to fit is put anywhere.
        samples = (encode_large(a, place(n, raw_bytes(a)) if place else None) for n, a in large)
        return [fixed, *arrays, *chain.from_iterable((*samples, *loose, *texts))]

    def _presence(self, values: Mapping[str, Any]) -> bytes:
        there = [values.get(name) is not None for name in self._optional]
        return np.packbits(there, bitorder="little").tobytes()

    @staticmethod
    def _has(column: Column, event: Event) -> bool:
        return not column.optional or event.values.get(column.name) is not None

    def _explain(self, event: Event) -> str:
        for column in self._scalars:
            if not self._has(column, event):
                continue
            if column.name not in event.values:
                return self._missing(event, column.name)
            value = event.values[column.name]
            try:
                struct.pack(f"<{_CODES[column.dtype]}", value)
            except (struct.error, TypeError, ValueError, OverflowError):
                return (
                    f"stream {self.stream!r}, event {event.sequence}: column {column.name!r} "
                    f"began as {column.dtype} and cannot hold {value!r}"
                )
        return f"stream {self.stream!r}, event {event.sequence}: a timestamp is not an integer"

    def _missing(self, event: Event, name: str) -> str:
        return f"stream {self.stream!r}, event {event.sequence}: column {name!r} has no value"

    def _array(self, column: Column, event: Event) -> Array:
        """The event's value of an array column, checked; raises StorageError."""
        if column.name not in event.values:
            raise StorageError(self._missing(event, column.name))
        given = np.asarray(event.values[column.name])
        dtype = np.dtype(column.dtype)
        fits = len(given.shape) == len(column.shape) and all(
            wanted in (0, length) for wanted, length in zip(column.shape, given.shape, strict=True)
        )
        if not fits or not np.can_cast(given.dtype, dtype, "same_kind"):
            raise StorageError(
                f"stream {self.stream!r}, event {event.sequence}: column {column.name!r} began as "
                f"{column.dtype} of shape {column.shape} and cannot hold {given.dtype.str} of "
                f"shape {given.shape}",
                advice="record it in a stream of its own",
            )
        return given.astype(dtype, copy=False)

    def _loose_bytes(self, column: Column, event: Event) -> list[Buffer]:
        """The lengths of an array, and the array."""
        array = self._array(column, event)
        return [b"".join(map(_LENGTH.pack, array.shape)), raw_bytes(array)]

    def _text_bytes(self, column: Column, event: Event) -> list[Buffer]:
        if column.name not in event.values:
            raise StorageError(self._missing(event, column.name))
        text = clean_text(event.values[column.name]).encode()
        return [_LENGTH.pack(len(text)), text]

    def decode(self, payloads: Sequence[memoryview]) -> RowBatch:
        """Unpack consecutive rows of this stream."""
        size = self._dtype.itemsize
        if len(payloads) == 1:
            rows = np.frombuffer(payloads[0][:size], self._dtype)
        else:
            rows = np.frombuffer(b"".join([p[:size] for p in payloads]), self._dtype)
        there = self._there(rows)
        values: dict[str, Array | list[Sample | None]] = {
            c.name: rows[f"v:{c.name}"] for c in self._arrays
        }
        tables = []
        for field, dtype, optional, names in self._tables:
            cells = zip(names, rows[field].T, strict=True)
            if optional:
                values |= {name: _masked(cell, there[name], dtype) for name, cell in cells}
            else:
                values |= cells
                tables.append((names, rows[field]))
        if self._has_tail:
            values |= self._decode_tails([p[size:] for p in payloads], there)
        return RowBatch(
            self.stream,
            self.columns,
            int(rows["sequence"][0]),
            rows["time"],
            rows["column_times"],
            values,
            tuple(tables),
        )

    def _there(self, rows: Array) -> dict[str, Array]:
        """For each optional column, which rows have a value."""
        if not self._optional:
            return {}
        bits = np.unpackbits(rows[_PRESENT], axis=1, bitorder="little").astype(bool)
        return {name: bits[:, number] for number, name in enumerate(self._optional)}

    def _decode_tails(
        self, tails: Sequence[memoryview], there: Mapping[str, Array]
    ) -> dict[str, Array | list[Sample | None]]:
        columns = (*self._large.values(), *self._loose, *self._strings)
        readers: list[Callable[[memoryview, int, Column], tuple[Any, int]]] = [
            *[_read_large] * len(self._large),
            *[_read_loose] * len(self._loose),
            *[_read_text] * len(self._strings),
        ]
        found: dict[str, list[Any]] = {column.name: [] for column in columns}
        for row, tail in enumerate(tails):
            offset = 0
            for column, read in zip(columns, readers, strict=True):
                value = None
                if not column.optional or there[column.name][row]:
                    value, offset = read(tail, offset, column)
                found[column.name].append(value)
        large = {column.name: found[column.name] for column in self._large.values()}
        loose = {c.name: _loose_values(found[c.name], c) for c in self._loose}
        return {**large, **loose, **{c.name: _objects(found[c.name]) for c in self._strings}}


def _masked(values: Array, there: Array, dtype: str) -> Array:
    clean = np.where(there, values, np.asarray(nothing(dtype), dtype))
    return np.ma.array(clean, mask=~there)


def _loose_values(samples: list[Any], column: Column) -> Array:
    """Samples of one shape as an array, with a mask where they are missing; others as objects."""
    if column.varies:
        return _objects(samples)
    values = missing_values(len(samples), column)
    for row, sample in enumerate(samples):
        if sample is not None:
            values[row] = sample
    return values


def _objects(values: list[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def _read_large(tail: memoryview, offset: int, column: Column) -> tuple[Sample, int]:
    return decode_large(tail, offset, column.dtype, column.shape)


def _read_loose(tail: memoryview, offset: int, column: Column) -> tuple[Array, int]:
    dimensions = len(column.shape)
    shape = struct.unpack_from(f"<{dimensions}I", tail, offset)
    offset += _LENGTH.size * dimensions
    sample = np.frombuffer(tail, column.dtype, int(np.prod(shape, dtype=np.int64)), offset)
    return sample.reshape(shape), offset + sample.nbytes


def _read_text(tail: memoryview, offset: int, _column: Column) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(tail, offset)
    offset += _LENGTH.size + length
    return str(tail[offset - length : offset], "utf-8"), offset


def _size(column: Column) -> int:
    return np.dtype(column.dtype).itemsize * int(np.prod(column.shape, dtype=np.int64))
