"""The panels of a run's picture: curves, maps, families of waveforms, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize

from daq.client.figures.choice import Drawn, problem
from daq.client.figures.labels import Scale, safe_text
from daq.client.figures.sweeps import Sweep, split_sweeps
from daq.core import Column, format_quantity

__all__ = ["Panel"]

Numbers = npt.NDArray[np.float64]

_MOST_POINTS = 5000
_MOST_WAVES = 24
_MOST_ASPECT = 5.0
"""How much longer one side of a map may be for both to have one scale."""
_COUNTS = frozenset({"count", "counts", "cts", "ct"})
_COLOURS = "viridis"


@dataclass(slots=True)
class Panel:
    """One column of a run, or of several runs, in axes of its own."""

    axes: Axes
    column: Column
    log_x: bool = False
    log_y: bool = False
    """Logarithmic values; in a map or an image those of the colour."""

    def draw(self, runs: Sequence[Drawn]) -> None:
        """Draw the column as it is in each of the runs; what cannot be drawn is said there."""
        if len(self.column.shape) > 1:
            self._draw_image(runs[-1])
        elif self.column.shape:
            self._draw_waves(runs[-1])
        elif len(runs) == 1 and len(runs[0].axes) == 2:
            self._draw_map(runs[0])
        else:
            self._draw_curves(runs)

    # ------------------------------------------------------------------------------------- curves

    def _draw_curves(self, runs: Sequence[Drawn]) -> None:
        xs = [_abscissa(run) for run in runs]
        ys = [run.of(self.column) for run in runs]
        name, units = xs[0][0], xs[0][1]
        x_scale = Scale(name, units, np.concatenate([x for _, _, x in xs]))
        y_scale = Scale(self.column.name, self.column.units, np.concatenate(ys))
        self.axes.set(xlabel=x_scale.label, ylabel=y_scale.label)
        if self._declined(name, np.concatenate([x for *_, x in xs]), self.log_x):
            return
        if self._declined(self.column.name, np.concatenate(ys), self.log_y):
            return
        self._set_scales()
        for number, (run, (_, _, x), y) in enumerate(zip(runs, xs, ys, strict=True)):
            label = safe_text(f"{run.run.summary.name} {run.run.summary.run_id[:8]}")
            colour = f"C{number % 10}"
            shown = label if len(runs) > 1 else ""
            self._draw_curve(run, x_scale(x), y_scale(y), colour, shown)
            self._draw_errors(x_scale(x), y, colour)
        self.axes.grid(visible=True, alpha=0.3)
        if self.axes.get_legend_handles_labels()[1]:
            self.axes.legend(fontsize="small")

    def _draw_curve(self, run: Drawn, x: Numbers, y: Numbers, colour: str, label: str) -> None:
        sweeps = split_sweeps(x) if run.axes else [Sweep(np.arange(len(x)), upward=True)]
        ways = [sweep.upward for sweep in sweeps]
        loose = np.ones(len(x), bool)
        named: set[bool] = set()
        for number, sweep in enumerate(sweeps):
            loose[sweep.rows] = False
            many = ways.count(sweep.upward) > 1 and not label
            shade = _shade(number, len(sweeps)) if many else colour
            way = ("up" if sweep.upward else "down") if len(set(ways)) > 1 else ""
            text = "" if sweep.upward in named else " ".join(filter(None, [label, way]))
            named.add(sweep.upward)
            self.axes.plot(
                x[sweep.rows], y[sweep.rows], color=shade, linewidth=1.0, markersize=4.0,
                linestyle="none" if len(x) > _MOST_POINTS else "-" if sweep.upward else "--",
                marker="." if sweep.upward else "o",
                markerfacecolor=shade if sweep.upward else "none",
                label=text or "_nolegend_",
            )  # fmt: skip
        if loose.any():  # no line leads to a point that is in no sweep
            text = label if not sweeps and label else "_nolegend_"
            self.axes.plot(x[loose], y[loose], ".", color=colour, markersize=4.0, label=text)

    def _draw_errors(self, x: Numbers, y: Numbers, colour: str) -> None:
        """The square root of what was counted."""
        if self.column.units.lower() not in _COUNTS:
            return
        errors = np.sqrt(np.where(np.isfinite(y) & (y > 0), y, 0.0))
        self.axes.errorbar(x, y, errors, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.6)
        self._note("bars: √N")

    # --------------------------------------------------------------------------------------- maps

    def _draw_map(self, run: Drawn) -> None:
        slow, fast = run.axes if run.grid is not None else run.axes[::-1]
        values = run.of(self.column)
        x, y = run.of(fast), run.of(slow)
        scales = [
            Scale(c.name, c.units, v) for c, v in ((fast, x), (slow, y), (self.column, values))
        ]
        self.axes.set(xlabel=scales[0].label, ylabel=scales[1].label)
        if any(self._declined(c.name, v) for c, v in ((fast, x), (slow, y))):
            return
        if self._declined(self.column.name, values, self.log_y):
            return
        shown = scales[2](values)
        grid = run.grid
        if grid is not None and len(grid.shape) == 2:
            places = [
                scale(axis) for scale, axis in zip(scales[1::-1], grid.positions, strict=True)
            ]
            drawn: Any = self.axes.pcolormesh(
                places[1], places[0], grid.spread(shown), shading="nearest", norm=self._norm(shown)
            )
        else:
            drawn = self.axes.scatter(
                scales[0](x), scales[1](y), c=shown, s=16.0, norm=self._norm(shown)
            )
        self._colour_bar(drawn, scales[2].label)
        spans = np.ptp(x[np.isfinite(x)]), np.ptp(y[np.isfinite(y)])
        if fast.units == slow.units and min(spans) * _MOST_ASPECT >= max(spans) > 0:
            self.axes.set_aspect("equal")

    # --------------------------------------------------------------------------- waveforms, images

    def _draw_waves(self, run: Drawn) -> None:
        values = run.of(self.column)
        scale = Scale(self.column.name, self.column.units, values)
        self.axes.set(xlabel="sample", ylabel=scale.label)
        if self._declined(self.column.name, values, self.log_y):
            return
        self._set_scales()
        rows = np.unique(np.linspace(0, len(values) - 1, _MOST_WAVES).round().astype(int))
        name, along = "event", np.arange(len(values), dtype=np.float64)
        if run.axes:
            axis = Scale(run.axes[0].name, run.axes[0].units, run.of(run.axes[0]))
            name, along = axis.label, axis(run.of(run.axes[0]))
        colours = ScalarMappable(Normalize(*_ends(along[rows])), _COLOURS)
        for row in rows:
            colour = colours.to_rgba(along[row]) if len(rows) > 1 else "C0"
            self.axes.plot(scale(values[row]), linewidth=0.9, color=colour)
        if len(rows) > 1:
            self._colour_bar(colours, name)
        if len(rows) < len(values):
            self._note(f"{len(rows)} of {len(values)} events")
        self.axes.grid(visible=True, alpha=0.3)

    def _draw_image(self, run: Drawn) -> None:
        table = run.table[self.column.name]
        planes = run.of(self.column)[-1].reshape(-1, *table.shape[-2:])
        values = planes[-1]
        scale = Scale(self.column.name, self.column.units, values)
        self.axes.set(xlabel="column (px)", ylabel="row (px)")
        if self._declined(self.column.name, values, self.log_y):
            return
        drawn = self.axes.imshow(
            scale(values), origin="upper", aspect="equal", norm=self._norm(scale(values))
        )
        self._colour_bar(drawn, scale.label)
        places = [
            f"{safe_text(c.name)} = {format_quantity(float(run.of(c)[-1]), c.units)}"
            for c in run.axes
        ]
        if len(planes) > 1:
            places.insert(0, f"plane {len(planes)} of {len(planes)}")
        self.axes.set_title(", ".join([f"event {len(table) - 1}, the last", *places]))

    # ------------------------------------------------------------------------------------ the rest

    def _declined(self, name: str, values: Numbers, positive: bool = False) -> bool:
        """Say what cannot be drawn, and what is left out of the rest."""
        text = problem(safe_text(name), values, positive=positive)
        if text:
            self.axes.text(
                0.5, 0.5, text, ha="center", va="center", wrap=True, transform=self.axes.transAxes
            )
            self.axes.set(xticks=[], yticks=[])
            return True
        lost = np.count_nonzero(~np.isfinite(values))
        if lost:
            self._note(f"not finite, not drawn: {lost} of {values.size} of {safe_text(name)}")
        below = np.count_nonzero(values <= 0) if positive else 0
        if below:
            self._note(f"not positive, not drawn: {below} of {values.size} of {safe_text(name)}")
        return False

    def _note(self, text: str) -> None:
        known = self.axes.get_title(loc="right")
        self.axes.set_title("; ".join(filter(None, [known, text])), loc="right", fontsize="small")

    def _set_scales(self) -> None:
        if self.log_x:
            self.axes.set_xscale("log", nonpositive="mask")
        if self.log_y:
            self.axes.set_yscale("log", nonpositive="mask")

    def _norm(self, values: Numbers) -> Normalize:
        if self.log_y:
            positive = values[np.isfinite(values) & (values > 0)]
            return LogNorm(*_ends(positive))
        return Normalize(*_ends(values[np.isfinite(values)]))

    def _colour_bar(self, drawn: Any, label: str) -> None:
        figure = self.axes.get_figure(root=True)
        if figure is not None:
            figure.colorbar(drawn, ax=self.axes, label=label)


def _abscissa(run: Drawn) -> tuple[str, str, Numbers]:
    """What curves are drawn against: the fast axis, else time."""
    if run.axes:
        axis = run.axes[-1]
        return axis.name, axis.units, run.of(axis)
    return ("time", "s", run.time_s) if "time" in run.table else ("event", "", run.time_s)


def _shade(number: int, count: int) -> Any:
    """Of many sweeps each has a colour of its own, in their order."""
    return colormaps[_COLOURS](0.9 * number / max(count - 1, 1))


def _ends(values: Numbers) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if low == high:  # a constant has a colour too
        return low - 0.5 * abs(low or 1.0), high + 0.5 * abs(high or 1.0)
    return low, high
