"""A Stanford Research SR830 lock-in amplifier."""

from __future__ import annotations

import math

from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["Sr830Simulator"]

_RS232, _GPIB = "0", "1"


class Sr830Simulator(LineInstrument):
    """Answers only at the interface that it was told last; somebody has used it by GPIB before.

    Args:
        clock: Its time.
        volts: Magnitude of the signal.
        degrees: Its phase.
        latency: Seconds before it answers.
    """

    end = b"\r"

    def __init__(
        self, clock: Clock, volts: float = 9.5e-4, degrees: float = -30.0, latency: float = 0.002
    ) -> None:
        super().__init__(clock, latency)
        self.volts, self.degrees = volts, degrees
        self.overload = 0
        """Bits of `LIAS?`, kept until they are read."""
        self.settings = {
            "FREQ": "1000", "PHAS": "0.00", "SLVL": "1.000", "HARM": "1", "OFLT": "10",
            "SENS": "26", "OUTX": _GPIB,
        }  # fmt: skip

    @property
    def name(self) -> str:
        return "Stanford Research SR830"

    def command(self, text: str) -> None:
        word, _, argument = text.partition(" ")
        if word in self.settings and argument:
            self.settings[word] = argument
        elif self.settings["OUTX"] == _RS232:
            answer = self._answer(text)
            if answer:
                self.reply(answer)

    def _answer(self, text: str) -> str:
        if text == "*IDN?":
            return "Stanford_Research_Systems,SR830,s/n12345,ver1.07"
        if text == "SNAP?1,2,3,4":
            angle = math.radians(self.degrees)
            x, y = self.volts * math.cos(angle), self.volts * math.sin(angle)
            return f"{x:.6g},{y:.6g},{self.volts:.6g},{self.degrees:.4g}"
        if text == "LIAS?":
            seen, self.overload = self.overload, 0
            return str(seen)
        return self.settings.get(text.removesuffix("?"), "")
