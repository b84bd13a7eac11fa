"""What devices do for a pause, how it is noted before, and how it is put back."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from daq.core import BusyError, DaqError, DeviceError, StateError
from daq.drivers import Timebase
from daq.supervision import Claim, PauseAction, PausedDevices, PauseRule, refuse_vetoed
from daq.supervision.device.questions import AGAIN_S

from .fakes import FakeLaser, FakeStage, failing, hang, supervised

SHUT = PauseRule(PauseAction.OFF, parameter="shutter")
SAFE = PauseRule(PauseAction.SAFE)
STOP = PauseRule(PauseAction.STOP)
CLAIM = Claim("the execution 1")


class TellingLaser(FakeLaser):
    """Tells its light with each poll, as most drivers do."""

    def fields(self):
        return {"shutter": self.shutter, "emission": self.emits, "wavelength": self.nm}


class Lab:
    """A laser that shines and a stage, in the hands of one program."""

    def __init__(self, supervisor, laser, stage):
        self.laser, self.stage = laser, stage
        self.devices = {d.id: d for d in supervisor.devices()}
        self.paused = PausedDevices(CLAIM)

    def note(self, rule, device="laser"):
        self.paused.note(self.devices[device], rule)

    async def set(self, name, value):
        await self.devices["laser"].call("set", name, value, claim=CLAIM)

    async def tell(self, rule):
        """Note and tell; the problem, if there is one."""
        self.note(rule)
        (told,) = await self.paused.tell()
        return told.problem


@asynccontextmanager
async def lab(laser=TellingLaser):
    timebase = Timebase()
    drivers = laser("laser", timebase), FakeStage("stage", timebase)
    async with supervised(*drivers) as bench:
        it = Lab(bench.supervisor, *drivers)
        for device in it.devices.values():
            device.gate.take(CLAIM)
        it.laser.log.clear()
        it.laser.shutter = it.laser.emits = True  # by hand: only a poll can know it
        await trio.sleep(3)
        yield it


@pytest.mark.parametrize("laser", [TellingLaser, FakeLaser])
async def test_light_is_switched_off_and_put_back_as_it_was(autojump_clock, laser):
    async with lab(laser) as it:
        assert await it.tell(SHUT) == ""
        assert (it.laser.shutter, it.laser.emits) == (False, True)
        assert await it.paused.restore() == ("laser shutter open",)
        assert it.laser.shutter
        assert it.paused
        it.paused.forget()
        assert not it.paused


async def test_a_shutter_that_was_closed_stays_closed(autojump_clock):
    async with lab() as it:
        await it.set("shutter", False)
        await trio.sleep(3)
        assert await it.tell(SHUT) == ""
        assert await it.paused.restore() == ()
        assert not it.laser.shutter


@pytest.mark.parametrize("rule", [PauseRule(), PauseRule(PauseAction.VETO)])
async def test_what_does_nothing_in_a_pause_is_not_noted(autojump_clock, rule):
    async with lab() as it:
        it.note(rule)
        assert not it.paused
        assert await it.paused.tell() == ()


async def test_safe_puts_back_every_setting_that_the_safe_state_has_changed(autojump_clock):
    async with lab() as it:
        assert await it.tell(SAFE) == ""
        assert it.laser.log == ["make_safe", "stop"]
        await it.set("power", 7.0)  # the note has it as it was
        assert await it.paused.restore() == ("laser power 1 mW", "laser shutter open")
        assert (it.laser.values["power"], it.laser.shutter) == (1.0, True)


async def test_a_stop_has_nothing_to_put_back(autojump_clock):
    async with lab() as it:
        it.note(STOP, "stage")
        await it.paused.tell()
        assert "stop" in it.stage.log
        assert await it.paused.restore() == ()


async def test_the_first_note_counts_and_a_stronger_rule_is_told_again(autojump_clock):
    async with lab() as it:
        await it.tell(SHUT)
        assert await it.paused.tell() == ()  # told already
        it.note(SHUT)
        it.note(STOP)  # less than what is done
        assert await it.paused.tell() == ()
        await trio.sleep(3)
        it.note(SAFE)  # it is known to be closed by now, and was open
        (told,) = await it.paused.tell()
        assert told.rule is SAFE
        assert "make_safe" in it.laser.log
        await it.paused.restore()
        assert it.laser.shutter


async def test_an_open_shutter_that_is_not_known_is_asked_before_it_is_closed(autojump_clock):
    async with lab(FakeLaser) as it:
        it.note(SHUT)
        it.laser.shutter = False  # somebody has closed it by hand
        (told,) = await it.paused.tell()
        assert told.problem == ""
        assert await it.paused.restore() == ()


async def test_what_is_known_to_be_closed_is_closed_all_the_same(autojump_clock):
    async with lab() as it:
        await it.set("shutter", False)
        await trio.sleep(3)
        it.note(SHUT)
        it.laser.shutter = True  # by hand, since the daemon has looked
        await it.paused.tell()
        assert not it.laser.shutter


async def test_a_device_that_does_not_tell_is_made_safe_all_the_same_and_says_so(autojump_clock):
    async with lab(FakeLaser) as it:
        read = it.laser.get_parameter
        fails = failing(DeviceError("laser: no answer"), times=1 + len(AGAIN_S))

        async def get_parameter(name):
            await fails()
            return await read(name)

        it.laser.get_parameter = get_parameter
        it.note(SHUT)
        (told,) = await it.paused.tell()
        assert told.problem == "what cannot be asked is not put back: laser: no answer"
        assert not it.laser.shutter


async def test_one_that_is_slow_to_tell_costs_a_moment_only(autojump_clock):
    async with lab(FakeLaser) as it:
        real, asked = it.laser.get_parameter, []

        async def slowly(name):
            asked.append(name)
            if len(asked) == 1:
                await trio.sleep(60)
            return await real(name)

        it.laser.get_parameter = slowly
        began = trio.current_time()
        problem = await it.tell(SHUT)
        assert trio.current_time() - began < 1.0
        assert problem.endswith("laser did not tell its shutter within 0.2 s")
        assert not it.laser.shutter


async def test_a_device_that_hangs_is_told_after_five_seconds_and_delays_no_other(autojump_clock):
    async with lab() as it:
        it.stage.on_stop = hang
        it.note(STOP, "stage")
        it.note(SHUT)
        began = trio.current_time()
        told = {each.device.id: each for each in await it.paused.tell()}
        assert trio.current_time() - began == pytest.approx(5.0, abs=0.1)
        assert told["laser"].problem == ""
        assert told["stage"].problem != ""
        assert not it.laser.shutter


async def test_a_shutter_that_sticks_is_a_problem_not_an_error(autojump_clock):
    async with lab() as it:
        it.laser.stuck = True
        assert "shutter" in await it.tell(SHUT)


async def test_the_command_in_progress_is_waited_for(autojump_clock):
    """A laser that tunes takes no other command; its shutter is closed when it has arrived."""
    async with lab() as it, trio.open_nursery() as nursery:
        nursery.start_soon(it.set, "wavelength", 900.0)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        assert await it.tell(SHUT) == ""
        assert not it.laser.shutter
        assert trio.current_time() - began <= 1.5


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda laser: setattr(laser, "stuck", True), "shutter"),
        (lambda laser: setattr(laser, "on_open", hang), "was not restored within 5 s"),
        (lambda laser: setattr(laser, "get_parameter", hang_on), "was not restored within 5 s"),
        (lambda laser: setattr(laser, "on_open", failing(DeviceError("no key"))), "no key"),
    ],
)
async def test_what_cannot_be_put_back_is_an_error_in_bounded_time(
    autojump_clock, break_it, message
):
    async with lab() as it:
        await it.tell(SHUT)
        break_it(it.laser)
        began = trio.current_time()
        with pytest.raises(DaqError, match=message):
            await it.paused.restore()
        assert trio.current_time() - began <= 10.5
        assert it.paused  # whoever resumes tells the devices again


async def hang_on(name):
    await trio.sleep_forever()


async def test_light_comes_last_and_what_came_later_may_spoil_nothing(autojump_clock):
    async with lab() as it:
        await it.tell(SAFE)
        it.laser.nm = 700.0
        order = []
        set_parameter = it.laser.set_parameter

        async def note(name, value):
            order.append(name)
            if name == "shutter":
                it.laser.nm = 999.0  # a laser that jumps when it is opened
            await set_parameter(name, value)

        it.laser.set_parameter = note
        with pytest.raises(DeviceError, match="laser wavelength was not restored: it was 800 nm"):
            await it.paused.restore()
        assert order == ["wavelength", "shutter"]


async def test_a_restore_that_was_broken_off_is_undone(autojump_clock):
    async with lab() as it:
        await it.tell(SHUT)
        await it.paused.restore()
        assert it.laser.shutter
        await it.paused.tell_again()
        assert not it.laser.shutter
        assert await it.paused.restore() == ("laser shutter open",)


async def test_the_program_s_own_claim_lets_the_pause_in_and_keeps_others_out(autojump_clock):
    async with lab() as it:
        stranger = PausedDevices(Claim("somebody else"))
        stranger.note(it.devices["laser"], SHUT)
        with trio.move_on_after(30):
            (told,) = await stranger.tell()
            assert told.problem == "laser did not answer within 5 s"  # it is busy all the time
        assert it.laser.shutter
        with pytest.raises(BusyError):
            await it.devices["laser"].call("set", "shutter", False)


async def test_a_veto_is_told_with_all_its_reasons(autojump_clock):
    async with lab() as it:
        devices = list(it.devices.values())
        refuse_vetoed(devices, {"laser": SHUT})
        it.laser.pause_veto = lambda: "it is heating up"
        rules = {"stage": PauseRule(PauseAction.VETO, "the sample dries out")}
        with pytest.raises(StateError) as caught:
            refuse_vetoed(devices, rules)
        assert caught.value.message == (
            "the pause was refused by laser: it is heating up; by stage: the sample dries out"
        )
        with pytest.raises(StateError, match='the configuration says on_pause = "veto"'):
            refuse_vetoed(devices, {"stage": PauseRule(PauseAction.VETO)})


def test_a_rule_says_in_the_log_what_it_does():
    assert str(SHUT) == "shutter off"
    assert str(SAFE) == "safe"
