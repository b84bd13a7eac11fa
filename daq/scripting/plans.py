"""The built-in plans: scans as plain functions of the script language.

A plan sends one request per point, opens a run of its own unless one is open, and returns the
columns that it recorded as a dict of lists. Plans compose, since they are functions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import product
from typing import Any, Protocol

__all__ = ["Columns", "PlanHost", "Plans", "linspace"]

Columns = dict[str, list[Any]]
PerPoint = Callable[[dict[str, float]], Mapping[str, Any] | None]
"""Called with {motor: target} at each point, settled and before the reading; what it returns is
recorded beside what is read. Without detectors it does all of the recording itself."""

_MAX_POINTS = 10_000_000


class PlanHost(Protocol):
    """What a plan needs of the script that it runs in."""

    def name(self, device: object) -> str:
        """The id of a device proxy, or the id itself."""

    def call(self, device: str, operation: str, *arguments: Any) -> Any:
        """One operation of a device."""

    def point(
        self,
        moves: Mapping[str, float],
        devices: Sequence[str],
        dwell: float,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Move, settle, dwell, read and store in one request; the columns as stored."""

    def record(self, devices: Sequence[str]) -> dict[str, Any]:
        """Read and store where everything stands."""

    def run(self, name: str, metadata: Mapping[str, Any]) -> AbstractContextManager[None]:
        """A run for the plan, unless one is open."""

    def track(self, points: Sequence[Any]) -> Iterable[Any]:
        """The same points; progress follows them."""

    def segment(self) -> AbstractContextManager[None]:
        """A plan whose points cannot be counted before."""

    def progress(self, fraction: float) -> None:
        """Where such a plan stands, 0 to 1."""

    def start_move(self, device: str, position: float) -> None:
        """Begin a move that goes on in the background."""

    def join_move(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the move in the background; has it ended?"""

    def sleep(self, seconds: float) -> None:
        """Wait, and check_for_stop a stop at once."""


class Plans:
    """Every plan, bound to the script that it runs in."""

    def __init__(self, host: PlanHost) -> None:
        self._host = host

    def count(
        self, detectors: object, num: int = 1, delay: float = 0.0, **metadata: Any
    ) -> Columns:
        """Record the detectors `num` times, `delay` seconds apart."""
        names = self._names(detectors)
        columns: Columns = {}
        with self._host.run("count", metadata):
            for index in self._host.track(range(_whole("num", num, 1))):
                if index:
                    self._host.sleep(delay)
                _append(columns, self._host.record(names))
        return columns

    def scan(
        self,
        detectors: object,
        *axes: Any,
        num: int | None = None,
        dwell: float = 0.0,
        per_point: PerPoint | None = None,
        **metadata: Any,
    ) -> Columns:
        """`scan([meter], stage, 0, 10, 11)`: move through equal steps and record at each.

        Several `motor, start, stop` move together along a line.
        """
        *axes_only, num = axes if num is None else (*axes, num)
        count = _whole("num", num, 1)
        lines = {
            motor: linspace(start, stop, count) for motor, start, stop in self._axes(axes_only, 3)
        }
        points = [
            dict(zip(lines, values, strict=True)) for values in zip(*lines.values(), strict=True)
        ]
        return self._visit("scan", detectors, points, dwell, metadata, per_point)

    def rel_scan(
        self,
        detectors: object,
        *axes: Any,
        num: int | None = None,
        dwell: float = 0.0,
        per_point: PerPoint | None = None,
        **metadata: Any,
    ) -> Columns:
        """As `scan`, with distances from where the motors stand; they return at the end."""
        *axes_only, num = axes if num is None else (*axes, num)
        groups = self._axes(axes_only, 3)
        origin = {motor: float(self._host.call(motor, "position")) for motor, _, _ in groups}
        absolute: list[Any] = []
        for motor, start, stop in groups:
            absolute += [motor, origin[motor] + start, origin[motor] + stop]
        metadata.setdefault("plan", "rel_scan")
        columns = self.scan(
            detectors, *absolute, num=num, dwell=dwell, per_point=per_point, **metadata
        )
        for motor, position in origin.items():
            self._host.call(motor, "move_abs", position)
        return columns

    def list_scan(
        self,
        detectors: object,
        *axes: Any,
        dwell: float = 0.0,
        per_point: PerPoint | None = None,
        **metadata: Any,
    ) -> Columns:
        """`list_scan([meter], stage, [0, 1, 4, 9])`: record at each of the positions."""
        groups = self._axes(axes, 2)
        lengths = {len(positions) for _, positions in groups}
        if len(lengths) != 1:
            raise ValueError(f"every motor needs as many positions, not {sorted(lengths)}")
        lists = {motor: list(positions) for motor, positions in groups}
        points = [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]
        return self._visit("list_scan", detectors, points, dwell, metadata, per_point)

    def grid_scan(
        self,
        detectors: object,
        *axes: Any,
        snake: bool = False,
        dwell: float = 0.0,
        per_point: PerPoint | None = None,
        **metadata: Any,
    ) -> Columns:
        """`grid_scan([meter], y, 0, 1, 5, x, 0, 1, 5)`: every combination, the last motor fastest.

        With `snake` the faster motors turn around instead of flying back.
        """
        groups = self._axes(axes, 4)
        if math.prod(_whole("num", n, 1) for *_, n in groups) > _MAX_POINTS:
            raise ValueError(f"a grid of more than {_MAX_POINTS} points")
        lines = [linspace(start, stop, n) for _, start, stop, n in groups]
        motors = [motor for motor, *_ in groups]
        path = _snake(lines) if snake else product(*lines)
        points = [dict(zip(motors, position, strict=True)) for position in path]
        return self._visit("grid_scan", detectors, points, dwell, metadata, per_point)

    def spiral_scan(
        self,
        detectors: object,
        x_motor: object,
        y_motor: object,
        x_center: float,
        y_center: float,
        radius: float,
        step: float,
        dwell: float = 0.0,
        per_point: PerPoint | None = None,
        **metadata: Any,
    ) -> Columns:
        """From the centre outwards, with `step` between turns and between points."""
        if not (radius > 0 and step > 0 and (radius / step) ** 2 * math.pi < _MAX_POINTS):
            raise ValueError(f"radius and step must be positive and of one scale: {radius}, {step}")
        x, y = self._host.name(x_motor), self._host.name(y_motor)
        points = [{x: x_center + dx, y: y_center + dy} for dx, dy in _spiral(radius, step)]
        return self._visit("spiral_scan", detectors, points, dwell, metadata, per_point)

    def adaptive_scan(
        self,
        detectors: object,
        target: str,
        motor: object,
        start: float,
        stop: float,
        min_step: float,
        max_step: float,
        target_delta: float,
        dwell: float = 0.0,
        backstep: bool = True,
        **metadata: Any,
    ) -> Columns:
        """Choose each step so that the column `target` changes by about `target_delta`.

        With `backstep`, a step after which it changed far more is taken again, smaller.
        """
        if not 0 < min_step <= max_step or target_delta <= 0:
            raise ValueError("0 < min_step <= max_step and 0 < target_delta are needed")
        name, names = self._host.name(motor), self._names(detectors)
        stepper = _Stepper(start, stop, min_step, max_step, target_delta, backstep)
        columns: Columns = {}
        with self._host.run("adaptive_scan", metadata), self._host.segment():
            while not stepper.finished:
                row = self._host.point({name: stepper.position}, names, dwell)
                _append(columns, row)
                stepper.take(_column(row, target))
                self._host.progress(stepper.fraction)
        return columns

    def fly_scan(
        self,
        detectors: object,
        motor: object,
        start: float,
        stop: float,
        interval: float = 0.1,
        **metadata: Any,
    ) -> Columns:
        """Move from `start` to `stop` without a halt, and record every `interval` seconds."""
        name, names = self._host.name(motor), self._names(detectors)
        columns: Columns = {}
        with self._host.run("fly_scan", metadata), self._host.segment():
            self._host.call(name, "move_abs", start)
            self._host.start_move(name, stop)
            moving = True
            try:
                due = time.monotonic()
                while moving:
                    row = self._host.record([name, *names])
                    _append(columns, row)
                    self._host.progress(_passed(start, stop, row.get(name)))
                    due = max(due + interval, time.monotonic())
                    moving = not self._host.join_move(due - time.monotonic())
                _append(columns, self._host.record([name, *names]))
            finally:
                if moving:
                    self._host.call(name, "stop")
        return columns

    def _visit(
        self,
        plan: str,
        detectors: object,
        points: Sequence[Mapping[str, float]],
        dwell: float,
        metadata: Mapping[str, Any],
        per_point: PerPoint | None,
    ) -> Columns:
        names = self._names(detectors)
        columns: Columns = {}
        with self._host.run(plan, metadata):
            for moves in self._host.track(points):
                if per_point is None:
                    _append(columns, self._host.point(moves, names, dwell))
                else:
                    _append(columns, self._own_point(per_point, moves, names, dwell))
        return columns

    def _own_point(
        self, per_point: PerPoint, moves: Mapping[str, float], names: list[str], dwell: float
    ) -> dict[str, Any]:
        for motor, position in moves.items():
            self._host.call(motor, "move_abs", position)
        values = per_point(dict(moves))
        if not names:
            return {}
        return self._host.point({}, [*moves, *names], dwell, values)

    def _names(self, detectors: object) -> list[str]:
        if isinstance(detectors, list | tuple):
            return [self._host.name(detector) for detector in detectors]
        return [self._host.name(detectors)]

    def _axes(self, axes: Sequence[Any], width: int) -> list[Any]:
        """Groups of `width` arguments, each led by a motor."""
        if not axes or len(axes) % width:
            parts = {2: "motor, positions", 3: "motor, start, stop", 4: "motor, start, stop, num"}
            raise TypeError(f"after the detectors come groups of {parts[width]}")
        groups = [axes[i : i + width] for i in range(0, len(axes), width)]
        return [(self._host.name(motor), *rest) for motor, *rest in groups]


class _Stepper:
    """Where an adaptive scan goes next."""

    def __init__(
        self,
        start: float,
        stop: float,
        min_step: float,
        max_step: float,
        target_delta: float,
        backstep: bool,
    ) -> None:
        self.position = start
        self._start, self._stop = start, stop
        self._min, self._max, self._delta = min_step, max_step, target_delta
        self._backstep = backstep
        self._direction = math.copysign(1.0, stop - start)
        self._step = max_step
        self._past: float | None = None

    @property
    def finished(self) -> bool:
        return (self.position - self._stop) * self._direction > 0

    @property
    def fraction(self) -> float:
        return _passed(self._start, self._stop, self.position)

    def take(self, value: float) -> None:
        """Learn what the target was at `position`, and move `position` on, or back."""
        previous, self._past = self._past, value
        if previous is None:
            self.position += self._direction * self._step
            return
        slope = abs(value - previous) / self._step
        wanted = self._delta / slope if slope else self._max
        wanted = min(max(wanted, self._min), self._max)
        if self._backstep and wanted < 0.8 * self._step:
            self._past = previous
            self.position -= self._direction * self._step
        self._step = wanted
        self.position += self._direction * self._step


def _append(columns: Columns, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(value)


def _column(row: Mapping[str, Any], name: str) -> float:
    if name not in row:
        raise KeyError(f"there is no column '{name}'; recorded are {', '.join(row)}")
    return float(row[name])


def _whole(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or not least <= value <= _MAX_POINTS:
        raise ValueError(f"{name} is a whole number from {least} to {_MAX_POINTS}, not {value!r}")
    return value


def linspace(start: float, stop: float, num: int = 50) -> list[float]:
    """`num` equal steps from `start` to `stop`, both included."""
    if num == 1:
        return [float(start)]
    return [start + (stop - start) * i / (num - 1) for i in range(num)]


def _snake(lines: Sequence[Sequence[float]]) -> Iterator[tuple[float, ...]]:
    if not lines:
        yield ()
        return
    inner = list(_snake(lines[1:]))
    for index, position in enumerate(lines[0]):
        for rest in inner if index % 2 == 0 else reversed(inner):
            yield (position, *rest)


def _spiral(radius: float, step: float) -> Iterator[tuple[float, float]]:
    """An Archimedean spiral in points of equal distance."""
    pitch = step / (2 * math.pi)
    angle = 0.0
    while (distance := pitch * angle) <= radius:
        yield distance * math.cos(angle), distance * math.sin(angle)
        angle += step / math.hypot(distance, pitch) if distance >= step else math.pi / 3


def _passed(start: float, stop: float, position: Any) -> float:
    if stop == start or not isinstance(position, int | float):
        return 0.0
    return min(max((position - start) / (stop - start), 0.0), 1.0)
