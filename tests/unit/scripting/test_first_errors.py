"""What a newcomer writes wrongly, and what is said of it at upload: what, where, what instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.scripting.child.library import module_names
from daq.scripting.policy.compiler import compile_script

MODULES = module_names()


def refusal(source: str) -> str:
    diagnostics = compile_script(source, MODULES).check.diagnostics
    return "\n".join(diagnostic.render("scan.py") for diagnostic in diagnostics)


@pytest.mark.parametrize(
    ("line", "what", "instead"),
    [
        ("import pandas", "'pandas' is not available", "to_pandas()"),
        ("import logging", "'logging' is not available", "log(message, level)"),
        ("import csv", "'csv' is not available", "export --format csv"),
        ("import os", "'os' is not available", "scripts have no files"),
        ("import subprocess", "'subprocess' is not available", "scripts may import"),
        ("import matplotlib.pyplot as plt", "'matplotlib", "scripts may import"),
        ("from numpy import savetxt", "'savetxt'", "record(...) stores data"),
        ("import numpy as np; np.savetxt('a', [1])", "'savetxt'", "record(...) stores data"),
        ("import numpy as np; np.random.nrmal()", "'nrmal'", "did you mean 'normal'?"),
        ("import math; math.foo(2)", "'math' offers no 'foo'", "did you mean"),
        ("import time; time.slep(1)", "'slep'", "did you mean 'sleep'?"),
        ("devise('stage')", "'devise' is not defined", "did you mean 'device'?"),
        ("open('a.txt')", "'open' is not available", "record() stores data"),
        ("eval('1')", "'eval' is not available", ""),
        ("x._hidden", "_hidden", "underscore"),
        ("async def f(): pass", "async", ""),
        ("x = (1, 2", "'(' was never closed", ""),
        ("if x = 3: pass", "invalid syntax", "Maybe you meant '=='"),
        ("print 'hello'", "Missing parentheses", "print(...)"),
    ],
)
def test_a_mistake_says_what_where_and_what_to_do(line: str, what: str, instead: str) -> None:
    text = refusal(f"x = 1\n{line}\n")
    assert what in text
    assert 'File "scan.py", line 2' in text
    assert instead in text
    assert "\\n" not in text


MISTAKES = """\
def main(n: int = 3)
    import os
    x y
    for i in range(3) print(i)
    devise("stage")
    if n = 3:
        pass
    elif n > 3:
        pass
    else:
        total = n n
    print(total, q)
"""


def test_one_mistake_hides_no_other_and_blames_nobody_else() -> None:
    found = compile_script(MISTAKES, MODULES).check.diagnostics
    assert [diagnostic.line for diagnostic in found] == [1, 2, 3, 4, 5, 6, 11, 12]
    assert "'q'" in found[-1].message  # and not `total`, which stands in a mistaken line


@pytest.mark.parametrize(
    "source",
    [
        "x = (1,\n  2 3)\ny = 4\n",
        "def f(:\n    return 1\nf()\n",
        "try:\n    x = 1\nexcept ValueError oops:\n    x = 2\nfinally:\n    x = 3\n",
        "while True x:\n    break\nelse:\n    pass\n",
        "x = 1\n   y = 2\nz = 3\n",
        "'''\nnever\n",
        "class A(\n",
        "with open_run('a') as r, :\n    record('stage')\n",
        "match 3:\n    case 1 2:\n        pass\n    case _:\n        pass\n",
    ],
)
def test_one_mistake_is_told_once(source: str) -> None:
    assert len(compile_script(source, MODULES).check.diagnostics) == 1


@given(st.text(alphabet="abd ef():=+,.\n\t'\"[]{}#\\x1", max_size=80))
def test_any_text_is_accepted_or_refused_in_order(source: str) -> None:
    found = compile_script(source, MODULES).check.diagnostics
    assert [d.line for d in found] == sorted(d.line for d in found)
