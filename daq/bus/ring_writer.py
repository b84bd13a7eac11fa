"""The writing side of the ring: one process, one thread at a time, never waits for a reader."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from daq.bus import ring_layout as layout
from daq.bus.ring_layout import RECORD_BYTES, RingChannel, padded
from daq.core import Measurement, StorageError

__all__ = ["RingWriter"]

_SPARE = 32
"""The oldest records are given up a bit of the ring at a time: then a reader that begins with the
oldest has some time, and the barrier is paid once for many records."""
_SMALLEST = 1 << 16
_SMALL = 1024
_HEADER = struct.Struct("@8Q")
_NO_EVENT = (1 << 64) - 1


class RingWriter:
    """Creates the file and appends blocks to it, over the oldest ones.

    Args:
        path: Where other processes find it. A file that is there already is replaced, not changed:
            who still reads that one keeps it.
        capacity: Bytes of history, at least 64 KiB. They are taken at once, so that a full file
            system is found out here and not while writing.
    """

    def __init__(self, path: Path, capacity: int) -> None:
        self.path = path
        self.capacity = max(padded(capacity), _SMALLEST)
        self._slots: dict[tuple[str, str, np.dtype[Any], tuple[int, ...]], int | None] = {}
        self._fence = layout.Fence()
        self._head = self._tail = self._records = 0
        try:
            self._fd, self._map = _create(path, layout.DATA_OFFSET + self.capacity)
        except OSError as error:
            raise StorageError(
                f"{path}: the ring cannot be created: {error.strerror}",
                advice="choose another [ring] path or a smaller size_mb, or set enabled = false",
            ) from error
        self._words = memoryview(self._map).cast("Q")
        self._bytes: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        header = (layout.MAGIC, layout.VERSION, layout.DATA_OFFSET, self.capacity)
        for index, word in enumerate((*header, layout.HEADER_BYTES, layout.MAX_CHANNELS)):
            self._words[index] = word
        self._words[6] = layout.SLOT_BYTES
        self._words[layout.CREATED_NS] = time.time_ns()
        self._words[layout.WRITER_PID] = os.getpid()
        # Under its name only when it is whole: no reader ever meets half a header.
        _unfinished(path).rename(path)

    def __repr__(self) -> str:
        return f"<RingWriter {self.path} {self._records} records>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, block: Measurement) -> bool:
        """Append a block; False when the ring cannot hold such a block, which is counted."""
        index = self._slot(block)
        count = len(block)
        values_at = RECORD_BYTES + padded(8 * count)
        size = values_at + padded(block.values.nbytes)
        if index is None or size > self.capacity // 2:
            self._words[layout.SKIPPED] += count
            return False
        position, room = self._head, self.capacity - self._head % self.capacity
        begin = position if size <= room else position + room
        self._give_up(begin + size)
        if begin != position:
            self._write_header(position, room, layout.PADDING, 0, 0, 0, _NO_EVENT)
        slot = (layout.HEADER_BYTES + index * layout.SLOT_BYTES) // 8
        before = self._words[slot]
        event = _NO_EVENT if block.event is None else block.event
        self._write_header(begin, size, index, count, before, block.sequence, event)
        self._copy(block.timestamps, begin + RECORD_BYTES)
        self._copy(block.values, begin + values_at)
        self._fence()
        self._words[slot + 1] = begin + 1
        self._words[slot] = before + count
        self._head = self._words[layout.HEAD] = begin + size
        return True

    def note_dropped(self, samples: int) -> None:
        """How many samples in all never came here, because the daemon was too busy."""
        self._words[layout.DROPPED] = samples

    def close(self) -> None:
        """Tell the readers that nothing more comes, and remove the file's name."""
        if self._fd < 0:
            return
        self._fence()
        self._words[layout.ENDED] = 1
        if _is_same(self._fd, self.path):
            self.path.unlink(missing_ok=True)
        self._words.release()
        self._bytes = np.empty(0, np.uint8)
        self._map.close()
        os.close(self._fd)
        self._fd = -1

    def _slot(self, block: Measurement) -> int | None:
        dtype = block.values.dtype
        key = (block.channel, block.units, dtype, block.sample_shape)
        if key in self._slots:
            return self._slots[key]
        index = self._words[layout.CHANNELS]
        channel = RingChannel(block.channel, block.units, dtype.str, block.sample_shape)
        packed = layout.pack_channel(channel)
        if packed is None or index >= layout.MAX_CHANNELS:
            self._slots[key] = None
            return None
        at = layout.HEADER_BYTES + index * layout.SLOT_BYTES + 16
        self._map[at : at + len(packed)] = packed
        self._fence()
        self._words[layout.CHANNELS] = index + 1
        self._slots[key] = index
        return int(index)

    def _give_up(self, end: int) -> None:
        """Move the tail, so that what is written up to `end` overwrites nothing that counts."""
        if end - self.capacity <= self._tail:
            return
        wanted = min(end - self.capacity + self.capacity // _SPARE, self._head)
        while self._tail < wanted:
            self._tail += self._words[self._word(self._tail) + 1]
        self._words[layout.TAIL] = self._tail
        self._fence()

    def _word(self, position: int) -> int:
        return (layout.DATA_OFFSET + position % self.capacity) // 8

    def _write_header(
        self, position: int, size: int, index: int, count: int, before: int, seq: int, event: int
    ) -> None:
        at = layout.DATA_OFFSET + position % self.capacity
        _HEADER.pack_into(
            self._map, at, position, size, index, count, before, seq, event, self._records
        )
        self._records += 1

    def _copy(self, array: npt.NDArray[Any], position: int) -> None:
        at = layout.DATA_OFFSET + position % self.capacity
        if array.nbytes <= _SMALL:  # three times as fast as by way of arrays
            self._map[at : at + array.nbytes] = array.tobytes()
            return
        target = self._bytes[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(target, array)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _create(path: Path, size: int) -> tuple[int, mmap.mmap]:
    unfinished = _unfinished(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished.unlink(missing_ok=True)
    fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        # Held for as long as the writer lives, however it ends: so readers know that it does.
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.posix_fallocate(fd, 0, size)
        return fd, mmap.mmap(fd, size)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        os.close(fd)
        raise


def _is_same(fd: int, path: Path) -> bool:
    """Whether the file of that name is still ours."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False
