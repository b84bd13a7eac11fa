"""Running, stopping and pausing a program on a bench with a slow stage, in virtual time."""

from contextlib import asynccontextmanager

import pytest
import trio

from daq.core import (
    Call,
    CloseRun,
    Describe,
    DeviceError,
    ExecutionState,
    LimitError,
    Log,
    OpenRun,
    ParameterError,
    Pause,
    Point,
    Record,
    RunOutcome,
    Script,
    StateError,
    StopOutcome,
    StopRequested,
    StorageError,
)
from daq.experiment import Execution, ExecutionControl, StopOrder

from .fakes import Bench, FakeProgram

GENTLY = StopOrder(force=False, grace_s=5.0, reason="test", user="ada")
AT_ONCE = StopOrder(force=True, grace_s=5.0, reason="fire", user="bob")


@asynccontextmanager
async def running(body):
    """An execution of `body` that runs in the background; yields it with its bench."""
    bench = Bench()
    script = Script("s", "knife.py", "one\ntwo\nthree", "abc", 0)
    execution = Execution("e" * 32, script, {}, "ada", bench.now_ns, lambda _: None)
    program = FakeProgram(body)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.supervisor.run)
        control = ExecutionControl(execution, program, bench.supervisor, bench.storage)
        nursery.start_soon(control.run)
        await trio.testing.wait_all_tasks_blocked()
        yield execution, control, bench, program
        nursery.cancel_scope.cancel()


async def scan(program, interpreter):
    await interpreter.perform(OpenRun("knife edge", {"sample": "razor"}))
    for position in (1.0, 2.0, 3.0):
        await interpreter.perform(Point({"stage": position}, ["meter"]))
    await interpreter.perform(CloseRun())


async def test_a_scan_stores_readbacks_and_completes(autojump_clock):
    async with running(scan) as (execution, _, bench, _):
        await execution.finished.wait()
        assert execution.state is ExecutionState.COMPLETED
        (run,) = bench.storage.runs
        assert [event.values for event in run.events] == [
            {"stage": pytest.approx(p), "meter": m} for p, m in ((1, 1), (2, 2), (3, 3))
        ]
        assert [c.role for c in run.events[0].columns] == ["positioner", "detector"]
        assert run.start.metadata == {"sample": "razor"}
        assert run.start.execution_id == execution.id
        assert run.start.devices["stage"]["position"] == 0.0
        assert run.stop.outcome is RunOutcome.COMPLETED
        assert bench.stage.safe == 0  # what a script leaves on purpose stays as it is


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ParameterError("the parameters cannot be handed over"), "the parameters cannot be handed"),
        (ZeroDivisionError("oh"), "internal error: ZeroDivisionError: oh"),
    ],
)
async def test_a_program_that_cannot_be_run_fails_alone(autojump_clock, caplog, error, message):
    async def body(program, interpreter):
        await interpreter.perform(Describe("stage"))
        raise error

    async with running(body) as (execution, _, bench, _):
        await execution.finished.wait()
        assert execution.state is ExecutionState.ERROR
        assert message in execution.message
        assert bench.stage.safe == 1


async def test_an_event_is_acknowledged_before_it_is_shown(autojump_clock):
    shown = []

    async def body(program, interpreter):
        await interpreter.perform(Record(["meter"]))

    bench = Bench()
    script = Script("s", "x.py", "", "", 0)
    execution = Execution("e" * 32, script, {}, "", bench.now_ns, lambda _: None)
    with bench.bus.view("meter") as viewer:
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.supervisor.run)
            await ExecutionControl(
                execution, FakeProgram(body), bench.supervisor, bench.storage
            ).run()
            nursery.cancel_scope.cancel()
        while (block := viewer.receive_nowait()) is not None:
            shown.append(block)
    assert [(block.channel, block.event) for block in shown] == [("meter", 0)]
    (run,) = bench.storage.runs
    assert run.start.name == "x"  # recording without open_run gets a run of its own
    assert run.stop.outcome is RunOutcome.COMPLETED


