"""What a script may say: refusals with places and hints, and what is declared."""

# ruff: noqa: E501 - short scripts on one line

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.core import ScriptParameter
from daq.scripting.policy import compile_script

MODULES = {
    "math": frozenset({"pi", "sin"}),
    "numpy": frozenset({"fft", "zeros"}),
    "numpy.fft": frozenset({"fft"}),
}


def refusals(source: str) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in compile_script(source, MODULES).check.diagnostics]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("async def f():\n    pass", "drop 'async'"),
        ("async def f():\n    await x", "drop 'await'"),
        ("try:\n    pass\nexcept* ValueError:\n    pass", "use 'except'"),
        ("_x = 1", "begin with an underscore are reserved"),
        ("x = 1\nx._y", "begin with an underscore are hidden"),
        ("x = 1\nx.gi_frame", "interpreter's own"),
        ("import os", "scripts have no files"),
        ("import typing", "annotations need no import"),
        ("import daq", "without an import"),
        ("import numpy as np\nnp.savetxt('a', 1)", "record(...) stores data"),
        (
            "import numpy as np\nnp.fft.ftt(1)",
            "'numpy.fft' offers no 'ftt' to scripts; did you mean 'fft'",
        ),
        ("from numpy import fft as f\nf.x", "'numpy.fft' offers no 'x'"),
        ("import math\ndef main():\n    return math.foo", "'math' offers no 'foo'"),
        ("import pandas", "to_pandas()"),
        ("import logging", "use log("),
        ("import numpyy", "did you mean 'numpy'"),
        ("import threading", "fly_scan"),
        ("from math import sinn", "did you mean 'sin'"),
        ("from math import *", "import the names that you need"),
        ("open('x')", "record() stores data"),
        ("type(1)", "use isinstance()"),
        ("prnt(1)", "did you mean 'print'"),
        ("def f():\n    try:\n        pass\n    finally:\n        return", "would swallow"),
        ("for i in [1]:\n    try:\n        pass\n    finally:\n        break", "would swallow"),
        ("class A:\n    def __exit__(self):\n        pass", "use try/finally"),
        ("class A(metaclass=print):\n    pass", "takes no keyword"),
        ("match 1:\n    case int(real=r):\n        pass", "isinstance()"),
        ("import math\nmatch 1:\n    case math.pi:\n        pass", "dotted names"),
        ("super = 1", "another meaning"),
        ("def main(*args):\n    pass", "'args'"),
        ("def main(**kw):\n    pass", "'kw'"),
        ("def main(a, /):\n    pass", "positional-only"),
        ("def main(a=print):\n    pass", "must be a literal"),
        ("def main(a=1j):\n    pass", "must be a literal"),
        ("def main(a=10**3):\n    pass", "must be a literal"),
    ],
)
def test_what_is_refused_says_what_to_do_instead(source, hint) -> None:
    messages = refusals(source)
    assert any(hint in message for _, message in messages), messages


def test_all_violations_are_reported_at_once_in_order() -> None:
    check = compile_script("import os\nx = 1\nx._a\nx._b\nprnt(x)\n", MODULES).check
    assert [(d.line, d.code) for d in check.diagnostics] == [
        (1, "IMPORT"),
        (3, "POLICY"),
        (4, "POLICY"),
        (5, "POLICY"),
    ]


def test_columns_count_characters_and_the_caret_stands_under_the_place() -> None:
    (diagnostic,) = compile_script("x = 1\nµµ = 'ä'; x._a", MODULES).check.diagnostics
    assert (diagnostic.line, diagnostic.column, diagnostic.end_column) == (2, 11, 15)
    assert diagnostic.render("s.py").splitlines()[1:3] == [
        "    µµ = 'ä'; x._a",
        "              ^^^^",
    ]


def test_a_syntax_error_has_its_place() -> None:
    (diagnostic,) = compile_script("x = 1\nif x\n    pass", MODULES).check.diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == ("SYNTAX", 2, 5)
    assert diagnostic.text == "if x"


