"""Rotators that wrap: positions on a circle, the shortest way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.drivers.declarative import parse_description
from daq.testing.moving import home, move
from tests.unit.drivers.declarative.talker import HEAD, talking

ROTATOR = """
[values.angle]
units = "deg"
limits = {limits}
read = "A?"
write = "A {{value:.3f}}"
[movable]
position = "angle"
circle = 360.0
tolerance = 0.05
hold = true
home = 0.0
interval = 0.05
"""


def rotator():
    """Answers from 0 to 360, and takes any angle."""
    angle = 0.0

    def turn(rest):
        nonlocal angle
        angle = (float(rest) + 0.004) % 360

    return {b"A?": lambda _: f"{angle:.3f}\n".encode(), b"A": turn}


@pytest.mark.parametrize("target", [0.0, 359.999, 180.0, 370.0, -10.0, -365.0, 720.0])
async def test_a_rotator_arrives_wherever_it_counts_from(target, tmp_path, autojump_clock):
    text = ROTATOR.format(limits="[-720.0, 720.0]")
    async with talking(tmp_path, text, rotator()) as (driver, _):
        reached = await move(driver, target)
        assert driver.distance(reached, target) <= 0.05


async def test_it_goes_the_shortest_way_where_it_may(tmp_path, autojump_clock):
    async with talking(tmp_path, ROTATOR.format(limits="[-720.0, 720.0]"), rotator()) as (
        driver,
        instrument,
    ):
        await move(driver, 350.0)
        await move(driver, 5.0)
        assert instrument.log[-1] != b"A 5.000"
        assert b"A 365.000" in instrument.log
    async with talking(tmp_path, ROTATOR.format(limits="[0.0, 360.0]"), rotator()) as (
        driver,
        instrument,
    ):
        await move(driver, 350.0)
        await home(driver)
        assert {b"A 350.000", b"A 360.000"} >= {line for line in instrument.log if b" " in line}


@given(st.floats(-1000, 1000), st.floats(-1000, 1000), st.sampled_from([1.0, 24.0, 360.0]))
def test_the_way_on_a_circle_is_never_more_than_half_of_it(one, other, turn):
    text = HEAD + ROTATOR.format(limits="[-720.0, 720.0]").replace("360.0", f"{turn}")
    motion = parse_description(text, "r.toml").motion
    assert motion is not None
    way = motion.distance(one, other)
    assert 0 <= way <= turn / 2 + 1e-9
    assert math.isclose(way, motion.distance(other, one), abs_tol=1e-9)
    assert motion.distance(one, one + turn) == pytest.approx(0.0, abs=1e-9)