async def test_a_graceful_stop_cancels_the_move_and_makes_the_hardware_safe(autojump_clock):
    async with running(scan) as (_execution, control, bench, _):
        await trio.sleep(1.5)
        report = await control.stop(GENTLY)
        assert (report.state, report.escalated) == (ExecutionState.STOPPED, False)
        assert report.duration_s < 1.0
        assert bench.stage.at == pytest.approx(1.5)
        assert (bench.stage.safe, bench.stage.stops) == (1, 1)  # at once, and not again
        assert {stop.device: (stop.outcome, stop.position) for stop in report.devices} == {
            "meter": (StopOutcome.IDLE, None),
            "stage": (StopOutcome.STOPPED, pytest.approx(1.5)),
        }
        (run,) = bench.storage.runs
        assert len(run.events) == 1  # the point in progress was discarded whole
        assert run.stop.outcome is RunOutcome.STOPPED
        assert (run.stop.by, run.stop.reason) == ("ada", "stop by ada: test")


async def test_cleanup_may_use_the_hardware_after_a_stop(autojump_clock):
    async def body(program, interpreter):
        try:
            await interpreter.perform(Call("stage", "move_abs", (5.0,)))
        except StopRequested:
            await interpreter.perform(Call("stage", "move_abs", (0.0,)), stopping=True)
            raise

    async with running(body) as (_, control, bench, _):
        await trio.sleep(2.0)
        report = await control.stop(GENTLY)
        assert report.state is ExecutionState.STOPPED
        assert bench.stage.at == pytest.approx(0.0)
        (stop,) = report.devices  # it moved when the stop came, whatever the cleanup did then
        assert (stop.outcome, stop.position) == (StopOutcome.STOPPED, pytest.approx(0.0))


async def test_a_second_stop_does_not_cut_into_the_cleanup_of_the_first(autojump_clock):
    async def body(program, interpreter):
        try:
            await interpreter.perform(Call("stage", "move_abs", (5.0,)))
        except StopRequested:
            await interpreter.perform(Call("stage", "move_abs", (0.0,)), stopping=True)
            raise

    async with running(body) as (_, control, bench, _):
        await trio.sleep(2.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.stop, GENTLY)
            await trio.sleep(0.5)
            nursery.start_soon(control.stop, GENTLY)
        assert bench.stage.at == pytest.approx(0.0)


async def test_past_its_grace_a_stop_becomes_force_by_itself(autojump_clock):
    async def stubborn(program, interpreter):
        program.line = 2
        while True:
            try:
                await interpreter.perform(Call("stage", "move_abs", (9.0,)), stopping=True)
                await trio.sleep_forever()
            except StopRequested:
                pass

    async with running(stubborn) as (_execution, control, bench, _):
        await trio.sleep(1.0)
        report = await control.stop(StopOrder(False, 2.0, "test", "ada"))
        assert (report.state, report.escalated, report.line) == (ExecutionState.KILLED, True, 2)
        assert 2.0 <= report.duration_s < 3.0
        assert "grace period of 2 s" in report.message
        assert "line 2" in report.message
        assert bench.stage.safe == 2  # each of the two moves that the stop cut into


async def test_force_during_a_graceful_stop_ends_it_at_once(autojump_clock):
    async def stubborn(program, interpreter):
        await trio.sleep_forever()

    async with running(stubborn) as (_execution, control, _, _):
        reports = []

        async def stop(order):
            reports.append(await control.stop(order))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop, GENTLY)
            await trio.sleep(1.0)
            nursery.start_soon(stop, AT_ONCE)
        assert {report.state for report in reports} == {ExecutionState.KILLED}
        assert {"force stop by bob: fire"} == {report.message for report in reports}
        assert max(report.duration_s for report in reports) < 1.5


