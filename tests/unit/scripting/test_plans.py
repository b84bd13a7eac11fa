"""The plans of the script language on a bench of one Gaussian."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import PLANS, CapabilityError, LimitError, ParameterError
from daq.scripting.child.plans import Plans
from daq.scripting.child.plans.stepper import Stepper

LIMITS = (-10.0, 10.0)


class FakeScript:
    """Two motors and a meter that sees a Gaussian of x; a script's session, devices and runs."""

    def __init__(self) -> None:
        self.runs = []
        self.points = []
        self.calls = []
        self.positions = {"x": 0.0, "y": 0.0}
        self.readings = {}
        self.joins = [False, False, True]
        self.streams = ["primary"]

    def name(self, device) -> str:
        if not isinstance(device, str):
            raise ParameterError(f"{device!r} is no device")
        return device

    def call(self, device, operation, *arguments):
        self.calls.append((device, operation, *arguments))
        if operation == "move_abs":
            self.positions[device] = arguments[0]
        return self.positions[device] if operation == "position" else None

    def point(self, moves, devices, dwell, values=None):
        self.points.append((dict(moves), dwell))
        self.positions |= moves
        return self.record(*moves, *devices) | (values or {})

    def record(self, *devices):
        values = self.positions | {"meter": math.exp(-(self.positions["x"] ** 2))}
        values["meter"] = self.readings.pop(len(self.points), values["meter"])
        return {device: values[device] for device in devices}

    def require_range(self, motor, ends) -> None:
        if motor not in self.positions:
            raise CapabilityError(f"{motor} cannot be moved")
        if not all(LIMITS[0] <= end <= LIMITS[1] for end in ends):
            raise LimitError(f"{motor} cannot go to {ends}")

    @contextmanager
    def own(self, name, metadata):
        self.runs.append((name, dict(metadata)))
        yield

    @contextmanager
    def aside(self):
        self.streams.append("per_point")
        yield
        self.streams.pop()

    def track(self, points):
        return points

    def segment(self):
        return nullcontext()

    def show(self, fraction) -> None:
        assert 0 <= fraction <= 1

    def start(self, call) -> None:
        self.calls.append((call.device, "start", *call.arguments))

    def join(self, timeout) -> bool:
        return self.joins.pop(0)

    def sleep(self, seconds) -> None:
        self.calls.append(("sleep", seconds))


def plans_of(host: FakeScript) -> Plans:
    return Plans(host, host, host, host)


@pytest.fixture
def host() -> FakeScript:
    return FakeScript()


def test_scan_moves_in_equal_steps_and_returns_columns(host) -> None:
    columns = plans_of(host).scan(["meter"], "x", 0, 1, 3, dwell=0.5, sample="a")
    assert columns["x"] == [0, 0.5, 1]
    assert host.points[1] == ({"x": 0.5}, 0.5)


def test_scan_moves_several_motors_along_a_line(host) -> None:
    columns = plans_of(host).scan("meter", "x", 0, 1, "y", 0, 2, num=2)
    assert (columns["x"], columns["y"]) == ([0, 1], [0, 2])


GRID = ["y", 0, 1, 2, "x", 4, 2, 3]


