"""The storage directory is removed, moved or replaced under the daemon: it notices, and says so."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

from daq.core import RunOutcome, RunStop, StorageError
from daq.storage.files.place import Place, PlaceWatch
from tests.unit.storage.test_storage import event, start, storing

DONE = RunStop(RunOutcome.COMPLETED, 2)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def replace(path: Path) -> None:
    is_directory = path.is_dir()
    path.rename(path.with_name(path.name + ".old"))
    if is_directory:
        path.mkdir()
    else:
        path.touch()


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_place_that_is_another_is_told_from_one_that_is_gone(tmp_path, what):
    path = tmp_path / "here"
    _ = path.mkdir() if what == "directory" else path.touch()
    place = Place(path)
    place.require()
    replace(path)
    assert place.trouble() == f"{path} was replaced while the daemon runs"
    remove(path)
    assert place.trouble() == f"{path} was removed while the daemon runs"
    with pytest.raises(StorageError, match="was removed while the daemon runs"):
        place.require()
    path.with_name("here.old").rename(path)
    place.require()


async def test_it_is_said_once_and_once_when_it_is_back(tmp_path, caplog):
    path = tmp_path / "here"
    path.mkdir()
    watch = PlaceWatch()
    watch.begin([Place(tmp_path), Place(path)])
    path.rename(tmp_path / "away")
    for _ in range(3):
        await watch.look()
    assert caplog.text.count("was removed while the daemon runs") == 1
    with pytest.raises(StorageError, match="nothing new is stored"):
        await watch.require()
    (tmp_path / "away").rename(path)
    await watch.require()
    assert caplog.text.count("is back where it was") == 1
    assert watch.problem == ""


LOST = {
    "the catalogue": "catalogue.sqlite",
    "the journals": "journal",
    "the runs' files": "runs",
    "everything": "",
}


@pytest.mark.parametrize("name", LOST.values(), ids=LOST)
@pytest.mark.parametrize("deed", [remove, replace])
async def test_no_run_begins_in_a_place_that_is_not_the_daemons(tmp_path, name, deed):
    data = tmp_path / "data"
    async with storing(data) as storage:
        await storage.wait_recovered()
        deed(data / name)
        with pytest.raises(StorageError, match=r"was (removed|replaced) while the daemon runs"):
            await storage.open_run(start("late"))
        assert any("while the daemon runs" in warning for warning in storage.warnings)


async def test_a_catalogue_that_is_put_back_is_used_again(tmp_path):
    async with storing(tmp_path) as storage:
        await storage.wait_recovered()
        path = tmp_path / "catalogue.sqlite"
        path.rename(tmp_path / "away")
        with pytest.raises(StorageError, match="was removed"):
            await storage.list_runs()
        (tmp_path / "away").rename(path)
        run = await storage.open_run(start("again"))
        await run.append(event(0))
        assert (await run.close(DONE)).points == 1


async def test_an_open_run_whose_directory_is_moved_takes_nothing_more_within_a_second(tmp_path):
    data = tmp_path / "data"
    async with storing(data) as storage:
        run = await storage.open_run(start("moved"))
        await run.append(event(0))
        os.rename(data, tmp_path / "elsewhere")  # noqa: PTH104

        async def record_on() -> None:
            while True:
                await run.append(event(run.points))
                await trio.sleep(0.05)

        with trio.fail_after(5), pytest.raises(StorageError, match="deleted or moved"):
            await record_on()
        with pytest.raises(StorageError):
            await run.close(DONE)
        (tmp_path / "elsewhere").rename(data)  # nothing was made where it had been
        points = run.points
    async with storing(data) as storage:
        (recovered,) = storage.recovered
        assert recovered.points == points
