"""The examples of the language's description run as they stand."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from daq.config import ScriptsConfig
from daq.core import Ending
from daq.scripting import SandboxLimits
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
        end = await program.run(bench(speed=200.0))
    assert (end.ending, end.traceback) == (Ending.COMPLETED, "")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


def test_every_name_of_the_language_is_described() -> None:
    errors = {name for name in BUILTINS if name[0].isupper()} | {"bytearray"}
    missing = {
        n for n in (BUILTINS - errors) | FUNCTIONS | PLANS if not re.search(rf"\b{n}\b", README)
    }
    assert missing == set()


def test_the_limits_that_are_described_are_those_that_can_be_set() -> None:
    section = README.split("## Limits")[1].split("\n## ")[0]
    described = {
        name: text.replace(",", "")
        for text, name in re.findall(r"^\|[^|]*\| ([^|]*) \| `(\w+)` \|", section, re.MULTILINE)
    }
    limits, config = SandboxLimits(), ScriptsConfig()
    assert set(described) <= {f.name for f in fields(config)} & {f.name for f in fields(limits)}
    for name, text in described.items():
        value = getattr(limits, name)
        assert getattr(config, name) == value
        shown = "none" if value is None else f"{value >> 10}" if "KiB" in text else f"{value:g}"
        assert float(text.split()[0]) == float(shown) if value else text == shown
    assert {"memory_mb", "max_records", "max_runs", "max_output_mb"} < set(described)
