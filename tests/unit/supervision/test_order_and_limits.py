"""In which order devices are made safe, and limits that hold for every way to move."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daq.config import parse_config
from daq.core import ConfigurationError, DeviceError, LimitError, Limits, StopOutcome
from daq.drivers import Timebase
from daq.supervision import read_safety
from daq.supervision.settings.order import in_order

from .fakes import FakeLaser, FakeStage, hang, supervised


def order(**after):
    tables = "".join(
        f'[devices.{name}]\ndriver = "fake"\nafter = {list(others)}\n'
        for name, others in after.items()
    )
    return read_safety(parse_config(tables, None), {}).after


def test_the_order_is_read_and_what_cannot_be_is_refused():
    assert order(laser=[], stage=["laser"]) == {"stage": ("laser",)}
    with pytest.raises(ConfigurationError, match="did you mean 'laser'"):
        order(laser=[], stage=["lazer"])
    with pytest.raises(ConfigurationError, match="a after b after c after a"):
        order(a=["b"], b=["c"], c=["a"])


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"))))
def test_whatever_is_said_every_device_comes_once_and_after_those_it_can_wait_for(after):
    ordered = in_order("abcdef", after)
    assert sorted(ordered) == list("abcdef")
    is_circle_free = all(min(others, default="z") > name for name, others in after.items())
    if is_circle_free:  # each waits for later letters only
        for name, others in after.items():
            assert all(ordered.index(other) < ordered.index(name) for other in others)


async def test_light_goes_before_motion_and_one_that_hangs_holds_it_up_for_half_its_time(
    autojump_clock,
):
    timebase = Timebase()
    stage, laser = FakeStage("stage", timebase), FakeLaser("laser", timebase)
    done = []

    async def note(name, seconds):
        await trio.sleep(seconds)
        done.append(name)
        return True

    laser.on_stop, stage.on_stop = lambda: note("laser", 0.3), lambda: note("stage", 0)
    async with supervised(stage, laser) as bench:
        bench.supervisor.after = {"stage": ("laser",)}
        await bench.supervisor.stop_devices(timeout=2.0, safe=True)
        assert done == ["laser", "stage"]
        done.clear()
        await bench.supervisor.stop_devices(timeout=2.0)  # a stop waits for nobody
        assert done == ["stage", "laser"]
        laser.on_stop, began = hang, trio.current_time()
        stops = await bench.supervisor.stop_devices(timeout=2.0, safe=True)
        outcomes = {stop.device: stop.outcome for stop in stops}
        assert outcomes == {"laser": StopOutcome.UNREACHABLE, "stage": StopOutcome.STOPPED}
        assert trio.current_time() - began == pytest.approx(2.0)


async def test_home_keeps_the_limits(autojump_clock):
    stage = FakeStage("stage", Timebase(), limits=Limits(2, 9))
    async with supervised(stage) as bench:
        with pytest.raises(
            LimitError, match=r"home: it ends at 0 mm, outside of the limits \[2, 9\]"
        ):
            await bench.supervisor.device("stage").call("home")
        assert "move 0" not in stage.log


async def test_home_that_is_declared_inside_of_the_limits_is_free(autojump_clock):
    class Declared(FakeStage):
        home_position = 3.0

        async def home(self):
            await self.move_abs(3.0)

    async with supervised(Declared("stage", Timebase(), limits=Limits(2, 9))) as bench:
        assert await bench.supervisor.device("stage").call("home") == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("start", "distance", "ends"),
    [
        (10.004, 0.0, 10.0),  # the readback's noise at the limit
        (10.004, 0.002, 10.0),
        (9.999, 0.005, 10.0),
        (12.0, -3.0, 9.0),
        (12.0, -1.0, 11.0),  # still outside, but on its way back
        (12.0, 0.0, 12.0),
        (-13.0, 1.0, -12.0),
        (9.0, 1.5, None),
        (12.0, 0.5, None),
        (12.0, -30.0, None),
        (-12.0, -1.0, None),
    ],
)
async def test_a_move_by_a_distance_may_come_back_and_not_lead_out(
    autojump_clock, start, distance, ends
):
    stage = FakeStage("stage", Timebase())
    async with supervised(stage) as bench:
        stage._from = stage._to = start
        device = bench.supervisor.device("stage")
        if ends is None:
            with pytest.raises(LimitError):
                await device.call("move_rel", distance)
            assert stage.place == start
        else:
            assert await device.call("move_rel", distance) == pytest.approx(ends)


async def test_what_cannot_move_there_says_so_all_the_same(autojump_clock):
    stage = FakeStage("stage", Timebase())
    stage.slip = 1.0
    async with supervised(stage) as bench:
        with pytest.raises(DeviceError, match="off by 1 mm"):
            await bench.supervisor.device("stage").call("move_rel", 1.0)
