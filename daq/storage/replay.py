"""From a journal's raw records back to what they say, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from daq.core import RunStart, RunStop, StorageError
from daq.storage import records
from daq.storage.journal import JournalReader, RawRecord
from daq.storage.records import BlockBatch, ChannelInfo, Kind, RowBatch, RowLayout

__all__ = ["Batch", "JournalReplay", "RecordDecoder"]

Batch = RunStart | RowBatch | BlockBatch | RunStop


class RecordDecoder:
    """Knows the streams and channels seen so far, and turns records into batches."""

    def __init__(self) -> None:
        self._layouts: dict[int, RowLayout] = {}
        self._channels: dict[int, ChannelInfo] = {}

    def decode(self, raw: Iterable[RawRecord]) -> Iterator[Batch]:
        """Consecutive rows of a stream, and consecutive blocks of a channel, come as one batch."""
        for (kind, index), group in groupby(raw, key=_group):
            payloads = [record.payload for record in group]
            if kind == Kind.ROW:
                yield self._layouts[index].decode(payloads)
            elif kind == Kind.BLOCK:
                yield _join([records.decode_block(p, self._channels) for p in payloads])
            else:
                yield from self._single(kind, payloads)

    def _single(self, kind: int, payloads: Iterable[memoryview]) -> Iterator[Batch]:
        for payload in payloads:
            if kind == Kind.START:
                yield records.decode_start(payload)
            elif kind == Kind.STOP:
                yield records.decode_stop(payload)
            elif kind == Kind.STREAM:
                index, name, columns = records.decode_stream(payload)
                self._layouts[index] = RowLayout(name, columns)
            elif kind == Kind.CHANNEL:
                index, channel = records.decode_channel(payload)
                self._channels[index] = channel
            else:
                raise StorageError(f"a record of the unknown kind {kind} is in the journal")


class JournalReplay:
    """Walks through one journal, batch by batch, from its beginning."""

    def __init__(self, path: Path) -> None:
        self._reader = JournalReader(path)
        self._decoder = RecordDecoder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def offset(self) -> int:
        """Bytes of the journal that were read and understood."""
        return self._reader.offset

    @property
    def torn(self) -> int:
        """Bytes behind the last good record, once `read` has returned nothing."""
        return self._reader.torn

    def read(self, end: int | None = None) -> list[Batch] | None:
        """The next few MiB, as batches; None at the end, or at the offset `end`.

        The list may be empty: descriptors of streams say something, but are no batch.
        """
        raw = self._reader.read(end)
        return list(self._decoder.decode(raw)) if raw else None

    def close(self) -> None:
        """Let the file go."""
        self._reader.close()


def _group(record: RawRecord) -> tuple[int, int]:
    if record.kind in (Kind.ROW, Kind.BLOCK):
        return record.kind, records.stream_of_row(record.payload)
    return record.kind, 0


def _join(batches: list[BlockBatch]) -> BlockBatch:
    if len(batches) == 1:
        return batches[0]
    return BlockBatch(
        batches[0].index,
        batches[0].channel,
        np.concatenate([b.timestamps for b in batches]),
        np.concatenate([b.values for b in batches]),
    )
