"""The demonstration's figure: points, fitted curve, residuals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from daq.cli.demo.beam_fit import BeamFit

__all__ = ["draw"]

Array = npt.NDArray[np.float64]

INK, POINTS, CURVE, FAINT = "#1f2933", "#0f6fc6", "#e4572e", "#9aa5b1"


def draw(
    path: Path, position: Array, power: Array, fit: BeamFit, waist: float, units: tuple[str, str]
) -> None:
    """Write a PNG: the scan with its fit above, the residuals below.

    Args:
        path: The file.
        position: Readback positions of the edge, shape (n,).
        power: Readings of the meter in W, shape (n,).
        fit: The fitted beam.
        waist: The waist that the bench was configured with, in the units of the position.
        units: Of position and power.
    """
    scale, power_units = _scaled(fit.power, units[1])
    figure = Figure(figsize=(8.0, 6.0), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    scan, residuals = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1], "hspace": 0.05}
    )
    _draw_scan(scan, position, power * scale, fit, scale)
    scan.set_ylabel(f"transmitted power ({power_units})")
    scan.set_title("Knife-edge scan of the simulated beam", loc="left", weight="bold", color=INK)
    _annotate(scan, fit, waist, units[0])
    difference = (power - fit.curve(position)) * scale
    residuals.axhline(0.0, color=CURVE, linewidth=1.2)
    residuals.vlines(position, 0.0, difference, color=FAINT, linewidth=1.0)
    residuals.plot(position, difference, "o", color=POINTS, markersize=3.5)
    residuals.set_ylabel(f"residual ({power_units})")
    residuals.set_xlabel(f"position of the edge ({units[0]})")
    for axes in (scan, residuals):
        _tidy(axes)
    figure.align_ylabels()
    figure.savefig(path, dpi=150)


def _draw_scan(axes: Axes, position: Array, power: Array, fit: BeamFit, scale: float) -> None:
    grid = np.linspace(position.min(), position.max(), 500)
    edges = (fit.centre - fit.waist, fit.centre + fit.waist)
    axes.axvspan(*edges, color=CURVE, alpha=0.08, lw=0, label="beam, 1/e²")
    axes.plot(grid, fit.curve(grid) * scale, color=CURVE, linewidth=2.0, label="error function")
    axes.plot(
        position, power, "o", color=POINTS, markersize=5, markeredgecolor="white", label="recorded"
    )
    axes.legend(frameon=False, loc="upper right" if fit.falling else "upper left")


def _annotate(axes: Axes, fit: BeamFit, waist: float, units: str) -> None:
    deviation = 100 * (fit.waist / waist - 1)
    text = (
        f"waist  {fit.waist:.4f} ± {fit.waist_error:.4f} {units}\n"
        f"bench  {waist:.4f} {units}   ({deviation:+.2f} %)\n"
        f"centre {fit.centre:+.4f} {units}"
    )
    axes.text(
        0.03 if fit.falling else 0.97,
        0.06,
        text,
        transform=axes.transAxes,
        family="monospace",
        fontsize=9,
        color=INK,
        ha="left" if fit.falling else "right",
        va="bottom",
        multialignment="left",
    )


def _tidy(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK)
    axes.yaxis.label.set_color(INK)
    axes.xaxis.label.set_color(INK)
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.6)
    axes.margins(x=0.02)


def _scaled(value: float, units: str) -> tuple[float, str]:
    """A factor and a prefixed unit in which `value` has one to three digits before the point."""
    if units != "W" or value <= 0:
        return 1.0, units
    for factor, prefix in ((1.0, ""), (1e3, "m"), (1e6, "µ")):
        if value * factor >= 1.0:
            return factor, f"{prefix}W"
    return 1e9, "nW"
