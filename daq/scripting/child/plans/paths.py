"""The paths of plans: where the motors go, point by point, and what is known of that before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, SupportsIndex

from daq.core import MAX_POINTS, ParameterError, PlanCall

__all__ = ["PATHS", "Path", "linspace", "passed"]

Origin = Mapping[str, float]
"""Where the motors of a relative plan stand; empty for another."""


@dataclass(frozen=True, slots=True)
class Path:
    """The points of a plan, and the facts about them that its run notes."""

    points: Sequence[Mapping[str, float]]
    extents: list[tuple[float, float]]
    """From where to where each motor goes."""
    facts: Mapping[str, Any] = field(default_factory=dict)


def linspace(start: float, stop: float, num: int = 50) -> list[float]:
    """`num` equal steps from `start` to `stop`, both included."""
    if not isinstance(num, SupportsIndex) or num.__index__() < 0:
        raise ValueError(f"linspace() takes a whole number of points, not {num!r:.60}")
    if num == 1:
        return [float(start)]
    return [start + (stop - start) * i / (num - 1) for i in range(num)]


def passed(start: float, stop: float, position: Any) -> float:
    """How much of the way is done, 0 to 1."""
    if stop == start or not isinstance(position, int | float) or not math.isfinite(position):
        return 0.0
    return min(max((position - start) / (stop - start), 0.0), 1.0)


def _line(call: PlanCall, origin: Origin) -> Path:
    num = call.values["num"]
    ends = _ends(call, origin)
    lines = [linspace(start, stop, num) for start, stop in ends]
    return Path(_points(call.motors, zip(*lines, strict=True)), ends, {"shape": [num]})


def _list(call: PlanCall, origin: Origin) -> Path:
    lengths = {len(positions) for _, positions in call.axes}
    if len(lengths) != 1:
        raise ParameterError(
            f"{call.plan.name}: every motor needs as many positions, not {sorted(lengths)}"
        )
    lines = [[origin.get(motor, 0.0) + x for x in positions] for motor, positions in call.axes]
    ends = [(min(line), max(line)) for line in lines]
    return Path(_points(call.motors, zip(*lines, strict=True)), ends, {"shape": [*lengths]})


def _grid(call: PlanCall, origin: Origin) -> Path:
    shape = [num for *_, num in call.axes]
    if math.prod(shape) > MAX_POINTS:
        raise ParameterError(f"{call.plan.name}: a grid of more than {MAX_POINTS} points")
    ends, snake = _ends(call, origin), call.values["snake"]
    lines = [linspace(start, stop, num) for (start, stop), num in zip(ends, shape, strict=True)]
    path = _snake(lines) if snake else product(*lines)
    facts = {"shape": shape, "snaking": [False, *[snake] * (len(shape) - 1)]}
    return Path(_points(call.motors, path), ends, facts)


def _spiral(call: PlanCall, origin: Origin) -> Path:
    radius, step = call.values["radius"], call.values["step"]
    if (radius / step) ** 2 * math.pi >= MAX_POINTS:
        raise ParameterError(
            f"{call.plan.name}: radius {radius:g} and step {step:g} are not of one scale: that "
            f"would be more than {MAX_POINTS} points"
        )
    x, y = call.motors
    center = [
        call.values.get(f"{axis}_center", origin.get(motor, 0.0))
        for axis, motor in (("x", x), ("y", y))
    ]
    points = [{x: center[0] + dx, y: center[1] + dy} for dx, dy in _turns(radius, step)]
    return Path(points, [(middle - radius, middle + radius) for middle in center])


PATHS: Mapping[str, Callable[[PlanCall, Origin], Path]] = {
    "scan": _line,
    "list_scan": _list,
    "grid_scan": _grid,
    "spiral_scan": _spiral,
}
"""How the points come about, for the plans that go through fixed ones and their `rel_` forms."""


def _ends(call: PlanCall, origin: Origin) -> list[tuple[float, float]]:
    return [
        (origin.get(motor, 0.0) + start, origin.get(motor, 0.0) + stop)
        for motor, start, stop, *_ in call.axes
    ]


def _points(motors: Sequence[str], path: Any) -> list[dict[str, float]]:
    return [dict(zip(motors, position, strict=True)) for position in path]


def _snake(lines: Sequence[Sequence[float]]) -> Iterator[tuple[float, ...]]:
    if not lines:
        yield ()
        return
    inner = list(_snake(lines[1:]))
    for index, position in enumerate(lines[0]):
        for rest in inner if index % 2 == 0 else reversed(inner):
            yield (position, *rest)


def _turns(radius: float, step: float) -> Iterator[tuple[float, float]]:
    """An Archimedean spiral in points of equal distance."""
    pitch = step / (2 * math.pi)
    angle = 0.0
    while (distance := pitch * angle) <= radius:
        yield distance * math.cos(angle), distance * math.sin(angle)
        angle += step / math.hypot(distance, pitch) if distance >= step else math.pi / 3
