"""How a scan shows itself while it runs, by where that is; `bench.display` takes another way."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Self

from daq.client.blocking.portal import Portal
from daq.client.calls.models import ExecutionUpdate
from daq.client.showing.display import Display, DisplayFactory, is_notebook, print_output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["display_for_here", "display_for_terminal"]


def display_for_here(portal: Portal, *, plot: bool = True) -> DisplayFactory:
    """In a notebook a bar and, with `plot`, a live picture of the run; else that of a terminal."""
    if not is_notebook():
        return display_for_terminal
    from daq.client.figures.notebook_display import NotebookDisplay  # brings matplotlib with it

    return functools.partial(NotebookDisplay, portal, plot=plot)


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
        print_output(update)


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
