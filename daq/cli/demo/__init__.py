"""`daq demo`: a whole session on the simulated bench, in one command."""

from daq.cli.demo.command import demo

__all__ = ["demo"]
