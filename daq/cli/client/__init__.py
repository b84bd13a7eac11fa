"""`daq client`: everything that a running daemon can be asked."""

from daq.cli.client import audit, bench, devices, export, interlocks, presets, runs, scripts, stream
from daq.cli.client.session import client

__all__ = [
    "audit",
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
