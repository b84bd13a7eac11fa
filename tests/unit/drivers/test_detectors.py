"""Power meter, camera and digitizer: pace, noise, seeds and records."""

from __future__ import annotations

from contextlib import aclosing

import numpy as np
import pytest
import trio
from scipy.optimize import curve_fit

from daq.core import BusyError, DeviceError, LimitError, StateError
from daq.drivers.simulated import (
    SimulatedCamera,
    SimulatedDigitizer,
    SimulatedPowerMeter,
    SimulatedStage,
)
from daq.drivers.simulated.sensor import NoisePool


async def take(frames, count):
    async with aclosing(frames) as stream:
        return [frame async for _, frame in azip(range(count), stream)]


async def azip(numbers, stream):
    for number in numbers:
        yield number, await anext(stream)


async def test_averaging_lowers_the_noise_and_takes_its_time(build, autojump_clock):
    meter = await build(SimulatedPowerMeter, noise=0.01, integration_time=0.002)
    single = [(await meter.read()).value for _ in range(200)]
    await meter.set_parameter("averaging", 100)
    before = trio.current_time()
    averaged = [(await meter.read()).value for _ in range(200)]
    assert trio.current_time() - before == pytest.approx(200 * 100 * 0.002)
    assert np.std(single) == pytest.approx(0.01 * 5e-3, rel=0.2)
    assert np.std(averaged) == pytest.approx(0.001 * 5e-3, rel=0.2)


async def test_the_same_seed_gives_the_same_readings(build):
    values = []
    for seed in (7, 7, 8):
        meter = await build(SimulatedPowerMeter, seed=seed)
        values.append([(await meter.read()).value for _ in range(5)])
    assert values[0] == values[1] != values[2]


async def test_devices_with_the_same_seed_have_their_own_noise(build):
    one = await build(SimulatedPowerMeter, "one", seed=7)
    two = await build(SimulatedPowerMeter, "two", seed=7)
    assert (await one.read()).value != (await two.read()).value


@pytest.mark.parametrize("driver", [SimulatedCamera, SimulatedDigitizer])
async def test_the_same_seed_gives_the_same_frames_and_records(driver, build, autojump_clock):
    arrays = []
    for seed in (7, 7, 8):
        device = await build(driver, seed=seed)
        if driver is SimulatedCamera:
            reading = (await take(device.frames(1), 1))[0]
        else:
            reading = await device.read()
        arrays.append(np.asarray(reading.value))
    assert np.array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[0], arrays[2])


async def test_frames_come_at_the_pace_of_exposure_and_readout(build, autojump_clock):
    camera = await build(SimulatedCamera, exposure=0.1, readout=0.05, resolution=[16, 16])
    frames = await take(camera.frames(5), 5)
    steps = np.diff([frame.timestamp_ns for frame in frames])
    assert steps == pytest.approx(np.full(4, 0.15e9))


async def test_a_slow_reader_gets_fresh_frames(build, autojump_clock):
    camera = await build(SimulatedCamera, exposure=0.1, readout=0.0, resolution=[16, 16])
    async with aclosing(camera.frames(None)) as stream:
        await anext(stream)
        await trio.sleep(5.0)
        frame = await anext(stream)
        assert camera.context.timebase.now_ns() - frame.timestamp_ns < 1e6


async def test_counts_grow_with_the_exposure_until_they_saturate(build, autojump_clock):
    camera = await build(SimulatedCamera, resolution=[64, 48])
    peaks = []
    for exposure in (0.005, 0.01, 0.1):
        await camera.set_exposure(exposure)
        peaks.append(int((await take(camera.frames(1), 1))[0].value.max()))
    assert peaks[1] == pytest.approx(2 * peaks[0], rel=0.05)
    assert peaks[2] == 65535


async def test_shot_noise_is_the_root_of_the_electrons(build, autojump_clock):
    camera = await build(SimulatedCamera, resolution=[64, 64], read_noise=0.0)
    first, second = (f.value.astype(float) for f in await take(camera.frames(2), 2))
    electrons = first.mean() - 100.0
    assert np.var(first - second) / 2 == pytest.approx(electrons, rel=0.05)


async def test_the_shadow_of_the_edge_is_seen(build, autojump_clock):
    await build(SimulatedStage)
    camera = await build(SimulatedCamera, read_noise=0.0)
    image = (await take(camera.frames(1), 1))[0].value
    assert image[240, 310] > 20_000
    assert image[240, 330] == 100


async def test_a_large_frame_is_computed_beside_the_loop(build):
    camera = await build(SimulatedCamera, resolution=[1024, 1024], exposure=0.001)
    frame = (await take(camera.frames(1), 1))[0]
    assert frame.value.shape == (1024, 1024)
    assert frame.value.dtype == np.uint16


async def test_a_triggered_frame_is_the_first_that_is_delivered(build, autojump_clock):
    camera = await build(SimulatedCamera, resolution=[16, 16])
    with pytest.raises(StateError, match="call arm"):
        await camera.trigger()
    await camera.arm()
    time_ns = await camera.trigger()
    await trio.sleep(1.0)
    first, second = await take(camera.frames(2), 2)
    assert first.timestamp_ns == time_ns
    assert second.timestamp_ns > time_ns + 10**9


