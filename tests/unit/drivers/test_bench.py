"""The physics: what a scan over the simulated bench gives can be fitted and checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import erf

from daq.core import ConfigurationError
from daq.drivers.simulated import (
    Beam,
    Bench,
    Focus,
    Light,
    SimulatedCamera,
    SimulatedDigitizer,
    SimulatedLaser,
    SimulatedPowerMeter,
    SimulatedRotator,
    SimulatedStage,
)
from daq.drivers.simulated.bench import malus, passed_by_edge


def knife_edge(x, power, centre, radius):
    return 0.5 * power * (1 + erf(np.sqrt(2) * (x - centre) / radius))


async def scan(axis, meter, points):
    positions, powers = [], []
    for point in points:
        await axis.move_abs(float(point))
        positions.append((await axis.position()).value)
        powers.append((await meter.read()).value)
    return np.array(positions), np.array(powers)


@pytest.mark.parametrize("seed", range(5))
async def test_a_knife_edge_scan_gives_the_waist_within_two_percent(seed, build, autojump_clock):
    stage = await build(SimulatedStage, seed=seed)
    meter = await build(SimulatedPowerMeter, seed=seed)
    laser = await build(SimulatedLaser, seed=seed)
    positions, powers = await scan(stage, meter, np.linspace(-2, 2, 41))
    (power, centre, radius), _ = curve_fit(knife_edge, positions, powers, p0=(1e-3, 0.3, 1.0))
    waist = await laser.get_parameter("beam_waist")
    assert radius == pytest.approx(waist, rel=0.02)
    assert power == pytest.approx(await laser.get_parameter("power"), rel=0.01)
    assert abs(centre) < 0.01


async def test_a_polarisation_scan_follows_malus(build, autojump_clock):
    rotator = await build(SimulatedRotator, extinction_ratio=500.0)
    meter = await build(SimulatedPowerMeter)
    await build(SimulatedLaser, polarisation=30.0)
    angles, powers = await scan(rotator, meter, np.linspace(0, 180, 37))

    def model(angle, power, leak, polarisation):
        return power * ((1 - leak) * np.cos(np.radians(angle - polarisation)) ** 2 + leak)

    (power, leak, polarisation), _ = curve_fit(model, angles, powers, p0=(4e-3, 0.01, 10.0))
    assert power == pytest.approx(5e-3, rel=0.01)
    assert polarisation == pytest.approx(30.0, abs=0.2)
    assert leak == pytest.approx(1 / 500, abs=1e-3)


async def test_the_camera_sees_the_waist_of_the_beam(build, autojump_clock):
    camera = await build(SimulatedCamera)
    async for frame in camera.frames(1):
        image = frame.value.astype(float) - 100.0
    assert image.shape == (480, 640)
    rows, columns = np.indices(image.shape)
    image[image < 100] = 0.0
    total = image.sum()
    x, y = (columns * image).sum() / total, (rows * image).sum() / total
    assert (x, y) == pytest.approx((319.5, 239.5), abs=0.5)
    width = 2 * math.sqrt(((columns - x) ** 2 * image).sum() / total) * 0.01
    assert width == pytest.approx(0.5, rel=0.02)
    assert image.max() < 65535 - 100


async def test_a_focus_scan_finds_the_focus(build, autojump_clock):
    focus = await build(
        SimulatedStage, "focus", axis="focus", focal_length=200.0, focus=2.0, limits=[-100, 100]
    )
    bench = focus.bench
    radii = {}
    for z in (-98.0, 2.0, 52.0, 102.0 - 2.0):
        await focus.move_abs(z)
        radii[z] = bench.light().camera_radius
    waist = 800e-6 * 200.0 / (math.pi * 0.5)
    assert radii[2.0] == pytest.approx(waist)
    rayleigh_range = math.pi * waist**2 / 800e-6
    assert radii[52.0] == pytest.approx(waist * math.hypot(1, 50 / rayleigh_range))
    assert radii[-98.0] > radii[52.0] > radii[2.0]


def test_the_image_holds_the_power_of_the_cut_beam():
    for edge in (-0.3, 0.0, 0.123, math.inf):
        light = Light(Beam(power=1e-3), edge_x=edge, edge_y=0.2)
        assert light.image((640, 480), 0.01).sum() == pytest.approx(light.power, rel=2e-3)


def test_the_edge_casts_its_shadow_through_the_lens():
    light = Light(Beam(), edge_x=0.1, focus=Focus(focal_length=100.0, defocus=40.0))
    image = light.image((640, 480), 0.002)
    assert image.sum() == pytest.approx(light.power, rel=2e-3)


def test_an_edge_in_the_middle_lets_half_of_the_beam_through():
    assert passed_by_edge(0.0, 0.5) == 0.5
    assert passed_by_edge(10.0, 0.5) == 1.0
    assert passed_by_edge(-10.0, 0.5) == 0.0


def test_two_crossed_polarisers_extinguish_and_a_third_between_them_lets_light_through():
    bench = Bench()
    angles = [0.0, 45.0, 90.0]
    for index in (0, 2):
        bench.put_polariser(lambda i=index: angles[i], 1e6)  # type: ignore[misc]
    assert bench.light().power == pytest.approx(5e-9, rel=0.01)
    between = Bench()
    for index in range(3):
        between.put_polariser(lambda i=index: angles[i], 1e6)  # type: ignore[misc]
    assert between.light().power == pytest.approx(5e-3 / 4, rel=0.01)


def test_malus_leaks_by_the_extinction_ratio():
    assert malus(0.0, 1000.0) == 1.0
    assert malus(90.0, 1000.0) == pytest.approx(1e-3)


async def test_two_edges_cut_along_two_axes(build, autojump_clock):
    x = await build(SimulatedStage, "x")
    y = await build(SimulatedStage, "y", axis="edge_y")
    meter = await build(SimulatedPowerMeter, noise=0.0, dark_noise=0.0)
    assert (await meter.read()).value == pytest.approx(5e-3 / 4)
    await x.move_abs(10.0)
    await y.move_abs(10.0)
    assert (await meter.read()).value == pytest.approx(5e-3)


async def test_a_free_stage_cuts_nothing(build, autojump_clock):
    await build(SimulatedStage, axis="free")
    meter = await build(SimulatedPowerMeter, noise=0.0, dark_noise=0.0)
    assert (await meter.read()).value == pytest.approx(5e-3)


async def test_a_shutter_and_the_emission_take_the_light_away(build, autojump_clock):
    laser = await build(SimulatedLaser)
    meter = await build(SimulatedPowerMeter, noise=0.0, dark_noise=0.0)
    digitizer = await build(SimulatedDigitizer, noise=0.0)
    assert (await meter.read()).value == pytest.approx(5e-3)
    await laser.set_shutter(False)
    assert (await meter.read()).value == 0.0
    assert np.all((await digitizer.read()).value == 0.0)
    await laser.set_shutter(True)
    await laser.set_emission(False)
    assert (await meter.read()).value == 0.0


async def test_a_bench_has_room_for_one_laser(build):
    await build(SimulatedLaser)
    with pytest.raises(ConfigurationError, match="has a laser already"):
        await build(SimulatedLaser, "second")


async def test_a_bench_has_one_focus_stage(build):
    await build(SimulatedStage, axis="focus")
    with pytest.raises(ConfigurationError, match="focus stage already"):
        await build(SimulatedStage, "second", axis="focus")
