"""The daemon itself: its parts, introduced to one another, and who lives in whom (`tree.py`)."""

from daq.daemon.tree import run_daemon, serve

__all__ = ["run_daemon", "serve"]