@pytest.mark.parametrize(
    ("plan", "arguments", "keywords", "facts"),
    [
        ("count", [], {"num": 3}, {"num_points": 3}),
        (
            "scan",
            ["x", 0, 2, 5],
            {"sample": "a"},
            {
                "motors": ["x"], "extents": [[0, 2]], "shape": [5], "num_points": 5, "sample": "a",
            },
        ),
        (
            "rel_scan",
            ["x", -1, 1, 3],
            {},
            {"motors": ["x"], "extents": [[4, 6]], "shape": [3], "num_points": 3},
        ),
        (
            "list_scan",
            ["x", [3, 1, 2]],
            {},
            {"motors": ["x"], "extents": [[1, 3]], "shape": [3], "num_points": 3},
        ),
        (
            "grid_scan",
            GRID,
            {"snake": True},
            {
                "motors": ["y", "x"], "extents": [[0, 1], [4, 2]], "shape": [2, 3],
                "snaking": [False, True], "num_points": 6,
            },
        ),
        (
            "rel_grid_scan",
            GRID,
            {},
            {
                "motors": ["y", "x"], "extents": [[0, 1], [9, 7]], "shape": [2, 3],
                "snaking": [False, False], "num_points": 6,
            },
        ),
        (
            "rel_spiral_scan",
            ["x", "y", 1, 1],
            {},
            {"motors": ["x", "y"], "extents": [[4, 6], [-1, 1]], "num_points": 7},
        ),
        (
            "adaptive_scan",
            ["meter", "x", -1, 1, 0.1, 0.5, 0.2],
            {},
            {"motors": ["x"], "extents": [[-1, 1]]},
        ),
        ("fly_scan", ["x", -1, 1], {}, {"motors": ["x"], "extents": [[-1, 1]]}),
    ],
)  # fmt: skip
def test_a_run_notes_what_is_known_of_its_plan(host, plan, arguments, keywords, facts) -> None:
    host.positions["x"] = 5.0
    getattr(plans_of(host), plan)(["meter"], *arguments, **keywords)
    assert host.runs == [(plan, {"plan_name": plan, "detectors": ["meter"], **facts})]


@pytest.mark.parametrize(
    ("plan", "arguments"),
    [
        ("rel_scan", ["x", -1, 1, 3]),
        ("rel_list_scan", ["x", [1, -1]]),
        ("rel_grid_scan", GRID),
        ("rel_spiral_scan", ["x", "y", 1, 0.5]),
    ],
)
def test_the_motors_of_a_relative_plan_return(host, plan, arguments) -> None:
    host.positions |= {"x": 5.0, "y": 3.0}
    getattr(plans_of(host), plan)(["meter"], *arguments)
    assert host.positions == {"x": 5.0, "y": 3.0}

    def fail(point):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        getattr(plans_of(host), plan)(["meter"], *arguments, per_point=fail)
    assert host.positions == {"x": 5.0, "y": 3.0}


def test_a_motor_that_does_not_return_does_not_hide_why_the_plan_ended(host) -> None:
    moves = host.call

    def call(device, operation, *arguments):
        if (device, operation) == ("x", "move_abs") and host.points:
            raise LimitError("stuck")
        return moves(device, operation, *arguments)

    def fail(point):
        host.points.append(point)
        raise ZeroDivisionError

    host.call = call
    with pytest.raises(ZeroDivisionError) as caught:
        plans_of(host).rel_scan([], "x", 0, 1, "y", 0, 1, num=2, per_point=fail)
    assert "stuck" in caught.value.__notes__[0]
    assert host.positions["y"] == 0.0
    with pytest.raises(LimitError, match="stuck"):
        plans_of(host).rel_scan(["meter"], "x", 0, 1, 2)


def test_list_scan_visits_each_position(host) -> None:
    columns = plans_of(host).list_scan(["meter"], "x", np.array([3, 1]), "y", [0, 9])
    assert (columns["x"], columns["y"]) == ([3, 1], [0, 9])


def test_grid_scan_goes_back_and_forth_with_snake(host) -> None:
    assert plans_of(host).grid_scan([], *GRID)["x"] == [4, 3, 2, 4, 3, 2]
    assert plans_of(host).grid_scan([], *GRID, snake=True)["x"] == [4, 3, 2, 2, 3, 4]


def test_spiral_scan_fills_the_circle_evenly(host) -> None:
    columns = plans_of(host).spiral_scan(["meter"], "x", "y", 1.0, 2.0, radius=2.0, step=0.5)
    distances = [math.hypot(x - 1, y - 2) for x, y in zip(columns["x"], columns["y"], strict=True)]
    assert max(distances) <= 2.0
    assert distances == sorted(distances)
    assert 40 < len(distances) < 70  # about pi r² / step²