async def test_a_force_stop_is_carried_out_also_when_who_asked_is_gone(autojump_clock):
    async def stubborn(program, interpreter):
        await trio.sleep_forever()

    async with running(stubborn) as (execution, control, _, program):

        async def locate(*, dying=False):
            await trio.sleep(0.05)
            return 2

        program.locate = locate
        with trio.move_on_after(0.01):
            await control.stop(AT_ONCE)
        await execution.finished.wait()
        assert (execution.state, execution.message) == (
            ExecutionState.KILLED,
            "force stop by bob: fire",
        )


async def test_of_two_force_stops_the_first_is_on_record(autojump_clock):
    async with running(scan) as (_, control, bench, _):
        await trio.sleep(1.5)
        reports = []

        async def stop(user):
            reports.append(await control.stop(StopOrder(True, 0.0, "fire", user)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop, "ada")
            await trio.sleep(0)
            nursery.start_soon(stop, "bob")
        (run,) = bench.storage.runs
        assert {report.message for report in reports} == {run.stop.reason}
        assert run.stop.reason == f"force stop by {run.stop.by}: fire"


async def test_a_more_impatient_stop_shortens_the_grace_but_none_extends_it(autojump_clock):
    async def stubborn(program, interpreter):
        await trio.sleep_forever()

    async with running(stubborn) as (_, control, _, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.stop, StopOrder(False, 100.0))
            await trio.sleep(1.0)
            nursery.start_soon(control.stop, StopOrder(False, 3.0))
            nursery.start_soon(control.stop, StopOrder(False, 500.0))
            begin = trio.current_time()
        assert trio.current_time() - begin == pytest.approx(2.0, abs=0.2)


async def test_one_hanging_device_delays_no_other_and_is_reported(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Call("meter", "read"))
        await interpreter.perform(Call("stage", "position"))
        await trio.sleep_forever()

    async with running(body) as (_, control, bench, _):
        bench.stage.hang_on_stop = True
        report = await control.stop(AT_ONCE)
        outcomes = {stop.device: stop for stop in report.devices}
        assert outcomes["meter"].outcome is StopOutcome.IDLE
        assert outcomes["stage"].outcome is StopOutcome.UNREACHABLE
        assert report.duration_s < 2.0


async def test_a_force_stop_is_bounded_also_when_the_moving_device_does_not_stop(autojump_clock):
    async with running(scan) as (_, control, bench, _):
        await trio.sleep(1.5)
        bench.stage.hang_on_stop = True
        report = await control.stop(AT_ONCE)
        outcomes = {stop.device: stop.outcome for stop in report.devices}
        assert outcomes["stage"] is StopOutcome.UNREACHABLE
        assert report.duration_s <= 2.0


async def test_a_stop_after_the_end_says_so(autojump_clock):
    async with running(scan) as (execution, control, _, _):
        await execution.finished.wait()
        report = await control.stop(AT_ONCE)
        assert report.state is ExecutionState.COMPLETED
        assert report.message == "had already ended: COMPLETED"


async def test_a_failing_script_fails_its_run_and_is_made_safe(autojump_clock):
    async def body(program, interpreter):
        program.line = 3
        await trio.sleep(1.0)
        await interpreter.perform(OpenRun("x"))
        await interpreter.perform(Point({"stage": 1.0}, ["meter"]))
        bench.meter.broken = True
        await interpreter.perform(Point({"stage": 2.0}, ["meter"]))

    async with running(body) as (execution, _, bench, _):
        await execution.finished.wait()
        assert execution.state is ExecutionState.ERROR
        assert "D? answered '+++'" in execution.message
        assert execution.traceback
        assert execution.record().line == 3
        (run,) = bench.storage.runs
        assert len(run.events) == 1
        assert run.stop.outcome is RunOutcome.FAILED
        assert bench.stage.safe == 1


async def test_a_move_beyond_the_limits_reaches_the_script_and_nothing_moves(autojump_clock):
    caught = []

    async def body(program, interpreter):
        try:
            await interpreter.perform(Call("stage", "move_abs", (12.0,)))
        except LimitError as error:
            caught.append(str(error))

    async with running(body) as (execution, _, bench, _):
        await execution.finished.wait()
        assert "12 mm is outside the limits [-10, 10] mm" in caught[0]
        assert bench.stage.at == 0.0
        assert execution.state is ExecutionState.COMPLETED


async def test_a_bug_below_fails_the_script_and_not_the_daemon(autojump_clock, caplog):
    async def body(program, interpreter):
        await trio.sleep(1.0)
        bench.stage.position = None
        await interpreter.perform(Call("stage", "position"))

    async with running(body) as (execution, _, bench, _):
        await execution.finished.wait()
        assert execution.state is ExecutionState.ERROR
        assert "stage" in execution.record().message
        assert await bench.supervisor.device("meter").call("read") is not None


async def test_a_pause_takes_effect_at_the_checkpoint_and_names_the_line(autojump_clock):
    async def body(program, interpreter):
        for line in range(1, 50):
            await trio.sleep(1.0)
            if program.pause_asked:
                await interpreter.perform(Pause(line))

    async with running(body) as (execution, control, _, _):
        await trio.sleep(2.5)
        control.pause("ada")
        await control.wait_paused()
        assert execution.state is ExecutionState.PAUSED
        assert execution.record().transitions[-1].reason == "paused by ada at line 3"
        await trio.sleep(100)
        await control.resume("bob")
        assert execution.state is ExecutionState.RUNNING
        await execution.finished.wait()
        assert execution.state is ExecutionState.COMPLETED
        assert execution.view().elapsed_s == pytest.approx(49, abs=1)


async def test_a_pause_that_is_taken_back_before_its_checkpoint_never_happens(autojump_clock):
    async def body(program, interpreter):
        await trio.sleep(5.0)
        await interpreter.perform(Pause(7))

    async with running(body) as (execution, control, _, _):
        control.pause("ada")
        await control.resume("ada")
        await execution.finished.wait()
        states = [t.state for t in execution.record().transitions]
        assert ExecutionState.PAUSED not in states


@pytest.mark.parametrize(
    ("order", "state"),
    [(GENTLY, ExecutionState.STOPPED), (AT_ONCE, ExecutionState.KILLED)],
)
async def test_a_stop_ends_a_paused_program(autojump_clock, order, state):
    async def body(program, interpreter):
        await trio.sleep(1.0)
        await interpreter.perform(Pause(4))

    async with running(body) as (_execution, control, _, _):
        control.pause("ada")
        await control.wait_paused()
        report = await control.stop(order)
        assert report.state is state


async def test_only_what_runs_can_pause_and_only_what_is_alive_can_resume(autojump_clock):
    async with running(scan) as (execution, control, _, _):
        await execution.finished.wait()
        with pytest.raises(StateError, match="is COMPLETED; only a RUNNING one can pause"):
            control.pause("")
        with pytest.raises(StateError, match="only a PAUSED one can resume"):
            await control.resume("")


async def test_a_program_that_claims_to_be_stopped_unasked_is_not_believed(autojump_clock):
    async def liar(program, interpreter):
        raise StopRequested

    async with running(liar) as (execution, _, _, _):
        await execution.finished.wait()
        assert execution.state is ExecutionState.KILLED


async def test_when_the_run_cannot_be_stored_the_execution_fails_loudly(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Record(["meter"]))
        await trio.sleep(1.0)
        bench.storage.runs[0].fail_with = StorageError("/data/x.journal: no space left on device")
        try:
            await interpreter.perform(Record(["meter"]))
        except StorageError as error:
            return await program_failed(error)

    async def program_failed(error):
        raise DeviceError(str(error))

    async with running(body) as (execution, _, bench, _):
        await execution.finished.wait()
        assert execution.state is ExecutionState.ERROR
        assert "no space left" in execution.message


async def test_when_the_daemon_is_cancelled_the_program_dies_and_all_is_made_safe(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(OpenRun("x"))
        await interpreter.perform(Call("stage", "move_abs", (9.0,)))

    bench = Bench()
    script = Script("s", "x.py", "", "", 0)
    execution = Execution("e" * 32, script, {}, "", bench.now_ns, lambda _: None)
    async with trio.open_nursery() as devices:
        await devices.start(bench.supervisor.run)
        async with trio.open_nursery() as executions:
            control = ExecutionControl(
                execution, FakeProgram(body), bench.supervisor, bench.storage
            )
            executions.start_soon(control.run)
            await trio.sleep(3.0)
            executions.cancel_scope.cancel()
        devices.cancel_scope.cancel()
    assert execution.state is ExecutionState.KILLED
    assert execution.message == "the daemon ended"
    assert bench.stage.safe == 1
    assert bench.storage.runs[0].stop.outcome is RunOutcome.KILLED


async def test_output_is_kept_line_by_line(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Log("one\ntwo\n", "output", 3))
        await interpreter.perform(Log("", "output", 4))
        await interpreter.perform(Log("bad", "warning", 5))

    async with running(body) as (execution, _, _, _):
        await execution.finished.wait()
        lines = [(entry.level, entry.text, entry.line) for entry in execution.output_since(0)]
        assert lines == [
            ("output", "one", 3),
            ("output", "two", 3),
            ("output", "", 4),
            ("warning", "bad", 5),
        ]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (AT_ONCE, "force stop by bob: fire"),
        (GENTLY, "it had not ended when the grace period of 5 s was over"),
    ],
)
async def test_a_run_that_is_caught_while_it_opens_ends_as_its_program(
    autojump_clock, order, reason
):
    async def body(program, interpreter):
        await trio.sleep(1.0)
        await interpreter.perform(OpenRun("x"))

    async with running(body) as (execution, control, bench, _):
        bench.storage.opening_s = 100.0
        await trio.sleep(2.0)
        report = await control.stop(order)
        (run,) = bench.storage.runs
        assert (report.state, run.stop.outcome) == (ExecutionState.KILLED, RunOutcome.KILLED)
        assert reason in run.stop.reason
        assert execution.record().run_ids == (run.run_id,)


