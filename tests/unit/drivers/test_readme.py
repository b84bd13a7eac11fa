"""The README's example is a driver that works, and its tables are complete."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from daq.core import ConfigurationError
from daq.drivers import DriverContext, Timebase
from daq.drivers.simulated import (
    SimulatedCamera,
    SimulatedDigitizer,
    SimulatedLaser,
    SimulatedPowerMeter,
    SimulatedRotator,
    SimulatedStage,
)

README = (Path(__file__).parents[3] / "daq/drivers/README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_example_keeps_every_contract():
    namespace = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    await namespace["test_the_thermometer_keeps_every_contract"]()


def test_the_configuration_examples_are_toml():
    assert all(tomllib.loads(block) for block in blocks("toml"))


@pytest.mark.parametrize(
    "driver",
    [
        SimulatedStage,
        SimulatedRotator,
        SimulatedPowerMeter,
        SimulatedCamera,
        SimulatedLaser,
        SimulatedDigitizer,
    ],
)
async def test_every_option_is_documented(driver):
    context = DriverContext("x", "x", Timebase(), {"no_such_option": 1})
    with pytest.raises(ConfigurationError) as caught:
        driver(context)
    accepted = re.findall(r"(?:known here: |, )(\w+) \(", caught.value.message)
    assert len(accepted) > 6
    undocumented = [name for name in accepted if f"`{name}`" not in README]
    assert undocumented == []
