"""A hostile writer: writes to a small ring as fast as it can, whoever reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from daq.bus.ring import RingWriter
from daq.core import Measurement


def main(path: Path, capacity: int, blocks: int, ending: str) -> None:
    """Every value of a block is the number of its first sample, so a torn one shows."""
    sizes = (1, 3, 1000, 40, 777, 2500)
    with RingWriter(path, capacity) as ring:
        print("ready", flush=True)
        sys.stdin.readline()
        first = 0
        for number in range(blocks):
            count = sizes[number % len(sizes)]
            times = np.full(count, first, np.int64)
            ring.write(Measurement("fast", times, np.full(count, float(first)), "V", first))
            first += count
        print(first, flush=True)
        if ending == "killed":
            os.kill(os.getpid(), 9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
