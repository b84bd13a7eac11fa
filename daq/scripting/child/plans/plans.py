"""Every plan as a function: checked, then a run with what is known of it, then point by point.

A plan sends one request per point, opens a run of its own unless one is open, and returns the
columns that it recorded as a dict of lists. Plans compose, since they are functions. What they take
is in the table of `daq.core.plans.table`: scripts and clients are checked against the same rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from daq.core import PLANS, Call, ParameterError, Plan, PlanCall, bind_plan
from daq.scripting.child.devices import Devices
from daq.scripting.child.plans.paths import PATHS, Path, passed
from daq.scripting.child.plans.stepper import Stepper
from daq.scripting.child.progress import ProgressTracker
from daq.scripting.child.runs import Runs
from daq.scripting.child.session import Session

__all__ = ["Plans"]

Columns = dict[str, list[Any]]
"""What a plan returns: for each column the values that it recorded."""


class Plans:
    """Every plan, bound to the script that it runs in: `plans.scan([meter], ...)`."""

    def __init__(
        self, session: Session, devices: Devices, runs: Runs, tracker: ProgressTracker
    ) -> None:
        self._session = session
        self._devices = devices
        self._runs = runs
        self._tracker = tracker

    def __getattr__(self, name: str) -> Callable[..., Columns]:
        if name not in PLANS:
            raise AttributeError(name)
        return _named(partial(self._perform, PLANS[name]), PLANS[name])

    def _perform(self, plan: Plan, *arguments: Any, **keywords: Any) -> Columns:
        call = bind_plan(plan, arguments, keywords, self._devices.name)
        match plan.name:
            case "count":
                return self._count(call)
            case "adaptive_scan":
                return self._adaptive_scan(call)
            case "fly_scan":
                return self._fly_scan(call)
        return self._visit(call)

    def _count(self, call: PlanCall) -> Columns:
        columns: Columns = {}
        num = call.values["num"]
        with self._around(call, Path([], [], {"num_points": num})):
            for index in self._tracker.track(range(num)):
                if index:
                    self._session.sleep(call.values["delay"])
                _append(columns, self._runs.record(*call.detectors))
        return columns

    def _visit(self, call: PlanCall) -> Columns:
        """A plan that goes through fixed points."""
        origin: dict[str, float] = {}
        if call.plan.relative:
            origin = {m: float(self._devices.call(m, "position")) for m in call.motors}
        path = PATHS[call.plan.name.removeprefix("rel_")](call, origin)
        columns: Columns = {}
        with self._around(call, path), self._returning(origin):
            for moves in self._tracker.track(path.points):
                _append(columns, self._point(call, moves))
        return columns

    def _point(self, call: PlanCall, moves: Mapping[str, float]) -> dict[str, Any]:
        per_point = call.values["per_point"]
        if per_point is None:
            return self._runs.point(moves, call.detectors, call.values["dwell"])
        for motor, position in moves.items():
            self._devices.call(motor, "move_abs", position)
        if not call.detectors:  # it does all of the recording itself
            per_point(dict(moves))
            return {}
        with self._runs.aside():
            values = per_point(dict(moves))
        return self._runs.point({}, [*moves, *call.detectors], call.values["dwell"], values)

    def _adaptive_scan(self, call: PlanCall) -> Columns:
        values, target = call.values, call.values["target"]
        start, stop = values["start"], values["stop"]
        if values["min_step"] > values["max_step"]:
            raise ParameterError("adaptive_scan: min_step is larger than max_step")
        if max(abs(start), abs(stop)) + values["min_step"] == max(abs(start), abs(stop)):
            raise ParameterError("adaptive_scan: min_step is too small to move at all")
        (motor,) = call.motors
        if target.partition(".")[0] not in (motor, *call.detectors):
            known = ", ".join(dict.fromkeys([motor, *call.detectors]))
            raise ParameterError(
                f"adaptive_scan: the target {target!r} is not among what is recorded: {known}"
            )
        stepper = Stepper(
            start, stop, values["min_step"], values["max_step"], values["target_delta"],
            values["backstep"],
        )  # fmt: skip
        columns: Columns = {}
        with self._around(call, Path([], [(start, stop)])), self._tracker.segment():
            while not stepper.finished:
                moves = {motor: stepper.position}
                row = self._runs.point(moves, call.detectors, values["dwell"])
                _append(columns, row)
                stepper.take(_number(row, target))
                self._tracker.show(stepper.fraction)
        return columns

    def _fly_scan(self, call: PlanCall) -> Columns:
        values = call.values
        start, stop, interval = values["start"], values["stop"], values["interval"]
        (motor,) = call.motors
        recorded = [motor, *(name for name in call.detectors if name != motor)]
        columns: Columns = {}
        with self._around(call, Path([], [(start, stop)])), self._tracker.segment():
            self._devices.call(motor, "move_abs", start)
            self._session.start(Call(motor, "move_abs", [float(stop)]))
            moving = True
            try:
                due = time.monotonic()
                while moving:
                    row = self._runs.record(*recorded)
                    _append(columns, row)
                    self._tracker.show(passed(start, stop, row.get(motor)))
                    due = max(due + interval, time.monotonic())
                    moving = not self._session.join(due - time.monotonic())
                _append(columns, self._runs.record(*recorded))
            finally:
                if moving:
                    self._devices.call(motor, "stop")
        return columns

    @contextmanager
    def _around(self, call: PlanCall, path: Path) -> Iterator[None]:
        """The run of a plan with all that is known of it, and what the caller wants around it."""
        facts: dict[str, Any] = {"plan_name": call.plan.name, "detectors": call.detectors}
        if call.motors:
            facts |= {"motors": call.motors, "extents": [list(ends) for ends in path.extents]}
        if path.points:
            facts["num_points"] = len(path.points)
        for motor, ends in zip(call.motors, path.extents, strict=True):
            self._devices.require_range(motor, (min(ends), max(ends)))
        before, after = call.values["before"], call.values["after"]
        with self._runs.own(call.run_name, facts | dict(path.facts) | call.metadata):
            try:
                if before is not None:
                    before()
                yield
            finally:
                if after is not None:
                    after()

    @contextmanager
    def _returning(self, origin: Mapping[str, float]) -> Iterator[None]:
        """Bring the motors back at the end, whatever the end is."""
        try:
            yield
        except BaseException as error:
            for problem in self._go_back(origin):
                error.add_note(f"did not return to where it was: {problem}")
            raise
        problems = self._go_back(origin)
        if problems:
            raise problems[0]

    def _go_back(self, origin: Mapping[str, float]) -> Sequence[Exception]:
        """Try it with every motor; returns what went wrong."""
        problems: list[Exception] = []
        for motor, position in origin.items():
            try:
                self._devices.call(motor, "move_abs", position)
            except Exception as error:  # noqa: BLE001 - the others return nevertheless
                problems.append(error)
        return problems


def _named(function: Callable[..., Columns], plan: Plan) -> Callable[..., Columns]:
    def run(*arguments: Any, **keywords: Any) -> Columns:
        return function(*arguments, **keywords)

    run.__name__ = run.__qualname__ = plan.name
    run.__doc__ = plan.summary
    return run


def _append(columns: Columns, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(value)


def _number(row: Mapping[str, Any], name: str) -> float:
    """A value of the row; what is no number tells nothing."""
    if name not in row:
        raise ParameterError(f"there is no column {name!r}; recorded are {', '.join(row)}")
    value = row[name]
    if value is None or isinstance(value, str) or getattr(value, "shape", ()) != ():
        raise ParameterError(f"the column {name!r} holds no single numbers to follow")
    return float(value) if value is not None else math.nan
