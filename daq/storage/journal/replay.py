"""From a journal's raw records back to what they say, in batches."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from daq.core import RunStart, RunStop
from daq.storage.journal import records
from daq.storage.journal.block_records import BlockBatch, decode_block, decode_small_blocks
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.framing import RawRecord
from daq.storage.journal.journal import JournalReader
from daq.storage.journal.losses import Gap, Losses
from daq.storage.journal.placed import LARGE_BYTES, Placed, PlacedReader, Sample
from daq.storage.journal.records import Kind
from daq.storage.journal.row_records import RowBatch, RowLayout

__all__ = ["Batch", "JournalReplay", "RecordDecoder"]

_PART_BYTES = 16 << 20
_ODD = (ValueError, KeyError, TypeError, IndexError, struct.error, OverflowError)
"""What a record raises that does not say what a record of its kind should."""

Batch = RunStart | RowBatch | BlockBatch | RunStop

_log = logging.getLogger(__name__)


class RecordDecoder:
    """Knows the streams and channels seen so far, and turns records into batches."""

    def __init__(self) -> None:
        self._layouts: dict[int, RowLayout] = {}
        self._channels: dict[int, ChannelInfo] = {}
        self._large: set[tuple[int, int]] = set()
        """The kind and index of what has large samples."""
        self._large_streams: set[str] = set()
        """They keep their order also when they go on without large samples."""
        self._known: set[tuple[int, int]] = set()
        """Kind and checksum of every description: they are repeated, see `RunJournal`."""
        self._start: RunStart | None = None
        self._orphans: dict[int, int] = {}
        self.acknowledged = 0
        """Events in all, by the record of the run's end."""
        self.odd = 0
        """Records that are whole, and that say nothing that can be understood."""

    @property
    def orphans(self) -> int:
        """Events of streams whose columns nothing tells."""
        return sum(self._orphans.values())

    def learn(self, raw: Iterable[RawRecord]) -> None:
        """Take in what the records say of the run, its streams and channels, and nothing else."""
        for record in raw:
            if record.kind in (Kind.START, Kind.STREAM, Kind.CHANNEL):
                self._understand(record)

    def decode(self, raw: Iterable[RawRecord]) -> Iterator[Batch]:
        """What some consecutive records say, with as few batches as can be.

        A thousand channels that take turns come as one batch each: written one by one they would
        take HDF5 a tenth of a millisecond a sample. So what is small comes first, by stream and by
        channel; then what has large samples, in its order, and last the end of the run.
        """
        small: dict[tuple[int, int], list[memoryview]] = {}
        large: list[tuple[tuple[int, int], memoryview]] = []
        last: list[RunStop] = []
        for record in raw:
            if record.kind not in (Kind.ROW, Kind.BLOCK):
                last += filter(None, [self._understand(record)])
                continue
            key = (record.kind, records.stream_of_row(record.payload))
            if key in self._large:
                large.append((key, record.payload))
            elif key[1] in (self._layouts if key[0] == Kind.ROW else self._channels):
                small.setdefault(key, []).append(record.payload)
            elif key[0] == Kind.ROW:
                self._orphans[key[1]] = records.sequence_of_row(record.payload) + 1
        if self._start is not None:
            yield self._start
            self._start = None
        for key, payloads in small.items():
            yield from self._batches(key, payloads)
        for key, group in groupby(large, key=_key):
            yield from self._batches(key, [payload for _, payload in group])
        yield from last

    def _batches(self, key: tuple[int, int], payloads: list[memoryview]) -> list[Batch]:
        """One batch; one each when not all of them can be understood."""
        try:
            return [self._batch(key, payloads)]
        except _ODD as error:
            if len(payloads) == 1:
                self._give_up(error)
                return []
            return [batch for payload in payloads for batch in self._batches(key, [payload])]

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

    def _understand(self, record: RawRecord) -> RunStop | None:
        """Take in what is no data; gives the run's end when it is that."""
        kind, payload = record
        key = (kind, zlib.crc32(payload))
        if key in self._known:
            return None
        try:
            self._take_in(kind, payload)
            if kind != Kind.STOP:
                self._known.add(key)
                return None
            self.acknowledged = records.points_at_stop(payload)
            return records.decode_stop(payload)
        except _ODD as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        self.odd += 1
        _log.error("a record of a journal cannot be understood: %s", error)

    def _take_in(self, kind: int, payload: memoryview) -> None:
        if kind == Kind.START:
            self._start = records.decode_start(payload)
        elif kind == Kind.STREAM:
            index, name, columns = records.decode_stream(payload)
            layout = self._layouts[index] = RowLayout(name, columns)
            if layout.has_large:
                self._large_streams.add(name)
            self._large |= {
                (Kind.ROW, number)
                for number, each in self._layouts.items()
                if each.stream in self._large_streams
            }
        elif kind == Kind.CHANNEL:
            index, channel = records.decode_channel(payload)
            self._channels[index] = channel
            if channel.sample_bytes >= LARGE_BYTES:
                self._large.add((Kind.BLOCK, index))
        elif kind != Kind.STOP:
            _log.warning("a record of the unknown kind %d is in a journal, and left out", kind)


