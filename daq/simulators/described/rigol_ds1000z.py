"""A Rigol DS1000Z oscilloscope with a sine at its first channel."""

from __future__ import annotations

import math

from daq.simulators.instrument import Clock
from daq.simulators.scpi import ScpiInstrument

__all__ = ["RigolScopeSimulator"]

_IDENTITY = "RIGOL TECHNOLOGIES,DS1104Z,DS1ZA170000001,00.04.04"
_POINTS, _REFERENCE, _DIVISIONS, _LEVELS = 1200, 127, 12, 25
"""Points of the screen and its divisions; counts of 0 V, and of a division."""


class RigolScopeSimulator(ScpiInstrument):
    """Its waveform is a block of bytes, line feeds among them; what they mean is the preamble's.

    Args:
        clock: Its time.
        volts: Amplitude of the sine.
        hertz: Its frequency.
    """

    def __init__(self, clock: Clock, volts: float = 1.0, hertz: float = 1000.0) -> None:
        settings = {
            ":WAV:SOUR": "CHAN1", ":WAV:MODE": "NORM", ":WAV:FORM": "BYTE", ":TIM:SCAL": "5e-4",
            ":TRIG:EDG:LEV": "0",
            **{f":CHAN{channel}:SCAL": "0.5" for channel in range(1, 5)},
            **{f":CHAN{channel}:DISP": "1" for channel in range(1, 5)},
        }  # fmt: skip
        super().__init__(clock, _IDENTITY, settings)
        self.volts, self.hertz = volts, hertz
        self._state = "AUTO"

    def command(self, text: str) -> None:
        if text == ":WAV:DATA?":
            data = self._samples()
            self.say(f"#9{len(data):09d}".encode() + data + b"\n")
        elif text == ":WAV:PRE?":
            self.reply(self._preamble())
        elif text == ":TRIG:STAT?":
            self.reply(self._state)
        elif text in _STATES:
            self._state = _STATES[text]
        else:
            super().command(text)

    @property
    def _x_increment(self) -> float:
        return float(self.settings[":TIM:SCAL"]) * _DIVISIONS / _POINTS

    @property
    def _y_increment(self) -> float:
        return float(self.settings[f":{self.settings[':WAV:SOUR']}:SCAL"]) / _LEVELS

    def _preamble(self) -> str:
        x, y = self._x_increment, self._y_increment
        return f"0,0,{_POINTS},1,{x:.6e},{-_POINTS / 2 * x:.6e},0,{y:.6e},0,{_REFERENCE}"

    def _samples(self) -> bytes:
        """What stands on the screen; nothing where the channel is not shown."""
        if self.settings[f":{self.settings[':WAV:SOUR']}:DISP"] == "0":
            return b""
        counts = self.volts / self._y_increment
        turn = 2 * math.pi * self.hertz * self._x_increment
        points = (_REFERENCE + round(counts * math.sin(turn * n)) for n in range(_POINTS))
        return bytes(min(max(point, 0), 255) for point in points)


_STATES = {":RUN": "AUTO", ":STOP": "STOP", ":SING": "WAIT", ":TFOR": "STOP"}
