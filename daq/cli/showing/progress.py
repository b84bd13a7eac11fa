"""A bar for work whose end is known: on a terminal only, on stderr, gone when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from daq.cli.showing.output import Output

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(output: Output, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how much more of `total` is done; any thread may call it."""
    if output.as_json or not output.errors.is_terminal:
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=output.errors, transient=True
    ) as progress:
        task = progress.add_task(what, total=total or None)
        yield lambda done: progress.advance(task, done)
