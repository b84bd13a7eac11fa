"""Scripts, executions and their output outlive the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from daq.core import (
    ExecutionRecord,
    ExecutionState,
    OutputLine,
    Script,
    ScriptParameter,
    Transition,
)
from daq.storage import Ledger
from daq.storage.catalogue.database import Database

SCRIPT = Script(
    id="s1",
    name="knife",
    source="def main(x: float = 1.0): ...\n",
    sha256="0" * 64,
    uploaded_ns=5,
    metadata={"author": "ada"},
    parameters=(
        ScriptParameter("x", "float", False, 1.0),
        ScriptParameter("y", "list", False, [1, "two", None]),
        ScriptParameter("n", "int"),
    ),
    description="A scan.",
)
RECORD = ExecutionRecord(
    id="e1",
    script_id="s1",
    script_name="knife",
    parameters={"x": 2.5, "points": 3, "deep": {"a": [True, None]}},
    user="ada",
    transitions=(
        Transition(ExecutionState.PENDING, 10),
        Transition(ExecutionState.RUNNING, 11, "its turn"),
    ),
    line=3,
    progress=0.25,
    run_ids=("r1", "r2"),
)


@asynccontextmanager
async def ledger(directory: Path) -> AsyncIterator[Ledger]:
    database = Database(directory / "catalogue.sqlite")
    await database.open()
    try:
        yield Ledger(database)
    finally:
        await database.close()


async def test_scripts_come_back_oldest_first(tmp_path: Path) -> None:
    later = replace(SCRIPT, id="s0", uploaded_ns=9, parameters=())
    async with ledger(tmp_path) as kept:
        await kept.save_script(later)
        await kept.save_script(SCRIPT)
    async with ledger(tmp_path) as kept:
        assert await kept.load_scripts() == [SCRIPT, later]


async def test_a_script_of_the_same_id_replaces_the_old_one(tmp_path: Path) -> None:
    async with ledger(tmp_path) as kept:
        await kept.save_script(SCRIPT)
        await kept.save_script(replace(SCRIPT, name="razor"))
        assert [script.name for script in await kept.load_scripts()] == ["razor"]


async def test_an_execution_that_was_running_comes_back_running(tmp_path: Path) -> None:
    async with ledger(tmp_path) as kept:
        await kept.save_execution(RECORD)
    async with ledger(tmp_path) as kept:
        (back,) = await kept.load_executions()
    assert back == RECORD
    assert back.state is ExecutionState.RUNNING


async def test_what_main_returned_is_kept_apart(tmp_path: Path) -> None:
    async with ledger(tmp_path) as kept:
        await kept.save_execution(RECORD, {"width": 0.5, "wave": np.arange(3, dtype="i2")})
        await kept.save_execution(RECORD)
        await kept.save_execution(replace(RECORD, id="e2"))
    async with ledger(tmp_path) as kept:
        result = await kept.load_result("e1")
        assert result["width"] == 0.5
        assert result["wave"].dtype == np.int16
        assert result["wave"].tolist() == [0, 1, 2]
        assert await kept.load_result("e2") is None
        assert len(await kept.load_executions()) == 2


async def test_only_the_newest_executions_are_loaded_oldest_first(tmp_path: Path) -> None:
    async with ledger(tmp_path) as kept:
        for i in range(5):
            transition = Transition(ExecutionState.PENDING, 100 + i)
            await kept.save_execution(replace(RECORD, id=f"e{i}", transitions=(transition,)))
        assert [r.id for r in await kept.load_executions(3)] == ["e2", "e3", "e4"]


async def test_the_last_lines_of_output_come_back_in_order(tmp_path: Path) -> None:
    lines = [OutputLine(i, "output", f"line {i}", i) for i in range(10)]
    async with ledger(tmp_path) as kept:
        await kept.append_output("e1", lines[:6])
        await kept.append_output("e2", [OutputLine(0, "error", "lone \ud800", 1)])
        await kept.append_output("e1", lines[6:])
        assert await kept.load_output("e1", 6, 100) == lines[6:]
        assert await kept.load_output("e1", 2, 3) == lines[2:5]
        assert await kept.load_output("e1", 0, 100) == lines
        assert (await kept.load_output("e2", 0, 1))[0].text == "lone \\ud800"
        assert await kept.load_output("nobody", 0, 1) == []
