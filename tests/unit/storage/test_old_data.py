"""A data directory that an earlier version left, with a run open when its daemon was killed."""

from __future__ import annotations

import tarfile
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio

from daq.bus import Bus
from daq.core import RunOutcome
from daq.storage import Storage

OLD_DATA = Path(__file__).parents[2] / "old_data"


@pytest.fixture(params=sorted(OLD_DATA.glob("*.tar.xz")), ids=lambda path: path.name)
def old_data(request, tmp_path):
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "data"


@asynccontextmanager
async def storing(directory):
    storage = Storage(directory, Bus())
    async with trio.open_nursery() as nursery:
        await nursery.start(storage.run)
        await storage.wait_recovered()
        yield storage
        nursery.cancel_scope.cancel()


async def read(storage, run_id, stream="primary"):
    async with aclosing(storage.read_run(run_id, stream)) as blocks:
        return [block async for block in blocks]


async def test_the_run_that_was_open_is_recovered_whole(old_data):
    async with storing(old_data) as storage:
        run = await storage.find_run("frames")
        (block,) = await read(storage, run.run_id)
        (picture,) = await read(storage, run.run_id, "pictures")
    assert run.outcome is RunOutcome.INTERRUPTED
    assert (run.points, run.other_points) == (20, {"pictures": 1})
    assert run.metadata == {"note": "left open"}
    assert block.values["number"].tolist() == list(range(20))
    assert block.values["label"].tolist() == ["n" * n for n in range(20)]
    assert block.values["wave"].tolist() == [[0.0, n, 2.0 * n] for n in range(20)]
    assert picture.values["camera"].any()


async def test_runs_scripts_executions_and_their_results_are_listed(old_data):
    async with storing(old_data) as storage:
        runs, total = await storage.list_runs()
        executions = await storage.ledger.load_executions()
        scripts = await storage.ledger.load_scripts()
        results = [await storage.ledger.load_result(each.id) for each in executions]
    assert (total, [run.name for run in runs]) == (2, ["frames", "knife_edge"])
    assert [run.events for run in runs] == [21, 5]
    assert [execution.script_name for execution in executions] == ["knife_edge", "frames"]
    assert results == [{"points": 5}, None]
    assert {script.name for script in scripts} == {"frames", "knife_edge"}
