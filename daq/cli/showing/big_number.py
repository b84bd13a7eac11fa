"""A number that can be read from the other end of the laboratory, with its recent past below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from daq.core import format_quantity, scaled_units

__all__ = ["big_number", "sparkline"]

_GLYPHS = {
    "0": ("████", "█  █", "█  █", "█  █", "████"),
    "1": ("  █ ", " ██ ", "  █ ", "  █ ", " ███"),
    "2": ("████", "   █", "████", "█   ", "████"),
    "3": ("████", "   █", " ███", "   █", "████"),
    "4": ("█  █", "█  █", "████", "   █", "   █"),
    "5": ("████", "█   ", "████", "   █", "████"),
    "6": ("████", "█   ", "████", "█  █", "████"),
    "7": ("████", "   █", "  █ ", "  █ ", "  █ "),
    "8": ("████", "█  █", "████", "█  █", "████"),
    "9": ("████", "█  █", "████", "   █", "████"),
    ".": ("  ", "  ", "  ", "  ", "█ "),
    "-": ("   ", "   ", "███", "   ", "   "),
    "+": ("   ", " █ ", "███", " █ ", "   "),
    "e": ("    ", " ██ ", "████", "█   ", " ███"),
}
_BARS = "▁▂▃▄▅▆▇█"
DIGITS = 5


def big_number(title: str, values: Sequence[float], units: str, width: int) -> Text:
    """The newest value in large digits, and a line of those before it.

    Args:
        title: What is shown.
        values: Oldest first; NaN where there was none.
        units: Of the values.
        width: Columns of the terminal.

    Returns:
        Eight lines of text.
    """
    newest = values[-1]
    text = Text(f"{title}\n\n", "dim", no_wrap=True, overflow="crop")
    if math.isfinite(newest):
        factor, scaled = scaled_units(newest, units)
        text.append(_large(f"{newest * factor:#.{DIGITS}g}".rstrip("."), scaled), "bold green")
    else:
        text.append(f"\n\nno value now ({newest:g})\n\n\n", "bold red")
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        text.append(f"\n{sparkline(values, width)}\n", "cyan")
        low, high = (format_quantity(value, units) for value in (min(finite), max(finite)))
        text.append(f"{low} to {high}", "dim")
    return text


def _large(number: str, units: str) -> str:
    glyphs = [_GLYPHS[character] for character in number if character in _GLYPHS]
    rows = [" ".join(glyph[row] for glyph in glyphs) for row in range(5)]
    return "\n".join(rows) + f" {units}\n"


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest values as bars, `width` at most, from the least of them to the greatest."""
    shown = values[-width:]
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    step = (high - low) / (len(_BARS) - 1) or math.inf
    return "".join(
        _BARS[round((value - low) / step)] if math.isfinite(value) else " " for value in shown
    )
