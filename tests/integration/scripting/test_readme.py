"""The examples of the language's description run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daq.core import Ending
from daq.scripting.vocabulary import BUILTINS, FUNCTIONS, PLANS

README = (Path(__file__).parents[3] / "scripts" / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_the_example_runs(number, sandbox, bench) -> None:
    async with sandbox() as box:
        check = await box.check(EXAMPLES[number], "example.py")
        assert check.diagnostics == ()
        parameters = {p.name: p.default for p in check.parameters}
        program = box.program(EXAMPLES[number], "example.py", parameters, "e1")
        end = await program.run(bench(speed=20.0))
    assert (end.ending, end.traceback) == (Ending.COMPLETED, "")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


def test_every_name_of_the_language_is_described() -> None:
    errors = {name for name in BUILTINS if name[0].isupper()} | {"bytearray"}
    missing = {
        n for n in (BUILTINS - errors) | FUNCTIONS | PLANS if not re.search(rf"\b{n}\b", README)
    }
    assert missing == set()
