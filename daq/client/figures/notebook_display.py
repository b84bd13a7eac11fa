"""How an execution shows itself in a notebook: bar, live line, output, and a picture of its run."""

from __future__ import annotations

import contextlib
import time
from typing import Self

from daq.client.blocking.portal import Portal
from daq.client.calls.models import ExecutionUpdate
from daq.client.figures.following import LivePicture, follow_run
from daq.client.figures.picture import Output, Slot
from daq.client.showing.display import print_output
from daq.client.showing.html import progress_html
from daq.core import DaqError, ExecutionView

__all__ = ["NotebookDisplay"]

MAX_FPS = 5.0
LAST_POINTS_S = 3.0


class NotebookDisplay:
    """A `Display`: one line that changes in place, the picture below it.

    The picture follows the newest run of the execution, and stays when that has ended.
    """

    def __init__(self, portal: Portal, name: str, *, plot: bool = True) -> None:
        self._portal = portal
        self._name = name
        self._plot = plot
        self._slot: Output = Slot()
        self._shown_at = 0.0
        self._view: ExecutionView | None = None
        self._run_id = ""
        self._picture: LivePicture | None = None

    def __enter__(self) -> Self:
        return self

    def update(self, update: ExecutionUpdate) -> None:
        """Show it; what comes faster than the page can be redrawn is left out, the end never."""
        print_output(update)
        first = self._view is None
        self._view = update.view
        ended = update.view.record.state.is_final
        if first or ended or time.monotonic() - self._shown_at >= 1.0 / MAX_FPS:
            self._show(update.view)
        if self._plot and update.view.record.run_ids:
            self._follow(update.view.record.run_ids[-1])

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._view is not None:
            # The wait was left by an interrupt, which stops it: its end was not among the updates.
            with contextlib.suppress(DaqError):
                shown = self._view.record.id
                self._show(self._portal.call(lambda client: client.scripts.status(shown)))
        if self._picture is not None:
            self._picture.wait_end(LAST_POINTS_S if kind is None else 0.0)
            self._picture.close()

    def _show(self, view: ExecutionView) -> None:
        self._shown_at = time.monotonic()
        percent = f"{view.record.progress or 0.0:.0%}"
        text = f"{self._name}: {view.record.state} {percent}"
        self._slot.show({"text/html": progress_html(view, self._name), "text/plain": text})

    def _follow(self, run_id: str) -> None:
        if run_id == self._run_id:
            return
        if self._picture is not None:
            self._picture.close()
        self._run_id = run_id
        self._picture = follow_run(self._portal, run_id)
