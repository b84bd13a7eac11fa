"""`daq client`: everything that a running daemon can be asked."""

from daq.cli.client import devices, interlocks, runs, scripts, stream
from daq.cli.client.session import client

__all__ = ["client", "devices", "interlocks", "runs", "scripts", "stream"]
