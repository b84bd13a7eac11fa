"""`python -I -S .../guard/process LOCK`: watches the daemon at the other end of standard input."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # As `process` and not as a part of `daq`, whose packages take long to load.
    sys.path[0] = str(Path(__file__).parents[1])
    importlib.import_module("process.watch").main(sys.argv[1])
