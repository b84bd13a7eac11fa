"""A Keithley 2400 source-measure unit with a resistor at its output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from daq.simulators.instrument import Clock
from daq.simulators.scpi import ScpiInstrument

__all__ = ["Keithley2400Simulator"]

_IDENTITY = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C30   Mar 17 2006 09:29:29/A02  /K/J"
_OVERFLOW = 9.9e37
_NOT_PERMITTED = '+803,"Not permitted with OUTPUT off"'
_OUT_OF_RANGE = '-222,"Parameter data out of range"'


class Keithley2400Simulator(ScpiInstrument):
    """While its output is off it does not answer a measurement: that is an error in its queue.

    A current beyond its range is an overflow, `+9.9E37`; one beyond the compliance is held there.

    Args:
        clock: Its time.
        ohms: What is connected.
    """

    def __init__(self, clock: Clock, ohms: float = 1000.0) -> None:
        settings = {
            ":SOUR:VOLT": "0", ":SENS:CURR:PROT": "1.05E-1", ":SENS:CURR:RANG": "1.0E-1",
            ":SENS:CURR:RANG:AUTO": "1", ":SENS:CURR:NPLC": "1.0", ":OUTP": "0",
            ":SOUR:FUNC": "VOLT", ":SENS:FUNC": "'VOLT','CURR'", ":SENS:FUNC:CONC": "1",
            ":FORM:ELEM": "VOLT,CURR", ":SYST:AZER": "1", ":SYST:BEEP": "0",
        }  # fmt: skip
        answers: Mapping[str, Callable[[dict[str, str]], str]] = {
            ":SENS:CURR:PROT:TRIP?": lambda _: str(int(self._is_tripped())),
            ":OUTP?": lambda s: str(int(s[":OUTP"] in ("1", "ON"))),
            ":SOUR:VOLT?": lambda s: f"{float(s[':SOUR:VOLT']):+.6E}",
        }
        super().__init__(clock, _IDENTITY, settings, answers, end=b"\r")
        self.ohms = ohms

    def command(self, text: str) -> None:
        if text == ":READ?":
            self._measure()
        elif text.startswith(":SOUR:VOLT ") and abs(float(text.split()[1])) > 210:
            self.errors.append(_OUT_OF_RANGE)
        else:
            super().command(text)

    def _measure(self) -> None:
        if self.settings[":OUTP"] not in ("1", "ON"):
            self.errors.append(_NOT_PERMITTED)
            return
        limit, current = self._number(":SENS:CURR:PROT"), self._current()
        held = math.copysign(min(abs(current), limit), current)
        volts = held * self.ohms
        is_fixed = self.settings[":SENS:CURR:RANG:AUTO"] not in ("1", "ON")
        if is_fixed and abs(held) > self._number(":SENS:CURR:RANG"):
            held = _OVERFLOW
        self.reply(f"{volts:+.6E},{held:+.6E},{0x5800:+.6E}")

    def _current(self) -> float:
        return self._number(":SOUR:VOLT") / self.ohms

    def _is_tripped(self) -> bool:
        is_on = self.settings[":OUTP"] in ("1", "ON")
        return is_on and abs(self._current()) > self._number(":SENS:CURR:PROT")

    def _number(self, name: str) -> float:
        return float(self.settings[name])
