"""What shows an execution to whoever waits for it, wherever that is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from daq.client.calls.models import ExecutionUpdate

__all__ = ["Display", "DisplayFactory", "is_notebook", "print_output"]

_FOR_PROGRAMS = frozenset({"debug", "result"})
"""Levels of output that are not shown."""


class Display(AbstractContextManager["Display"], Protocol):
    """Shows updates while its `with` block lasts; called in the thread that waits."""

    def update(self, update: ExecutionUpdate) -> None:
        """What changed: state, line, progress, and what was printed since the last update."""


DisplayFactory = Callable[[str], Display]
"""Takes the name of what runs."""


def is_notebook() -> bool:
    """Whether this is a Jupyter kernel, whose output goes to a page."""
    # Not imported: where nobody has, this is no notebook, and it loads slowly.
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return hasattr(ask(), "kernel") if ask is not None else False


def print_output(update: ExecutionUpdate) -> None:
    """Pass on what the script itself printed for people."""
    for line in update.output:
        if line.level not in _FOR_PROGRAMS:
            print(line.text)
