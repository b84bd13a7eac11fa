"""How much memory the daemon uses."""

from __future__ import annotations

import os
import resource

__all__ = ["resident_mb"]


def resident_mb() -> float:
    """Resident memory of this process in MiB; its peak where the kernel has no /proc."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123 - a third of the time
            pages = int(statm.read(100).split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
