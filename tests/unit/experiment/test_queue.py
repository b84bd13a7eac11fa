"""The queue: order, names, cancelling what waits, what survives a restart."""

from contextlib import asynccontextmanager

import pytest
import trio

from daq.core import (
    AmbiguousError,
    Diagnostic,
    ExecutionState,
    Log,
    NotFoundError,
    ParameterError,
    ScriptCheck,
    ScriptParameter,
    StateError,
)
from daq.experiment import ExecutionQueue

from .fakes import Bench, FakeFactory, FakeLedger


async def nap(program, interpreter):
    await trio.sleep(10)


async def chat(program, interpreter):
    await interpreter.perform(Log("hello"))
    return {"n": 1}


@asynccontextmanager
async def queue(ledger=None, **bodies):
    bench = Bench()
    factory = FakeFactory(**({"nap": nap, "chat": chat} | bodies))
    bench.storage.ledger = ledger or FakeLedger()
    q = ExecutionQueue(factory, bench.supervisor, bench.storage, bench.now_ns)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.supervisor.run)
        await nursery.start(q.run)
        yield q, factory
        nursery.cancel_scope.cancel()


async def finished(q, execution_id):
    version = 0
    while not q.view(execution_id).record.state.is_final:
        version = await q.wait_changed(execution_id, version)
    return q.view(execution_id)


async def upload(q, source, name=None):
    script, _ = await q.upload(source, name or f"{source}.py", {})
    return script


