"""Profiles as pure values, and axes on a virtual clock."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from daq.core.mechanics import Axis, Profile, braking, trapezoid

positions = st.floats(-100, 100)
speeds = st.floats(0.1, 100)


@given(positions, positions, speeds, st.floats(0.1, 1000))
def test_a_profile_goes_from_start_to_end_and_never_back(start, end, velocity, acceleration):
    profile = trapezoid(start, end, velocity, acceleration)
    assert profile.position(0.0) == pytest.approx(start)
    assert profile.position(profile.duration) == end
    steps = [profile.position(profile.duration * i / 50) for i in range(51)]
    if end < start:
        steps = [-s for s in steps]
    assert all(b >= a - 1e-9 for a, b in pairwise(steps))


@given(positions, positions, speeds, st.floats(0.1, 1000), st.floats(0, 1))
def test_the_velocity_is_the_slope_of_the_position(start, end, velocity, acceleration, fraction):
    profile = trapezoid(start, end, velocity, acceleration)
    t, dt = fraction * profile.duration, 1e-6 * profile.duration
    slope = abs(profile.position(t + dt) - profile.position(t - dt))
    allowed = 2.0 * dt * profile.velocity(t) + 3.0 * acceleration * dt * dt + 1e-9
    assert slope <= allowed + 2.0 * dt * profile.speed * 1e-3
    assert profile.velocity(t) <= velocity * (1 + 1e-9)


def test_a_long_way_cruises_and_a_short_one_does_not():
    long = trapezoid(0.0, 10.0, 10.0, 100.0)
    assert (long.ramp, long.cruise, long.speed) == pytest.approx((0.1, 0.9, 10.0))
    assert long.duration == pytest.approx(1.1)
    short = trapezoid(0.0, 0.01, 10.0, 100.0)
    assert short.cruise == pytest.approx(0.0)
    assert short.speed == pytest.approx(1.0)
    assert short.duration == pytest.approx(0.02)


def test_no_way_takes_no_time():
    assert trapezoid(3.0, 3.0, 10.0, 100.0).duration == 0.0
    assert Profile(3.0, 3.0).position(-math.inf) == 3.0


def test_braking_takes_the_way_that_physics_needs():
    profile = braking(1.0, -10.0, 100.0)
    assert profile.duration == pytest.approx(0.1)
    assert profile.end == pytest.approx(0.5)
    assert profile.position(0.05) == pytest.approx(1.0 - 10 * 0.05 + 0.5 * 100 * 0.05**2)


async def test_an_axis_moves_on_the_clock(autojump_clock):
    axis = Axis(0.0, velocity=10.0, acceleration=100.0, clock=trio.current_time)
    axis.begin(10.0)
    await trio.sleep(0.6)
    assert axis.position() == pytest.approx(5.5)
    assert axis.is_moving()
    await trio.sleep_until(axis.ends_at)
    assert not axis.is_moving()
    assert axis.position() == 10.0


async def test_an_axis_that_is_halted_rests_beyond_the_point_of_the_halt(autojump_clock):
    axis = Axis(0.0, velocity=10.0, acceleration=100.0, clock=trio.current_time)
    axis.begin(10.0)
    await trio.sleep(0.6)
    axis.halt()
    await trio.sleep(1.0)
    assert axis.position() == pytest.approx(6.0)


async def test_an_axis_halted_on_its_ramp_brakes_from_the_speed_that_it_has(autojump_clock):
    axis = Axis(0.0, velocity=10.0, acceleration=100.0, clock=trio.current_time)
    axis.begin(-10.0)
    await trio.sleep(0.05)
    axis.halt()
    await trio.sleep(1.0)
    assert axis.position() == pytest.approx(-0.25)


async def test_halting_an_axis_at_rest_changes_nothing(autojump_clock):
    axis = Axis(2.0, velocity=10.0, acceleration=100.0, clock=trio.current_time)
    axis.halt()
    assert axis.position() == 2.0
    assert not axis.is_moving()


async def test_a_carriage_follows_a_reversal_only_after_the_backlash(autojump_clock):
    axis = Axis(0.0, velocity=10.0, acceleration=1000.0, clock=trio.current_time, backlash=0.2)
    axis.begin(5.0)
    await trio.sleep(2.0)
    assert axis.carriage() == pytest.approx(4.9)
    axis.begin(4.9)
    await trio.sleep(2.0)
    assert axis.position() == 4.9
    assert axis.carriage() == pytest.approx(4.9)
    axis.begin(4.0)
    await trio.sleep(2.0)
    assert axis.carriage() == pytest.approx(4.1)
