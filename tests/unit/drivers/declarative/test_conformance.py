"""Described instruments keep every contract of their capabilities, and offer no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from daq.drivers.declarative import shipped_descriptions
from daq.testing import check_driver
from tests.unit.drivers.declarative.instruments import (
    ODD,
    OddInstrument,
    Ramp,
    ScpiInstrument,
    on_loopback,
)


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "odd.toml"
    file.write_text(ODD)
    return {"description": str(file), "port": "loopback"}


async def test_an_odd_instrument_keeps_every_contract(odd, autojump_clock):
    async with on_loopback(OddInstrument) as bench:
        checks = await check_driver(bench.make, odd)
    assert {
        "moves_arrive_where_they_were_sent",
        "stop_ends_a_move_half_way",
        "readings_are_true_and_in_order",
        "the_shutter_obeys",
        "the_emission_obeys",
        "the_wavelength_obeys",
        "exposures_are_kept",
        "triggers_need_arming",
        "parameters_keep_their_word",
    } <= set(checks)


MULTIMETER = (
    "Keysight Technologies,34461A,MY1,A.02",
    {
        "FUNC": '"VOLT"',
        "VOLT:NPLC": "+1.00000000E+01",
        "VOLT:RANG": "+1.00000000E+01",
        "VOLT:RANG:AUTO": "1",
    },
    {"READ?": lambda _: "+1.23456789E+00"},
)
POWER_SUPPLY = (
    "RIGOL TECHNOLOGIES,DP832,DP8A1,00.01",
    {"VOLT": "0", "CURR": "1", "OUTP": "1"},
    {
        "MEAS:VOLT?": lambda s: s["VOLT"] if s["OUTP"] in ("1", "ON") else "0.001",
        "MEAS:CURR?": lambda _: "0.1",
    },
)
CONTROLLER = (
    "LSCI,MODEL336,LSA1/#######,1.0",
    {"SETP": "1,300", "RANGE": "1,0", "RAMP": "1,1,0"},
    {
        "KRDG? A": lambda s: "+" + s["SETP"].partition(",")[2],
        "SETP? 1": lambda s: s["SETP"].partition(",")[2],
        "RANGE? 1": lambda s: s["RANGE"].partition(",")[2],
        "RAMP? 1": lambda s: s["RAMP"].partition(",")[2],
        "HTR? 1": lambda _: "+12.5",
    },
    b"\r\n",
)
LOCK_IN = (
    "Stanford_Research_Systems,SR830,s/n12345,ver1.07",
    {"FREQ": "1000", "PHAS": "0.00", "SLVL": "1.000", "OFLT": "10", "SENS": "26", "LIAS": "0"},
    {"SNAP?1,2,3,4": lambda _: "0.951e-3,-1.2e-5,0.9511e-3,-0.72"},
)


@pytest.mark.parametrize(
    ("description", "instrument"),
    [
        ("scpi_multimeter", MULTIMETER),
        ("scpi_lock_in", LOCK_IN),
    ],
)
async def test_the_shipped_descriptions_of_detectors_conform(
    description, instrument, autojump_clock
):
    async with on_loopback(lambda clock: scpi(clock, instrument)) as bench:
        checks = await check_driver(bench.make, {"description": description, "port": "x"})
    assert "readings_are_true_and_in_order" in checks


def scpi(clock, instrument):
    identity, settings, *rest = instrument
    return ScpiInstrument(clock, identity, dict(settings), *rest)


async def test_the_shipped_power_supply_conforms(autojump_clock):
    options = {"description": "scpi_power_supply", "port": "x", "limits": [0.0, 30.0]}
    async with on_loopback(lambda clock: scpi(clock, POWER_SUPPLY)) as bench:

        def switched_on(context):
            bench.instrument.settings["OUTP"] = "1"
            return bench.make(context)

        checks = await check_driver(switched_on, options)
    assert "stop_ends_a_move_half_way" in checks


class Oven(ScpiInstrument):
    """Warms up and cools down by 20 K/s."""

    def __init__(self, clock):
        identity, settings, answers, end = CONTROLLER
        self._ramp = Ramp(clock, 20.0, 300.0)
        answers = {**answers, "KRDG? A": lambda _: f"{self._ramp.now():+.3f}"}
        super().__init__(clock, identity, dict(settings), answers, end)

    def command(self, text):
        super().command(text)
        if text.startswith("SETP 1,"):
            self._ramp.go(float(text.partition(",")[2]))


async def test_the_shipped_temperature_controller_conforms(autojump_clock):
    options = {
        "description": "scpi_temperature_controller",
        "port": "x",
        "limits": [250.0, 400.0],
    }
    async with on_loopback(Oven) as bench:
        checks = await check_driver(bench.make, options, timeout=1000.0)
    assert "a_cancelled_move_can_be_stopped" in checks


def test_every_shipped_description_is_tried_here():
    assert shipped_descriptions() == (
        "scpi_lock_in",
        "scpi_multimeter",
        "scpi_power_supply",
        "scpi_temperature_controller",
    )