async def test_executions_run_one_after_the_other_in_order(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        ids = [await q.start("nap", {}, "ada") for _ in range(3)]
        await trio.sleep(1)
        assert [q.view(i).record.state for i in ids] == ["RUNNING", "PENDING", "PENDING"]
        assert [q.view(i).queue_position for i in ids] == [0, 1, 2]
        views = [await finished(q, i) for i in ids]
        starts = [view.record.started_ns for view in views]
        assert starts == sorted(starts)
        assert views[1].record.started_ns >= views[0].record.ended_ns


async def test_one_that_may_not_run_any_more_fails_and_the_next_one_runs(autojump_clock):
    class Strict(FakeFactory):
        def program(self, source, filename, parameters, execution_id, limits):
            if limits:
                raise ParameterError("memory_mb can be lowered for one start, not raised")
            return super().program(source, filename, parameters, execution_id, limits)

        def check_limits(self, limits):
            pass  # when it was started, the limits of the sandbox were higher

    async with queue() as (q, factory):
        q._factory = Strict(**factory.bodies)
        await upload(q, "chat")
        first = await q.start("chat", {}, "", {"memory_mb": 400})
        second = await q.start("chat", {}, "")
        view = await finished(q, first)
        assert (view.record.state, view.record.started_ns) == (ExecutionState.ERROR, 0)
        assert "memory_mb can be lowered" in view.record.message
        assert (await finished(q, second)).record.state is ExecutionState.COMPLETED


async def test_what_is_started_while_the_daemon_ends_never_runs(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        refused = []

        async def start():
            try:
                await q.start("nap", {}, "")
            except StateError as error:
                refused.append(error.message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await trio.lowlevel.checkpoint()
            await q.shutdown("the daemon received SIGTERM")
        assert refused == ["the daemon is shutting down and starts nothing new"]
        assert q.matching() == []


async def test_a_waiting_execution_can_be_cancelled_and_never_starts(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        first, second = [await q.start("nap", {}, "") for _ in range(2)]
        await trio.sleep(1)
        report = await q.stop(second, user="ada")
        assert report.state is ExecutionState.STOPPED
        assert "before it started" in report.message
        await finished(q, first)
        await trio.sleep(30)
        assert q.view(second).record.started_ns == 0


async def test_stop_without_an_id_stops_the_one_that_runs(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        first, second = [await q.start("nap", {}, "") for _ in range(2)]
        await trio.sleep(1)
        report = await q.stop(force=True)
        assert (report.execution_id, report.state) == (first, ExecutionState.KILLED)
        await trio.sleep(1)
        assert q.view(second).record.state is ExecutionState.RUNNING


async def test_stop_when_nothing_runs_says_so(autojump_clock):
    async with queue() as (q, _):
        with pytest.raises(NotFoundError, match="no execution is running"):
            await q.stop()


async def test_a_stop_after_the_end_reports_the_end(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "chat")
        execution = await q.start("chat", {}, "")
        await finished(q, execution)
        assert (await q.stop(execution)).message == "had already ended: COMPLETED"


async def test_scripts_and_executions_are_found_by_id_prefix_and_name(autojump_clock):
    async with queue() as (q, _):
        script = await upload(q, "chat")
        assert q.script(script.id) is script
        assert q.script(script.id[:6]) is script
        assert q.script("chat.py") is script
        assert q.script("chat") is script
        execution = await q.start("chat", {}, "")
        await finished(q, execution)
        assert {q.view(ref).record.id for ref in (execution, execution[:8], "chat", "")} == {
            execution
        }
        with pytest.raises(NotFoundError, match="no script is called 'nope'"):
            q.script("nope")
        with pytest.raises(NotFoundError, match="no execution is called 'nope'"):
            q.view("nope")


async def test_an_ambiguous_prefix_lists_what_it_fits(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        for _ in range(40):
            execution = await q.start("nap", {}, "")
            await q.stop(execution, force=True)
        ids = q.matching()
        shared = next(c for c in "0123456789abcdef" if sum(i.startswith(c) for i in ids) > 1)
        with pytest.raises(AmbiguousError, match=f"'{shared}' fits"):
            q.view(shared)


async def test_the_same_text_under_the_same_name_is_kept_once(autojump_clock):
    async with queue() as (q, _):
        assert (await upload(q, "nap")).id == (await upload(q, "nap")).id
        assert (await upload(q, "nap", "other.py")).id != (await upload(q, "nap")).id
        assert len(q.scripts()) == 2


async def test_a_refused_script_is_not_kept(autojump_clock):
    async with queue() as (q, factory):
        factory.check_result = ScriptCheck((Diagnostic(1, 1, 1, 2, "POLICY", "no"),))
        script, check = await q.upload("import os", "x.py", {})
        assert script is None
        assert len(check.diagnostics) == 1
        assert q.scripts() == []


async def test_parameters_are_converted_and_wrong_ones_refused_with_the_signature(autojump_clock):
    async with queue() as (q, factory):
        factory.check_result = ScriptCheck(
            parameters=(
                ScriptParameter("points", "int", required=True),
                ScriptParameter("dwell", "float", required=False, default=0.5),
            )
        )
        await upload(q, "chat")
        execution = await q.start("chat", {"points": "41"}, "")
        assert q.view(execution).record.parameters == {"points": 41, "dwell": 0.5}
        with pytest.raises(ParameterError) as caught:
            await q.start("chat", {"pionts": "41", "dwell": "long"}, "")
        for part in ("'pionts'", "'points' has no default", "'dwell' takes float, not 'long'"):
            assert part in caught.value.message
        assert "main(points: int, dwell: float = 0.5)" in caught.value.advice


async def test_output_can_be_read_on_from_where_one_was(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "chat")
        execution = await q.start("chat", {}, "")
        await finished(q, execution)
        lines, after = await q.output(execution)
        assert [line.text for line in lines] == ["hello"]
        assert await q.output(execution, after) == ([], 1)


async def test_scripts_executions_and_output_survive_a_restart(autojump_clock):
    ledger = FakeLedger()
    async with queue(ledger) as (q, _):
        await upload(q, "chat")
        execution = await q.start("chat", {}, "ada")
        before = (await finished(q, execution)).record
        await trio.testing.wait_all_tasks_blocked()
    async with queue(ledger) as (q, _):
        assert [script.name for script in q.scripts()] == ["chat.py"]
        assert q.view(execution).record == before
        lines, _ = await q.output(execution)
        assert [line.text for line in lines] == ["hello"]
        assert (await q.stop(execution)).state is ExecutionState.COMPLETED


async def test_what_ran_when_the_daemon_died_is_killed_on_record(autojump_clock):
    ledger = FakeLedger()
    async with queue(ledger) as (q, _):
        await upload(q, "nap")
        running, waiting = [await q.start("nap", {}, "") for _ in range(2)]
        await trio.sleep(1)
        frozen = dict(ledger.executions)
    ledger.executions = frozen
    async with queue(ledger) as (q, _):
        for execution, was in ((running, "RUNNING"), (waiting, "PENDING")):
            record = q.view(execution).record
            assert record.state is ExecutionState.KILLED
            assert record.message == f"the daemon ended while it was {was}"


async def test_a_shutdown_stops_what_runs_cancels_what_waits_and_starts_nothing_new(
    autojump_clock,
):
    async with queue() as (q, _):
        await upload(q, "nap")
        running, waiting = [await q.start("nap", {}, "") for _ in range(2)]
        await trio.sleep(1)
        await q.shutdown("the daemon received SIGTERM")
        assert q.view(running).record.state.is_final
        assert q.view(waiting).record.state is ExecutionState.STOPPED
        assert "SIGTERM" in q.view(running).record.message
        with pytest.raises(StateError, match="shutting down"):
            await q.start("nap", {}, "")


async def test_executions_are_listed_newest_first_and_filtered(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        await upload(q, "chat")
        chat_id = await q.start("chat", {}, "")
        await finished(q, chat_id)
        await trio.sleep(1)
        nap_id = await q.start("nap", {}, "")
        await trio.sleep(1)
        assert q.matching() == [nap_id, chat_id]
        assert q.matching(state="completed") == [chat_id]
        assert q.matching(script_id="nap.py") == [nap_id]
        assert q.matching()[:1] == [nap_id]


async def test_a_cancelled_execution_can_be_stopped_again(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        _, second = [await q.start("nap", {}, "") for _ in range(2)]
        await trio.sleep(1)
        await q.stop(second)
        for force in (False, True):
            report = await q.stop(second, force=force)
            assert report.state is ExecutionState.STOPPED
            assert (
                report.message == "had already ended: STOPPED (cancelled before it started (stop))"
            )


async def test_much_output_is_kept_on_record_and_read_in_pieces(autojump_clock):
    async def talk(program, interpreter):
        for number in range(5000):
            await interpreter.perform(Log(str(number)))
            if number % 500 == 0:
                await trio.sleep(1)
        await trio.sleep(10)

    async def everything(q, execution_id):
        found, after = [], 0
        while lines := (await q.output(execution_id, after))[0]:
            assert len(lines) <= 1000
            found += [line.text for line in lines]
            after += len(lines)
        return found

    async with queue(talk=talk) as (q, _):
        await upload(q, "talk")
        execution_id = await q.start("talk", {}, "")
        await trio.sleep(15)
        assert len(q._executions[execution_id]._output) <= 1000
        assert await everything(q, execution_id) == [str(n) for n in range(5000)]
        await finished(q, execution_id)
        await trio.sleep(1)
        assert q._executions[execution_id]._output == []
        assert await everything(q, execution_id) == [str(n) for n in range(5000)]


async def test_of_those_that_ended_long_ago_only_the_record_is_kept(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "chat")
        ids = []
        for _ in range(130):
            ids.append(await q.start("chat", {}, "ada"))
            await finished(q, ids[-1])
            await trio.sleep(0.01)
        assert len(q._executions) <= 101
        assert q.matching() == ids[::-1]
        assert q.view(ids[0]).record.state is ExecutionState.COMPLETED
        assert [line.text for line in (await q.output(ids[0]))[0]] == ["hello"]
        assert (await q.view_with_result(ids[0])).result == {"n": 1}
        assert (await q.stop(ids[0])).message == "had already ended: COMPLETED"


async def test_a_stop_with_a_grace_that_is_no_number_changes_nothing(autojump_clock):
    async with queue() as (q, _):
        await upload(q, "nap")
        execution = await q.start("nap", {}, "ada")
        await trio.sleep(1)
        with pytest.raises(ParameterError, match="a number of seconds, not nan"):
            await q.stop(execution, grace_s=float("nan"))
        assert q.view(execution).record.state is ExecutionState.RUNNING
        assert (await finished(q, execution)).record.state is ExecutionState.COMPLETED


@pytest.mark.parametrize(("user", "left"), [("", []), ("bob", ["eve"]), ("ada", ["bob", "eve"])])
async def test_a_cleared_queue_keeps_what_runs_and_those_of_others(autojump_clock, user, left):
    async with queue() as (q, _):
        await upload(q, "nap")
        users = ("ada", "bob", "eve", "bob")
        ids = {i: name for name in users for i in [await q.start("nap", {}, name)]}
        await trio.sleep(1)
        gone = await q.clear(user, "too many", "the keeper")
        states = {i: q.view(i).record.state for i in ids}
        assert next(iter(states.values())) is ExecutionState.RUNNING
        assert {ids[i] for i, state in states.items() if state == "PENDING"} == set(left)
        assert {i for i, state in states.items() if state == "STOPPED"} == set(gone)
        for execution_id in gone:
            message = q.view(execution_id).record.message
            assert "the keeper" in message
            assert "too many" in message
