"""Stage and rotator: motion in real time, limits, stop, and what a move says when it fails."""

from __future__ import annotations

import pytest
import trio

from daq.core import ConfigurationError, DeviceError, LimitError, Limits, OfflineError
from daq.drivers.simulated import SimulatedRotator, SimulatedStage


async def test_a_move_takes_exactly_the_time_of_its_profile(build, autojump_clock):
    stage = await build(SimulatedStage, velocity=10.0, acceleration=100.0)
    before = trio.current_time()
    await stage.move_abs(10.0)
    assert trio.current_time() - before == pytest.approx(1.1)


async def test_a_41_point_scan_takes_about_a_second(build, autojump_clock):
    stage = await build(SimulatedStage)
    before = trio.current_time()
    for index in range(41):
        await stage.move_abs(-2.0 + 0.1 * index)
    assert 0.5 < trio.current_time() - before < 2.0


async def test_a_readback_has_the_noise_of_the_encoder(build, autojump_clock):
    stage = await build(SimulatedStage, noise=0.0005)
    await stage.move_abs(3.0)
    readings = {(await stage.position()).value for _ in range(20)}
    assert len(readings) == 20
    assert all(abs(value - 3.0) < 0.003 for value in readings)


async def test_a_stop_wakes_the_move_and_tells_where_it_stands(build, autojump_clock):
    stage = await build(SimulatedStage, velocity=10.0, acceleration=100.0, noise=0.0)

    async def move():
        with pytest.raises(DeviceError, match=r"stopped at 6 mm before it arrived at 10 mm"):
            await stage.move_abs(10.0)
        assert trio.current_time() - before == pytest.approx(0.7)

    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(move)
        await trio.sleep(0.6)
        assert await stage.stop() is True
        assert trio.current_time() - before == pytest.approx(0.7)
    assert (await stage.position()).value == pytest.approx(6.0)
    assert await stage.stop() is False


async def test_a_stop_that_overtakes_a_move_on_the_line_still_ends_it(build, autojump_clock):
    stage = await build(SimulatedStage, latency=0.1)

    async def move():
        with pytest.raises(DeviceError, match="stopped at"):
            await stage.move_abs(10.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(move)
        await trio.sleep(0.05)
        assert await stage.stop() is True
    assert not await stage.is_moving()


async def test_a_cancelled_move_goes_on_until_it_is_stopped(build, autojump_clock):
    stage = await build(SimulatedStage)
    with trio.move_on_after(0.1):
        await stage.move_abs(10.0)
    assert await stage.is_moving()
    assert await stage.stop() is True
    assert not await stage.is_moving()


async def test_a_limit_error_names_value_limits_and_units(build):
    stage = await build(SimulatedStage, limits=[-5, 5])
    with pytest.raises(LimitError, match=r"position 7 mm is outside the limits \[-5, 5\] mm"):
        await stage.move_abs(7.0)
    assert stage.description.limits == Limits(-5.0, 5.0)


async def test_home_is_where_the_options_say(build, autojump_clock):
    stage = await build(SimulatedStage, home=-3.0, position=4.0, noise=0.0)
    assert (await stage.position()).value == 4.0
    await stage.home()
    assert (await stage.position()).value == -3.0


async def test_home_lies_within_limits_that_exclude_zero(build):
    stage = await build(SimulatedStage, limits=[2, 5], noise=0.0)
    assert (await stage.position()).value == 2.0


async def test_velocity_is_a_parameter_that_the_next_move_obeys(build, autojump_clock):
    stage = await build(SimulatedStage)
    await stage.set_parameter("velocity", 1)
    assert await stage.get_parameter("velocity") == 1.0
    before = trio.current_time()
    await stage.move_abs(5.0)
    assert trio.current_time() - before == pytest.approx(5.0, rel=0.01)


async def test_a_velocity_changed_during_a_move_does_not_confuse_its_stop(build, autojump_clock):
    stage = await build(SimulatedStage, velocity=10.0, acceleration=100.0)
    with trio.move_on_after(0.5):
        await stage.move_abs(10.0)
    await stage.set_parameter("velocity", 0.1)
    assert await stage.stop() is True


@pytest.mark.parametrize("value", [0.0, -1.0])
async def test_a_velocity_must_be_positive(value, build):
    stage = await build(SimulatedStage)
    with pytest.raises(LimitError):
        await stage.set_parameter("velocity", value)


async def test_a_parameter_of_the_wrong_type_is_refused(build):
    stage = await build(SimulatedStage)
    with pytest.raises(DeviceError, match="velocity takes float, not 'fast'"):
        await stage.set_parameter("velocity", "fast")


async def test_an_unknown_parameter_names_those_that_there_are(build):
    stage = await build(SimulatedStage)
    with pytest.raises(DeviceError, match="it has: velocity, acceleration"):
        await stage.get_parameter("speed")


async def test_the_settings_hold_parameters_and_state(build):
    stage = await build(SimulatedStage)
    assert set(await stage.settings()) == {"velocity", "acceleration", "position", "moving"}


async def test_a_rotator_turns_in_degrees(build, autojump_clock):
    rotator = await build(SimulatedRotator)
    await rotator.move_abs(90.0)
    assert (await rotator.position()).value == pytest.approx(90.0, abs=0.02)
    assert rotator.description.units == "deg"


async def test_a_driver_that_is_not_connected_is_offline(build):
    stage = await build(SimulatedStage, connect=False)
    with pytest.raises(OfflineError, match="it is not connected"):
        await stage.position()


async def test_an_impossible_start_is_refused(build):
    with pytest.raises(ConfigurationError, match="position: 50 is not a number in mm within"):
        await build(SimulatedStage, position=50)
