"""What live pictures are made of: data comes in, artists of a matplotlib figure follow.

A chart knows nothing of threads and displays: `take_...` keeps data within a bound, `draw` updates
the figure that it was given, in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["Chart", "ImageChart", "Points", "RunChart", "TraceChart"]

MOST_POINTS = 5000
MOST_PANELS = 4
SWEEP_POINTS = 3
"""Fewer are no sweep, whatever their distance."""


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
    """Readings against time, the newest `window_s` seconds; one panel a channel."""

    def __init__(self, labels: Mapping[str, str], window_s: float) -> None:
        self.points = 0
        self._labels = dict(labels)
        self._window_s = window_s
        self._traces: dict[str, deque[tuple[float, float]]] = {
            name: deque(maxlen=MOST_POINTS) for name in labels
        }
        self._lines: dict[str, tuple[Axes, Any]] = {}

    def take_reading(self, name: str, time_s: float, value: float) -> None:
        """A reading; `time_s` since the epoch."""
        trace = self._traces[name]
        trace.append((time_s, value))
        while trace[0][0] < time_s - self._window_s:
            trace.popleft()
        self.points += 1

    def draw(self, figure: Figure) -> bool:
        if not self.points:
            return False
        if not self._lines:
            self._set_up(figure)
        newest = max(trace[-1][0] for trace in self._traces.values() if trace)
        for name, (panel, line) in self._lines.items():
            values = np.array(self._traces[name], dtype=np.float64).reshape(-1, 2)
            line.set_data(values[:, 0] - newest, values[:, 1])
            _rescale(panel)
        return True

    def _set_up(self, figure: Figure) -> None:
        for panel, (name, label) in zip(
            _panels(figure, len(self._labels)), self._labels.items(), strict=True
        ):
            (line,) = panel.plot([], [], ".-", linewidth=1.0, markersize=3.0)
            panel.set(xlabel="time (s)", ylabel=label)
            panel.grid(visible=True, alpha=0.3)
            self._lines[name] = panel, line


class ImageChart:
    """A camera's newest image, with the scale of its colours following it."""

    def __init__(self, label: str) -> None:
        self.points = 0
        self._label = label
        self._image: npt.NDArray[Any] | None = None
        self._shown: Any = None
        self._title = ""

    def take_image(self, image: npt.NDArray[Any], title: str) -> None:
        self._image, self._title = image, title
        self.points += 1

    def draw(self, figure: Figure) -> bool:
        if self._image is None:
            return False
        if self._shown is None:
            panel = figure.subplots()
            self._shown = panel.imshow(self._image, origin="upper")
            figure.colorbar(self._shown, ax=panel, label=self._label)
            panel.set(xlabel="column (px)", ylabel="row (px)")
        self._shown.set_data(self._image)
        self._shown.autoscale()
        self._shown.axes.set_title(self._title)
        return True


class RunChart:
    """The events of a run as they come: curves over one axis, coloured points over two.

    It is fed with event-model documents and follows the first stream that holds numbers.
    """

    def __init__(self) -> None:
        self._title = ""
        self._stream = ""
        self._axes: list[str] = []
        self._signals: list[str] = []
        self._labels: dict[str, str] = {}
        self._points = Points(0)
        self._began = 0.0
        self._drawn: list[tuple[Axes, Any]] = []

    @property
    def points(self) -> int:
        return self._points.taken

    @property
    def is_map(self) -> bool:
        """Whether the run moves two motors or more, of which the last two are drawn."""
        return len(self._axes) == 2

    def take_document(self, name: str, document: Mapping[str, Any]) -> None:
        """A document of the run, in their order."""
        match name:
            case "start":
                self._title = str(document.get("daq", {}).get("name", ""))
                self._began = float(document["time"])
            case "descriptor" if not self._stream:
                self._describe(document)
            case "event_page" if document["descriptor"] == self._stream:
                self._take_page(document)
            case "stop":
                self._title += f"  ({document.get('outcome', '')}, {self.points} points)"

    def _describe(self, descriptor: Mapping[str, Any]) -> None:
        keys = {
            name: key
            for name, key in descriptor["data_keys"].items()
            if key["dtype"] in ("number", "integer", "boolean") and "external" not in key
        }
        axes = [name for name, key in keys.items() if key.get("role") == "setpoint"]
        signals = [name for name in keys if name not in axes] or axes[-1:]
        if not signals:
            return
        self._stream = descriptor["uid"]
        self._axes = axes[-2:] if signals != axes[-1:] else []
        self._signals = signals[:MOST_PANELS]
        self._labels = {n: f"{n} ({k['units']})" if k.get("units") else n for n, k in keys.items()}
        self._points = Points(1 + len(self._axes) + len(self._signals))

    def _take_page(self, page: Mapping[str, Any]) -> None:
        columns = [page["data"][name] for name in (*self._axes, *self._signals)]
        for time_s, *values in zip(page["time"], *columns, strict=True):
            self._points.add((time_s - self._began, *map(float, values)))

    def draw(self, figure: Figure) -> bool:
        if not self.points:
            return False
        if not self._drawn:
            self._set_up(figure)
        figure.suptitle(self._title)
        time, *columns = self._points.columns()
        axes, signals = columns[: len(self._axes)], columns[len(self._axes) :]
        for (panel, artist), values in zip(self._drawn, signals, strict=True):
            if self.is_map:
                artist.set_offsets(np.column_stack([axes[1], axes[0]]))
                artist.set_array(values)
                artist.autoscale()
                _frame(panel, axes[1], axes[0])
            else:
                artist.set_data(*_with_gaps(axes[0] if axes else time, values))
                _rescale(panel)
        return True

    def _set_up(self, figure: Figure) -> None:
        for panel, signal in zip(_panels(figure, len(self._signals)), self._signals, strict=True):
            if self.is_map:
                artist: Any = panel.scatter([], [], c=[], s=40.0, marker="s")
                figure.colorbar(artist, ax=panel, label=self._labels[signal])
                panel.set(xlabel=self._labels[self._axes[1]], ylabel=self._labels[self._axes[0]])
            else:
                (artist,) = panel.plot([], [], ".-", linewidth=1.0, markersize=4.0)
                axis = self._labels[self._axes[0]] if self._axes else "time (s)"
                panel.set(xlabel=axis, ylabel=self._labels[signal])
                panel.grid(visible=True, alpha=0.3)
            self._drawn.append((panel, artist))


def _with_gaps(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """With nothing in between where a new sweep begins: a fly-back is no line of the curve."""
    jumps = np.flatnonzero(np.abs(np.diff(x)) > np.ptp(x) / 2) + 1
    if len(x) <= SWEEP_POINTS or len(jumps) > len(x) / SWEEP_POINTS:
        return x, y
    return np.insert(x, jumps, np.nan), np.insert(y, jumps, np.nan)


def _panels(figure: Figure, count: int) -> Sequence[Axes]:
    figure.set_size_inches(6.5, 0.8 + 2.4 * count)
    panels: Sequence[Axes] = figure.subplots(count, 1, squeeze=False)[:, 0].tolist()
    return panels


def _rescale(panel: Axes) -> None:
    panel.relim()
    panel.autoscale_view()


def _frame(panel: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    """Limits around the points: matplotlib does not follow the offsets of a scatter."""
    for values, set_limits in ((x, panel.set_xlim), (y, panel.set_ylim)):
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        margin = 0.06 * (high - low) or 0.5
        set_limits(low - margin, high + margin)
