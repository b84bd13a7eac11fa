"""An event is stored, then counted, then shown: whoever watches never sees what is not kept."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import trio

from daq.core import (
    CloseRun,
    ExecutionState,
    OpenRun,
    Point,
    Record,
    RunOutcome,
    StorageError,
)
from daq.experiment import ManualRuns

from .fakes import Bench
from .test_control import AT_ONCE, running

FULL = StorageError("/data/x.journal: no space left on device")
RECORDS = [Record(["meter"]), Record(["stage", "meter"]), Point({"stage": 0.5}, ["meter"])]


@contextmanager
def watching(bench: Bench, *channels: str):
    """Gives a function that tells the events that were shown since: channel and number."""
    with bench.bus.view(*channels) as viewer:

        def shown() -> list[tuple[str, int]]:
            found = []
            while (block := viewer.receive_nowait()) is not None:
                if block.event is not None:
                    found.append((block.channel, block.event))
            return found

        yield shown


def on_a_slow_disk(recorder) -> None:
    recorder.disk = trio.Event()


@pytest.mark.parametrize("request_", RECORDS, ids=["record", "two devices", "point"])
async def test_while_the_disk_takes_its_time_nobody_is_shown_the_event(autojump_clock, request_):
    async def body(program, interpreter):
        await program.begin.wait()
        answers.append(await interpreter.perform(request_))

    answers: list[object] = []
    async with running(body) as (execution, _, bench, program):
        bench.storage.prepare = on_a_slow_disk
        with watching(bench, "stage", "meter") as shown:
            program.begin.set()
            await trio.sleep(10)
            (run,) = bench.storage.runs
            assert (shown(), answers, run.points) == ([], [], 0)
            run.disk.set()
            await execution.finished.wait()
            assert {number for _, number in shown()} == {0}
        assert [event.sequence for event in run.events] == [0]
        assert len(answers) == 1


async def test_an_event_that_could_not_be_stored_is_not_shown_and_leaves_no_hole(autojump_clock):
    async def body(program, interpreter):
        await program.begin.wait()
        for number in range(4):
            failing = FULL if number == 1 else None
            if bench.storage.runs:
                bench.storage.runs[0].fail_with = failing
            try:
                await interpreter.perform(Record(["meter"], {"number": number}))
            except StorageError as error:
                refused.append((number, error))

    refused: list[object] = []
    async with running(body) as (execution, _, bench, program):
        with watching(bench, "meter") as shown:
            program.begin.set()
            await execution.finished.wait()
            assert shown() == [("meter", 0), ("meter", 1), ("meter", 2)]
        (run,) = bench.storage.runs
        assert refused == [(1, FULL)]
        assert [(event.sequence, event.values["number"]) for event in run.events] == [
            (0, 0), (1, 2), (2, 3)
        ]  # fmt: skip


async def test_each_stream_is_numbered_by_itself_without_a_hole(autojump_clock):
    async def body(program, interpreter):
        for stream in ("a", "b", "a", "a", "b"):
            await interpreter.perform(Record(["meter"], {}, stream))

    async with running(body) as (execution, _, bench, _):
        await execution.finished.wait()
        (run,) = bench.storage.runs
    assert [(event.stream, event.sequence) for event in run.events] == [
        ("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1)
    ]  # fmt: skip


async def test_force_while_the_disk_takes_its_time_shows_nothing_that_is_not_kept(autojump_clock):
    async def body(program, interpreter):
        await program.begin.wait()
        await interpreter.perform(Record(["meter"]))

    async with running(body) as (execution, control, bench, program):
        bench.storage.prepare = on_a_slow_disk
        with watching(bench, "meter") as shown:
            program.begin.set()
            await trio.sleep(1)
            (run,) = bench.storage.runs
            async with trio.open_nursery() as nursery:
                nursery.start_soon(control.stop, AT_ONCE)
                await trio.sleep(1)
                assert shown() == []
                run.disk.set()
            await execution.finished.wait()
            assert len(shown()) <= len(run.events) == 1


@pytest.mark.parametrize("opener", [OpenRun("knife"), Record(["meter"])], ids=["named", "its own"])
async def test_a_run_that_cannot_be_opened_is_told_and_the_next_one_opens(autojump_clock, opener):
    async def body(program, interpreter):
        await program.begin.wait()
        bench.storage.prepare = lambda recorder: setattr(recorder, "open_with", FULL)
        with pytest.raises(StorageError, match="no space left"):
            await interpreter.perform(opener)
        bench.storage.prepare = lambda recorder: None
        await interpreter.perform(OpenRun("again"))
        await interpreter.perform(Record(["meter"]))
        await interpreter.perform(CloseRun())

    async with running(body) as (execution, _, bench, program):
        program.begin.set()
        await execution.finished.wait()
        assert execution.state is ExecutionState.COMPLETED, execution.message
        failed, again = bench.storage.runs
    assert failed.events == []
    assert again.start.name == "again"
    assert (len(again.events), again.stop.outcome) == (1, RunOutcome.COMPLETED)


async def test_a_manual_run_that_cannot_be_opened_leaves_room_for_the_next(autojump_clock):
    bench = Bench()
    runs = ManualRuns(bench.supervisor, bench.storage, bench.now_ns)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.supervisor.run)
        bench.storage.prepare = lambda recorder: setattr(recorder, "open_with", FULL)
        with pytest.raises(StorageError, match="no space left"):
            await runs.start("first", {}, "ada")
        bench.storage.prepare = lambda recorder: None
        run_id = await runs.start("second", {}, "ada")
        await runs.record(run_id, ["meter"], {})
        await runs.stop(run_id, "", "ada")
        nursery.cancel_scope.cancel()
    assert [run.start.name for run in bench.storage.runs if run.stop] == ["second"]
