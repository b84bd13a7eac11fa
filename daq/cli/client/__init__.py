"""`daq client`: everything that a running daemon can be asked."""

from daq.cli.client import bench, devices, export, interlocks, presets, runs, scripts, stream
from daq.cli.client.session import client

__all__ = [
    "bench",
    "client",
    "devices",
    "export",
    "interlocks",
    "presets",
    "runs",
    "scripts",
    "stream",
]
