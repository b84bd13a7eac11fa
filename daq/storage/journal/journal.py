"""The journal: an append-only file from which everything that was acknowledged can be rebuilt.

A header, then records: length, CRC-32, kind, payload. The framing knows nothing of what a payload
says (`records.py` does). A record counts as acknowledged when `JournalWriter.write` has
returned: it is in the page cache then and survives the death of this process; `sync` makes it
survive a power cut. A reader stops at the first record that is incomplete or does not match its
checksum, since nothing behind it can be trusted to begin where it seems to.

CRC-32 of zlib and not CRC-32C: it is in the standard library and as fast as the page cache.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daq.core import StorageError

__all__ = [
    "Buffer",
    "JournalReader",
    "JournalWriter",
    "RawRecord",
    "Scan",
    "encode_record",
    "file_header",
    "scan",
]

Buffer = bytes | memoryview

_MAGIC = b"DAQJRNL\n"
_VERSION = 1
_HEADER = struct.Struct("<8sII")
_FRAME = struct.Struct("<IIB3x")
_TAG = struct.Struct("<IB")
_MAX_PAYLOAD = (1 << 32) - 1
_READ_BYTES = 4 << 20
_MOST_BUFFERS = 1024
"""IOV_MAX of Linux: a call with more is refused."""


class RawRecord(NamedTuple):
    """One record as it lies in the file."""

    kind: int
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Scan:
    """What a stretch of a journal holds."""

    records: list[RawRecord]
    consumed: int
    """Bytes of the complete, undamaged records at its beginning."""
    wanted: int
    """Bytes that the next record needs in all, as far as can be told; 0 when it is damaged."""


def file_header() -> bytes:
    """The first bytes of every journal."""
    start = _HEADER.pack(_MAGIC, _VERSION, 0)[:-4]
    return start + struct.pack("<I", zlib.crc32(start))


def encode_record(kind: int, *parts: Buffer) -> list[Buffer]:
    """Frame one record. The parts are not copied: they are written one behind the other."""
    length = sum(map(len, parts))
    if length > _MAX_PAYLOAD:
        raise StorageError(f"a record of {length} bytes is over the limit of {_MAX_PAYLOAD} bytes")
    crc = zlib.crc32(_TAG.pack(length, kind))
    for part in parts:
        crc = zlib.crc32(part, crc)
    return [_FRAME.pack(length, crc, kind), *parts]


def scan(data: memoryview) -> Scan:
    """Split `data`, which begins at a record, into records, up to the first that is not whole."""
    records: list[RawRecord] = []
    offset = 0
    while offset + _FRAME.size <= len(data):
        length, crc, kind = _FRAME.unpack_from(data, offset)
        begin = offset + _FRAME.size
        if begin + length > len(data):
            return Scan(records, offset, _FRAME.size + length)
        payload = data[begin : begin + length]
        if zlib.crc32(payload, zlib.crc32(_TAG.pack(length, kind))) != crc:
            return Scan(records, offset, 0)
        records.append(RawRecord(kind, payload))
        offset = begin + length
    return Scan(records, offset, _FRAME.size)


class JournalWriter:
    """Appends records to a new journal. Plain blocking calls, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _storage_error(path, "cannot be created", error) from error
        self._synced = 0
        self.write([file_header()])

    def __repr__(self) -> str:
        return f"<JournalWriter {self.path} {self._size} bytes>"

    @property
    def size(self) -> int:
        """Bytes acknowledged so far."""
        return self._size

    @property
    def synced(self) -> int:
        """Bytes that also survive a power cut."""
        return self._synced

    @property
    def dirty(self) -> bool:
        """Whether something was acknowledged since the last `sync`."""
        return self._synced < self._size

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append whole records, all or nothing: acknowledged when this returns.

        Raises StorageError that names the file and the cause (a full disk, a quota, a dead disk);
        what was written of the records before that is cut off again.
        """
        total = 0
        try:
            for first in range(0, len(buffers), _MOST_BUFFERS):
                total += self._write_some(buffers[first : first + _MOST_BUFFERS], total)
        except OSError as error:
            self._cut_back()
            raise _storage_error(self.path, "cannot be appended to", error) from error
        self._size += total

    def _write_some(self, buffers: Sequence[Buffer], offset: int) -> int:
        """Write as many buffers as the kernel takes at once; returns their size."""
        begin, size = self._size + offset, sum(map(len, buffers))
        written = os.pwritev(self._fd, buffers, begin)
        while written < size:
            written += os.pwritev(self._fd, _after(buffers, written), begin + written)
        return size

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            # The next write begins at the same offset, and a reader stops at a torn record: what
            # is left behind can confuse nobody.
            return

    def sync(self) -> None:
        """Force what was acknowledged to the disk."""
        size = self._size
        try:
            os.fdatasync(self._fd)
            links = os.fstat(self._fd).st_nlink
        except OSError as error:
            raise _storage_error(self.path, "cannot be forced to disk", error) from error
        if not links:  # the kernel takes what nobody can ever read again, and says nothing
            raise StorageError(
                f"{self.path}: was deleted while its run is open: nothing more can be stored in it",
                advice="leave the storage directory alone while the daemon runs",
            )
        self._synced = size

    def close(self) -> None:
        """Let the file go; nothing can be written from now on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class JournalReader:
    """Reads a journal from its beginning, also while it is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            header = os.pread(self._fd, _HEADER.size, 0)
        except OSError as error:
            self.close()
            raise _storage_error(path, "cannot be read", error) from error
        if header != file_header():
            self.close()
            raise StorageError(f"{path}: this is not a journal of version {_VERSION}")
        self.offset = _HEADER.size
        """Where the next record begins."""

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def torn(self) -> int:
        """Bytes behind the last good record, once `read` has returned nothing."""
        return os.fstat(self._fd).st_size - self.offset

    def read(self, end: int | None = None, budget: int = _READ_BYTES) -> list[RawRecord]:
        """The next records: at most about `budget` bytes, none behind the offset `end`.

        Empty at the end of what is whole. Raises StorageError when the disk fails.
        """
        if end is None:
            end = os.fstat(self._fd).st_size
        found = self._scan(min(budget, end - self.offset))
        while not found.records and budget < found.wanted <= end - self.offset:
            budget = found.wanted
            found = self._scan(budget)
        self.offset += found.consumed
        return found.records

    def _scan(self, size: int) -> Scan:
        try:
            data = os.pread(self._fd, max(size, 0), self.offset)
        except OSError as error:
            raise _storage_error(self.path, "cannot be read", error) from error
        return scan(memoryview(data))


_ADVICE = {
    errno.ENOENT: "was the storage directory deleted, moved or unmounted while the daemon runs?",
    errno.EROFS: "its file system is read-only now: look into the system's log, then mount it anew",
    errno.EACCES: "the daemon's user has to be able to write there",
    errno.EMFILE: "the daemon has too many files open: raise `ulimit -n`",
}


def _after(buffers: Sequence[Buffer], count: int) -> list[Buffer]:
    """What is left of `buffers` when their first `count` bytes are written."""
    rest: list[Buffer] = []
    for buffer in buffers:
        if count >= len(buffer):
            count -= len(buffer)
        else:
            rest.append(memoryview(buffer)[count:])
            count = 0
    return rest


def _storage_error(path: Path, what: str, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: {what}: {error.strerror or error}",
        advice=_ADVICE.get(
            error.errno or 0, "make room on the disk, or choose another storage directory"
        ),
    )
