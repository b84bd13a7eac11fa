"""Faults by configuration: each fails loudly, at its time, and passes when it was told to."""

from __future__ import annotations

import pytest
import trio

from daq.core import ConfigurationError, DeviceError, OfflineError
from daq.drivers.simulated import (
    SimulatedCamera,
    SimulatedDigitizer,
    SimulatedLaser,
    SimulatedPowerMeter,
    SimulatedRotator,
    SimulatedStage,
)

ALL = [
    SimulatedStage,
    SimulatedRotator,
    SimulatedPowerMeter,
    SimulatedCamera,
    SimulatedLaser,
    SimulatedDigitizer,
]


@pytest.mark.parametrize("driver", ALL)
async def test_an_unplugged_device_does_not_connect(driver, build):
    device = await build(driver, connect=False, fault={"kind": "offline"})
    with pytest.raises(OfflineError, match="unplugged"):
        await device.connect()


@pytest.mark.parametrize("driver", ALL)
async def test_a_fault_begins_after_its_time_and_ends_after_its_duration(
    driver, build, autojump_clock
):
    device = await build(driver, fault={"kind": "offline", "after": 5.0, "duration": 10.0})
    await device.poll()
    await trio.sleep(6.0)
    with pytest.raises(OfflineError):
        await device.poll()
    await trio.sleep(10.0)
    await device.poll()


@pytest.mark.parametrize("driver", ALL)
async def test_garbage_is_reported_with_the_raw_reply(driver, build, autojump_clock):
    device = await build(driver, fault={"kind": "garbage", "after": 1.0, "reply": "?!"})
    await trio.sleep(1.0)
    with pytest.raises(DeviceError, match=r"was answered with '\?!'"):
        await device.poll()


async def test_a_fault_begins_after_so_many_exchanges(build, autojump_clock):
    meter = await build(SimulatedPowerMeter, fault={"kind": "offline", "exchanges": 3})
    await meter.read()
    await meter.read()
    with pytest.raises(OfflineError):
        await meter.read()


async def test_a_slow_device_takes_its_delay_for_each_exchange(build, autojump_clock):
    stage = await build(SimulatedStage, fault={"kind": "slow", "delay": 0.25})
    before = trio.current_time()
    await stage.position()
    assert trio.current_time() - before == pytest.approx(0.25)


@pytest.mark.parametrize("driver", ALL)
async def test_a_hanging_device_hangs_until_it_is_cancelled(driver, build, autojump_clock):
    device = await build(driver, fault={"kind": "hang", "after": 1.0})
    await trio.sleep(1.0)
    with trio.move_on_after(100.0) as scope:
        await device.stop() if driver is not SimulatedPowerMeter else await device.read()
    assert scope.cancelled_caught


async def test_a_stuck_stage_says_where_it_is_and_where_it_should_be(build, autojump_clock):
    stage = await build(SimulatedStage, fault={"kind": "stuck"}, timeout=2.0, noise=0.0)
    before = trio.current_time()
    with pytest.raises(DeviceError) as caught:
        await stage.move_abs(3.0)
    assert str(caught.value) == (
        "stage: 'move 3' did not arrive within 2.31 s: it is at 0 mm, the setpoint is 3 mm, "
        "the tolerance 0.002 mm"
    )
    assert trio.current_time() - before == pytest.approx(2.31)


async def test_a_stage_that_gets_stuck_on_its_way_reports_that_it_does_not_stop(
    build, autojump_clock
):
    stage = await build(SimulatedStage, fault={"kind": "stuck", "after": 0.5})
    with trio.move_on_after(0.6):
        await stage.move_abs(10.0)
    with pytest.raises(DeviceError, match="was told to stop and moves on"):
        await stage.stop()


async def test_a_stuck_shutter_is_noticed(build, autojump_clock):
    laser = await build(SimulatedLaser, fault={"kind": "stuck"})
    with pytest.raises(DeviceError, match=r"told to close and did not within 0\.02 s"):
        await laser.set_shutter(False)
    with pytest.raises(DeviceError, match="switched off and is on"):
        await laser.set_emission(False)
    with pytest.raises(DeviceError, match="the setpoint is 900 nm"):
        await laser.set_wavelength(900.0)


async def test_a_stuck_camera_delivers_no_frame_and_says_so(build, autojump_clock):
    camera = await build(SimulatedCamera, fault={"kind": "stuck"})
    with pytest.raises(DeviceError, match="no frame came"):
        async for _ in camera.frames(1):
            pass
    with pytest.raises(DeviceError, match="told to arm and is not armed"):
        await camera.arm()
    with pytest.raises(DeviceError, match="did not take the exposure"):
        await camera.set_exposure(0.5)


async def test_a_stuck_digitizer_delivers_no_samples_and_says_so(build, autojump_clock):
    digitizer = await build(SimulatedDigitizer, fault={"kind": "stuck"})
    with pytest.raises(DeviceError, match="delivers no samples"):
        async for _ in digitizer.samples():
            pass


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"kind": "ofline"}, "did you mean 'offline'"),
        ({}, "kind: is missing"),
        ({"kind": "slow", "delay": -1}, "delay: -1 is not a number in s, at least 0"),
        ({"kind": "slow", "untli": 3}, "untli: there is no such option"),
        ("offline", "is not a table"),
    ],
)
async def test_a_wrong_fault_table_is_refused(fault, complaint, build):
    with pytest.raises(ConfigurationError, match=complaint):
        await build(SimulatedStage, fault=fault)
