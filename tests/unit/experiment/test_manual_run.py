"""Runs that a person opens: one at a time, whatever becomes of each."""

from __future__ import annotations

from contextlib import asynccontextmanager

import h5py
import pytest
import trio
import trio.testing

from daq.bus import Bus
from daq.core import RunOutcome, ScriptError, StateError, StorageError
from daq.experiment import ManualRuns
from daq.storage import Storage
from tests.unit.experiment.fakes import Bench


@asynccontextmanager
async def manual(storage=None):
    bench = Bench()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.supervisor.run)
        yield ManualRuns(bench.supervisor, storage or bench.storage, bench.now_ns), bench
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


async def test_of_two_who_close_a_run_the_second_does_not_forget_the_next(autojump_clock):
    async with manual() as (runs, bench):
        run = await runs.start("first", {}, "ada")
        recorder = bench.storage.runs[-1]
        close, first, second = recorder.close, trio.Event(), trio.Event()
        gates = iter((first, second))

        async def slowly(stop):
            await next(gates).wait()
            return await close(stop)

        recorder.close = slowly
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runs.stop, run, "", "ada")
            nursery.start_soon(runs.stop, run, "", "bob")
            await trio.testing.wait_all_tasks_blocked()
            first.set()
            await trio.testing.wait_all_tasks_blocked()
            after = await runs.start("second", {}, "ada")
            second.set()
        await runs.record(after, ["meter"], {})
        assert [len(recorder.events) for recorder in bench.storage.runs] == [0, 1]


async def test_a_run_that_cannot_be_closed_is_let_go_and_does_not_end_the_daemon(
    autojump_clock, caplog
):
    async with manual() as (runs, bench):

        async def fail(stop):
            raise StorageError("the disk is full")

        run = await runs.start("first", {}, "ada")
        bench.storage.runs[-1].close = fail
        with pytest.raises(StorageError, match="the disk is full"):
            await runs.stop(run, "", "ada")
        await runs.start("second", {}, "ada")
        bench.storage.runs[-1].close = fail
        await runs.shutdown("the daemon ends")
    assert "the manual run could not be closed: the disk is full" in caplog.text


async def test_names_that_no_file_can_hold_are_stored_as_what_can(tmp_path):
    storage = Storage(tmp_path, Bus())
    async with trio.open_nursery() as storing:
        await storing.start(storage.run)
        async with manual(storage) as (runs, _):
            run = await runs.start("\0odd\ud800", {"\0": "\0"}, "ada")
            await runs.record(run, ["meter"], {"\0": 1.0, "\ud800": "\0", "a/b": 2, "": 3})
            with pytest.raises(ScriptError, match="came twice: \N{SYMBOL FOR NULL}"):
                await runs.record(run, [], {"\0": 1.0, "\N{SYMBOL FOR NULL}": 2.0})
            summary = await runs.stop(run, "", "ada", RunOutcome.COMPLETED)
        storing.cancel_scope.cancel()
    with h5py.File(summary.path) as file:
        columns = {d.attrs["column"] for d in file["entry/primary"].values() if "column" in d.attrs}
    assert columns == {"meter", "\N{SYMBOL FOR NULL}", "\\ud800", "a/b", ""}
