"""From events and blocks to journal records, with the descriptors that they need before them.

The counterpart of `replay.py`. Bytes out, to be written in this order; only a placer, when
there is one, writes anything itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
from daq.storage.journal.stream_table import StreamTable, whole_columns

__all__ = ["RunEncoder"]

_MANY_COLUMNS = 512
_KINDS = frozenset("biufcO")


@dataclass(slots=True)
class _Stream:
    index: int
    table: StreamTable
    layout: RowLayout
    whole: tuple[str, ...]
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
        self._descriptors = 0
        """How many were written: a stream has one more each time that it widens."""
        self._channels: dict[tuple[str, str, np.dtype[Any], tuple[int, ...]], _Channel] = {}

    def streams(self) -> dict[str, tuple[tuple[Column, ...], int]]:
        """Every stream so far: its columns, and how many events were encoded."""
        streams = tuple(self._streams.items())  # a thread may add to them
        return {name: (s.layout.columns, s.count) for name, s in streams}

    def takes_long(self, event: Event) -> bool:
        """Whether describing and encoding the event may take milliseconds: then in a thread."""
        stream = self._streams.get(event.stream)
        known = len(stream.layout.columns) if stream else 0
        return max(known, len(event.columns)) > _MANY_COLUMNS or self._places(event)

    def _places(self, event: Event) -> bool:
        """Whether the event has samples for the placer: encoding it then blocks."""
        return self._placer is not None and any(
            c.shape and ChannelInfo(c.name, "", c.dtype, c.shape).sample_bytes >= LARGE_BYTES
            for c in event.columns
        )

    def event(self, event: Event) -> list[Buffer]:
        """The records of one event. A stream widens where the event does not fit its columns.

        Raises StorageError when that cannot be; it is then as if the event had never come.
        """
        stream = self._streams.get(event.stream)
        expected = stream.count if stream else 0
        if event.sequence != expected:
            raise StorageError(
                f"stream {event.stream!r} expects event {expected}, not {event.sequence}"
            )
        if stream is None:
            _check_columns(event)
            table = StreamTable(event.stream)
            table.begin(event)
            return self._begin(table, event, 0)
        columns = stream.layout.columns
        if event.columns is columns or event.columns == columns:
            row = self._row(stream, event)
            stream.table.note(event, stream.whole)
            stream.count += 1
            return row
        return self._wider_event(stream, event)

    def _wider_event(self, stream: _Stream, event: Event) -> list[Buffer]:
        """An event with other columns than its stream has by now."""
        _check_columns(event)
        table, values, times = stream.table.fit(event)
        fitted = replace(event, columns=table.columns, values=values, timestamps=times)
        if table is not stream.table:
            return self._begin(table, fitted, stream.count)
        row = self._row(stream, fitted)
        stream.count += 1
        return row

    def _begin(self, table: StreamTable, event: Event, count: int) -> list[Buffer]:
        """The descriptor of a stream that is new, or wider from now on, and the event."""
        columns = table.columns
        index, self._descriptors = self._descriptors, self._descriptors + 1
        layout = RowLayout(event.stream, columns)
        stream = _Stream(index, table, layout, whole_columns(columns), count)
        row = self._row(stream, event)
        stream.count += 1
        self._streams[event.stream] = stream
        described = records.encode_stream(index, event.stream, columns)
        return [*self._describe(Kind.STREAM, described), *row]

    def _row(self, stream: _Stream, event: Event) -> list[Buffer]:
        placer, layout = self._placer, stream.layout
        if placer is None or not layout.has_large:
            return encode_record(Kind.ROW, *layout.encode(stream.index, event))

        def place(column: int, sample: memoryview) -> Placed | None:
            return placer.place_value(event.stream, layout.columns, column, stream.count, sample)

        return encode_record(Kind.ROW, *layout.encode(stream.index, event, place))

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
    counts = Counter(column.name for column in event.columns)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if not counts or twice:
        what = f"columns {twice} occur twice" if twice else "an event has at least one column"
        raise StorageError(f"stream {event.stream!r}: {what}")
    for column in event.columns:
        _check_dtype(f"stream {event.stream!r}: column {column.name!r}", column.dtype)
        if column.name not in event.values:
            raise StorageError(
                f"stream {event.stream!r}, event {event.sequence}: column {column.name!r} has no "
                "value"
            )


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
