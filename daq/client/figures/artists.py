"""The parts of a live figure: each owns its axes and is given new data again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from daq.client.figures.choice import LARGEST
from daq.client.figures.labels import Labelled, safe_text

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

    def __init__(self, panel: Axes, x: Labelled, y: Labelled, style: str = ".-") -> None:
        self._panel = panel
        self._x, self._y = x, y
        (self._line,) = panel.plot([], [], style, linewidth=1.0, markersize=4.0)
        panel.grid(visible=True, alpha=0.3)

    def show(self, x: Array, y: Array) -> None:
        """Draw these points instead of what was there."""
        x, y = drawable(x), drawable(y)
        across, up = self._x.scale(x), self._y.scale(y)
        self._line.set_data(across(x), up(y))
        self._panel.set(xlabel=across.label, ylabel=up.label)
        self._panel.relim()
        self._panel.autoscale_view()


class Waveform(Curve):
    """The newest of many waveforms, against the number of the sample."""

    def __init__(self, panel: Axes, shown: Labelled) -> None:
        super().__init__(panel, Labelled("sample"), shown, "-")

    def show_newest(self, wave: Array) -> None:
        """Draw this one; of several in one sample, the last."""
        values = wave.reshape(-1, wave.shape[-1])[-1]
        self.show(np.arange(len(values)), values)


class Map:
    """Points on a plane, coloured by what was measured there."""

    def __init__(self, panel: Axes, x: Labelled, y: Labelled, shown: Labelled) -> None:
        self._panel = panel
        self._x, self._y, self._shown = x, y, shown
        self._points: Any = panel.scatter([], [], c=[], s=40.0, marker="s")
        self._bar = _colour_bar(panel, self._points)

    def show(self, x: Array, y: Array, values: Array) -> None:
        """Draw these points instead of what was there."""
        x, y, values = drawable(x), drawable(y), drawable(values)
        across, up, colour = self._x.scale(x), self._y.scale(y), self._shown.scale(values)
        x, y = across(x), up(y)
        self._points.set_offsets(np.column_stack([x, y]))
        self._points.set_array(colour(values))
        self._points.autoscale()
        self._panel.set(xlabel=across.label, ylabel=up.label)
        self._bar.set_label(colour.label)
        # matplotlib's limits do not follow the offsets of a scatter.
        for numbers, set_limits in ((x, self._panel.set_xlim), (y, self._panel.set_ylim)):
            finite = numbers[np.isfinite(numbers)]
            low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
            margin = 0.06 * (high - low) or 0.5
            set_limits(low - margin, high + margin)


class Image:
    """The newest image, with the scale of its colours following it."""

    def __init__(self, panel: Axes, shown: Labelled) -> None:
        self._panel = panel
        self._quantity = shown
        self._shown: Any = None
        self._bar: Any = None
        panel.set(xlabel="column (px)", ylabel="row (px)")

    def show(self, image: Array, title: str = "") -> None:
        """Draw this one; of several in one sample, the last."""
        flat = image.reshape(-1, *image.shape[-2:])[-1]
        colour = self._quantity.scale(flat)
        scaled = flat if colour.factor == 1.0 else colour(flat)
        if self._shown is None:
            self._shown = self._panel.imshow(scaled, origin="upper")
            self._bar = _colour_bar(self._panel, self._shown)
        self._shown.set_data(scaled)
        self._shown.autoscale()
        self._bar.set_label(colour.label)
        self._panel.set_title(safe_text(title))


def _colour_bar(panel: Axes, drawn: Any) -> Any:
    figure = panel.get_figure(root=True)
    assert figure is not None  # noqa: S101 - it was made of one
    return figure.colorbar(drawn, ax=panel)
