"""The live picture of a run: curves, a map, the newest waveform, the newest image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from daq.client.figures.artists import Curve, Image, Map, Waveform, panels
from daq.client.figures.charts import Points
from daq.client.figures.labels import Labelled, safe_text

__all__ = ["RunChart"]

MOST_PANELS = 4
SWEEP_POINTS = 3
"""Fewer are no sweep, whatever their distance."""

Array = npt.NDArray[Any]


class RunChart:
    """The events of a run as they come: curves over one axis, coloured points over two.

    Of waveforms and images, the newest. It is fed with event-model documents and follows the first
    stream in which there is something to draw.
    """

    def __init__(self) -> None:
        self.points = 0
        self.outside: tuple[str, ...] = ()
        """Channels whose samples are too large for documents: give them to `take_array`."""
        self._title = ""
        self._stream = ""
        self._began = 0.0
        self._axes: list[str] = []
        self._scalars: list[str] = []
        self._arrays: dict[str, int] = {}
        self._quantities: dict[str, Labelled] = {}
        self._more = 0
        """Columns for which there is no panel."""
        self._points = Points(0)
        self._newest: dict[str, Array] = {}
        self._parts: dict[str, Curve | Map | Image] = {}

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
                self._title += f" ({document.get('outcome', '')}, {self.points} points)"

    def take_array(self, name: str, value: Array | None) -> None:
        """The newest waveform or image of a channel."""
        if value is not None:
            self._newest[name] = value

    def _describe(self, descriptor: Mapping[str, Any]) -> None:
        keys = descriptor["data_keys"]
        numbers = [n for n, k in keys.items() if k["dtype"] in ("number", "integer", "boolean")]
        arrays = {n: _dimensions(k) for n, k in keys.items() if k["dtype"] == "array"}
        axes = [name for name in numbers if keys[name].get("role") == "positioner"]
        scalars = [name for name in numbers if name not in axes]
        if not scalars and not arrays:
            scalars, axes = axes[-1:], []
        if not scalars and not arrays:
            return
        self._stream = descriptor["uid"]
        self._axes = axes[-2:]
        self._scalars = scalars[:MOST_PANELS]
        self._arrays = dict(list(arrays.items())[: MOST_PANELS - len(self._scalars)])
        self._more = len(scalars) + len(arrays) - len(self._scalars) - len(self._arrays)
        self.outside = tuple(name for name in self._arrays if "external" in keys[name])
        self._quantities = {n: Labelled(n, k.get("units") or "") for n, k in keys.items()}
        self._points = Points(1 + len(self._axes) + len(self._scalars))

    def _take_page(self, page: Mapping[str, Any]) -> None:
        columns = [page["data"][name] for name in (*self._axes, *self._scalars)]
        for time_s, *values in zip(page["time"], *columns, strict=True):
            self._points.add((time_s - self._began, *map(float, values)))
        self.points += len(page["time"])
        for name in self._arrays:
            if name not in self.outside:
                self._newest[name] = np.asarray(page["data"][name][-1])

    def draw(self, figure: Figure) -> bool:
        """Draw what is recorded by now; False when nothing is."""
        if not self.points or not (self._scalars or self._newest):
            return False
        if not self._parts:
            self._set_up(figure)
        figure.suptitle(safe_text(self._title))
        time, *columns = self._points.columns()
        axes, scalars = columns[: len(self._axes)], columns[len(self._axes) :]
        values = dict(zip(self._scalars, scalars, strict=True)) | self._newest
        for name, part in self._parts.items():
            match part:
                case Map():
                    part.show(axes[1], axes[0], values[name])
                case Image() if name in values:
                    part.show(values[name])
                case Waveform() if name in values:
                    part.show_newest(values[name])
                case Curve() if name in self._scalars:
                    part.show(*_with_gaps(axes[0] if axes else time, values[name]))
        return True

    def _set_up(self, figure: Figure) -> None:
        names = [*self._scalars, *self._arrays]
        for panel, name in zip(panels(figure, len(names)), names, strict=True):
            self._parts[name] = self._part(panel, name)
        if self._more:
            figure.supxlabel(f"and {self._more} more columns")

    def _part(self, panel: Axes, name: str) -> Curve | Map | Image:
        shown, axes = self._quantities[name], [self._quantities[axis] for axis in self._axes]
        if name in self._arrays:
            return Image(panel, shown) if self._arrays[name] > 1 else Waveform(panel, shown)
        if self.is_map:
            return Map(panel, axes[1], axes[0], shown)
        return Curve(panel, axes[0] if axes else Labelled("time (s)"), shown)


def _dimensions(key: Mapping[str, Any]) -> int:
    """Of one sample; where it lies in a file, the events are the first dimension."""
    return len(key["shape"]) - ("external" in key)


def _with_gaps(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """With nothing in between where a new sweep begins: a fly-back is no line of the curve."""
    jumps = np.flatnonzero(np.abs(np.diff(x)) > np.ptp(x) / 2) + 1
    if len(x) <= SWEEP_POINTS or len(jumps) > len(x) / SWEEP_POINTS:
        return x, y
    return np.insert(x, jumps, np.nan), np.insert(y, jumps, np.nan)
