"""What live pictures are made of: data comes in, the parts of a matplotlib figure follow.

A chart knows nothing of threads and displays: `take_...` keeps data within a bound, `draw` updates
the figure that it was given, in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from daq.client.figures.artists import Curve, Image, Waveform, panels
from daq.client.figures.labels import Labelled

__all__ = ["Chart", "ImageChart", "Points", "TraceChart"]

MOST_POINTS = 5000


class Chart(Protocol):
    """Something that can be drawn again and again into one figure."""

    @property
    def points(self) -> int:
        """How many samples it has taken."""

    def draw(self, figure: Figure) -> bool:
        """Bring the figure up to date; False while there is nothing to show."""


class Points:
    """Rows of numbers. When they are too many every second is dropped, and of those to come too."""

    def __init__(self, width: int, most: int = MOST_POINTS) -> None:
        self.taken = 0
        self._rows: list[tuple[float, ...]] = []
        self._width, self._most, self._every = width, most, 1

    def add(self, row: tuple[float, ...]) -> None:
        """Keep it, unless there are so many that every other one does."""
        if self.taken % self._every == 0:
            self._rows.append(row)
        self.taken += 1
        if len(self._rows) >= self._most:
            self._rows = self._rows[::2]
            self._every *= 2

    def columns(self) -> npt.NDArray[np.float64]:
        """Shape (width, n)."""
        return np.array(self._rows, dtype=np.float64).reshape(-1, self._width).T


class TraceChart:
    """Numbers against time, the newest `window_s` seconds; waveforms as they come; a panel each."""

    def __init__(
        self, units: Mapping[str, str], window_s: float, waves: Collection[str] = ()
    ) -> None:
        self.points = 0
        self._shown = [Labelled(name, text) for name, text in units.items()]
        self._window_s = window_s
        self._traces: dict[str, deque[tuple[float, float]]] = {
            name: deque(maxlen=MOST_POINTS) for name in units if name not in waves
        }
        self._waves: dict[str, npt.NDArray[Any]] = {}
        self._parts: dict[str, Curve] = {}

    def take_reading(self, name: str, time_s: float, value: float) -> None:
        """A reading; `time_s` since the epoch."""
        trace = self._traces[name]
        trace.append((time_s, value))
        while trace[0][0] < time_s - self._window_s:
            trace.popleft()
        self.points += 1

    def take_waveform(self, name: str, values: npt.NDArray[Any]) -> None:
        """The newest waveform of one of `waves`."""
        self._waves[name] = values
        self.points += 1

    def draw(self, figure: Figure) -> bool:
        """Draw what has come; False when nothing has."""
        if not self.points:
            return False
        if not self._parts:
            self._set_up(figure)
        newest = max((trace[-1][0] for trace in self._traces.values() if trace), default=0.0)
        for name, part in self._parts.items():
            if name in self._traces:
                values = np.array(self._traces[name], dtype=np.float64).reshape(-1, 2)
                part.show(values[:, 0] - newest, values[:, 1])
            elif name in self._waves and isinstance(part, Waveform):
                part.show_newest(self._waves[name])
        return True

    def _set_up(self, figure: Figure) -> None:
        axes = panels(figure, len(self._shown))
        for panel, shown in zip(axes, self._shown, strict=True):
            is_trace = shown.name in self._traces
            self._parts[shown.name] = (
                Curve(panel, Labelled("time (s)"), shown) if is_trace else Waveform(panel, shown)
            )


class ImageChart:
    """A camera's newest image."""

    def __init__(self, units: str) -> None:
        self.points = 0
        self._units = units
        self._image: npt.NDArray[Any] | None = None
        self._title = ""
        self._part: Image | None = None

    def take_image(self, image: npt.NDArray[Any], title: str) -> None:
        """The newest image, and what stands above it."""
        self._image, self._title = image, title
        self.points += 1

    def draw(self, figure: Figure) -> bool:
        """Draw the newest; False when there is none."""
        if self._image is None:
            return False
        if self._part is None:
            self._part = Image(figure.subplots(), Labelled("intensity", self._units))
        self._part.show(self._image, self._title)
        return True
