"""Reads the daemon's ring from another process of the machine, without asking the daemon.

    from daq.bus.ring import RingReader

    with RingReader("daq-data/ring", "camera") as ring:
        for block in ring.follow():
            print(block.sequence, block.values.mean(), ring.lost("camera"))

Imports neither trio nor anything that talks to a network. The layout of the file is in `README.md`
beside this file, for readers in other languages.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from daq.bus import ring_layout as layout
from daq.bus.ring_layout import RECORD_BYTES, RingChannel, padded
from daq.bus.ring_writer import RingWriter
from daq.core import Measurement, NotFoundError, StorageError, merge_blocks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RingChannel", "RingReader", "RingStatistics", "RingView", "RingWriter"]

_POLL_S = 0.001
_PULSE_S = 0.2
_BATCH_BYTES = 4 << 20
_TIME = np.dtype("<i8")

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """How a reader fares; samples are those of the channels that it reads."""

    delivered: int
    lost: int
    """Samples that were overwritten before they were read."""
    overruns: int
    """How often the writer came round."""
    behind_bytes: int
    """What is written and not yet read, of all channels."""
    dropped: int
    """Samples of all channels that the daemon itself did not get into the ring."""


@dataclass(frozen=True, slots=True, eq=False)
class RingView:
    """A block whose arrays are the ring's own memory: read-only, and soon to be overwritten.

    Use it first, then ask `is_intact`: what was computed from a view that is not, is void.
    """

    block: Measurement
    _reader: RingReader
    _position: int

    def is_intact(self) -> bool:
        """Whether nothing of it was overwritten up to now."""
        return self._reader.keeps(self._position)


@dataclass(slots=True)
class _Place:
    """What a reader knows of one slot of the channel table."""

    channel: RingChannel
    wanted: bool
    expected: int | None
    """The next sample of it, counted in the ring; None until the first is seen."""
    dtype: np.dtype[Any]
    items: int
    """Numbers in one sample."""


@dataclass(slots=True)
class _Totals:
    delivered: int = 0
    overruns: int = 0
    lost: dict[str, int] = field(default_factory=dict)


class RingReader:
    """A reader of the ring at `path`, at a place of its own; the writer does not know of it.

    Args:
        path: The ring's file; `GetDaemonInfo` and `daq client info` tell it.
        channels: Glob patterns such as `stage` or `laser.*`; none for all.
        history: Begin with the oldest block that is still there, not with the next.

    Raises NotFoundError when there is no ring, StorageError when the file is something else.
    """

    def __init__(self, path: Path | str, *channels: str, history: bool = True) -> None:
        self.path = Path(path)
        self._patterns = channels
        self._fence = layout.Fence()
        self._fd, self._map = _open(self.path)
        self._words = memoryview(self._map).cast("Q")
        header = (layout.MAGIC, layout.VERSION, layout.DATA_OFFSET)
        if tuple(self._words[:3]) != header:
            self.close()
            raise StorageError(f"{path}: this is not a ring of version {layout.VERSION}")
        self.capacity: int = self._words[layout.CAPACITY]
        """Bytes of history."""
        self._places: list[_Place] = []
        self._totals = _Totals()
        self._looked_at = 0.0
        self._is_orphan = False
        self._position: int = self._words[layout.TAIL if history else layout.HEAD]
        self._fence()
        self._learn(joining=True, history=history)

    def __repr__(self) -> str:
        return f"<RingReader {self.path} {'closed' if self._fd < 0 else self.statistics()}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; views that were handed out stay valid memory."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self._words.release()
        with suppress(BufferError):  # views still point into it: it goes with the last of them
            self._map.close()

    # ----------------------------------------------------------------------------------- reading

    def take(self) -> Measurement | None:
        """The next block, copied and known to be whole; None when nothing waits."""
        while (found := self._find()) is not None:
            position, fields, place = found
            times, values = self._arrays(position, fields, place)
            block = _block(times.copy(), values.copy(), fields, place)
            if self.keeps(position):
                self._deliver(position, fields, place)
                return block
        return None

    def view(self) -> RingView | None:
        """The next block without a copy; None when nothing waits. See `RingView`."""
        found = self._find()
        if found is None:
            return None
        position, fields, place = found
        self._deliver(position, fields, place)
        block = _block(*self._arrays(position, fields, place), fields, place)
        return RingView(block, self, position)

    def follow(self, timeout_s: float | None = None) -> Iterator[Measurement]:
        """Blocks as they come; ends with the writer, or when nothing came for `timeout_s`."""
        quiet_since = time.monotonic()
        while True:
            has_ended = self.has_ended()
            while (block := self.take()) is not None:
                yield block
                quiet_since = time.monotonic()
            late = timeout_s is not None and time.monotonic() - quiet_since >= timeout_s
            if has_ended or late:
                return
            time.sleep(_POLL_S)

    def batches(self, timeout_s: float | None = None) -> Iterator[pa.RecordBatch]:
        """As `follow`, as Arrow batches: `time` and the channel, what came together in one."""
        from daq.wire.arrow import measurement_to_arrow  # pyarrow loads slowly

        for block in self.follow(timeout_s):
            blocks, size = [block], block.nbytes
            while size < _BATCH_BYTES and (more := self.take()) is not None:
                blocks.append(more)
                size += more.nbytes
            for merged in merge_blocks(blocks):
                yield measurement_to_arrow(merged)

    def latest(self, channel: str) -> Measurement | None:
        """The newest block of a channel, wherever the reader stands; None when there is none."""
        while True:
            self._learn()
            slots = [i for i, place in enumerate(self._places) if place.channel.name == channel]
            newest = max((self._words[_slot(i) + 1] for i in slots), default=0)
            if not newest:
                return None
            position = newest - 1
            self._fence()
            fields = self._fields(position)
            if not self.keeps(position):
                if position < self._words[layout.TAIL] and newest == self._newest(slots):
                    return None  # its last block was long ago
                continue
            place = self._places[fields[2]]
            times, values = self._arrays(position, fields, place)
            block = _block(times.copy(), values.copy(), fields, place)
            if self.keeps(position):
                return block

    def _newest(self, slots: list[int]) -> int:
        return max(self._words[_slot(index) + 1] for index in slots)

    # ------------------------------------------------------------------------------------ asking

    def channels(self) -> tuple[RingChannel, ...]:
        """Every channel that the ring ever held; one that changed its shape is there twice."""
        self._learn()
        return tuple(place.channel for place in self._places)

    def lost(self, channel: str) -> int:
        """Samples of a channel that were overwritten before they were read.

        Known when the next block of that channel is read.
        """
        return self._totals.lost.get(channel, 0)

    def statistics(self) -> RingStatistics:
        """What was read and what was not, up to now."""
        return RingStatistics(
            self._totals.delivered,
            sum(self._totals.lost.values()),
            self._totals.overruns,
            max(0, self._words[layout.HEAD] - self._position),
            self._words[layout.DROPPED],
        )

    def has_ended(self) -> bool:
        """Whether nothing more will be written: the daemon has ended, well or not.

        What it wrote can still be read. A new daemon makes a new file: open that.
        """
        if self._words[layout.ENDED] or self._is_orphan:
            return True
        now = time.monotonic()
        if now - self._looked_at > _PULSE_S:
            self._looked_at = now
            self._is_orphan = _is_unlocked(self._fd)
        return self._is_orphan

    def keeps(self, position: int) -> bool:
        """Whether the record that begins there has not been given up."""
        self._fence()
        return bool(self._words[layout.TAIL] <= position)

    # ------------------------------------------------------------------------------------- inside

    def _find(self) -> tuple[int, list[int], _Place] | None:
        """The next record that is wanted, with its header's fields."""
        while True:
            position = self._position
            if position >= self._words[layout.HEAD]:
                return None
            self._fence()
            fields = self._fields(position)
            if not self.keeps(position):
                self._totals.overruns += 1
                self._position = self._words[layout.TAIL]
                continue
            if fields[0] != position:
                raise StorageError(f"{self.path}: the ring is damaged at {position}")
            index = fields[2]
            if index != layout.PADDING:
                if index >= len(self._places):
                    self._learn()
                place = self._places[index]
                if place.wanted:
                    return position, fields, place
            self._position = position + fields[1]

    def _deliver(self, position: int, fields: list[int], place: _Place) -> None:
        size, count, before = fields[1], fields[3], fields[4]
        self._position = position + size
        if place.expected is not None and before > place.expected:
            name = place.channel.name
            self._totals.lost[name] = self.lost(name) + before - place.expected
        place.expected = before + count
        self._totals.delivered += count

    def _fields(self, position: int) -> list[int]:
        word = (layout.DATA_OFFSET + position % self.capacity) // 8
        return self._words[word : word + 8].tolist()

    def _arrays(self, position: int, fields: list[int], place: _Place) -> tuple[Array, Array]:
        """Timestamps and values of a record, in the ring's own memory."""
        count = fields[3]
        at = layout.DATA_OFFSET + position % self.capacity + RECORD_BYTES
        times = np.frombuffer(self._map, _TIME, count, at)
        at += padded(8 * count)
        values: Array = np.frombuffer(self._map, place.dtype, count * place.items, at)
        shape = place.channel.shape
        return times, values.reshape((count, *shape)) if shape else values

    def _learn(self, *, joining: bool = False, history: bool = True) -> None:
        """Read the slots of the channel table that are new."""
        count = self._words[layout.CHANNELS]
        self._fence()
        for index in range(len(self._places), count):
            at = layout.HEADER_BYTES + index * layout.SLOT_BYTES
            channel = layout.unpack_channel(self._map[at : at + layout.SLOT_BYTES])
            name = channel.name
            wanted = not self._patterns or any(fnmatchcase(name, p) for p in self._patterns)
            expected = None if joining else 0
            if joining and not history:
                expected = self._words[at // 8]
            items = int(np.prod(channel.shape, dtype=np.int64))
            place = _Place(channel, wanted, expected, np.dtype(channel.dtype), items)
            self._places.append(place)


def _block(times: Array, values: Array, fields: list[int], place: _Place) -> Measurement:
    channel, event = place.channel, fields[6]
    return Measurement(
        channel.name,
        times,
        values,
        channel.units,
        fields[5],
        None if event == layout.PADDING else event,
    )


def _slot(index: int) -> int:
    """The first word of a slot of the channel table."""
    return (layout.HEADER_BYTES + index * layout.SLOT_BYTES) // 8


def _open(path: Path) -> tuple[int, mmap.mmap]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFoundError(
            f"{path}: there is no ring: {error.strerror}",
            advice="is the daemon running, with [ring] enabled, and on this machine?",
        ) from error
    try:
        size = os.fstat(fd).st_size
        if size <= layout.DATA_OFFSET or size % 8:
            raise StorageError(f"{path}: this is not a ring of version {layout.VERSION}")
        return fd, mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    except BaseException:
        os.close(fd)
        raise


def _is_unlocked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True
