"""`daq client`: everything that a running daemon can be asked."""

from daq.cli.client import (
    acquiring,
    acting,
    audit,
    bench,
    devices,
    export,
    interlocks,
    live,
    presets,
    runs,
    scripts,
    stream,
)
from daq.cli.client.session import client

__all__ = [
    "acquiring",
    "acting",
    "audit",
    "bench",
    "client",
    "devices",
    "export",
    "interlocks",
    "live",
    "presets",
    "runs",
    "scripts",
    "stream",
]
