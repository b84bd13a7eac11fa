"""A chart that is redrawn in place on the page: in a thread, rate-limited, latest wins."""

from __future__ import annotations

import base64
import io
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from daq.client.figures.charts import Chart
from daq.client.showing.display import is_notebook

__all__ = ["Output", "Picture", "Slot", "figure_png"]

log = logging.getLogger(__name__)

MAX_FPS = 5.0
CLOSE_S = 5.0

Bundle = Mapping[str, str]
"""MIME type to content, as IPython displays it."""


def figure_png(figure: Figure) -> bytes:
    """A figure as an image file, without a window or pyplot."""
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


class Output(Protocol):
    """A place on the page whose content can be replaced."""

    def show(self, bundle: Bundle) -> None:
        """Put this there instead of what there was."""


class Slot:
    """One place in the output of the cell that makes it. Outside of a notebook there is none."""

    def __init__(self) -> None:
        self._handle: Any = None
        if is_notebook():
            from IPython.display import DisplayHandle

            # At once, and empty: what is shown later comes from a thread, when perhaps another
            # cell runs, and would appear there.
            self._handle = DisplayHandle()
            self._handle.display({"text/html": "", "text/plain": ""}, raw=True)

    def show(self, bundle: Bundle) -> None:
        """Show it there, instead of what was there before. Any thread may call."""
        if self._handle is not None:
            self._handle.update(dict(bundle), raw=True)


class Picture:
    """Keeps a chart on the page up to date while data comes in.

    `feed` never waits for a drawing. However fast the data, at most `max_fps` drawings a second are
    made, each of all that is known then; `close` makes the last one.
    """

    def __init__(
        self, chart: Chart, output: Output | None = None, *, max_fps: float = MAX_FPS
    ) -> None:
        self.figure = Figure(figsize=(6.5, 3.2), layout="constrained")
        """To be saved or changed when the picture is closed."""
        self.drawn = 0
        """How often it was drawn."""
        self._chart = chart
        self._output: Output = output or Slot()
        self._interval_s = 1.0 / max_fps
        self._changed = threading.Condition()
        self._is_dirty = False
        self._closed = False
        self._painter = threading.Thread(target=self._paint, name="daq picture", daemon=True)
        self._painter.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def points(self) -> int:
        """How many samples it has taken."""
        with self._changed:
            return self._chart.points

    def feed(self, take: Callable[..., object], *values: Any) -> None:
        """Give the chart something: `take` is one of its methods."""
        with self._changed:
            take(*values)
            self._is_dirty = True
            self._changed.notify_all()

    def wait_points(self, points: int, timeout: float = 30.0) -> bool:
        """Wait until so many samples have come; False when they have not within `timeout` s."""
        with self._changed:
            return (
                self._changed.wait_for(
                    lambda: self._closed or self._chart.points >= points, timeout
                )
                and self._chart.points >= points
            )

    def close(self) -> None:
        """Draw what came last, and leave it so. Safe to do twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._painter:
            self._painter.join(CLOSE_S)

    def _paint(self) -> None:
        while self._wait_dirty():
            began = time.monotonic()
            try:
                self._draw()
            except Exception:
                log.exception("the picture could not be drawn")
                return
            with self._changed:
                rest_s = began + self._interval_s - time.monotonic()
                self._changed.wait_for(lambda: self._closed, max(rest_s, 0.0))

    def _wait_dirty(self) -> bool:
        """Whether there is something to draw; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_dirty or self._closed)
            return self._is_dirty

    def _draw(self) -> None:
        with self._changed:
            self._is_dirty = False
            shown = self._chart.draw(self.figure)
        if not shown:
            return
        # Outside of the lock: this is the slow part, and the artists hold copies of the data.
        content = base64.b64encode(figure_png(self.figure)).decode("ascii")
        self.drawn += 1
        self._output.show({"image/png": content, "text/plain": f"<picture {self.drawn}>"})
