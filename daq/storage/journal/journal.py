"""The journal: an append-only file from which everything that was acknowledged can be rebuilt.

A header, then records (`framing.py`); this knows nothing of what a payload says (`records.py`
does). A record counts as acknowledged when `JournalWriter.write` has returned: it is in the page
cache then and survives the death of this process; `sync` makes it survive a power cut. A reader
goes on behind what is damaged, and tells where that was.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from daq.core import StorageError
from daq.storage.journal.framing import (
    FRAMINGS,
    HEADER_BYTES,
    VERSION,
    Buffer,
    Framing,
    RawRecord,
    Scan,
    file_header,
    header_version,
)

__all__ = ["Damage", "JournalReader", "JournalWriter", "UnreadableJournalError", "sync_directory"]

_READ_BYTES = 4 << 20
_MOST_BUFFERS = 1024
"""IOV_MAX of Linux: a call with more is refused."""


class UnreadableJournalError(StorageError):
    """Nothing in the file is a record of a journal."""


class Damage(NamedTuple):
    """A place of a journal that is not as it was written."""

    offset: int
    size: int


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
            # A run whose journal refused once writes nothing more to it: what is left behind is
            # whole records of events that were refused, or one that is torn.
            return

    def sync(self) -> None:
        """Force what was acknowledged to the disk."""
        size = self._size
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise _storage_error(self.path, "cannot be forced to disk", error) from error
        if not self._is_here():  # the kernel takes what nobody will read again, and says nothing
            raise StorageError(
                f"{self.path}: was deleted or moved while its run is open: nothing more can be "
                "stored in it",
                advice="leave the storage directory alone while the daemon runs",
            )
        self._synced = size

    def sync_name(self) -> None:
        """Force the name of the new file to the disk: a power cut would lose all that is in it."""
        try:
            sync_directory(self.path.parent)
        except OSError as error:
            raise _storage_error(self.path, "cannot be forced to disk", error) from error

    def _is_here(self) -> bool:
        """Whether the path still leads to the file that is written to."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self.path))  # noqa: PTH116
        except OSError:
            return False

    def close(self) -> None:
        """Let the file go; nothing can be written from now on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class JournalReader:
    """Reads a journal from its beginning, also while it is being written.

    Raises StorageError for a file that is none, or that a newer version wrote.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damages: list[Damage] = []
        """What was skipped so far."""
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.offset = HEADER_BYTES
            """Where the next record begins."""
            self._framing = self._recognize(os.pread(self._fd, HEADER_BYTES, 0))
        except OSError as error:
            self.close()
            raise _storage_error(path, "cannot be read", error) from error
        except StorageError:
            self.close()
            raise

    def _recognize(self, header: bytes) -> Framing:
        version = header_version(header)
        if version in FRAMINGS:
            return FRAMINGS[version]
        if version is not None:
            raise StorageError(
                f"{self.path}: is a journal of version {version}, which a newer daq wrote; this "
                f"one reads up to version {VERSION}",
                advice="start the newer version again: nothing was changed",
            )
        # A damaged header: its records tell what they are.
        size = os.fstat(self._fd).st_size
        for framing in reversed(FRAMINGS.values()):
            if (first := self._find(framing, 0, size)) is not None:
                self.damages.append(Damage(0, first))
                self.offset = first
                return framing
        raise UnreadableJournalError(f"{self.path}: this is not a journal")

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def torn(self) -> int:
        """Bytes of a record that was never finished, once `read` has returned nothing."""
        return os.fstat(self._fd).st_size - self.offset

    def read(self, end: int | None = None, budget: int = _READ_BYTES) -> list[RawRecord]:
        """The next records: at most about `budget` bytes, none behind the offset `end`.

        What is damaged is skipped, and never lies between two records of one answer. Empty at the
        end of what is whole. Raises StorageError when the disk fails.
        """
        if end is None:
            end = os.fstat(self._fd).st_size
        while True:
            found = self._scan(min(budget, end - self.offset))
            while not found.records and budget < found.wanted <= end - self.offset:
                budget = found.wanted
                found = self._scan(budget)
            self.offset += found.consumed
            if found.records or not self._skip(found, end):
                return found.records

    def _scan(self, size: int) -> Scan:
        return self._framing.scan(memoryview(self._read(self.offset, size)))

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._fd, max(size, 0), offset)
        except OSError as error:
            raise _storage_error(self.path, "cannot be read", error) from error

    def _skip(self, found: Scan, end: int) -> bool:
        """Go on behind what is damaged; False when there is nothing more, or not yet."""
        left = end - self.offset
        if left < self._framing.head_bytes or (found.wanted and self._framing.is_certain):
            return False
        if found.skip:
            following: int | None = self.offset + found.skip
        else:
            following = self._find(self._framing, self.offset + 1, end)
        if following is None:
            if found.wanted:
                return False
            following = end
        self.damages.append(Damage(self.offset, following - self.offset))
        self.offset = following
        return True

    def _find(self, framing: Framing, begin: int, end: int) -> int | None:
        """Where the next record begins; None when there is none before `end`."""
        while begin < end:
            data = self._read(begin, min(_READ_BYTES, end - begin))
            for at in framing.heads(data):
                if framing.is_certain or self._is_record(framing, begin + at, end):
                    return begin + at
            if len(data) < _READ_BYTES:
                return None
            begin += len(data) - framing.head_bytes + 1
        return None

    def _is_record(self, framing: Framing, offset: int, end: int) -> bool:
        found = framing.scan(memoryview(self._read(offset, framing.head_bytes)))
        if not framing.head_bytes < found.wanted <= end - offset:
            return False
        return bool(framing.scan(memoryview(self._read(offset, found.wanted))).records)


def sync_directory(path: Path) -> None:
    """Force a directory's entries to disk: a new name is durable only after that."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
