"""A Newport 1830-C optical power meter."""

from __future__ import annotations

import math
import re

from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["Meter1830cSimulator"]

_SETTING = re.compile(r"([AEFRUWZ])(\d+)")
_CHOICES = {"A": range(2), "E": range(2), "F": range(1, 4), "R": range(9), "U": range(1, 5),
            "W": range(300, 1101), "Z": range(2)}  # fmt: skip
_PARAMETER_ERROR, _COMMAND_ERROR, _SATURATED, _OVER_RANGE, _READ_DONE = 1, 2, 4, 8, 128
_FULL_SCALE = 2.0
"""W, of range 8; each lower range holds a tenth."""
_DETECTOR_LIMIT = 2.0
"""W, beyond which the detector itself saturates."""


class Meter1830cSimulator(LineInstrument):
    """Setters are silent; what was wrong with them stands in the status byte, `Q?`.

    Args:
        clock: Its time.
        power: What falls on the detector, W.
        latency: Seconds before it answers.
    """

    end = b"\n"

    def __init__(self, clock: Clock, power: float = 1.0e-3, latency: float = 0.002) -> None:
        super().__init__(clock, latency)
        self.power = power
        self.values = {"A": 0, "E": 1, "F": 2, "R": 0, "U": 1, "W": 800, "Z": 0}
        self._zero = 0.0
        self._status = 0

    @property
    def name(self) -> str:
        return "Newport 1830-C"

    def command(self, text: str) -> None:
        if self.values["E"]:
            self.reply(text)
        word = text.upper()
        setting = _SETTING.fullmatch(word)
        if setting is not None:
            self._set(setting[1], int(setting[2]))
        elif word == "D?":
            self.reply(self._reading())
        elif word == "Q?":
            self.reply(str(self._status))
            self._status = 0
        elif word == "W?":
            self.reply(f"{self.values['W']:04d}")
        elif len(word) == 2 and word[1] == "?" and word[0] in self.values:
            self.reply(str(self.values[word[0]]))
        elif word == "CS":
            self._status = 0
        else:
            self._status |= _COMMAND_ERROR

    def _set(self, name: str, value: int) -> None:
        if value not in _CHOICES[name]:
            self._status |= _PARAMETER_ERROR
            return
        if name == "Z":
            self._zero = self.power if value else 0.0
        self.values[name] = value

    def _reading(self) -> str:
        scale = _FULL_SCALE / 10 ** (8 - self.values["R"]) if self.values["R"] else math.inf
        self._status &= ~(_SATURATED | _OVER_RANGE)
        self._status |= _READ_DONE
        if self.power > _DETECTOR_LIMIT:
            self._status |= _SATURATED
        if self.power > scale:
            self._status |= _OVER_RANGE
        watts = min(self.power, scale, _DETECTOR_LIMIT) - self._zero
        if self.values["U"] == 1:
            return _exponential(watts)
        if self.values["U"] == 4:
            return f"{watts / 1e-3:.4f}"
        return f"{10 * math.log10(max(watts, 1e-15) / 1e-3):.2f}"


def _exponential(watts: float) -> str:
    """Four digits and an exponent of thousands, as on its display: `1.000E-3`."""
    if watts == 0:
        return "0.000E-9"
    exponent = 3 * math.floor(math.log10(abs(watts)) / 3)
    return f"{watts / 10.0**exponent:.4g}E{exponent:d}"
