"""From a journal's raw records back to what they say, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import Self

import numpy as np

from daq.core import RunStart, RunStop, StorageError
from daq.storage.journal import records
from daq.storage.journal.block_records import BlockBatch, decode_block, decode_small_blocks
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.journal import JournalReader, RawRecord
from daq.storage.journal.placed import LARGE_BYTES, Placed, PlacedReader, Sample
from daq.storage.journal.records import Kind
from daq.storage.journal.row_records import RowBatch, RowLayout

__all__ = ["Batch", "JournalReplay", "RecordDecoder"]

_PART_BYTES = 16 << 20

Batch = RunStart | RowBatch | BlockBatch | RunStop


class RecordDecoder:
    """Knows the streams and channels seen so far, and turns records into batches."""

    def __init__(self) -> None:
        self._layouts: dict[int, RowLayout] = {}
        self._channels: dict[int, ChannelInfo] = {}
        self._large: set[tuple[int, int]] = set()
        """The kind and index of what has large samples."""

    def decode(self, raw: Iterable[RawRecord]) -> Iterator[Batch]:
        """What some consecutive records say, with as few batches as can be.

        A thousand channels that take turns come as one batch each: written one by one they would
        take HDF5 a tenth of a millisecond a sample. So what is small comes first, by stream and by
        channel; then what has large samples, in its order, and last the end of the run.
        """
        small: dict[tuple[int, int], list[memoryview]] = {}
        large: list[tuple[tuple[int, int], memoryview]] = []
        last: list[Batch] = []
        for record in raw:
            key = _group(record)
            if record.kind not in (Kind.ROW, Kind.BLOCK):
                found = list(self._single(record.kind, record.payload))
                yield from (batch for batch in found if isinstance(batch, RunStart))
                last += [batch for batch in found if isinstance(batch, RunStop)]
            elif key in self._large:
                large.append((key, record.payload))
            else:
                small.setdefault(key, []).append(record.payload)
        for key, payloads in small.items():
            yield self._batch(key, payloads)
        for key, group in groupby(large, key=_key):
            yield self._batch(key, [payload for _, payload in group])
        yield from last

    def _batch(self, key: tuple[int, int], payloads: list[memoryview]) -> Batch:
        kind, index = key
        if kind == Kind.ROW:
            return self._layouts[index].decode(payloads)
        channel = self._channels[index]
        if key not in self._large and len(payloads) > 1:
            whole = decode_small_blocks(payloads, channel)
            if whole is not None:
                return whole
        return _join([decode_block(p, self._channels) for p in payloads])

    def _single(self, kind: int, payload: memoryview) -> Iterator[Batch]:
        if kind == Kind.START:
            yield records.decode_start(payload)
        elif kind == Kind.STOP:
            yield records.decode_stop(payload)
        elif kind == Kind.STREAM:
            index, name, columns = records.decode_stream(payload)
            layout = self._layouts[index] = RowLayout(name, columns)
            if layout.has_large:
                self._large.add((Kind.ROW, index))
        elif kind == Kind.CHANNEL:
            index, channel = records.decode_channel(payload)
            self._channels[index] = channel
            if channel.sample_bytes >= LARGE_BYTES:
                self._large.add((Kind.BLOCK, index))
        else:
            raise StorageError(f"a record of the unknown kind {kind} is in the journal")


class JournalReplay:
    """Walks through one journal, batch by batch, from its beginning.

    With `placed`, the file in which large samples lie, batches hold the samples themselves; what
    comes behind one that is not there was never safe, and is not read.
    """

    def __init__(self, path: Path, placed: Path | None = None) -> None:
        self._reader = JournalReader(path)
        self._decoder = RecordDecoder()
        self._placed = PlacedReader(placed) if placed else None
        self.cut = False
        """Whether it ended because of a sample that is not there."""

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

    def read(self, end: int | None = None) -> Iterator[Batch] | None:
        """The next few MiB, as batches; None at the end, or at the offset `end`.

        There may be no batch in them: descriptors of streams say something, but are none. Take all
        before the next call. Large samples are fetched while they are taken, some MiB at a time:
        a few MiB of a journal may tell of gigabytes of frames.
        """
        raw = [] if self.cut else self._reader.read(end)
        if not raw:
            return None
        batches = self._decoder.decode(raw)
        return batches if self._placed is None else self._fetch(batches, self._placed)

    def _fetch(self, batches: Iterable[Batch], placed: PlacedReader) -> Iterator[Batch]:
        for part in chain.from_iterable(map(_in_parts, batches)):
            if isinstance(part, RunStart | RunStop):
                yield part
                continue
            whole = _fetch_samples(part, placed)
            if len(whole.timestamps):
                yield whole
            if len(whole.timestamps) < len(part.timestamps):
                self.cut = True
                return

    def close(self) -> None:
        """Let the files go."""
        self._reader.close()
        if self._placed is not None:
            self._placed.close()


def _key(item: tuple[tuple[int, int], memoryview]) -> tuple[int, int]:
    return item[0]


def _group(record: RawRecord) -> tuple[int, int]:
    if record.kind in (Kind.ROW, Kind.BLOCK):
        return record.kind, records.stream_of_row(record.payload)
    return record.kind, 0


def _join(batches: list[BlockBatch]) -> BlockBatch:
    first = batches[0]
    if len(batches) == 1:
        return first
    timestamps = np.concatenate([batch.timestamps for batch in batches])
    if isinstance(first.values, list):
        samples = list(chain.from_iterable(batch.values for batch in batches))
        return replace(first, timestamps=timestamps, values=samples)
    values = np.concatenate([np.asarray(batch.values) for batch in batches])
    return replace(first, timestamps=timestamps, values=values)


def _in_parts(batch: Batch) -> Iterator[Batch]:
    """The same batch in pieces that fit into memory when their large samples are there too."""
    if isinstance(batch, RunStart | RunStop) or not batch.sample_bytes:
        yield batch
        return
    rows = max(1, _PART_BYTES // batch.sample_bytes)
    for begin in range(0, len(batch.timestamps), rows):
        yield batch.part(begin, begin + rows)


def _fetch_samples(batch: RowBatch | BlockBatch, placed: PlacedReader) -> RowBatch | BlockBatch:
    """The batch with its samples; shorter by what follows the first one that is not there."""
    if isinstance(batch, BlockBatch):
        if isinstance(batch.values, np.ndarray):
            return batch
        samples = _fetch_column(batch.values, batch.channel.dtype, batch.channel.shape, placed)
        return replace(batch, timestamps=batch.timestamps[: len(samples)], values=samples)
    large = {
        c.name: _fetch_column(column, c.dtype, c.shape, placed)
        for c in batch.columns
        if isinstance(column := batch.values[c.name], list)
    }
    rows = min(map(len, large.values()), default=len(batch.timestamps))
    return replace(batch, values={**batch.values, **large}).part(0, rows)


def _fetch_column(
    column: Iterable[Sample], dtype: str, shape: tuple[int, ...], placed: PlacedReader
) -> list[Sample]:
    samples: list[Sample] = []
    for sample in column:
        found = placed.read(sample, dtype, shape) if isinstance(sample, Placed) else sample
        if found is None:
            break
        samples.append(found)
    return samples
