"""How much memory the daemon uses."""

from __future__ import annotations

import os
import resource
from pathlib import Path

__all__ = ["resident_mb"]


def resident_mb() -> float:
    """Resident memory of this process in MiB; its peak where the kernel has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
