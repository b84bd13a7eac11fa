"""The last wills of the drivers, as simulated instruments take them: they are safe, and say so."""

import re
from typing import Any

import pytest

from daq.core import ConfigurationError
from daq.drivers import DriverContext, Timebase
from daq.drivers.declarative import declarative
from daq.drivers.newport.esp300 import Esp300Axis
from daq.drivers.spectra_physics.maitai import MaiTai
from daq.drivers.thorlabs.ell14 import Ell14
from daq.simulators.ell14 import Ell14Bus
from daq.simulators.esp300 import Esp300Simulator
from daq.simulators.maitai import MaiTaiSimulator
from tests.unit.drivers.declarative.shipped import SHIPPED


class Hands:
    """Time, and what is told the instrument before."""

    now = 0.0

    def clock(self):
        return self.now

    def tell(self, instrument, data):
        instrument.receive(data)
        self.now += 0.05
        return instrument.take_due()


def wills(driver, options):
    context = DriverContext("device", "x", Timebase(), {"port": "/dev/ttyS9", **options})
    return driver(context).last_will()


MOVING: dict[str, tuple[Any, ...]] = {
    "esp300": (Esp300Axis, {"axis": 2}, Esp300Simulator, [b"2MO\r", b"2PA20\r"]),
    "ell14": (
        Ell14,
        {"address": "2"},
        lambda clock: Ell14Bus(clock, "2"),
        [b"2ma00010000"],
    ),
    "maitai": (MaiTai, {}, MaiTaiSimulator, [b"SHUT 1\n"]),
}
DESCRIBED: dict[str, tuple[Any, ...]] = {
    name: (
        declarative,
        {"description": name, **SHIPPED[name][1]},
        SHIPPED[name][0],
        [before],
    )
    for name, before in {
        "keithley_2400": b":OUTP 1\n",
        "lakeshore_335": b"RANGE 1,3\r\n",
        "scpi_power_supply": b"OUTP 1\n",
        "scpi_temperature_controller": b"RANGE 1,3\r\n",
    }.items()
}


@pytest.mark.parametrize("name", [*MOVING, *DESCRIBED])
async def test_it_is_confirmed_by_the_instrument_when_it_is_done_and_not_before(name):
    driver, options, make, before = (MOVING | DESCRIBED)[name]
    hands = Hands()
    instrument = make(hands.clock)
    (will,) = wills(driver, options)
    *commands, question = will.frames
    assert question.repeat
    hands.tell(instrument, will.as_plain()["clear"].encode())  # harmless
    for each in before:
        hands.tell(instrument, each)
    hands.now += 0.26
    instrument.take_due()
    assert not re.search(question.reply, hands.tell(instrument, question.send))
    for frame in commands:
        hands.tell(instrument, frame.send)
    answers = [hands.tell(instrument, question.send) for _ in range(20)]
    assert re.search(question.reply, answers[-1]), answers


@pytest.mark.parametrize("half", ['ask = "A?"', 'reply = "0"'])
async def test_a_question_and_its_answer_belong_together(tmp_path, half):
    path = tmp_path / "lamp.toml"
    path.write_text(
        '[instrument]\nname = "lamp"\ncategory = "other"\n[values.a]\nread = "A?"\n'
        f'[last_will]\nsend = "A0"\n{half}\n'
    )
    with pytest.raises(ConfigurationError, match="ask and reply belong together"):
        wills(declarative, {"description": str(path)})
