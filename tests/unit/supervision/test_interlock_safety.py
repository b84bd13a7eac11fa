"""Interlocks as a laser safety officer would try them: safe first, nothing green unheard."""

import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from daq.config import parse_config
from daq.core import DeviceError, InterlockError, InterlockState, Reading
from daq.drivers import Timebase
from daq.supervision import InterlockMemory, Interlocks, read_safety, set_aside_in
from daq.supervision.interlocks.memory import Latch

from .fakes import FakeLaser, FakeMeter, FakePrograms, FakeStage, failing, supervised

DEVICES = "".join(f'[devices.{d}]\ndriver = "fake"\n' for d in ("stage", "meter", "laser", "other"))


class Lab:
    def __init__(self, bench, interlocks, programs, drivers):
        self.bench, self.interlocks, self.programs = bench, interlocks, programs
        self.stage, self.meter, self.laser, self.other = drivers

    async def measured(self, value):
        self.meter.value = value
        await self.bench.supervisor.device("meter").call("read")

    def __getitem__(self, name):
        return next(lock for lock in self.interlocks.status() if lock.name == name)

    def device(self, name):
        return self.bench.supervisor.device(name)


@asynccontextmanager
async def lab(tables, *, path=None, programs=None, prepare=lambda drivers: None):
    timebase = Timebase()
    kinds = {"stage": FakeStage, "meter": FakeMeter, "laser": FakeLaser, "other": FakeLaser}
    drivers = {name: kind(name, timebase) for name, kind in kinds.items()}
    prepare(drivers)
    settings = read_safety(parse_config(DEVICES + tables, None), drivers)
    programs = programs or FakePrograms()
    async with supervised(*drivers.values()) as bench, trio.open_nursery() as nursery:
        memory = InterlockMemory(path)
        locks = Interlocks(settings.interlocks, bench.supervisor, bench.bus, timebase, memory)
        await nursery.start(locks.run, programs)
        yield Lab(bench, locks, programs, tuple(drivers.values()))
        nursery.cancel_scope.cancel()


def hot(body='action = "safe"\ndevices = ["laser"]\n', name="hot", above=1.0):
    return f'[interlocks.{name}]\nchannel = "meter"\nabove = {above}\n{body}'


# ------------------------------------------------------------------------------------- safe first


class SlowPrograms(FakePrograms):
    """A stop with a long grace, a resume that restores for ever."""

    async def stop(self, interlock, reason, *, force):
        await trio.sleep_forever()

    async def release(self, interlock, *, resume):
        await trio.sleep_forever()


@pytest.mark.parametrize("action", ["pause", "stop", "force_stop", "safe"])
async def test_a_second_trip_acts_as_fast_as_the_first_whatever_the_first_still_does(
    autojump_clock, action
):
    body = f'action = "{action}"\ndevices = ["laser"]\nrefuse = []\n'
    async with lab(hot(body), programs=SlowPrograms()) as it:
        for _ in range(3):
            it.laser.shutter = True
            await it.measured(2.0)
            await trio.testing.wait_all_tasks_blocked()
            assert it.laser.shutter is False
            await it.measured(0.5)
            await trio.testing.wait_all_tasks_blocked()
        assert it["hot"].trips == 3
        assert trio.current_time() < 1.0


async def test_another_interlock_acts_at_once_while_the_first_ones_device_hangs(autojump_clock):
    async def hang():
        await trio.sleep_forever()

    two = hot('action = "safe"\ndevices = ["other"]\n', "a") + hot(name="b", above=2.0)
    async with lab(two) as it:
        it.other.on_stop, it.laser.shutter = hang, True
        await it.measured(1.5)
        await it.measured(2.5)
        await trio.testing.wait_all_tasks_blocked()
        assert it.laser.shutter is False


