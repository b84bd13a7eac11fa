"""The parts of a live figure: each owns its axes and is given new data again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from daq.client.figures.choice import LARGEST
from daq.client.figures.labels import safe_text

__all__ = ["Curve", "Image", "Map", "Waveform", "panels"]

Array = npt.NDArray[Any]


def drawable(values: Array) -> Array:
    """The same with nothing (NaN) for what no picture has room for."""
    numbers = values.astype(np.float64)
    return np.where(np.abs(numbers) < LARGEST, numbers, np.nan)


def panels(figure: Figure, count: int) -> Sequence[Axes]:
    """Axes one below the other, and the figure as large as they need it."""
    figure.set_size_inches(6.5, 0.8 + 2.4 * count)
    axes: Sequence[Axes] = figure.subplots(count, 1, squeeze=False)[:, 0].tolist()
    return axes


class Curve:
    """Points in a row, joined."""

    def __init__(self, panel: Axes, xlabel: str, ylabel: str, style: str = ".-") -> None:
        self._panel = panel
        (self._line,) = panel.plot([], [], style, linewidth=1.0, markersize=4.0)
        panel.set(xlabel=safe_text(xlabel), ylabel=safe_text(ylabel))
        panel.grid(visible=True, alpha=0.3)

    def show(self, x: Array, y: Array) -> None:
        """Draw these points instead of what was there."""
        self._line.set_data(drawable(x), drawable(y))
        self._panel.relim()
        self._panel.autoscale_view()


class Waveform(Curve):
    """The newest of many waveforms, against the number of the sample."""

    def __init__(self, panel: Axes, label: str) -> None:
        super().__init__(panel, "sample", label, "-")

    def show_newest(self, wave: Array) -> None:
        """Draw this one; of several in one sample, the last."""
        values = wave.reshape(-1, wave.shape[-1])[-1]
        self.show(np.arange(len(values)), values)


class Map:
    """Points on a plane, coloured by what was measured there."""

    def __init__(self, panel: Axes, xlabel: str, ylabel: str, label: str) -> None:
        self._panel = panel
        self._points: Any = panel.scatter([], [], c=[], s=40.0, marker="s")
        _colour_bar(panel, self._points, label)
        panel.set(xlabel=safe_text(xlabel), ylabel=safe_text(ylabel))

    def show(self, x: Array, y: Array, values: Array) -> None:
        """Draw these points instead of what was there."""
        x, y = drawable(x), drawable(y)
        self._points.set_offsets(np.column_stack([x, y]))
        self._points.set_array(drawable(values))
        self._points.autoscale()
        # matplotlib's limits do not follow the offsets of a scatter.
        for numbers, set_limits in ((x, self._panel.set_xlim), (y, self._panel.set_ylim)):
            finite = numbers[np.isfinite(numbers)]
            low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
            margin = 0.06 * (high - low) or 0.5
            set_limits(low - margin, high + margin)


class Image:
    """The newest image, with the scale of its colours following it."""

    def __init__(self, panel: Axes, label: str) -> None:
        self._panel = panel
        self._label = label
        self._shown: Any = None
        panel.set(xlabel="column (px)", ylabel="row (px)")

    def show(self, image: Array, title: str = "") -> None:
        """Draw this one; of several in one sample, the last."""
        flat = image.reshape(-1, *image.shape[-2:])[-1]
        if self._shown is None:
            self._shown = self._panel.imshow(flat, origin="upper")
            _colour_bar(self._panel, self._shown, self._label)
        self._shown.set_data(flat)
        self._shown.autoscale()
        self._panel.set_title(safe_text(title))


def _colour_bar(panel: Axes, drawn: Any, label: str) -> None:
    figure = panel.get_figure(root=True)
    if figure is not None:
        figure.colorbar(drawn, ax=panel, label=safe_text(label))
