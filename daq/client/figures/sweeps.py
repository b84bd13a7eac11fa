"""Where a motor turned around or flew back: what belongs together as one line of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Sweep", "split_sweeps"]

_FLY_BACK = 2.5
"""A step back that is so many usual ones long belongs to neither sweep."""
_LEAST = 3
"""Points of a sweep; fewer are a step back within one."""
_USUAL_LENGTH = 5
"""With more turns than one in so many points, the sweeps have to be alike to be meant."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Points that were taken in one direction."""

    rows: npt.NDArray[np.intp]
    """Their events, in the order of the positions."""
    upward: bool


def split_sweeps(x: Numbers) -> list[Sweep]:
    """The sweeps of a motor, from its positions in the order of the events.

    A sweep that turns around shares the point where it turned with the next one. Empty when the
    positions go to and fro, so that a line between them would mean nothing.

    Returns:
        First and last point of each sweep, and its direction.
    """
    if len(x) < _LEAST:
        return [Sweep(np.arange(len(x)), upward=bool(len(x) == 0 or x[-1] >= x[0]))]
    steps = np.diff(x)
    usual = float(np.median(np.abs(steps[steps != 0.0]))) if np.any(steps) else 0.0
    runs = _runs(x, _signs(steps, usual))
    sweeps: list[Sweep] = []
    for first, last, sign in runs:
        if last - first == 1 and len(runs) > 1:
            continue  # a fly-back
        begin = first + (1 if sweeps and abs(steps[first]) > _FLY_BACK * usual else 0)
        rows = np.arange(begin, last + 1)
        sweeps.append(Sweep(rows[np.argsort(sign * x[rows], kind="stable")], upward=sign > 0))
    alike = len({len(sweep.rows) for sweep in sweeps[:-1]}) == 1
    return sweeps if alike or len(runs) <= max(len(x) / _USUAL_LENGTH, 2) else []


def _signs(steps: Numbers, usual: float) -> Numbers:
    """The direction of each step; a motor that stands goes on as it did."""
    # What is much smaller than a usual step is the jitter of a readback.
    signs = np.sign(np.where(np.abs(steps) > usual / 10, steps, 0.0))
    moved = np.flatnonzero(signs)
    if not len(moved):
        return np.ones(len(steps))
    last = np.searchsorted(moved, np.arange(len(steps)), side="right") - 1
    filled: Numbers = signs[moved[np.maximum(last, 0)]]
    return filled


def _runs(x: Numbers, signs: Numbers) -> list[tuple[int, int, float]]:
    """First point, last point and direction, of steps in one direction.

    A step back that does not reach the point before the last is within a sweep: something was
    looked at more closely.

    Returns:
        A row for each.
    """
    edges = [0, *(np.flatnonzero(np.diff(signs)) + 1).tolist(), len(signs)]
    runs: list[tuple[int, int, float]] = []
    for first, last in pairwise(edges):
        sign = float(signs[first])
        if runs and runs[-1][2] == sign:  # what follows a closer look
            runs[-1] = (runs[-1][0], last, sign)
        elif runs and first - runs[-1][0] > 1 and _is_within(x, first, last, runs[-1][2]):
            runs[-1] = (runs[-1][0], last, runs[-1][2])
        else:
            runs.append((first, last, sign))
    return runs


def _is_within(x: Numbers, first: int, last: int, sign: float) -> bool:
    return first > 0 and last < len(x) - 1 and bool(sign * (x[last] - x[first - 1]) > 0)