def test_count_waits_between_points(host) -> None:
    assert len(plans_of(host).count(["meter"], 3, delay=0.1)["meter"]) == 3
    assert host.calls == [("sleep", 0.1)] * 2


def test_fly_scan_stops_the_motor_when_it_is_interrupted(host) -> None:
    assert len(plans_of(host).fly_scan(["meter"], "x", 0, 1)["meter"]) == 4
    host.joins = []
    with pytest.raises(IndexError):
        plans_of(host).fly_scan(["meter"], "x", 0, 1)
    assert host.calls[-1] == ("x", "stop")


# ------------------------------------------------------------------------------------- arguments


SCAN = {"detectors": ["meter"], "motor": "x", "start": 0, "stop": 2}


@pytest.mark.parametrize(
    ("plan", "keywords", "points"),
    [
        ("scan", {**SCAN, "num": 3}, [0, 1, 2]),
        ("scan", {**SCAN, "steps": 3, "dwell_time": 0.1}, [0, 1, 2]),
        ("rel_scan", {**SCAN, "num": 2}, [0, 2]),
        ("list_scan", {"detectors": "meter", "motor": "x", "positions": [3]}, [3]),
        ("grid_scan", {**SCAN, "num": 2, "snake": True}, [0, 2]),
    ],
)
def test_every_documented_name_works_as_a_keyword(host, plan, keywords, points) -> None:
    assert getattr(plans_of(host), plan)(**keywords)["x"] == points


def test_positions_and_names_mix_as_in_any_function(host) -> None:
    assert plans_of(host).scan(["meter"], "x", 0, stop=2, num=3)["x"] == [0, 1, 2]
    assert len(plans_of(host).count(["meter"], num=2)["meter"]) == 2
    spiral = {"x": "x", "y": "y", "x_center": 0, "y_center": 0, "radius": 1, "step": 0.5}
    assert plans_of(host).spiral_scan(["meter"], **spiral)["x"]


