"""Pauses: at once where that is honest, with the devices told and restored, held by interlocks."""

from contextlib import asynccontextmanager

import pytest
import trio

from daq.core import (
    BusyError,
    Call,
    CallBeside,
    Category,
    Channel,
    Describe,
    DeviceDescription,
    DeviceError,
    ExecutionState,
    InterlockError,
    Limits,
    Pause,
    Point,
    Script,
    StateError,
    standard,
)
from daq.drivers import Driver, DriverContext
from daq.experiment import Execution, ExecutionControl, InterlockedPrograms, StopOrder
from daq.supervision import PauseAction, PauseRule

from .fakes import Bench, FakeProgram

RUNNING, PAUSED = ExecutionState.RUNNING, ExecutionState.PAUSED
CLOSED_IN_PAUSES = {"laser": PauseRule(PauseAction.OFF, parameter="shutter")}
SAFE_IN_PAUSES = {"laser": PauseRule(PauseAction.SAFE)}


class Laser(Driver):
    """A shutter and an emission; `stuck` keeps the shutter where it is."""

    def __init__(self, context):
        super().__init__(context)
        self.open = self.emits = self.stuck = False
        self.watts = 1.0
        self.at = 800.0
        self.mute = self.mute_once = False
        self.veto = ""
        self.log = []

    @property
    def description(self):
        return DeviceDescription(
            "laser",
            "test.laser",
            Category.LASER,
            frozenset(),
            Channel("laser", ""),
            parameters=(
                standard("power", setpoint=""),
                standard("wavelength", limits=Limits(700, 1000)),
                standard("emission"),
                standard("shutter"),
            ),
        )

    async def connect(self):
        await trio.lowlevel.checkpoint()

    async def set_shutter(self, is_open):
        await trio.sleep(0.1)
        self.log.append("open" if is_open else "close")
        if not self.stuck:
            self.open = is_open

    async def shutter(self):
        await trio.lowlevel.checkpoint()
        if self.mute_once:
            self.mute_once = False
            raise DeviceError("laser: SHUTTER? was answered '?'")
        return self.open

    async def emission(self):
        await trio.lowlevel.checkpoint()
        return self.emits

    async def set_emission(self, enabled):
        await trio.lowlevel.checkpoint()
        self.log.append("on" if enabled else "off")
        self.emits = enabled

    async def wavelength(self):
        await trio.lowlevel.checkpoint()
        return self.at

    async def set_wavelength(self, nm):
        await trio.lowlevel.checkpoint()
        self.log.append(f"{nm:g} nm")
        self.at = nm

    async def power(self):
        await trio.lowlevel.checkpoint()
        if self.mute:
            raise DeviceError("laser: POWER? was answered '?'")
        return self.watts

    async def set_power(self, value):
        await trio.lowlevel.checkpoint()
        self.log.append(f"{value:g} W")
        if not self.stuck:
            self.watts = value

    def pause_veto(self):
        if self.veto == "broken":
            raise ZeroDivisionError
        return self.veto

    async def stop(self):
        await trio.lowlevel.checkpoint()
        return False

    async def make_safe(self):
        was, self.open, self.emits = self.open or self.emits, False, False
        self.watts, self.at = 0.0, 850.0
        await trio.lowlevel.checkpoint()
        return was

    async def poll(self):
        await trio.lowlevel.checkpoint()
        return {}


class LaserBench(Bench):
    def __init__(self):
        super().__init__()
        self.laser = Laser(DriverContext("laser", "test.laser", self.timebase))
        drivers = {"stage": self.stage, "meter": self.meter, "laser": self.laser}
        self.supervisor = type(self.supervisor)(drivers, self.bus, self.timebase)


@asynccontextmanager
async def running(body, rules=None, programs=None):
    bench = LaserBench()
    script = Script("s", "knife.py", "one\ntwo\nthree", "abc", 0)
    execution = Execution("e" * 32, script, {}, "ada", bench.now_ns, lambda _: None)
    program = FakeProgram(body)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.supervisor.run)
        control = ExecutionControl(execution, program, bench.supervisor, bench.storage, rules or {})
        if programs is not None:
            programs.begin(control)
        async with trio.open_nursery() as executions:
            executions.start_soon(control.run)
            await trio.testing.wait_all_tasks_blocked()
            yield execution, control, bench, program
            executions.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def paused(control):
    with trio.fail_after(5):
        await control.wait_paused()