@pytest.mark.parametrize(
    "source",
    [
        "x: int = 1",
        "def f(a: what, *b: where) -> why:\n    return a",
        "from __future__ import annotations",
        "import numpy.fft\nimport numpy.fft as fft\nfrom numpy.fft import fft as g\nfrom numpy import zeros",
        "for i in [1]:\n    try:\n        pass\n    finally:\n        for j in [1]:\n            break",
        "try:\n    pass\nfinally:\n    def f():\n        return 1",
        "a = {}\na['x'] += 1\na['x'][1:2, 0] -= 2",
        "f = lambda *a, **k: (a, k)\nf(*[1], **{'a': 2})",
        "def outer():\n    x = 1\n    def inner():\n        nonlocal x\n        x += 1",
        "with open_run('x') as run, open_run('y'):\n    pass",
        "open = 3\nopen + 1",
        "x = [(i, j) for i in range(3) if i for j in range(i)]",
        "def main(a, b: float = -2.0, *, c=(1, 'x'), d: list[int] | None = None):\n    pass",
    ],
)
def test_ordinary_python_is_accepted(source) -> None:
    assert refusals(source) == []


def test_main_declares_the_parameters() -> None:
    check = compile_script(
        '"""Knife edge."""\ndef main(start: float = -2.0, stop: "float" = 2, *, n: int, names=("a", None)):\n    pass',
        MODULES,
    ).check
    assert check.description == "Knife edge."
    assert check.parameters == (
        ScriptParameter("start", "float", False, -2.0),
        ScriptParameter("stop", "'float'", False, 2),
        ScriptParameter("n", "int", True, None),
        ScriptParameter("names", "", False, ["a", None]),
    )


@pytest.mark.parametrize(
    "source",
    [
        "(" * 3000,
        "-" * 30_000 + "1",
        "x" + ".a" * 20_000,
        "[" * 90 + "]" * 90,
        "lambda:" * 2000 + "1",
        "f'{" * 200,
        "\\",
        "\0",
        "\ufeff\ufeff",
    ],
)
def test_bombs_for_the_parser_are_refused_or_accepted_but_never_raise(source) -> None:
    check = compile_script(source, MODULES).check
    assert all(d.line >= 1 and d.message for d in check.diagnostics)


@given(st.text(alphabet="abx=()[]{}:'\"\n \t#.,_0µ\r\\", max_size=60))
def test_any_text_gives_code_or_reasons(source) -> None:
    script = compile_script(source, MODULES)
    assert (script.code is None) == bool(script.check.diagnostics)
    for diagnostic in script.check.diagnostics:
        assert diagnostic.line >= 1
        assert diagnostic.column >= 1
        diagnostic.render("s.py")


def test_progress_counts_loops_and_plans_that_stand_one_after_the_other() -> None:
    source = """
def main():
    for i in [1]:
        for j in [2]:
            pass
    if i:
        scan([], "x", 0, 1, 2)
    rows = count([])
    while True:
        for k in [3]:
            pass
"""
    assert compile_script(source, MODULES).segments == 3


@pytest.mark.parametrize(
    ("source", "column", "problem"),
    [
        (f"def main({', '.join(f'p{i}=1' for i in range(201))}): pass", None, "has 201 parameters"),
        (f"def main(a={'[' * 150}{']' * 150}): pass", 12, "lists and dicts more than 8 deep"),
        (f"def main(a={[0] * 1001}): pass", 12, "more than 1000 items"),
        (f"def main(a={'x' * 10_001!r}): pass", 12, "texts of more than 10000 characters"),
    ],
    ids=["parameters", "depth", "items", "text"],
)
def test_what_main_declares_is_bounded_and_the_refusal_names_the_limit(source, column, problem):
    (diagnostic,) = compile_script(source, {}).check.diagnostics
    assert diagnostic.code == "SIZE"
    assert problem in diagnostic.message
    assert "limit" in diagnostic.message
    assert column in (None, diagnostic.column)


def test_of_a_line_of_100_kb_a_diagnostic_shows_the_part_around_its_place():
    source = f"x = '{'1' * 50_000}'; import os; x = '{'2' * 50_000}'"
    (diagnostic,) = compile_script(source, {}).check.diagnostics
    assert len(diagnostic.text) <= 400
    assert source[diagnostic.column - 1 :].startswith("os;")
    _, shown, caret, _ = diagnostic.render("s.py").splitlines()
    start = caret.index("^")
    assert shown[start : start + caret.count("^")] == "os"
    many = "; ".join(["import os"] * 2000)
    check = compile_script(many, {}).check
    assert len(check.diagnostics) == 100
    assert sum(len(d.render("s.py")) for d in check.diagnostics) < 200_000


def test_a_name_that_is_not_only_a_module_is_not_judged_at_upload() -> None:
    assert refusals("import math\ndef f(math):\n    return math.anything") == []
    assert refusals("import math\nfor math in [1]:\n    math.anything") == []
