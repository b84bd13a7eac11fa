"""Instruments such as the shipped descriptions describe."""

from __future__ import annotations

from collections.abc import Callable

from daq.simulators import SimulatedInstrument
from daq.simulators.described import (
    Keithley2400Simulator,
    LakeShore335Simulator,
    LinkamT95Simulator,
    RigolScopeSimulator,
    SerialBoardSimulator,
    SmartlineSimulator,
    Sr830Simulator,
)
from daq.simulators.instrument import Clock
from daq.simulators.scpi import ScpiInstrument
from tests.unit.drivers.declarative.instruments import Ramp

__all__ = ["SHIPPED"]

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


def _scpi(clock, identity, settings, *rest):
    return ScpiInstrument(clock, identity, dict(settings), *rest)


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


class PowerSupply(ScpiInstrument):
    """Somebody switches its output on before each conversation."""

    def __init__(self, clock):
        identity, settings, answers = POWER_SUPPLY
        super().__init__(clock, identity, dict(settings), answers)

    def plugged_in(self):
        super().plugged_in()
        self.settings["OUTP"] = "1"


class SourceMeter(Keithley2400Simulator):
    """Somebody switches its output on before each conversation."""

    def plugged_in(self):
        super().plugged_in()
        self.settings[":OUTP"] = "1"


class WarmCryostat(LakeShore335Simulator):
    """Somebody switches its heaters on before each conversation."""

    def plugged_in(self):
        super().plugged_in()
        for output in "12":
            self.settings["RANGE", output] = "3"


SHIPPED: dict[str, tuple[Callable[[Clock], SimulatedInstrument], dict[str, object]]] = {
    "scpi_multimeter": (lambda clock: _scpi(clock, *MULTIMETER), {}),
    "scpi_lock_in": (lambda clock: _scpi(clock, *LOCK_IN), {}),
    "scpi_power_supply": (PowerSupply, {"limits": [0.0, 30.0]}),
    "scpi_temperature_controller": (Oven, {"limits": [250.0, 400.0]}),
    "keithley_2400": (SourceMeter, {"limits": [-20.0, 20.0]}),
    "lakeshore_335": (WarmCryostat, {"limits": [250.0, 400.0]}),
    "linkam_t95": (LinkamT95Simulator, {"limits": [20.0, 60.0], "rate": 150}),
    "rigol_ds1000z": (RigolScopeSimulator, {}),
    "serial_board": (SerialBoardSimulator, {}),
    "stanford_sr830": (Sr830Simulator, {}),
    "thyracont_smartline": (SmartlineSimulator, {"address": 2}),
}
"""Each with the options of a device's table; by the name of the description."""
