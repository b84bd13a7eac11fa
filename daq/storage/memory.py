"""How much memory the daemon uses, and how it gives back what it needs no more."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import sys

import trio

__all__ = ["give_back_memory", "keep_memory_low", "resident_mb"]

GROWN_MB = 32.0
"""More than before by so much: worth the 30 ms of a thread that it takes to look."""
LOOK_S = 5.0

_log = logging.getLogger(__name__)


def resident_mb() -> float:
    """Resident memory of this process in MiB; its peak where the kernel has no /proc."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123 - a third of the time
            pages = int(statm.read(100).split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def give_back_memory() -> None:
    """Return to the system what nobody uses. Blocks, for some 10 to 50 ms: for worker threads.

    A file of 2,000 columns leaves 160 MB behind: HDF5 keeps 15 MB of small blocks for the next
    file, which lie between pages that are free, and glibc keeps those.
    """
    if "h5py" in sys.modules:
        import h5py
        from h5py._objects import phil  # the lock around every call of HDF5

        with contextlib.suppress(AttributeError), phil:
            ctypes.CDLL(h5py.h5.__file__).H5garbage_collect()
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


async def keep_memory_low() -> None:
    """Give memory back whenever the daemon has grown, a few seconds later."""
    least = resident_mb()
    while True:
        await trio.sleep(LOOK_S)
        now = resident_mb()
        if now > least + GROWN_MB:
            await trio.to_thread.run_sync(give_back_memory)
            least = resident_mb()
            _log.debug("gave %.0f MB back to the system", now - least)
        least = min(least, now)