@pytest.mark.parametrize("defect", ["hold", "say", "stop"])
async def test_a_defect_in_a_reaction_neither_ends_the_daemon_nor_keeps_from_making_safe(
    autojump_clock, defect
):
    class Broken(FakePrograms):
        pass

    def fail(self, *args, **kwargs):
        raise ZeroDivisionError

    setattr(Broken, defect, fail)
    action = "pause" if defect == "hold" else "stop"
    async with lab(hot(f'action = "{action}"\ndevices = ["laser"]\n'), programs=Broken()) as it:
        it.laser.shutter = True
        await it.measured(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert it.laser.shutter is False
        assert it["hot"].state is InterlockState.TRIPPED


# ------------------------------------------------------------------------- nothing green unheard


async def test_an_interlock_is_unknown_and_refuses_until_its_channel_was_heard(autojump_clock):
    async def silent():
        await trio.sleep_forever()

    def prepare(drivers):
        drivers["meter"].on_read = silent

    async with lab(hot('refuse = ["laser", "stage.move_abs"]\n'), prepare=prepare) as it:
        assert it["hot"].state is InterlockState.UNKNOWN
        with pytest.raises(InterlockError, match="meter was not heard yet"):
            await it.device("laser").call("open")
        with pytest.raises(InterlockError, match="meter was not heard yet"):
            await it.device("stage").call("move_abs", 1.0)
        await it.device("stage").call("move_rel", 1.0)
        await it.device("laser").call("close")
        it.meter.on_read = None
        await it.measured(0.5)
        await trio.testing.wait_all_tasks_blocked()
        assert it["hot"].state is InterlockState.OK
        await it.device("laser").call("open")


async def test_the_first_reading_makes_it_known_without_anybody_reading(autojump_clock):
    async with lab(hot('refuse = ["laser"]\n')) as it:
        assert it["hot"].state is InterlockState.OK
        await it.device("laser").call("open")


async def test_a_meter_whose_reading_takes_long_can_be_watched(autojump_clock):
    async def slow():
        await trio.sleep(2.5)

    def prepare(drivers):
        drivers["meter"].on_read = slow

    async with lab(hot("read_every_s = 0.5\n"), prepare=prepare) as it:
        await trio.sleep(60)
        assert (it["hot"].state, it["hot"].trips) == (InterlockState.OK, 0)
        it.meter.on_read = failing(DeviceError("meter: no answer"))
        await trio.sleep(10)
        assert "silent for" in it["hot"].reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.empty(0), "cannot be judged: an empty array"),
        ("12", "cannot be judged: text"),
        (np.array([np.nan]), "not a number"),
        (3 + 4j, "5 W, above 1 W"),
    ],
)
async def test_any_value_is_judged_or_trips(autojump_clock, value, reason):
    async with lab(hot()) as it:
        await it.measured(0.5)
        reading = Reading(value, it.bench.timebase.now_ns())
        from daq.core import Measurement

        await it.bench.bus.publish(Measurement.single("meter", reading, "W", 100))
        await trio.testing.wait_all_tasks_blocked()
        assert reason in it["hot"].reason
        await it.measured(0.5)
        await trio.testing.wait_all_tasks_blocked()
        assert it["hot"].state is InterlockState.OK


