"""Runs that a person opens: one at a time, whatever becomes of each."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from daq.core import RunOutcome, StateError
from daq.experiment import ManualRuns
from tests.unit.experiment.fakes import Bench


@asynccontextmanager
async def manual():
    bench = Bench()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.supervisor.run)
        yield ManualRuns(bench.supervisor, bench.storage, bench.now_ns), bench
        nursery.cancel_scope.cancel()


async def test_two_clients_that_record_at_once_get_an_event_each(autojump_clock):
    async with manual() as (runs, bench):
        run_id = await runs.start("align", {}, "ada")
        async with trio.open_nursery() as clients:
            for value in (1.0, 2.0):
                clients.start_soon(runs.record, run_id, ["meter"], {"x": value})
        (run,) = bench.storage.runs
        assert sorted(event.sequence for event in run.events) == [0, 1]
        assert {event.values["x"] for event in run.events} == {1.0, 2.0}


async def test_a_second_run_waits_for_the_end_of_the_first(autojump_clock):
    async with manual() as (runs, bench):
        bench.storage.opening_s = 1.0
        async with trio.open_nursery() as clients:
            clients.start_soon(runs.start, "first", {}, "ada")
            await trio.sleep(0.5)
            with pytest.raises(StateError, match="is still open"):
                await runs.start("second", {}, "bob")
        with pytest.raises(StateError, match="manual run 'first' is still open"):
            await runs.start("second", {}, "bob")
        summary = await runs.stop("", "done", "ada", RunOutcome.COMPLETED)
        assert (summary.name, summary.outcome) == ("first", RunOutcome.COMPLETED)
        await runs.start("second", {}, "bob")
        assert [run.start.user for run in bench.storage.runs] == ["ada", "bob"]
