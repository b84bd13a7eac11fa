"""Pauses that protect: at once, noted before anything is done, restored only when all is well."""

import pytest
import trio

from daq.core import Call, CallBeside, DeviceError, InterlockError, Pause, Point, Record
from daq.experiment import InterlockedPrograms

from .test_pausing import CLOSED_IN_PAUSES, PAUSED, RUNNING, SAFE_IN_PAUSES, paused, running

HOT = "interlock hot: meter 2 W, above 1 W"


async def computes(program, interpreter):
    """Uses the laser, and then computes for long."""
    await interpreter.perform(Call("laser", "open"))
    await trio.sleep(20)
    await interpreter.perform(Pause(2))
    await trio.sleep_forever()


async def test_the_shutter_is_closed_when_the_pause_is_asked_for_not_at_the_checkpoint(
    autojump_clock,
):
    async with running(computes, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        await trio.sleep(1)
        assert bench.laser.open is True
        control.pause("ada")
        assert "the script stands at its next checkpoint only" in control.pause_outstanding()[0]
        await trio.sleep(0.3)
        assert (execution.state, bench.laser.open) == (RUNNING, False)
        assert len(control.pause_outstanding()) == 1
        await trio.sleep(20)
        assert (execution.state, control.pause_outstanding()) == (PAUSED, ())
        await control.resume("ada")
        assert (execution.state, bench.laser.open) == (RUNNING, True)


async def test_a_pause_that_is_taken_back_before_its_checkpoint_opens_the_shutter(autojump_clock):
    async with running(computes, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        await trio.sleep(1)
        control.pause("ada")
        await trio.sleep(0.3)
        await control.resume("ada")
        assert (execution.state, bench.laser.open) == (RUNNING, True)


async def test_a_command_in_progress_counts_as_done_in_the_note(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Call("laser", "open"))
        await interpreter.perform(Pause(2))
        await trio.sleep_forever()

    async with running(body, CLOSED_IN_PAUSES) as (_, control, bench, _p):
        await trio.sleep(0.05)  # it is opening
        control.pause("ada")
        await paused(control)
        assert bench.laser.open is False
        await control.resume("ada")
        assert bench.laser.open is True


async def trips(control, bench, interlock="hot", devices=("laser",)):
    """As `Interlock` does it: the pause with its notes first, making safe in the same moment."""
    control.hold(interlock, f"by {HOT}", devices)
    await bench.supervisor.stop_devices(devices, safe=True, by=f"interlock {interlock}")


async def test_what_an_interlock_made_safe_is_put_back_though_the_script_never_used_it(
    autojump_clock,
):
    async def body(program, interpreter):
        for n in range(1, 30):
            await interpreter.perform(Point({"stage": n / 10}, ["meter"]))

    async with running(body) as (execution, control, bench, _):
        laser = bench.supervisor.device("laser")
        await laser.call("open")
        await laser.call("set", "power", 0.7)
        await trio.sleep(1)
        await trips(control, bench)
        assert (bench.laser.open, bench.laser.watts) == (False, 0.0)
        await paused(control)
        await control.release("hot", resume=True)
        assert (bench.laser.open, bench.laser.watts) == (True, 0.7)
        assert "put back: laser power 0.7 W" in execution.record().transitions[-1].reason


async def test_a_resume_with_a_device_that_cannot_be_as_it_was_is_refused(autojump_clock):
    async def body(program, interpreter):
        for n in range(1, 300):
            await interpreter.perform(Point({"stage": n / 100}, ["meter"]))

    async with running(body) as (execution, control, bench, _):
        await bench.supervisor.device("laser").call("open")
        await trips(control, bench)
        await paused(control)
        bench.laser.stuck = True
        await control.release("hot", resume=True)
        assert (execution.state, bench.laser.open) == (PAUSED, False)
        with pytest.raises(DeviceError):
            await control.resume("ada")
        bench.laser.stuck = False
        await control.resume("ada")
        assert (execution.state, bench.laser.open) == (RUNNING, True)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 1.0])