async def test_one_can_watch_another(autojump_clock):
    chain = '[interlocks.chain]\nchannel = "interlock.hot"\nabove = 0\nrefuse = ["stage"]\n'
    async with lab(hot() + chain) as it:
        assert it["chain"].state is InterlockState.OK
        await it.measured(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert it["chain"].state is InterlockState.TRIPPED


# --------------------------------------------------------------------------- what was latched stays


LATCHED = hot('action = "pause"\nlatched = true\nrefuse = ["laser"]\n')


async def test_a_latch_and_an_acknowledgement_survive_a_restart(autojump_clock, tmp_path):
    path = tmp_path / "interlocks.json"
    async with lab(LATCHED, path=path) as it:
        await it.measured(2.0)
        await trio.sleep(1)
    assert json.loads(path.read_text())["version"] == 1
    async with lab(LATCHED, path=path) as it:
        assert it.programs.log == [("hold", "hot")]
        assert it["hot"].state is InterlockState.LATCHED  # the meter is well again, but nobody came
        assert it["hot"].reason == "interlock hot: meter 2 W, above 1 W"
        with pytest.raises(InterlockError, match="2 W, above 1 W"):
            await it.device("laser").call("open")
        it.interlocks.reset("hot", "ada", "goggles on, beam dump is back")
        await trio.sleep(1)
        await it.device("laser").call("open")
    async with lab(LATCHED, path=path) as it:
        assert it["hot"].state is InterlockState.OK
        assert (it["hot"].acknowledged_by, it["hot"].note) == (
            "ada",
            "goggles on, beam dump is back",
        )
        assert it["hot"].acknowledged_ns > 0


async def test_what_is_latched_in_the_last_moment_outlives_the_daemon_too(tmp_path):
    path = tmp_path / "interlocks.json"
    memory, latch = InterlockMemory(path), Latch("too hot", 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(memory.keep, "hot", latch)
        nursery.cancel_scope.cancel()
    assert InterlockMemory(path).latch("hot") == latch


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": 99}', '{"version": 1, "latches": 3}'])
async def test_when_nobody_can_know_what_was_latched_it_counts_as_latched(
    autojump_clock, tmp_path, damage
):
    path = tmp_path / "interlocks.json"
    path.write_text(damage)
    for _ in range(2):  # nor does the start after that
        async with lab(LATCHED, path=path) as it:
            assert it["hot"].tripped
            assert "nobody knows whether it was latched" in it["hot"].reason
    assert len(set_aside_in(tmp_path)) == 1
    async with lab(LATCHED, path=path) as it:
        await it.measured(0.5)
        it.interlocks.reset("hot", "ada", "looked at it")
        await trio.sleep(1)
    async with lab(LATCHED, path=path) as it:
        assert it["hot"].state is InterlockState.OK
        assert it.interlocks._memory.latch("another") is not None


async def test_a_change_of_the_configuration_opens_no_gap(autojump_clock):
    async with lab(hot('refuse = ["laser", "stage"]\n')) as it:
        await it.measured(2.0)
        await trio.testing.wait_all_tasks_blocked()
        text = DEVICES + hot('refuse = ["laser"]\n', above=1.5)
        settings = read_safety(parse_config(text, None), {"meter": it.meter, "laser": it.laser})
        it.interlocks.reconfigure(settings.interlocks)
        for _ in range(5):
            with pytest.raises(InterlockError):
                await it.device("laser").call("open")
            await trio.lowlevel.checkpoint()
        await it.device("stage").call("move_abs", 0.1)
        assert it["hot"].tripped
        await it.measured(0.5)
        await trio.testing.wait_all_tasks_blocked()
        await it.device("laser").call("open")


# ---------------------------------------------------------------------------------- what is refused


DANGEROUS = [
    ("laser", "open"),
    ("laser", "emission", True),
    ("laser", "wavelength", 850.0),
    ("laser", "set", "power", 0.5),
    ("laser", "set", "mode", "pulsed"),
    ("stage", "move_abs", 1.0),
    ("stage", "move_rel", 1.0),
    ("stage", "home"),
]
HARMLESS = [
    ("laser", "close"),
    ("laser", "emission", False),
    ("laser", "set", "power", 0.0),
    ("laser", "get", "power"),
    ("laser", "wavelength"),
    ("laser", "is_open"),
    ("stage", "position"),
    ("stage", "stop"),
]


@pytest.mark.parametrize("key", ["refuse", "refuse_moves"])
async def test_all_that_is_dangerous_is_refused_and_nothing_else(autojump_clock, key):
    async with lab(hot(f'{key} = ["laser", "stage"]\n')) as it:
        await it.measured(2.0)
        await trio.testing.wait_all_tasks_blocked()
        for device, *call in DANGEROUS:
            with pytest.raises(InterlockError):
                await it.device(device).call(*call, force=True)
        for device, *call in HARMLESS:
            await it.device(device).call(*call)


async def test_one_parameter_or_action_is_refused_alone(autojump_clock):
    async with lab(hot('refuse = ["laser.power", "laser.open"]\n')) as it:
        await it.measured(2.0)
        await trio.testing.wait_all_tasks_blocked()
        for call in (("set", "power", 0.5), ("open",)):
            with pytest.raises(InterlockError):
                await it.device("laser").call(*call)
        await it.device("laser").call("set", "mode", "pulsed")
        await it.device("laser").call("emission", True)


async def test_what_was_made_safe_stays_so_unless_it_is_said_otherwise(autojump_clock):
    async with lab(hot()) as it:
        await it.measured(2.0)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(InterlockError):
            await it.device("laser").call("open")


# ---------------------------------------------------------------------------------- suspenders end


async def test_a_suspender_that_trips_on_its_own_light_ends_with_a_person(autojump_clock):
    class OwnLight(FakePrograms):
        """The light comes back with every resume, and trips it again."""

        async def release(self, interlock, *, resume):
            await super().release(interlock, resume=resume)
            if resume:
                it.meter.value = 2.0

    body = (
        'action = "pause"\nresume = true\nread_every_s = 0.2\nclear_s = 0.5\nresume_after_s = 1\n'
    )
    async with lab(hot(body), programs=OwnLight()) as it:
        it.meter.value = 2.0
        for _ in range(100):
            await trio.sleep(0.5)
            if it["hot"].tripped:
                it.meter.value = 0.0
        resumes = [each for each in it.programs.log if each == ("release", "hot", True)]
        assert len(resumes) == 3
        assert it.programs.log[-1] == ("release", "hot", False)
        assert "it waits for a person now" in " ".join(it.programs.output)


async def test_a_trip_in_the_wait_before_a_resume_takes_the_resume_back(autojump_clock):
    body = 'action = "pause"\nresume = true\nresume_after_s = 5\n'
    async with lab(hot(body)) as it:
        await it.measured(2.0)
        await it.measured(0.0)
        await trio.sleep(3)
        await it.measured(2.0)
        await trio.sleep(60)
        assert ("release", "hot", True) not in it.programs.log
