"""Interlocks at work on a bench, in virtual time."""

from contextlib import asynccontextmanager

import pytest
import trio

from daq.config import parse_config
from daq.core import ConfigurationError, DeviceError, InterlockError, NotFoundError, StateError
from daq.drivers import Timebase
from daq.supervision import Interlocks, read_safety

from .fakes import FakeLaser, FakeMeter, FakePrograms, FakeStage, failing, supervised

DEVICES = """
[devices.stage]
driver = "fake"
[devices.meter]
driver = "fake"
[devices.laser]
driver = "fake"
"""


class Lab:
    """A supervised bench with interlocks."""

    def __init__(self, bench, interlocks, programs, drivers):
        self.bench, self.interlocks, self.programs = bench, interlocks, programs
        self.stage, self.meter, self.laser = drivers

    async def measured(self, value):
        self.meter.value = value
        await self.bench.supervisor.device("meter").call("read")
        await trio.testing.wait_all_tasks_blocked()

    @property
    def hot(self):
        return self.interlocks.status()[0]


def settings_of(table, drivers):
    config = parse_config(f"{DEVICES}\n[interlocks.hot]\n{table}", None)
    return read_safety(config, {driver.context.device_id: driver for driver in drivers})


@asynccontextmanager
async def lab(table):
    timebase = Timebase()
    kinds = {"stage": FakeStage, "meter": FakeMeter, "laser": FakeLaser}
    drivers = tuple(kind(name, timebase) for name, kind in kinds.items())
    settings = settings_of(table, drivers)
    programs = FakePrograms()
    async with supervised(*drivers) as bench, trio.open_nursery() as nursery:
        interlocks = Interlocks(settings.interlocks, bench.supervisor, bench.bus, timebase)
        await nursery.start(interlocks.run, programs)
        yield Lab(bench, interlocks, programs, drivers)
        nursery.cancel_scope.cancel()


async def test_a_trip_pauses_refuses_moves_and_is_published(autojump_clock):
    table = (
        'channel = "meter"\nabove = 1.0\naction = "pause"\nresume = true\nrefuse_moves = ["stage"]'
    )
    async with lab(table) as it:
        assert it.bench.bus.latest("interlock.hot").last() == 0
        await it.measured(0.9)
        assert not it.hot.tripped
        await it.measured(1.5)
        assert it.hot.reason == "interlock hot: meter 1.5 W, above 1 W"
        assert (it.hot.trips, it.hot.value, it.hot.units) == (1, 1.5, "W")
        assert it.bench.bus.latest("interlock.hot").last() == 1
        with pytest.raises(InterlockError, match=r"meter 1\.5 W, above 1 W"):
            await it.bench.supervisor.device("stage").call("move_abs", 1.0)
        await it.measured(0.5)
        assert it.programs.log == [("hold", "hot"), ("release", "hot", True)]
        assert it.programs.output == [
            "interlock hot: meter 1.5 W, above 1 W",
            "interlock hot has cleared",
        ]
        assert it.bench.bus.latest("interlock.hot").last() == 0
        await it.bench.supervisor.device("stage").call("move_abs", 1.0)


async def test_a_trip_makes_devices_safe_and_stops_what_must_not_move(autojump_clock):
    table = (
        'channel = "meter"\nabove = 1.0\naction = "safe"\n'
        'devices = ["laser"]\nrefuse_moves = ["stage"]'
    )
    async with lab(table) as it:
        it.laser.shutter = True
        async with trio.open_nursery() as nursery:

            async def move():
                with pytest.raises(DeviceError, match="stopped by interlock hot"):
                    await it.bench.supervisor.device("stage").call("move_abs", 9.0)

            nursery.start_soon(move)
            await trio.sleep(2)
            await it.measured(2.0)
        assert it.laser.shutter is False
        assert it.stage.place == pytest.approx(2.0, abs=0.3)
        assert it.programs.log == []


@pytest.mark.parametrize("action", ["stop", "force_stop"])
async def test_a_trip_stops_the_program(autojump_clock, action):
    async with lab(f'channel = "meter"\nabove = 1.0\naction = "{action}"') as it:
        await it.measured(2.0)
        assert it.programs.log == [(action, "hot")]


async def test_a_program_that_must_not_be_paused_is_stopped_instead(autojump_clock):
    async with lab('channel = "meter"\nabove = 1.0\naction = "pause"') as it:
        it.programs.veto = "laser refuses to be paused: it drifts"
        await it.measured(2.0)
        assert it.programs.log == [("stop", "hot")]
        assert "it drifts, so it was stopped" in it.hot.reason


async def test_a_channel_that_nobody_reads_is_read(autojump_clock):
    async with lab('channel = "meter"\nabove = 1.0\nread_every_s = 0.5') as it:
        it.meter.value = 3.0
        await trio.sleep(1.1)
        assert it.hot.tripped


async def test_readings_that_fail_are_silence_and_silence_trips(autojump_clock):
    async with lab('channel = "meter"\nabove = 1.0\nread_every_s = 0.5') as it:
        await trio.sleep(1.1)
        assert not it.hot.tripped
        it.meter.on_read = failing(DeviceError("meter: D? answered '+++'"))
        await trio.sleep(2.1)
        assert it.hot.reason == "interlock hot: meter silent for 1.5 s"
        it.meter.on_read = None
        await trio.sleep(1.1)
        assert not it.hot.tripped


async def test_further_channels_are_read_by_the_operation_behind_them(autojump_clock):
    table = 'channel = "laser.wavelength"\noutside = [790, 810]\nread_every_s = 0.5'
    async with lab(table) as it:
        it.laser.nm = 850.0
        await trio.sleep(1.1)
        assert it.hot.reason == "interlock hot: laser.wavelength 850 nm, above 810 nm"


async def test_a_latched_one_is_released_by_hand_when_nothing_is_wrong(autojump_clock):
    async with lab('channel = "meter"\nabove = 1.0\nlatched = true\naction = "pause"') as it:
        await it.measured(2.0)
        with pytest.raises(StateError, match="still so"):
            it.interlocks.reset("hot", "ada")
        await it.measured(0.0)
        assert (it.hot.tripped, it.hot.latched) == (True, True)
        assert it.interlocks.reset("hot", "ada").tripped is False
        await trio.testing.wait_all_tasks_blocked()
        assert it.programs.log == [("hold", "hot"), ("release", "hot", False)]
        with pytest.raises(NotFoundError, match="there are hot"):
            it.interlocks.reset("cold", "")


async def test_a_channel_that_cannot_be_read_is_a_mistake_of_the_configuration():
    table = '[interlocks.hot]\nchannel = "stage.wavelength"\nabove = 1\nread_every_s = 0.5\n'
    config = parse_config(f"{DEVICES}\n{table}", None)
    with pytest.raises(
        ConfigurationError,
        match=r"'stage.wavelength' cannot be read: nobody publishes it; there are stage",
    ):
        read_safety(config, {"stage": FakeStage("stage", Timebase())})