async def checkpoints(program, interpreter, *devices):
    for device in devices:
        await interpreter.perform(Describe(device))
    for line in range(1, 1000):
        await trio.sleep(0.1)
        if program.pause_asked:
            await interpreter.perform(Pause(line))


async def uses_laser(program, interpreter):
    await checkpoints(program, interpreter, "laser")


async def test_a_pause_that_comes_while_an_execution_ends_changes_nothing(autojump_clock):
    async def body(program, interpreter):
        await trio.sleep(1.0)
        await interpreter.perform(Call("stage", "position"))
        bench.stage.make_safe = bench.stage.stop = trio.sleep_forever
        raise DeviceError("the meter is broken")

    async with running(body) as (execution, control, bench, _):
        await trio.sleep(1.2)  # its end waits for the stage, which does not stop
        assert execution.state is ExecutionState.RUNNING
        control.pause("ada")
        await execution.finished.wait()
        assert execution.state is ExecutionState.ERROR


# ------------------------------------------------------------------------------------------ at once


async def test_a_move_is_broken_off_by_a_pause_and_done_again_after_it(autojump_clock):
    async def body(program, interpreter):
        program.line = 2
        assert await interpreter.perform(Call("stage", "move_abs", [9.0])) == pytest.approx(9.0)

    async with running(body) as (execution, control, bench, program):
        await trio.sleep(3.0)
        control.pause("ada")
        await paused(control)
        assert execution.record().transitions[-1].reason == "paused by ada at line 2"
        assert bench.stage.at == pytest.approx(3.0, abs=0.2)
        assert bench.stage.moving is False
        await trio.sleep(100)
        await control.resume("ada")
        await execution.finished.wait()
        assert execution.state is ExecutionState.COMPLETED
        assert bench.stage.at == pytest.approx(9.0)
        assert program.stood_still == pytest.approx(100, abs=0.5)
        assert execution.view().elapsed_s == pytest.approx(9, abs=0.5)


async def test_a_point_that_is_broken_off_by_a_pause_is_stored_once(autojump_clock):
    async def body(program, interpreter):
        for x in (5.0, 6.0):
            await interpreter.perform(Point({"stage": x}, ["meter"]))

    async with running(body) as (execution, control, bench, _):
        await trio.sleep(2.0)
        control.pause("ada")
        await paused(control)
        await control.resume("ada")
        await execution.finished.wait()
        (run,) = bench.storage.runs
        assert [e.values["stage"] for e in run.events] == [pytest.approx(5.0), pytest.approx(6.0)]


async def test_what_cannot_be_repeated_goes_on_to_its_end(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Call("stage", "move_rel", [4.0]))
        if program.pause_asked:
            await interpreter.perform(Pause(2))

    async with running(body) as (execution, control, bench, _):
        await trio.sleep(1.0)
        control.pause("ada")
        await trio.sleep(1.0)
        assert execution.state is RUNNING
        await paused(control)
        assert bench.stage.at == pytest.approx(4.0)


async def test_a_call_beside_the_records_is_not_cut_and_the_pause_waits_for_it(autojump_clock):
    async def body(program, interpreter):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interpreter.perform, CallBeside("stage", "move_abs", [5.0]))
            for line in range(1, 80):
                await trio.sleep(0.1)
                if program.pause_asked:
                    await interpreter.perform(Pause(line))

    async with running(body) as (_, control, bench, _):
        await trio.sleep(1.0)
        control.pause("ada")
        await paused(control)
        assert bench.stage.at == pytest.approx(5.0)


async def test_a_stop_ends_a_move_that_waits_to_be_repeated(autojump_clock):
    async def body(program, interpreter):
        await interpreter.perform(Call("stage", "move_abs", [9.0]))

    async with running(body) as (_, control, bench, _):
        await trio.sleep(1.0)
        control.pause("ada")
        await paused(control)
        report = await control.stop(StopOrder(force=False, grace_s=5.0))
        assert report.state is ExecutionState.STOPPED
        assert bench.stage.at == pytest.approx(1.0, abs=0.2)


# ------------------------------------------------------------------------------------------ devices


