"""How a scan shows itself while it runs; `bench.display` takes another way."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from daq.client.models import ExecutionUpdate
from daq.client.portal import Portal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = [
    "Display",
    "DisplayFactory",
    "display_for_here",
    "display_for_terminal",
    "is_notebook",
]

HIDDEN_LEVELS = frozenset({"debug", "result"})
"""Of output that is not shown: what is for programs."""


class Display(Protocol):
    """Shows updates while its `with` block lasts; called in the thread that waits."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def update(self, update: ExecutionUpdate) -> None:
        """What changed: state, line, progress, and what was printed since the last update."""


DisplayFactory = Callable[[str], Display]
"""Takes the name of what runs."""


def display_for_here(portal: Portal) -> DisplayFactory:
    """In a notebook a bar and a live picture of the run; elsewhere `display_for_terminal`."""
    if not is_notebook():
        return display_for_terminal
    from daq.client.jupyter.progress import NotebookDisplay  # brings matplotlib with it

    return functools.partial(NotebookDisplay, portal)


def is_notebook() -> bool:
    """Whether this is a Jupyter kernel, whose output goes to a page."""
    # Not imported: where nobody has, this is no notebook, and it loads slowly.
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return hasattr(ask(), "kernel") if ask is not None else False


def display_for_terminal(name: str) -> Display:
    """A progress bar on a terminal; in a pipe only what the script itself prints."""
    return _Bar(name) if sys.stderr.isatty() else _Quiet()


class _Quiet:
    """Passes the script's own output on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def update(self, update: ExecutionUpdate) -> None:
        for line in update.output:
            if line.level not in HIDDEN_LEVELS:
                print(line.text)


class _Bar(_Quiet):
    """A bar that is redrawn in place, with the script's output above it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console  # loads slowly, and a pipe does not need it
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[line]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._name, total=1.0, line="")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, update: ExecutionUpdate) -> None:
        super().update(update)
        if self._bar is not None and self._task is not None:
            view = update.view
            self._bar.update(
                self._task, completed=view.record.progress or 0.0, line=view.progress_message
            )