class JournalReplay:
    """Walks through one journal, batch by batch, from its beginning.

    With `placed`, the file in which large samples lie, batches hold the samples themselves; an
    event of which one is not there as it was written is missing. What is damaged is left out and
    counted, and events keep following one another without a gap.

    `live` for a run that is open: when the file of its large samples has gone, so has the run, and
    nothing more is read.
    """

    def __init__(self, path: Path, placed: Path | None = None, *, live: bool = False) -> None:
        self._reader = JournalReader(path)
        self._decoder = RecordDecoder()
        self._placed = PlacedReader(placed) if placed else None
        self._live = live
        self._surveyed = False
        self._lost_samples = 0
        self._seen: dict[str, int] = {}
        """Events of each stream, by the numbers of those that are there."""
        self._given: dict[str, int] = {}
        """The number of the event that comes next."""
        self._gaps: dict[str, list[Gap]] = {}
        self.cut = False
        """Whether it ended because the large samples are not there any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def offset(self) -> int:
        """Bytes of the journal that were read and understood."""
        return self._reader.offset

    @property
    def is_damaged(self) -> bool:
        """Whether something is missing so far."""
        return bool(self._reader.damages or self._gaps)

    def losses(self) -> Losses:
        """What is missing of all, once `read` has returned nothing."""
        ends = {
            stream: ((given, self._seen[stream] - given),)
            for stream, given in self._given.items()
            if given < self._seen[stream]
        }
        streams = dict.fromkeys([*self._gaps, *ends])
        return Losses(
            {name: (*self._gaps.get(name, ()), *ends.get(name, ())) for name in streams},
            self._decoder.orphans,
            len(self._reader.damages),
            sum(damage.size for damage in self._reader.damages),
            self._lost_samples,
            self._decoder.odd,
            self._reader.torn,
            self._decoder.acknowledged,
        )

    def read(self, end: int | None = None) -> Iterator[Batch] | None:
        """The next few MiB, as batches; None at the end, or at the offset `end`.

        There may be no batch in them: descriptors of streams say something, but are none. Take all
        before the next call. Large samples are fetched while they are taken, some MiB at a time:
        a few MiB of a journal may tell of gigabytes of frames.
        """
        raw = [] if self.cut else self._reader.read(end)
        if not raw:
            return None
        if self._reader.damages and not self._surveyed:
            self._survey()
        return self._walk(raw)

    def _survey(self) -> None:
        """Learn from all of a damaged journal what it says of its streams, wherever it says so."""
        self._surveyed = True
        reader = JournalReader(self._reader.path)
        try:
            while raw := reader.read():
                self._decoder.learn(raw)
        finally:
            reader.close()

    def _walk(self, raw: Sequence[RawRecord]) -> Iterator[Batch]:
        for batch in self._decoder.decode(raw):
            if isinstance(batch, RunStart | RunStop):
                yield batch
                continue
            if isinstance(batch, RowBatch):
                last = batch.first + len(batch.timestamps)
                self._given.setdefault(batch.stream, 0)
                self._seen[batch.stream] = max(last, self._seen.get(batch.stream, 0))
            for part in self._fetch(batch):
                if self.cut:
                    return
                yield from self._in_order(part) if isinstance(part, RowBatch) else (part,)

    def _in_order(self, batch: RowBatch) -> Iterator[RowBatch]:
        """The same rows, numbered as they follow one another, and what is missing noted."""
        given, rows = self._given[batch.stream], len(batch.timestamps)
        if batch.first < given:  # nothing was acknowledged twice
            batch = batch.part(min(given - batch.first, rows), rows)
        elif batch.first > given:
            self._gaps.setdefault(batch.stream, []).append((given, batch.first - given))
        if len(batch.timestamps):
            self._given[batch.stream] = batch.first + len(batch.timestamps)
            missing = sum(count for _, count in self._gaps.get(batch.stream, ()))
            yield replace(batch, first=batch.first - missing) if missing else batch

    def _fetch(self, batch: RowBatch | BlockBatch) -> Iterator[RowBatch | BlockBatch]:
        """The batch with its large samples, in pieces that fit into memory."""
        if self._placed is None:
            yield batch
            return
        for part in _in_parts(batch):
            whole, lost = _fetch_samples(part, self._placed)
            self.cut = self._live and self._placed.is_gone
            self._lost_samples += lost
            yield from whole

    def close(self) -> None:
        """Let the files go."""
        self._reader.close()
        if self._placed is not None:
            self._placed.close()


def _key(item: tuple[tuple[int, int], memoryview]) -> tuple[int, int]:
    return item[0]


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


def _in_parts(batch: RowBatch | BlockBatch) -> Iterator[RowBatch | BlockBatch]:
    """The same batch in pieces that fit into memory when their large samples are there too."""
    if not batch.sample_bytes:
        yield batch
        return
    rows = max(1, _PART_BYTES // batch.sample_bytes)
    for begin in range(0, len(batch.timestamps), rows):
        yield batch.part(begin, begin + rows)


def _fetch_samples(
    batch: RowBatch | BlockBatch, placed: PlacedReader
) -> tuple[list[RowBatch | BlockBatch], int]:
    """The batch with its samples, without the rows of which one is not there; and how many."""
    whole: RowBatch | BlockBatch
    if isinstance(batch, BlockBatch):
        if isinstance(batch.values, np.ndarray):
            return [batch], 0
        samples = _fetch_column(batch.values, batch.channel.dtype, batch.channel.shape, placed)
        whole = replace(batch, values=samples)
        found = np.array([sample is not None for sample in samples])
    else:
        large = {
            c.name: _fetch_column(column, c.dtype, c.shape, placed)
            for c in batch.columns
            if isinstance(column := batch.values[c.name], list)
        }
        whole = replace(batch, values={**batch.values, **large})
        found = np.ones(len(batch.timestamps), bool)
        for name, column in large.items():
            pairs = zip(column, batch.values[name], strict=True)
            found &= [sample is not None or told is None for sample, told in pairs]
    parts: list[RowBatch | BlockBatch] = [whole.part(*ends) for ends in _stretches(found)]
    return parts, int(np.count_nonzero(~found))


def _stretches(found: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where those that are true follow one another, from a first to before an end."""
    edges = np.flatnonzero(np.diff(found, prepend=False, append=False))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _fetch_column(
    column: Iterable[Sample | None], dtype: str, shape: tuple[int, ...], placed: PlacedReader
) -> list[Any]:
    """Each sample itself, or None for one that is not there."""
    return [
        placed.read(sample, dtype, shape) if isinstance(sample, Placed) else sample
        for sample in column
    ]
