"""What a benchmark says: a row each, with a peer measured in the same run where there is one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Row", "print_markdown", "print_table", "summary"]

_HEAD = ("what", "daq", "peer, same run", "ratio", "goal")


@dataclass(frozen=True)
class Row:
    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    """Ours over the peer's; below 1 is faster."""
    goal: str = ""


def summary(seconds: Sequence[float], unit: str = "ms") -> str:
    """Median, 99th percentile and worst of a series."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    ordered = sorted(value * scale for value in seconds)
    p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
    label = "µs" if unit == "us" else unit
    middle = statistics.median(ordered)
    return f"{middle:.3g} {label} (p99 {p99:.3g}, worst {ordered[-1]:.3g}, n={len(ordered)})"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.what, row.ours, row.peer, ratio, row.goal)


def print_markdown(rows: Sequence[Row]) -> None:
    for cells in (_HEAD, ("---",) * len(_HEAD), *map(_cells, rows)):
        print(f"| {' | '.join(cells)} |")


def print_table(rows: Sequence[Row]) -> None:
    table = Table(title="daq benchmarks", title_justify="left")
    for name in _HEAD:
        table.add_column(name, justify="right" if name == "ratio" else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)
