from __future__ import annotations

import functools
import math as m
from pathlib import Path
from typing import Any

import pytest

from daq.client.sending.program_text import ProgramText
from daq.client.sending.scan_text import scan_text
from daq.core import PLANS, ParameterError, PlanCall, bind_plan

LIMIT = 3.5


def helper(value):
    return value * LIMIT


def uses_much(value):
    return helper(m.sqrt(value))


def line_of(text: str) -> int:
    return Path(__file__).read_text().splitlines().index(text) + 1


def test_a_function_travels_with_what_it_uses() -> None:
    text = ProgramText("a scan")
    assert text.add_function(uses_much) == "uses_much"
    namespace: dict[str, Any] = {}
    exec(text.source, namespace)
    assert namespace["uses_much"](4.0) == 7.0
    assert text.source.startswith('"""a scan"""\n')
    assert "import math as m\n" in text.source
    assert "LIMIT = 3.5\n" in text.source


def test_a_scan_of_the_client_is_that_of_the_language_in_a_script() -> None:
    from daq.client import scan

    def measure():
        return scan(["meter"], "stage", 0, 1, 3)

    text = ProgramText("a scan")
    text.add_function(measure)
    assert text.source.count("def ") == 1


def test_closures_travel_and_decorators_stay() -> None:
    factor = 2

    @functools.cache
    def inner(value):
        return value * factor

    text = ProgramText("x")
    text.add_function(inner)
    assert "cache" not in text.source
    namespace: dict[str, Any] = {}
    exec(text.source, namespace)
    assert namespace["inner"](3) == 6


def test_places_lead_back_to_the_file_they_came_from() -> None:
    text = ProgramText("x")
    text.add_function(uses_much)
    there = text.source.splitlines().index("    return helper(m.sqrt(value))") + 1
    found = text.relocate(f'  File "x.py", line {there}, in uses_much\n  File "x.py", line 1')
    here = line_of("    return helper(m.sqrt(value))")
    assert found == f'  File "{__file__}", line {here}, in uses_much\n  File "x.py", line 1'


def test_columns_count_the_indent_that_was_taken_away() -> None:
    def indented():
        return None

    text = ProgramText("x")
    text.add_function(indented)
    there = text.source.splitlines().index("    return None") + 1
    assert text.relocate(f'File "x.py", line {there}, column 5').endswith("column 9")


def test_what_has_no_source_of_its_own_is_refused() -> None:
    text = ProgramText("x")
    with pytest.raises(ParameterError, match="no function with a name"):
        text.add_function(lambda: 1)
    with pytest.raises(ParameterError, match="no function with a name"):
        text.add_function(len)
    namespace: dict[str, Any] = {}
    exec("def ghost(): pass", namespace)
    with pytest.raises(ParameterError, match="the source of ghost cannot be found"):
        text.add_function(namespace["ghost"])


def test_two_functions_of_one_name_are_refused() -> None:
    def first():
        return 1

    one = first

    def first():  # type: ignore[no-redef]
        return 2

    text = ProgramText("x")
    text.add_function(one)
    text.add_function(one)
    with pytest.raises(ParameterError, match="two different things are called 'first'"):
        text.add_function(first)


def bound(plan: str, *arguments: object, **keywords: object) -> PlanCall:
    return bind_plan(PLANS[plan], arguments, keywords, str)


def test_a_scan_becomes_one_call_of_its_plan() -> None:
    call = bound("scan", ["meter"], "stage", 0, 1, 3, dwell_time=0.5, sample="x")
    assert scan_text(call).source == (
        '"""scan([\'meter\'], \'stage\', 0.0, 1.0)"""\n\n'
        "def main():\n"
        "    scan(['meter'], 'stage', 0.0, 1.0, num=3, dwell=0.5, metadata={'sample': 'x'})\n\n"
    )


def test_the_text_of_a_call_makes_the_same_call_again() -> None:
    calls = [
        bound("count", "meter"),
        bound("grid_scan", ["meter"], "y", 0, 1, 2, "x", 0, 1, 3, snake=True, name="map"),
        bound("rel_list_scan", ["meter"], "x", [1, 2]),
        bound("spiral_scan", ["meter"], "x", "y", 0, 0, 1, 0.5, note=[1, {"a": None}]),
        bound("adaptive_scan", ["meter"], "meter", "x", 0, 1, 0.1, 0.5, 1, backstep=False),
        bound("fly_scan", ["meter"], "x", 0, 1, interval=0.5),
    ]
    for call in calls:
        again: list[PlanCall] = []

        def repeat(*arguments, call=call, again=again, **keywords):
            again.append(bound(call.plan.name, *arguments, **keywords))

        exec(scan_text(call).source + "main()", {call.plan.name: repeat})
        assert again == [call]


def test_functions_around_a_scan_travel_with_it() -> None:
    def prepare():
        pass

    def each(point):
        pass

    source = scan_text(bound("rel_scan", [], "x", 0, 1, 2, before=prepare, per_point=each)).source
    assert "def prepare():\n    pass\n" in source
    assert "def each(point):\n    pass\n" in source
    assert "num=2, before=prepare, per_point=each)" in source
