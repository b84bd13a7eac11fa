"""What the records of a journal say, and how it is packed.

A row is packed by a layout that its stream's first event fixes, so that thousands of rows unpack in
one numpy call. Arrays are their raw bytes; everything rare is msgpack.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from daq.core import Column, Event, Measurement, RunOutcome, RunStart, RunStop, StorageError
from daq.storage.journal import Buffer

__all__ = [
    "BlockBatch",
    "ChannelInfo",
    "Kind",
    "RowBatch",
    "RowLayout",
    "clean_text",
    "decode_block",
    "decode_channel",
    "decode_start",
    "decode_stop",
    "decode_stream",
    "encode_block",
    "encode_channel",
    "encode_start",
    "encode_stop",
    "encode_stream",
    "plain",
    "stream_of_row",
]

Array = npt.NDArray[Any]

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
_BLOCK = struct.Struct("<IIQ")
_LENGTH = struct.Struct("<I")


class Kind(IntEnum):
    """The kinds of records. Numbers are never reused."""

    START = 1
    STREAM = 2
    ROW = 3
    CHANNEL = 4
    BLOCK = 5
    STOP = 6


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel of the bus whose blocks are stored outside of events."""

    name: str
    units: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, block: Measurement) -> ChannelInfo:
        """What a block tells of its channel."""
        return cls(block.channel, block.units, block.values.dtype.str, block.sample_shape)


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
    values: Mapping[str, Array]
    """Column name to an array of shape (n, *column.shape); strings as objects."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockBatch:
    """Consecutive samples of one channel."""

    index: int
    """Tells channels apart, also when one came back with another shape."""
    channel: ChannelInfo
    timestamps: npt.NDArray[np.int64]
    values: Array


def plain(value: Any) -> Any:
    """The closest plain value for something that is none: the fallback of every encoder here."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


def clean_text(text: str) -> str:
    """The same text for UTF-8 and HDF5: a lone surrogate as its escape, NUL as a visible sign."""
    shown = str(text).replace("\0", "\N{SYMBOL FOR NULL}")
    return shown.encode(errors="backslashreplace").decode()


def _pack(value: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(value, default=plain, unicode_errors="backslashreplace")
    except (OverflowError, ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"the run's description cannot be stored: {error}") from error
    return packed


def _unpack(payload: Buffer) -> Any:
    return msgpack.unpackb(payload, strict_map_key=False)


def encode_start(start: RunStart) -> bytes:
    return _pack({name: getattr(start, name) for name in start.__dataclass_fields__})


def decode_start(payload: Buffer) -> RunStart:
    return RunStart(**_unpack(payload))


def encode_stop(stop: RunStop) -> bytes:
    return _pack(asdict(stop))


def decode_stop(payload: Buffer) -> RunStop:
    fields = _unpack(payload)
    return RunStop(**fields | {"outcome": RunOutcome(fields["outcome"])})


def encode_stream(index: int, name: str, columns: Sequence[Column]) -> bytes:
    return _pack([index, name, [asdict(column) for column in columns]])


def decode_stream(payload: Buffer) -> tuple[int, str, tuple[Column, ...]]:
    index, name, columns = _unpack(payload)
    return index, name, tuple(Column(**c | {"shape": tuple(c["shape"])}) for c in columns)


def encode_channel(index: int, channel: ChannelInfo) -> bytes:
    return _pack([index, channel.name, channel.units, channel.dtype, channel.shape])


def decode_channel(payload: Buffer) -> tuple[int, ChannelInfo]:
    index, name, units, dtype, shape = _unpack(payload)
    return index, ChannelInfo(name, units, dtype, tuple(shape))


def encode_block(index: int, block: Measurement) -> list[Buffer]:
    head = _BLOCK.pack(index, len(block), block.sequence)
    return [head, _raw(block.timestamps), _raw(block.values)]


def decode_block(payload: memoryview, channels: Mapping[int, ChannelInfo]) -> BlockBatch:
    index, count, _sequence = _BLOCK.unpack_from(payload)
    channel = channels[index]
    middle = _BLOCK.size + 8 * count
    timestamps = np.frombuffer(payload[_BLOCK.size : middle], dtype=np.int64)
    values = np.frombuffer(payload[middle:], dtype=channel.dtype)
    return BlockBatch(index, channel, timestamps, values.reshape((count, *channel.shape)))


def _raw(array: Array) -> memoryview:
    """The bytes of an array in C order, not copied when they lie that way already."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data if flat.size else memoryview(b"")


def stream_of_row(payload: memoryview) -> int:
    """The index of the stream that a row belongs to."""
    index: int = _LENGTH.unpack_from(payload)[0]
    return index


class RowLayout:
    """How the rows of one stream are packed: numbers, then arrays, then strings."""

    def __init__(self, stream: str, columns: tuple[Column, ...]) -> None:
        self.stream = stream
        self.columns = columns
        self._names = [c.name for c in columns]
        self._strings = [c.name for c in columns if np.dtype(c.dtype).hasobject]
        self._scalars = [c for c in columns if not c.shape and c.dtype in _CODES]
        placed = {*self._strings, *(c.name for c in self._scalars)}
        self._arrays = [c for c in columns if c.name not in placed]
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

    def encode(self, index: int, event: Event) -> list[Buffer]:
        """Pack an event; raises StorageError that names the column that does not fit."""
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
        return [
            fixed,
            *map(self._array, self._arrays, [event] * len(self._arrays)),
            *self._texts(event),
        ]

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

    def _array(self, column: Column, event: Event) -> Buffer:
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
        return _raw(given.astype(wanted, copy=False))

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
        values: dict[str, Array] = {
            c.name: rows[f"v:{c.name}"] for c in self.columns if c.name not in self._strings
        }
        if self._strings:
            values |= self._decode_texts([p[size:] for p in payloads])
        return RowBatch(
            self.stream,
            self.columns,
            int(rows["sequence"][0]),
            rows["time"],
            rows["column_times"],
            values,
        )

    def _decode_texts(self, tails: Sequence[memoryview]) -> dict[str, Array]:
        texts = {name: np.empty(len(tails), dtype=object) for name in self._strings}
        for row, tail in enumerate(tails):
            offset = 0
            for name in self._strings:
                (length,) = _LENGTH.unpack_from(tail, offset)
                offset += _LENGTH.size + length
                texts[name][row] = str(tail[offset - length : offset], "utf-8")
        return dict(texts)
