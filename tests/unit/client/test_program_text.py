from __future__ import annotations

import functools
import math as m
from pathlib import Path

import pytest

from daq.client.sending.program_text import ProgramText
from daq.client.sending.scan_text import ScanText
from daq.core import ParameterError

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
    namespace: dict[str, object] = {}
    exec(text.source, namespace)
    assert namespace["uses_much"](4.0) == 7.0
    assert text.source.startswith('"""a scan"""\n')
    assert "import math as m\n" in text.source
    assert "LIMIT = 3.5\n" in text.source


def test_closures_travel_and_decorators_stay() -> None:
    factor = 2

    @functools.cache
    def inner(value):
        return value * factor

    text = ProgramText("x")
    text.add_function(inner)
    assert "cache" not in text.source
    namespace: dict[str, object] = {}
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
    namespace: dict[str, object] = {}
    exec("def ghost(): pass", namespace)
    with pytest.raises(ParameterError, match="the source of ghost cannot be found"):
        text.add_function(namespace["ghost"])


def test_two_functions_of_one_name_are_refused() -> None:
    def first():
        return 1

    one = first

    def first():
        return 2

    text = ProgramText("x")
    text.add_function(one)
    text.add_function(one)
    with pytest.raises(ParameterError, match="two different things are called 'first'"):
        text.add_function(first)


def test_a_scan_becomes_one_call_of_its_plan() -> None:
    text = ScanText(
        "scan", ["['meter']", "'stage'", "0", "1", "3"], {"dwell": 0.5}, {"sample": "x"}
    )
    assert text.build().source == (
        '"""scan([\'meter\'], \'stage\', 0, 1, 3)"""\n\n'
        "def main():\n"
        "    with open_run('scan', **{'sample': 'x'}):\n"
        "        scan(['meter'], 'stage', 0, 1, 3, dwell=0.5)\n\n"
    )


def test_steps_around_a_relative_scan_are_called_in_order() -> None:
    def prepare():
        pass

    def tidy():
        pass

    body = (
        ScanText("scan", ["x"], before=prepare, after=tidy, origins=["stage"])
        .build()
        .source.partition("def main():\n")[2]
    )
    words = [
        "open_run",
        "try:",
        "prepare()",
        "origin =",
        "scan(x)",
        "move_abs",
        "finally",
        "tidy()",
    ]
    places = [body.index(word) for word in words]
    assert places == sorted(places)
