"""Generated programs against the sandbox: refused with reasons, or run without getting anywhere."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections import Counter
from functools import partial

import pytest
import trio
from hypothesis import HealthCheck, given, settings

from daq.core import Ending
from daq.scripting.child.library import module_names
from daq.scripting.policy import compile_script

from .programs import programs

FACTOR = float(os.environ.get("DAQ_SLOW_FACTOR", "1"))
CANARY = f"canary-{secrets.token_hex(8)}"
"""The name of the file: the process keeps it in its own frames, where no script can look."""
LEAKS = re.compile(
    rf"""{CANARY}
    | <module\ '[\w.]+'\ (?:from|\()       # a real module; facades show no origin
    | <frame\ | <code\ object | <traceback\ object | mappingproxy | environ\(
    | <(?:slot|method)[- ]wrapper | <attribute\ ' | <member\ '
    | <class\ '(?:type|module|function|code|frame|traceback|builtin_function_or_method|cell)'>
    | <class\ '(?:daq\.scripting|socket|_io|os|sys|ctypes|importlib|abc|msgpack)
    | <(?:daq\.scripting[\w.]*|socket\.socket|_io\.\w+|select\.)
    | RestrictedPython""",
    re.VERBOSE,
)
METHOD = re.compile(r"<bound method [\w.]+ of <[^<>]*>>")
"""How a function of the language looks; that names its owner, but does not lead there."""
MESSAGES = re.compile(r"forbidden system call|broke the protocol|ended by itself")
LIMITS = {
    "memory_mb": 128,
    "max_duration_s": 1.0,
    "max_output_mb": 1.0,
    "max_records": 100,
    "output_lines_per_s": 1e6,
    "output_bytes_per_s": 1e9,
}


def test_the_oracle_knows_what_must_not_be_seen() -> None:
    for leak in (sys, os, sys._getframe(), test_the_oracle_knows_what_must_not_be_seen.__code__):
        assert LEAKS.search(repr(leak)), leak
    assert LEAKS.search(repr([type, type(os), object.__init__, vars(int), os.environ]))
    assert not LEAKS.search(repr([int, print, "x", ValueError(), object(), [].append]))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs)
def test_every_program_is_refused_with_reasons_or_compiled(source) -> None:
    script = compile_script(source, module_names())
    assert (script.code is None) == bool(script.check.diagnostics)
    for diagnostic in script.check.diagnostics:
        assert diagnostic.message
        assert 1 <= diagnostic.line <= source.count("\n") + 1
        diagnostic.render("s.py")


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(150, id="quick"),
        pytest.param(max(300, round(20_000 * FACTOR)), id="long", marks=pytest.mark.slow),
    ],
)
async def test_no_generated_program_gets_anywhere(examples, sandbox, bench) -> None:
    counts: Counter[str] = Counter()

    async def attempt(source: str) -> None:
        b = bench()
        with trio.fail_after(20):
            end = await box.program(source, CANARY, {}, "fuzz").run(b)
        counts[end.ending.value] += 1
        output = METHOD.sub("<function>", "\n".join(b.output))
        assert not LEAKS.search(output), (LEAKS.search(output), source)
        assert not LEAKS.search(repr(end.result)), source
        assert not MESSAGES.search(end.message), (end.message, source)
        assert CANARY not in end.message, source

    def fuzz() -> None:
        @settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(programs)
        def run(source: str) -> None:
            trio.from_thread.run(partial(attempt, source))

        run()

    async with sandbox(**LIMITS) as box:
        await trio.to_thread.run_sync(fuzz)
        restarts = box.statistics().restarts
        after = await box.program("print('still there')", "s.py", {}, "e").run(bench())
    assert (restarts, after.ending) == (0, Ending.COMPLETED)
    assert counts[Ending.COMPLETED] > examples / 20, counts
