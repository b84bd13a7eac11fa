"""The records of events.

A row is packed by a layout that its stream's first event fixes, so that thousands of rows unpack in
one numpy call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Column, Event, StorageError
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
    values: Mapping[str, Array | list[Sample]]
    """Column name to an array of shape (n, *column.shape); strings as objects; large samples as a
    list of n samples, some of which may lie elsewhere."""

    def part(self, begin: int, end: int) -> RowBatch:
        """Its rows from `begin` to before `end`."""
        return replace(
            self,
            first=self.first + begin,
            timestamps=self.timestamps[begin:end],
            column_times=self.column_times[begin:end],
            values={name: column[begin:end] for name, column in self.values.items()},
        )

    @property
    def sample_bytes(self) -> int:
        """Of one row, what its large samples take when they are fetched."""
        large = [c for c in self.columns if isinstance(self.values[c.name], list)]
        return sum(_size(column) for column in large)


class RowLayout:
    """How the rows of one stream are packed: numbers, arrays, large arrays, strings."""

    def __init__(self, stream: str, columns: tuple[Column, ...]) -> None:
        self.stream = stream
        self.columns = columns
        self._names = [c.name for c in columns]
        self._strings = [c.name for c in columns if np.dtype(c.dtype).hasobject]
        self._scalars = [c for c in columns if not c.shape and c.dtype in _CODES]
        placed = {*self._strings, *(c.name for c in self._scalars)}
        arrays = [c for c in columns if c.name not in placed]
        self._large = {columns.index(c): c for c in arrays if _size(c) >= LARGE_BYTES}
        self.has_large = bool(self._large)
        """Whether it has columns whose samples may lie elsewhere."""
        self._arrays = [c for c in arrays if _size(c) < LARGE_BYTES]
        self._scalar_names = [c.name for c in self._scalars]
        codes = "".join(_CODES[c.dtype] for c in self._scalars)
        self._fixed = struct.Struct(f"<IQq{len(columns)}q{codes}")
        self._dtype = np.dtype(
            [
                ("stream", "<u4"),
                ("sequence", "<u8"),
                ("time", "<i8"),
                ("column_times", "<i8", (len(columns),)),
                *((f"v:{c.name}", c.dtype, c.shape) for c in (*self._scalars, *self._arrays)),
            ]
        )

    def encode(self, index: int, event: Event, place: Place | None = None) -> list[Buffer]:
        """Pack an event; `place` may put its large samples elsewhere.

        Raises StorageError that names the column that does not fit.
        """
        values, times, now = event.values, event.timestamps, event.timestamp_ns
        try:
            fixed = self._fixed.pack(
                index,
                event.sequence,
                now,
                *[times.get(name, now) for name in self._names],
                *[values[name] for name in self._scalar_names],
            )
        except (KeyError, struct.error, TypeError, ValueError, OverflowError) as error:
            raise StorageError(self._explain(event)) from error
        if len(self._scalars) == len(self._names):
            return [fixed]
        arrays = [raw_bytes(self._array(c, event)) for c in self._arrays]
        large = [(number, self._array(c, event)) for number, c in self._large.items()]
        texts = self._texts(event)
        # Last: only what is known to fit is put anywhere.
        samples = (encode_large(a, place(n, raw_bytes(a)) if place else None) for n, a in large)
        return [fixed, *arrays, *chain.from_iterable(samples), *texts]

    def _explain(self, event: Event) -> str:
        for column in self._scalars:
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
        wanted = np.dtype(column.dtype)
        if given.shape != column.shape or not np.can_cast(given.dtype, wanted, "same_kind"):
            raise StorageError(
                f"stream {self.stream!r}, event {event.sequence}: column {column.name!r} began as "
                f"{column.dtype} of shape {column.shape} and cannot hold {given.dtype.str} of "
                f"shape {given.shape}",
                advice="record it in a stream of its own",
            )
        return given.astype(wanted, copy=False)

    def _texts(self, event: Event) -> list[Buffer]:
        packed: list[Buffer] = []
        for name in self._strings:
            if name not in event.values:
                raise StorageError(self._missing(event, name))
            text = clean_text(event.values[name]).encode()
            packed += [_LENGTH.pack(len(text)), text]
        return packed

    def decode(self, payloads: Sequence[memoryview]) -> RowBatch:
        """Unpack consecutive rows of this stream."""
        size = self._dtype.itemsize
        if len(payloads) == 1:
            rows = np.frombuffer(payloads[0][:size], self._dtype)
        else:
            rows = np.frombuffer(b"".join([p[:size] for p in payloads]), self._dtype)
        values: dict[str, Array | list[Sample]] = {
            c.name: rows[f"v:{c.name}"] for c in (*self._scalars, *self._arrays)
        }
        if self._strings or self._large:
            values |= self._decode_tails([p[size:] for p in payloads])
        return RowBatch(
            self.stream,
            self.columns,
            int(rows["sequence"][0]),
            rows["time"],
            rows["column_times"],
            values,
        )

    def _decode_tails(self, tails: Sequence[memoryview]) -> dict[str, Array | list[Sample]]:
        texts = {name: np.empty(len(tails), dtype=object) for name in self._strings}
        samples: dict[str, list[Sample]] = {c.name: [] for c in self._large.values()}
        for row, tail in enumerate(tails):
            offset = 0
            for column in self._large.values():
                sample, offset = decode_large(tail, offset, column.dtype, column.shape)
                samples[column.name].append(sample)
            for name in self._strings:
                (length,) = _LENGTH.unpack_from(tail, offset)
                offset += _LENGTH.size + length
                texts[name][row] = str(tail[offset - length : offset], "utf-8")
        return {**texts, **samples}


def _size(column: Column) -> int:
    return np.dtype(column.dtype).itemsize * int(np.prod(column.shape, dtype=np.int64))