async def test_a_stop_tells_how_many_frames_were_taken(build, autojump_clock):
    camera = await build(SimulatedCamera, resolution=[16, 16])
    async with aclosing(camera.frames(10)) as stream:
        await anext(stream)
        await anext(stream)
        assert await camera.stop() is True
        with pytest.raises(DeviceError, match="stopped after 2 of 10 frames"):
            await anext(stream)


@pytest.mark.parametrize(
    ("driver", "start"),
    [(SimulatedCamera, lambda d: d.frames(None)), (SimulatedDigitizer, lambda d: d.samples())],
)
async def test_one_acquisition_at_a_time(driver, start, build, autojump_clock):
    device = await build(driver)
    async with aclosing(start(device)) as stream:
        await anext(stream)
        with pytest.raises(BusyError, match="acquires already"):
            await anext(start(device))
    async with aclosing(start(device)) as stream:
        await anext(stream)


async def test_an_exposure_outside_its_limits_is_refused(build):
    camera = await build(SimulatedCamera, resolution=[16, 16])
    with pytest.raises(LimitError, match=r"exposure 20 s is outside the limits \[1e-05, 10\] s"):
        await camera.set_parameter("exposure", 20.0)


def test_noise_is_never_the_same_twice_and_normal():
    pool = NoisePool(np.random.default_rng(1), 10_000)
    first, second = pool.draw().copy(), pool.draw().copy()
    assert not np.array_equal(first, second)
    assert first.std() == pytest.approx(1.0, abs=0.03)


async def test_a_record_can_be_fitted(build, autojump_clock):
    digitizer = await build(SimulatedDigitizer, decay_time=8e-5)
    record = np.asarray((await digitizer.read()).value)
    assert record.shape == (1000,)
    assert record.dtype == np.float32
    assert abs(record[:100]).max() < 0.05
    t = np.arange(900) * 1e-6

    def decay(t, height, tau):
        return height * np.exp(-t / tau)

    (height, tau), _ = curve_fit(decay, t, record[100:], p0=(0.5, 1e-4))
    assert height == pytest.approx(1.0, rel=0.02)
    assert tau == pytest.approx(8e-5, rel=0.02)


async def test_the_height_of_a_pulse_follows_the_light(build, autojump_clock):
    stage = await build(SimulatedStage)
    digitizer = await build(SimulatedDigitizer, noise=0.0)
    half = np.asarray((await digitizer.read()).value).max()
    await stage.move_abs(10.0)
    assert np.asarray((await digitizer.read()).value).max() == pytest.approx(2 * half, rel=0.01)


async def test_volts_are_clipped_to_the_range_and_come_in_steps(build, autojump_clock):
    digitizer = await build(SimulatedDigitizer, bits=8, range=0.5)
    record = np.asarray((await digitizer.read()).value)
    step = 2 * 0.5 / 256
    assert record.max() == pytest.approx(0.5 - step)
    assert np.allclose(record / step, np.round(record / step))


@pytest.mark.parametrize(("rate", "period_ns"), [(1e6, 1000), (5e6, 200), (3e6, 333)])
async def test_samples_come_at_their_rate_without_gaps(rate, period_ns, build, autojump_clock):
    digitizer = await build(SimulatedDigitizer, sample_rate=rate)
    before = trio.current_time()
    count, next_ns = 0, None
    async with aclosing(digitizer.samples()) as stream:
        async for block, period in stream:
            assert period == period_ns
            assert next_ns in {None, block.timestamp_ns}
            next_ns = block.timestamp_ns + len(block.value) * period
            count += len(block.value)
            if count * period >= 10**9:
                break
    assert trio.current_time() - before == pytest.approx(count * period_ns * 1e-9)
    assert await digitizer.get_parameter("sample_rate") == pytest.approx(1e9 / period_ns)


async def test_the_pulses_go_on_from_block_to_block(build, autojump_clock):
    digitizer = await build(SimulatedDigitizer, noise=0.0, repetition_rate=130.0)
    async with aclosing(digitizer.samples()) as stream:
        blocks = [np.asarray(b.value) async for _, (b, _) in azip(range(5), stream)]
    series = np.concatenate(blocks)
    rises = np.flatnonzero(np.diff(series) > 0.5)
    assert np.diff(rises) == pytest.approx(np.full(len(rises) - 1, 1e6 / 130.0), abs=1)


async def test_a_reader_that_is_too_slow_is_told_of_the_overrun(build, autojump_clock):
    digitizer = await build(SimulatedDigitizer, buffer=0.5)
    async with aclosing(digitizer.samples()) as stream:
        await anext(stream)
        await trio.sleep(1.0)
        with pytest.raises(DeviceError, match=r"overrun: its buffer holds 0\.5 s"):
            await anext(stream)


async def test_long_blocks_are_computed_beside_the_loop(build):
    digitizer = await build(SimulatedDigitizer, sample_rate=1e7, repetition_rate=1e4)
    async with aclosing(digitizer.samples()) as stream:
        block, period = await anext(stream)
    assert len(block.value) * period == 20_000_000
