"""Large samples, such as frames, are written once: straight to their final place in the HDF5 file.

Through the journal every frame would be written twice, and disks are what limits cameras. HDF5
hands a direct chunk write to the operating system at once, so the bytes survive the death of this
process like those of the journal do; the journal's record then says where they lie. Nothing else of
the unfinished HDF5 file is trusted after a crash: recovery takes the bytes from those offsets.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from daq.core import Column, StorageError
from daq.storage.journal.channel import ChannelInfo

__all__ = ["LARGE_BYTES", "Placed", "PlacedReader", "Placer", "Sample", "sample_check"]

LARGE_BYTES = 64 << 10
"""Samples of this size and more are placed."""

_PAGE = 4096
_WINDOW = 64


class Placed(NamedTuple):
    """Where a sample lies in the file that is being written."""

    offset: int
    """From the beginning of the file; never 0."""
    check: int
    """`sample_check` of its bytes."""


Sample = npt.NDArray[Any] | Placed


class Placer(Protocol):
    """Puts samples where they belong. Blocks; None when the sample must go through the journal."""

    def place_value(
        self, stream: str, columns: tuple[Column, ...], column: int, row: int, sample: memoryview
    ) -> Placed | None: ...

    def place_block(
        self, index: int, channel: ChannelInfo, row: int, sample: memoryview
    ) -> Placed | None: ...

    def sync(self) -> None:
        """Force to disk what was placed."""


def sample_check(sample: memoryview) -> int:
    """A checksum of some bytes of every page: it tells whether all pages reached the disk.

    A page that was lost in a power cut reads as zeros or as old data; a bit that a disk turned
    around is left to the disk's own checksums, so that a frame need not be read twice.
    """
    data = np.frombuffer(sample, np.uint8)
    whole = len(data) // _PAGE * _PAGE
    windows = data[:whole].reshape(-1, _PAGE)[:, :_WINDOW].tobytes()
    return zlib.crc32(sample[whole:], zlib.crc32(windows))


class PlacedReader:
    """Takes placed samples from the file in which they lie, finished or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self.is_gone = False
        """Whether there is no such file."""

    def read(self, placed: Placed, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
        """The sample; None when it is not there as it was written."""
        wanted = np.dtype(dtype)
        size = wanted.itemsize * int(np.prod(shape, dtype=np.int64))
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            data = os.pread(self._fd, size, placed.offset)
        except FileNotFoundError:
            self.is_gone = True
            return None
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be read: {error.strerror}") from error
        if len(data) != size or sample_check(memoryview(data)) != placed.check:
            return None
        return np.frombuffer(data, wanted).reshape(shape)

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