async def test_a_trip_at_any_moment_of_a_restore_leaves_everything_dark(autojump_clock, delay):
    async with running(computes, SAFE_IN_PAUSES) as (execution, control, bench, _):
        await trio.sleep(1)
        await trips(control, bench)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: control.release("hot", resume=True))
            await trio.sleep(delay)
            await trips(control, bench, "second", ())
        await trio.sleep(5)
        assert bench.laser.open is False
        with pytest.raises(InterlockError):
            await control.resume("ada")
        await trio.sleep(20)
        assert (execution.state, bench.laser.open) == (PAUSED, False)
        await control.release("second", resume=False)
        await control.resume("ada")
        assert (execution.state, bench.laser.open) == (RUNNING, True)


# ------------------------------------------------------------ what an interlock breaks off goes on


async def test_a_relative_move_that_is_broken_off_ends_where_it_was_to_end(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Call("stage", "move_abs", [1.0]))
        assert await interpreter.perform(Call("stage", "move_rel", [4.0])) == pytest.approx(5.0)
        await interpreter.perform(Pause(2))

    programs = InterlockedPrograms(5.0)
    async with running(body, programs=programs) as (execution, _, bench, _):
        await trio.sleep(3.0)
        programs.hold("hot", HOT)
        await bench.supervisor.stop_devices(["stage"], by="interlock hot")
        await trio.sleep(1)
        assert (execution.state, bench.stage.moving) == (PAUSED, False)
        await programs.release("hot", resume=True)
        await execution.finished.wait()
        assert execution.message == ""
        assert bench.stage.at == pytest.approx(5.0)


async def test_a_fly_scan_stops_where_it_is_and_records_nothing_in_the_dark(autojump_clock):
    lit = []

    async def body(program, interpreter):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interpreter.perform, CallBeside("stage", "move_abs", [8.0]))
            for _ in range(40):
                await trio.sleep(0.2)
                await interpreter.perform(Record(["stage"]))
                lit.append(bench.laser.open)

    async with running(body) as (execution, control, bench, _):
        await bench.supervisor.device("laser").call("open")
        await trio.sleep(3)
        await trips(control, bench)
        await bench.supervisor.stop_devices(["stage"])
        here = bench.stage.at
        await trio.sleep(30)
        assert (execution.state, bench.stage.at) == (PAUSED, here)
        await control.release("hot", resume=True)
        await execution.finished.wait()
        assert len(lit) == 40
        assert all(lit)
        assert bench.stage.at == pytest.approx(8.0)


# ---------------------------------------------------------------------------------- people are told


async def test_a_forced_command_is_in_the_history_and_the_resume_says_so(autojump_clock):
    async with running(computes, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        await trio.sleep(1)
        laser = bench.supervisor.device("laser")
        await laser.call("set", "power", 0.3, by="bob", force=True)
        control.pause("ada")
        await trio.sleep(25)
        await laser.call("wavelength", 810.0, by="bob", force=True)
        await control.resume("ada")
        reasons = [t.reason for t in execution.record().transitions]
        assert "laser: set('power', 0.3) by bob was forced" in reasons
        assert reasons[-1] == (
            "resumed by ada; put back: laser shutter open; "
            "meanwhile: laser: wavelength(810.0) by bob was forced"
        )
        output = [line.text for line in execution.output_since(0)]
        assert "laser: wavelength(810.0) by bob was forced" in output


async def test_nothing_resumes_by_itself_after_a_person_used_force(autojump_clock):
    async with running(computes, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        await trio.sleep(1)
        await trips(control, bench)
        await trio.sleep(25)
        await bench.supervisor.device("laser").call("close", by="bob", force=True)
        await control.release("hot", resume=True)
        assert (execution.state, bench.laser.open) == (PAUSED, False)
        assert "could not resume by itself" in execution.output_since(0)[-1].text
        await control.resume("ada")
        assert execution.state is RUNNING
