"""What the README shows of instruments on serial lines is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio

from daq.cli.commands.simulate import INSTRUMENTS
from daq.config import parse_config
from daq.core import ConfigurationError
from daq.drivers import DriverContext, Timebase, build_drivers
from daq.drivers.declarative import shipped_descriptions
from daq.drivers.newport.esp300 import Esp300Axis
from daq.drivers.newport.meter_1830c import Meter1830c
from daq.drivers.spectra_physics.maitai import MaiTai
from daq.drivers.thorlabs.ell14 import Ell14
from daq.simulators import FAULT_KINDS, Esp300Simulator, parse_fault
from daq.testing import check_driver

README = Path(__file__).parents[3] / "daq/drivers/README.md"
SECTION = README.read_text(encoding="utf-8").partition("## Instruments on serial lines")[2]


async def test_the_configurations_can_be_built():
    blocks = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
    assert len(blocks) == 4
    drivers, failures = build_drivers(parse_config("\n".join(blocks), None).devices, Timebase())
    assert failures == {}
    assert len(drivers) == 6


@pytest.mark.parametrize("driver", [Esp300Axis, Meter1830c, MaiTai, Ell14])
async def test_every_option_and_parameter_is_documented(driver):
    context = DriverContext("x", "x", Timebase(), {"port": "/dev/x", "no_such_option": 1})
    with pytest.raises(ConfigurationError) as caught:
        driver(context)
    accepted = re.findall(r"(?:known here: |, )(\w+) \(", caught.value.message)
    assert len(accepted) > 6
    built = driver(DriverContext("x", "x", Timebase(), {"port": "/dev/x"}))
    names = [*accepted, *(parameter.name for parameter in built.description.parameters)]
    assert [name for name in names if not re.search(rf"\b{name}\b", SECTION)] == []


def test_every_description_and_every_simulator_is_named():
    page = README.read_text(encoding="utf-8")
    assert [name for name in shipped_descriptions() if f"| `{name}` |" not in page] == []
    assert [name for name in INSTRUMENTS if f"`{name}`" not in SECTION] == []


def test_the_faults_are_the_ones_there_are():
    for text in re.findall(r"--fault (\S+)", SECTION):
        parse_fault(text)
    assert all(f"`{kind}`" in SECTION for kind in FAULT_KINDS)


async def test_the_test_that_it_shows_runs(autojump_clock):
    shown = SECTION.partition("virtual time:\n\n")[2].partition("\n`plug_pty`")[0]
    code = "\n".join(line[4:] for line in shown.splitlines())
    namespace: dict[str, Any] = {
        "trio": trio,
        "Esp300Simulator": Esp300Simulator,
        "Esp300Axis": Esp300Axis,
        "check_driver": check_driver,
    }
    exec(compile(code, "README.md", "exec"), namespace)
    await namespace["test_it_keeps_every_contract"](autojump_clock)
