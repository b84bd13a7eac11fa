"""The laser: found as configured, tuned in real time, made safe by its shutter."""

from __future__ import annotations

import pytest
import trio

from daq.core import DeviceError, LimitError
from daq.drivers.simulated import SimulatedLaser


async def test_the_default_laser_shines(build):
    laser = await build(SimulatedLaser)
    assert await laser.emission()
    assert await laser.shutter()
    assert laser.bench.light().power == pytest.approx(5e-3)


async def test_a_laser_is_found_as_it_was_configured(build):
    laser = await build(SimulatedLaser, emission=False, shutter_open=False, power=1e-3)
    state = await laser.poll()
    assert (state["emission"], state["shutter"]) == (False, False)
    assert state["reading"] == 0.0


async def test_making_it_safe_closes_the_shutter_and_leaves_the_emission(build, autojump_clock):
    laser = await build(SimulatedLaser)
    assert await laser.make_safe() is True
    assert not await laser.shutter()
    assert await laser.emission()
    assert await laser.make_safe() is False


async def test_close_on_stop_can_be_switched_off(build, autojump_clock):
    laser = await build(SimulatedLaser, close_on_stop=False)
    assert await laser.make_safe() is False
    assert await laser.shutter()


async def test_a_plain_stop_leaves_the_shutter(build, autojump_clock):
    laser = await build(SimulatedLaser)
    assert await laser.stop() is False
    assert await laser.shutter()


async def test_the_shutter_takes_its_time(build, autojump_clock):
    laser = await build(SimulatedLaser, shutter_time=0.5)
    before = trio.current_time()
    await laser.set_shutter(False)
    assert trio.current_time() - before == pytest.approx(0.5)


async def test_tuning_takes_its_time_and_is_seen_by_the_bench(build, autojump_clock):
    laser = await build(SimulatedLaser, tuning_speed=100.0)
    before = trio.current_time()
    await laser.set_wavelength(900.0)
    assert trio.current_time() - before == pytest.approx(1.0, abs=0.01)
    assert laser.bench.light().beam.wavelength == 900.0


async def test_tuning_that_is_stopped_says_where_it_stands(build, autojump_clock):
    laser = await build(SimulatedLaser, tuning_speed=100.0)

    async def tune():
        with pytest.raises(
            DeviceError, match=r"stopped at 8\d\d.* nm before it arrived at 1000 nm"
        ):
            await laser.set_wavelength(1000.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tune)
        await trio.sleep(0.5)
        assert await laser.stop() is True


async def test_a_wavelength_out_of_range_is_refused(build):
    laser = await build(SimulatedLaser)
    with pytest.raises(LimitError, match=r"wavelength 500 nm is outside the limits \[690, 1040\]"):
        await laser.set_parameter("wavelength", 500.0)


async def test_the_waist_can_be_read_and_not_set(build):
    laser = await build(SimulatedLaser, waist=0.7)
    assert await laser.get_parameter("beam_waist") == 0.7
    with pytest.raises(DeviceError, match="can only be read"):
        await laser.set_parameter("beam_waist", 1.0)
    parameter = next(p for p in laser.description.parameters if p.name == "beam_waist")
    assert parameter.units == "mm"
    assert not parameter.writable


async def test_the_power_is_a_parameter(build):
    laser = await build(SimulatedLaser)
    await laser.set_parameter("power", 2e-3)
    assert laser.bench.light().power == pytest.approx(2e-3)
    with pytest.raises(LimitError):
        await laser.set_parameter("power", 5.0)