@pytest.mark.parametrize(
    ("plan", "arguments", "keywords", "message"),
    [
        ("scan", ["x", 0, 1, 3], {"dwel": 1}, "no 'dwel'; did you mean 'dwell'"),
        ("grid_scan", GRID, {"snak": True}, "no 'snak'; did you mean 'snake'"),
        ("scan", ["x", 0, 1], {"step": 3}, "no 'step'; did you mean 'steps'"),
        ("count", [], {"Num": 3}, "no 'Num'; did you mean 'num'"),
        ("count", [], {"dwell": 3}, "takes no 'dwell'; scan, "),
        ("scan", ["x", 0, 1, 3], {"snake": True}, "takes no 'snake'; grid_scan, rel_grid_scan do"),
        ("scan", ["x", 0, 1, 3], {"shape": [9]}, "'shape' is noted by the plan itself"),
        ("scan", ["x", 0, 1, 3], {"metadata": {"extents": 9}}, "'extents' is noted by the plan"),
        ("scan", ["x", 0, 1], {}, "groups of motor, start, stop, and then num"),
        ("scan", [], {}, "groups of motor, start, stop, and then num"),
        ("scan", [], {"motor": "x", "start": 1, "num": 2}, "stop is missing"),
        ("scan", [0, 0, 1, 3], {}, "0 is no device"),
        ("scan", ["x", 0, 1, 2.5], {}, "num is a whole number from 1 to 10000000, not 2.5"),
        ("scan", ["x", 0, 1, 0], {}, "num is a whole number"),
        ("scan", ["x", 0, 1, True], {}, "num is a whole number"),
        ("scan", ["x", 0, 1, 3], {"num": 3}, "groups of motor"),
        ("scan", ["x", 0, 1, 3], {"num": 3, "steps": 3}, "'num' is given twice"),
        ("scan", ["x", "0", 1, 3], {}, "start is a number, not '0'"),
        ("scan", ["x", math.nan, 1, 3], {}, "start is nan, which is no position"),
        ("scan", ["x", 0, math.inf, 3], {}, "stop is inf, which is no position"),
        ("scan", ["x", 0, 11, 3], {}, "x cannot go to"),
        ("scan", ["meter", 0, 1, 3], {}, "meter cannot be moved"),
        ("scan", ["x", 0, 1, "x", 0, 2, 3], {}, "the motor 'x' is given twice"),
        ("scan", ["x", 0, 1, 3], {"detectors": []}, "detectors are given twice"),
        ("scan", ["x", 0, 1, 3], {"per_point": 3}, "per_point is a function, not 3"),
        ("scan", ["x", 0, 1, 3], {"metadata": 3}, "metadata is a facts"),
        ("scan", ["x", 0, 1, 3], {"dwell": math.nan}, "dwell is a finite number of seconds"),
        ("scan", ["x", 0, 1, 3], {"dwell": -1}, "at least 0, not -1"),
        ("rel_scan", ["x", 0, 11, 3], {}, "x cannot go to"),
        ("list_scan", ["x", []], {}, "positions is empty"),
        ("list_scan", ["x", 3], {}, "positions is a list of positions"),
        ("list_scan", ["x", [1, math.nan]], {}, r"positions\[1\] is nan"),
        ("list_scan", ["x", [3, 1], "y", [0]], {}, "as many positions"),
        ("grid_scan", ["x", 0, 1, 2, "x", 0, 1, 2], {}, "the motor 'x' is given twice"),
        ("grid_scan", ["x", 0, 1, 10**6, "y", 0, 1, 10**6], {}, "more than 10000000 points"),
        ("spiral_scan", ["x", "x", 0, 0, 1, 1], {}, "the motor 'x' is given twice"),
        ("spiral_scan", ["x", "y", 0, 0, -1, 1], {}, "radius is a finite number, above 0"),
        ("spiral_scan", ["x", "y", 0, 0, 9, 1e-9], {}, "not of one scale"),
        ("spiral_scan", ["x", "y", 0, 9.5, 1, 1], {}, "y cannot go to"),
        ("adaptive_scan", ["meter", "x", 0, 1, 0.1, 0.5, math.nan], {}, "target_delta is a finite"),
        ("adaptive_scan", ["meter", "x", 0, 1, 0.5, 0.1, 1], {}, "larger than max_step"),
        ("adaptive_scan", ["meter", "x", 9, 10, 1e-30, 0.1, 1], {}, "too small to move"),
        ("adaptive_scan", ["meteor", "x", 0, 1, 0.1, 0.5, 1], {}, "'meteor' is not among"),
        ("fly_scan", ["x", 0, 1, 0], {}, "interval is a finite number of seconds, above 0"),
        ("fly_scan", ["x", 0, 1, -math.inf], {}, "interval is a finite number of seconds"),
        ("count", [2], {"delay": math.inf}, "delay is a finite number of seconds"),
        ("count", [2, 0, 3], {}, "too many arguments; it takes detectors, num, delay"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_run_is_opened(
    host, plan, arguments, keywords, message
) -> None:
    with pytest.raises((ParameterError, LimitError, CapabilityError), match=message):
        getattr(plans_of(host), plan)(["meter"], *arguments, **keywords)
    assert host.runs == []
    assert host.points == []


def test_detectors_come_first_and_once(host) -> None:
    for arguments, message in [((), "which detectors"), ((["m", "m"],), "given twice")]:
        with pytest.raises(ParameterError, match=message):
            plans_of(host).count(*arguments)


def test_any_other_keyword_is_metadata(host) -> None:
    plans_of(host).scan(
        ["meter"], "x", 0, 1, 2, target="gold", note="", metadata={"name": "a", "dwel": 1}
    )
    noted = host.runs[0][1]
    assert {key: noted[key] for key in ("target", "note", "name", "dwel")} == {
        "target": "gold", "note": "", "name": "a", "dwel": 1,
    }  # fmt: skip


def test_every_plan_has_a_name_a_text_and_its_keywords(host) -> None:
    for name, plan in PLANS.items():
        function = getattr(plans_of(host), name)
        assert (function.__name__, function.__doc__) == (name, plan.summary)
        names = [n for p in plan.keywords for n in (p.name, *p.aliases)]
        assert len(names) == len(set(names))
    with pytest.raises(AttributeError):
        _ = plans_of(host).no_plan


# ------------------------------------------------------------------------------------- functions


def test_functions_are_called_before_after_and_at_each_point(host) -> None:
    seen = []

    def per_point(point):
        seen.append((point, host.streams[-1]))
        return {"twice": 2 * point["x"]}

    columns = plans_of(host).scan(
        ["meter"], "x", 0, 1, 2, name="mine",
        before=lambda: seen.append("before"), after=lambda: seen.append("after"),
        per_point=per_point,
    )  # fmt: skip
    assert seen == ["before", ({"x": 0.0}, "per_point"), ({"x": 1.0}, "per_point"), "after"]
    assert columns["twice"] == [0, 2]
    assert host.runs[0][0] == "mine"


def test_without_detectors_a_function_records_for_the_plan(host) -> None:
    streams = []
    plans_of(host).scan([], "x", 0, 1, 2, per_point=lambda _: streams.append(host.streams[-1]))
    assert streams == ["primary"] * 2


def test_what_comes_after_also_comes_after_an_error(host) -> None:
    seen = []
    with pytest.raises(KeyError):
        plans_of(host).scan(
            ["nothing"], "x", 0, 1, 2, after=lambda: seen.append(host.runs and "after")
        )
    assert seen == ["after"]


# -------------------------------------------------------------------------------------- adaptive


def test_adaptive_scan_takes_small_steps_where_the_signal_changes(host) -> None:
    columns = plans_of(host).adaptive_scan(["meter"], "meter", "x", -4, 4, 0.05, 1.0, 0.1)
    steps = {x: b - x for x, b in zip(columns["x"], columns["x"][1:], strict=False)}
    assert min(abs(s) for x, s in steps.items() if 0.5 < abs(x) < 1) < 0.3
    assert max(s for x, s in steps.items() if abs(x) > 2.5) > 0.5


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [{1}, {4}, {1, 2, 3}, set(range(100))])
def test_what_is_no_number_tells_an_adaptive_scan_nothing(host, nothing, at) -> None:
    host.readings = dict.fromkeys(at, nothing)
    columns = plans_of(host).adaptive_scan(["meter"], "meter", "x", -1, 1, 0.05, 0.5, 0.2)
    assert all(math.isfinite(x) for x in columns["x"])
    assert (columns["x"][0], columns["x"][-1]) == (-1, 1)


def test_a_step_beyond_the_range_still_measures_both_ends(host) -> None:
    assert plans_of(host).adaptive_scan(["meter"], "meter", "x", 0, 0.1, 0.05, 5, 9)["x"] == [
        0,
        0.1,
    ]
    assert plans_of(host).adaptive_scan(["meter"], "meter", "x", 1, 1, 0.05, 5, 9)["x"] == [1]


@given(
    st.lists(st.floats(), min_size=1, max_size=50),
    st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0.1, 10), st.booleans(),
)  # fmt: skip
def test_an_adaptive_scan_stays_in_its_range_and_ends(values, start, stop, step, backstep) -> None:
    stepper = Stepper(start, stop, step, 7 * step, 1.0, backstep)
    visited = [stepper.position]
    while not stepper.finished:
        stepper.take(values[len(visited) % len(values)])
        visited.append(stepper.position)
        assert len(visited) < 100 * (2 + abs(stop - start) / step)
    assert all(min(start, stop) <= x <= max(start, stop) for x in visited)
    assert (visited[0], visited[-1]) == (start, stop)
