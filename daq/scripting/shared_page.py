"""One page of memory that the daemon shares with a script's process: control, line, progress.

Both sides read and write it without asking each other, so that the current line and the progress
cost nothing. The daemon believes none of it: it clamps what it reads.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from enum import IntEnum

__all__ = ["ControlWord", "SharedPage"]

_SIZE = 4096
_CONTROL = 0
_LINE = 1
_PROGRESS = 1
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class ControlWord(IntEnum):
    """What the daemon wants of the script."""

    RUN = 0
    PAUSE = 1
    STOP = 2


class SharedPage:
    """ControlWord and line as unsigned 32 bit words at 0 and 4, progress as a double at 8."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _SIZE)
        self._bytes = memoryview(self._map)
        self.words = self._bytes.cast("I")
        self._doubles = self._bytes.cast("d")

    @classmethod
    def create(cls) -> tuple[SharedPage, int]:
        """A fresh page and the descriptor to hand over; progress is unknown."""
        descriptor = os.memfd_create("daq-script", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, _SIZE)
            # A script's process that could shrink the file would kill the daemon with SIGBUS.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            page = cls(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        page.progress = None
        return page, descriptor

    def close(self) -> None:
        """Unmap it."""
        self._doubles.release()
        self.words.release()
        self._bytes.release()
        self._map.close()

    @property
    def control(self) -> int:
        return self.words[_CONTROL]

    @control.setter
    def control(self, wanted: int) -> None:
        self.words[_CONTROL] = wanted

    @property
    def line(self) -> int:
        return self.words[_LINE]

    @line.setter
    def line(self, line: int) -> None:
        self.words[_LINE] = line

    @property
    def progress(self) -> float | None:
        """0 to 1, or None while unknown."""
        value = self._doubles[_PROGRESS]
        return min(max(value, 0.0), 1.0) if math.isfinite(value) else None

    @progress.setter
    def progress(self, fraction: float | None) -> None:
        self._doubles[_PROGRESS] = math.nan if fraction is None else fraction
