"""What HDF5 writes to: the one place where its bytes meet the disk.

HDF5 does not survive an error of the disk: of 14 trials of a file that was given up for want of
room, 12 ended the process by SIGSEGV, in the close, in the collection of what belonged to it
or at exit. So it never learns of one. Here it is noted, HDF5 is told that all is well, and what it
writes from then on is kept in memory, so that it reads back what it wrote and closes in peace (0 of
20). Whoever writes the file looks at `failure` and gives the file up; it is made anew from the
journal.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Hdf5Sink"]

_KEPT_BYTES = 1 << 20
"""Of what cannot be written; longer pieces are samples, which nobody reads back."""


class Hdf5Sink:
    """A new file, as h5py's driver for file-like objects wants it. Blocks."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._position = 0
        self._end = 0
        self._unwritten: dict[int, bytes] = {}
        self.failure: OSError | None = None
        """The first error of the disk: nothing in the file counts any more."""
        self.writes = 0
        """How many came to an end: something moves while this grows."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        self._position = offset + (self._end if whence == os.SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        """As of a file."""
        return self._position

    def read(self, size: int) -> bytes:
        """As of a file."""
        data = bytearray(size)
        return bytes(data[: self.readinto(data)])

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """As of a file, but what the disk did not take is read back too."""
        view, begin = memoryview(buffer).cast("B"), self._position
        try:
            got = os.preadv(self._fd, [view], begin)
        except OSError as error:
            self._fail(error)
            got = 0
        view[got:] = bytes(len(view) - got)
        for at, data in self._unwritten.items():
            first, last = max(at, begin), min(at + len(data), begin + len(view))
            if first < last:
                view[first - begin : last - begin] = data[first - at : last - at]
        self._position += len(view)
        return len(view)

    def write(self, data: memoryview) -> int:
        """As of a file, but it never fails: see `failure`."""
        size, view = len(data), data
        while len(view) and self.failure is None:
            try:
                done = os.pwrite(self._fd, view, self._position + size - len(view))
                view = view[done:]
            except OSError as error:
                self._fail(error)
        if self.failure is not None and size <= _KEPT_BYTES:
            self._unwritten.pop(self._position, None)  # the newest is laid over the others
            self._unwritten[self._position] = bytes(data)
        self._position += size
        self._end = max(self._end, self._position)
        self.writes += 1
        return size

    def truncate(self, size: int) -> int:
        """As of a file."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            self._fail(error)
        self._end = size
        return size

    def flush(self) -> None:
        """Nothing waits here: every write has gone to the operating system."""

    def sync(self) -> None:
        """Force what was written to disk; raises OSError, also the one that was met before."""
        if self.failure is not None:
            raise self.failure
        os.fsync(self._fd)

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error
