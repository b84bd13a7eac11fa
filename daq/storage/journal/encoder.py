"""From events and blocks to journal records, with the descriptors that they need before them.

The counterpart of `replay.py`. Bytes out, to be written in this order; only a placer, when
there is one, writes anything itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from daq.core import Column, Event, Measurement, StorageError, merge_blocks
from daq.storage.journal import records
from daq.storage.journal.block_records import encode_block
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.framing import Buffer, encode_record
from daq.storage.journal.placed import LARGE_BYTES, Placed, Placer
from daq.storage.journal.records import Kind, raw_bytes
from daq.storage.journal.row_records import RowLayout

__all__ = ["RunEncoder"]

_KINDS = frozenset("biufcO")


@dataclass(slots=True)
class _Stream:
    index: int
    layout: RowLayout
    count: int = 0


@dataclass(slots=True)
class _Channel:
    info: ChannelInfo
    index: int
    is_large: bool
    count: int = 0


class RunEncoder:
    """Knows the streams and channels that the journal of one run describes so far."""

    def __init__(self, placer: Placer | None = None) -> None:
        self._placer = placer
        self.descriptions: list[Buffer] = []
        """The records that say what the streams and channels so far hold, for repeating them."""
        self._streams: dict[str, _Stream] = {}
        self._channels: dict[tuple[str, str, np.dtype[Any], tuple[int, ...]], _Channel] = {}

    def streams(self) -> dict[str, tuple[tuple[Column, ...], int]]:
        """Every stream so far: its columns, and how many events were encoded."""
        return {name: (s.layout.columns, s.count) for name, s in self._streams.items()}

    def places(self, event: Event) -> bool:
        """Whether the event has samples for the placer: encoding it then blocks."""
        return self._placer is not None and any(
            c.shape and ChannelInfo(c.name, "", c.dtype, c.shape).sample_bytes >= LARGE_BYTES
            for c in event.columns
        )

    def event(self, event: Event) -> list[Buffer]:
        """The records of one event. The first event of a stream fixes its columns.

        Raises StorageError when the event does not fit; it is then as if it had never come.
        """
        stream = self._streams.get(event.stream)
        if stream is None:
            return self._first_event(event)
        columns = stream.layout.columns
        if event.columns is not columns and event.columns != columns:
            _check_same(event, columns)
        if event.sequence != stream.count:
            raise StorageError(
                f"stream {event.stream!r} expects event {stream.count}, not {event.sequence}"
            )
        row = self._row(stream, event)
        stream.count += 1
        return row

    def _row(self, stream: _Stream, event: Event) -> list[Buffer]:
        placer, layout = self._placer, stream.layout
        if placer is None or not layout.has_large:
            return encode_record(Kind.ROW, *layout.encode(stream.index, event))

        def place(column: int, sample: memoryview) -> Placed | None:
            return placer.place_value(event.stream, layout.columns, column, stream.count, sample)

        return encode_record(Kind.ROW, *layout.encode(stream.index, event, place))

    def _first_event(self, event: Event) -> list[Buffer]:
        _check_columns(event)
        stream = _Stream(len(self._streams), RowLayout(event.stream, event.columns))
        row = self._row(stream, event)
        stream.count = 1
        described = records.encode_stream(stream.index, event.stream, event.columns)
        self._streams[event.stream] = stream
        return [*self._describe(Kind.STREAM, described), *row]

    def _describe(self, kind: Kind, description: bytes) -> list[Buffer]:
        """Twice: without it nothing of the stream or channel could be read back."""
        record = encode_record(kind, description)
        self.descriptions += record
        return record * 2

    def blocks(self, blocks: Iterable[Measurement]) -> list[Buffer]:
        """The records of blocks that the bus carried outside of events.

        Blocks of a channel that follow one another are joined. A channel that comes back with
        other units, type or shape begins a log of its own.
        """
        buffers: list[Buffer] = []
        for block in merge_blocks(blocks):
            key = (block.channel, block.units, block.values.dtype, block.sample_shape)
            known = self._channels.get(key)
            if known is None:
                info = ChannelInfo.of(block)
                _check_dtype(f"channel {info.name!r}", info.dtype)
                is_large = info.sample_bytes >= LARGE_BYTES
                known = self._channels[key] = _Channel(info, len(self._channels), is_large)
                buffers += self._describe(Kind.CHANNEL, records.encode_channel(known.index, info))
            places = self._place_block(known, block) if known.is_large else ()
            buffers += encode_record(Kind.BLOCK, *encode_block(known.index, block, places))
            known.count += len(block)
        return buffers

    def _place_block(self, known: _Channel, block: Measurement) -> list[Placed | None]:
        if self._placer is None:
            return [None] * len(block)
        return [
            self._placer.place_block(known.index, known.info, row, raw_bytes(sample))
            for row, sample in enumerate(block.values, known.count)
        ]


def _check_columns(event: Event) -> None:
    names = [column.name for column in event.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"columns {twice} occur twice" if twice else "an event has at least one column"
        raise StorageError(f"stream {event.stream!r}: {what}")
    if event.sequence != 0:
        raise StorageError(f"stream {event.stream!r} expects event 0, not {event.sequence}")
    for column in event.columns:
        what = f"stream {event.stream!r}: column {column.name!r}"
        _check_dtype(what, column.dtype)
        if 0 in column.shape:
            raise StorageError(f"{what}: an array of shape {column.shape} holds nothing")


def _check_dtype(what: str, dtype: str) -> None:
    try:
        kind = np.dtype(dtype).kind
    except TypeError as error:
        raise StorageError(f"{what} has the unknown type {dtype!r}") from error
    if kind not in _KINDS:
        raise StorageError(
            f"{what} has the type {dtype!r}, which cannot be stored",
            advice="numbers, booleans, strings and arrays of numbers can",
        )


def _check_same(event: Event, columns: tuple[Column, ...]) -> None:
    """Other types may still fit; other names, shapes or units are another stream."""
    new = {(c.name, c.units, c.shape) for c in event.columns}
    old = {(c.name, c.units, c.shape) for c in columns}
    if new != old:
        raise StorageError(
            f"stream {event.stream!r} began with the columns {_show(columns)}; "
            f"event {event.sequence} has {_show(event.columns)}",
            advice="record the same devices and values every time, or use another stream",
        )


def _show(columns: Iterable[Column]) -> str:
    return ", ".join(f"{c.name}{list(c.shape) or ''} {c.units}".rstrip() for c in columns)