async def test_a_shutter_is_closed_in_the_pause_and_opened_before_it_goes_on(autojump_clock):
    async with running(uses_laser, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.open = True
        control.pause("ada")
        await paused(control)
        assert bench.laser.open is False
        await control.resume("ada")
        assert (execution.state, bench.laser.open) == (RUNNING, True)


async def test_a_shutter_that_was_closed_stays_closed(autojump_clock):
    async with running(uses_laser, CLOSED_IN_PAUSES) as (_, control, bench, _):
        control.pause("ada")
        await paused(control)
        await control.resume("ada")
        assert bench.laser.log == []


async def test_whatever_the_safe_state_changed_is_put_back_the_light_last(autojump_clock):
    async with running(uses_laser, SAFE_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.open = bench.laser.emits = True
        control.pause("ada")
        await paused(control)
        assert (bench.laser.open, bench.laser.emits, bench.laser.watts) == (False, False, 0.0)
        await control.resume("ada")
        assert bench.laser.log == ["1 W", "800 nm", "on", "open"]
        assert execution.record().transitions[-1].reason == (
            "resumed by ada; put back: laser power 1 W, laser wavelength 800 nm, "
            "laser emission on, laser shutter open"
        )


async def test_what_the_safe_state_left_alone_is_left_alone(autojump_clock):
    async with running(uses_laser, SAFE_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.watts, bench.laser.at = 0.0, 850.0
        control.pause("ada")
        await paused(control)
        await control.resume("ada")
        assert bench.laser.log == []
        assert execution.record().transitions[-1].reason == "resumed by ada"


async def test_a_setting_that_does_not_read_back_as_it_was_keeps_it_paused(autojump_clock):
    async with running(uses_laser, SAFE_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.open = True
        control.pause("ada")
        await paused(control)
        bench.laser.stuck = True
        with pytest.raises(DeviceError, match="laser power was not restored: it was 1 W, and is 0"):
            await control.resume("ada")
        assert (execution.state, bench.laser.open) == (PAUSED, False)


async def test_a_device_that_cannot_be_asked_is_made_safe_all_the_same(autojump_clock):
    async with running(uses_laser, SAFE_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.open = bench.laser.mute = True
        control.pause("ada")
        await paused(control)
        assert bench.laser.open is False
        (line,) = execution.output_since(0)
        assert line.text == (
            "paused, but what cannot be asked is not put back: laser: POWER? was answered '?'"
        )
        await control.resume("ada")
        assert bench.laser.open is True


async def test_a_shutter_that_cannot_be_asked_is_closed_all_the_same(autojump_clock):
    async with running(uses_laser, CLOSED_IN_PAUSES) as (_, control, bench, _):
        bench.laser.open = bench.laser.mute_once = True
        control.pause("ada")
        await paused(control)
        assert bench.laser.open is False


async def test_a_driver_refuses_a_pause_with_its_reason_beside_others(autojump_clock):
    rules = {"stage": PauseRule(PauseAction.VETO, "the sample dries out")}

    async def body(program, interpreter):
        await checkpoints(program, interpreter, "laser", "stage")

    async with running(body, rules) as (execution, control, bench, _):
        bench.laser.veto = "it is warming up, 20 s are left"
        with pytest.raises(StateError) as refused:
            control.pause("ada")
        assert refused.value.message == (
            "the pause was refused by laser: it is warming up, 20 s are left; "
            "by stage: the sample dries out"
        )
        assert execution.state is RUNNING


async def test_a_driver_that_cannot_say_whether_it_may_be_paused_has_none(autojump_clock, caplog):
    async with running(uses_laser) as (execution, control, bench, _):
        bench.laser.veto = "broken"
        control.pause("ada")
        await paused(control)
        assert execution.state is PAUSED
    assert "laser: the driver could not tell whether it may be paused" in caplog.text


async def test_a_device_that_cannot_be_restored_keeps_it_paused(autojump_clock):
    async with running(uses_laser, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.open = True
        control.pause("ada")
        await paused(control)
        bench.laser.stuck = True
        with pytest.raises(DeviceError, match="the shutter is still closed"):
            await control.resume("ada")
        assert execution.state is PAUSED
        bench.laser.stuck = False
        await control.resume("ada")
        assert (execution.state, bench.laser.open) == (RUNNING, True)


async def test_a_device_that_does_not_do_its_part_is_told_and_the_pause_holds(autojump_clock):
    async with running(uses_laser, CLOSED_IN_PAUSES) as (execution, control, bench, _):
        bench.laser.open = bench.laser.stuck = True
        control.pause("ada")
        await paused(control)
        assert execution.state is PAUSED
        (line,) = execution.output_since(0)
        assert line.text == "paused, but laser: set('shutter', False): the shutter is still open"


async def test_a_veto_refuses_the_pause_with_its_reason(autojump_clock):
    rules = {"laser": PauseRule(PauseAction.VETO, "the cavity loses its lock")}
    async with running(uses_laser, rules) as (execution, control, _, program):
        with pytest.raises(StateError, match="refused by laser: the cavity loses its lock"):
            control.pause("ada")
        await trio.sleep(1)
        assert (execution.state, program.pause_asked) == (RUNNING, False)


async def test_a_device_that_is_not_used_has_no_say(autojump_clock):
    rules = {"laser": PauseRule(PauseAction.VETO)}

    async def body(program, interpreter):
        await checkpoints(program, interpreter, "stage")

    async with running(body, rules) as (execution, control, _, _):
        control.pause("ada")
        await paused(control)
        assert execution.state is PAUSED


async def test_a_stop_does_not_wait_for_a_device_that_is_told(autojump_clock):
    async with running(uses_laser, CLOSED_IN_PAUSES) as (_, control, bench, _):
        bench.laser.open = True
        control.pause("ada")
        await trio.sleep(0.12)  # it is closing
        report = await control.stop(StopOrder(force=False, grace_s=5.0))
        assert report.state in (ExecutionState.STOPPED, ExecutionState.COMPLETED)
        assert bench.laser.open is False


# --------------------------------------------------------------------------------------- interlocks


async def test_nobody_resumes_while_an_interlock_is_tripped(autojump_clock):
    programs = InterlockedPrograms(5.0)
    async with running(uses_laser, programs=programs) as (execution, control, _, _):
        programs.hold("hot", "interlock hot: meter 2 W, above 1 W")
        await paused(control)
        reason = execution.record().transitions[-1].reason
        assert reason.startswith("paused by interlock hot: meter 2 W, above 1 W at line")
        with pytest.raises(InterlockError, match="meter 2 W, above 1 W"):
            await control.resume("ada")
        await programs.release("hot", resume=False)
        assert execution.state is PAUSED
        await control.resume("ada")
        assert execution.state is RUNNING


async def test_it_resumes_by_itself_unless_a_person_paused_too(autojump_clock):
    programs = InterlockedPrograms(5.0)
    async with running(uses_laser, programs=programs) as (execution, control, _, _):
        programs.hold("hot", "interlock hot: meter 2 W, above 1 W")
        await paused(control)
        await programs.release("hot", resume=True)
        assert execution.record().transitions[-1].reason == "resumed: interlock hot has cleared"
        programs.hold("hot", "again")
        control.pause("ada")
        await paused(control)
        await programs.release("hot", resume=True)
        assert execution.state is PAUSED


async def test_what_starts_while_an_interlock_holds_is_held_from_its_first_line(autojump_clock):
    programs = InterlockedPrograms(5.0)
    programs.hold("hot", "interlock hot: meter 2 W, above 1 W")
    async with running(uses_laser, programs=programs) as (execution, control, _, program):
        assert program.pause_asked
        await paused(control)
        await programs.release("hot", resume=True)
        assert execution.state is RUNNING


async def test_a_device_that_cannot_be_restored_is_not_resumed_by_an_interlock(autojump_clock):
    programs = InterlockedPrograms(5.0)
    async with running(uses_laser, CLOSED_IN_PAUSES, programs) as (execution, control, bench, _):
        bench.laser.open = True
        programs.hold("hot", "interlock hot: meter 2 W, above 1 W")
        await paused(control)
        bench.laser.stuck = True
        await programs.release("hot", resume=True)
        assert execution.state is PAUSED
        assert "could not resume by itself" in execution.output_since(0)[-1].text
        bench.laser.stuck = False
        await control.resume("ada")
        assert execution.state is RUNNING


async def test_an_interlock_stops_by_force_or_gracefully_and_says_why(autojump_clock):
    programs = InterlockedPrograms(5.0)
    async with running(uses_laser, programs=programs) as (execution, _, _, _):
        await programs.stop("hot", "interlock hot: meter 2 W, above 1 W", force=True)
        assert execution.state is ExecutionState.KILLED
        assert "force stop by interlock hot: interlock hot: meter 2 W" in execution.message


# ------------------------------------------------------------------------------------------- claims


async def test_an_execution_owns_what_it_uses_until_its_end(autojump_clock):
    async with running(uses_laser) as (execution, control, bench, _):
        laser = bench.supervisor.device("laser")
        with pytest.raises(BusyError, match=r"execution eeeeeeee of knife.py \(started by ada\)"):
            await laser.call("open", by="bob")
        assert await laser.call("is_open") is False
        await bench.supervisor.device("stage").call("move_abs", 1.0, by="bob")
        await control.stop(StopOrder(force=True, grace_s=1.0))
        await laser.call("open", by="bob")
        assert execution.state is ExecutionState.KILLED