async def record_once(program, interpreter):
    await interpreter.perform(Point({"stage": 1.0}, ["meter"]))


async def linger(program, interpreter):
    await record_once(program, interpreter)
    await trio.sleep_forever()


async def close_in_script(program, interpreter):
    await record_once(program, interpreter)
    await interpreter.perform(CloseRun())


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (linger, ExecutionState.KILLED),
        (record_once, ExecutionState.COMPLETED),
        (close_in_script, ExecutionState.KILLED),
    ],
    ids=["force, then it closes", "it closes, then force", "the script closes, then force"],
)
async def test_a_force_stop_waits_for_no_file(autojump_clock, body, state):
    """Hardware first, an answer within 2 s, and storage goes on with the run's file."""
    async with running(body) as (execution, control, bench, _):
        bench.storage.runs[0].closing_s = 1000.0
        await trio.sleep(3.0)
        if body is not linger:
            assert bench.storage.runs[0].stop is not None
        safe = bench.stage.safe
        report = await control.stop(AT_ONCE)
        assert report.duration_s < 2.0
        assert report.state is execution.state is state
        assert "the file of its run is not complete yet" in report.message
        assert bench.stage.safe == safe + 1
        assert bench.storage.runs[0].stop is not None


async def test_a_run_whose_file_takes_long_has_completed_all_the_same(autojump_clock):
    async with running(record_once) as (execution, _, bench, _):
        bench.storage.runs[0].closing_s = 1000.0
        await execution.finished.wait()
        assert execution.state is ExecutionState.COMPLETED
        assert execution.message == "the file of its run is not complete yet"


async def test_a_graceful_stop_waits_for_a_file_until_its_grace_is_over(autojump_clock):
    async with running(record_once) as (execution, control, bench, _):
        bench.storage.runs[0].closing_s = 1000.0
        await trio.sleep(2.0)
        report = await control.stop(GENTLY)
        assert report.duration_s == pytest.approx(GENTLY.grace_s, abs=0.1)
        assert execution.state is ExecutionState.COMPLETED
