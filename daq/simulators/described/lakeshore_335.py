"""A Lake Shore 335 temperature controller: two sensors, each warmed by its output."""

from __future__ import annotations

import re

from daq.core.mechanics import Axis
from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["LakeShore335Simulator"]

_SETTING = re.compile(r"(SETP|RANGE|RAMP) ([12]),(.*)")
_QUESTION = re.compile(r"(KRDG|SETP|RANGE|RAMP|HTR)\? ([12AB])")
_ROOM_K = 295.0


class LakeShore335Simulator(LineInstrument):
    """Numbers bear a sign and leading zeros and no unit; a sensor that is off answers a word.

    Args:
        clock: Its time.
        kelvin_per_s: How fast a sample warms up and cools down.
        latency: Seconds before it answers.
    """

    def __init__(self, clock: Clock, kelvin_per_s: float = 20.0, latency: float = 0.002) -> None:
        super().__init__(clock, latency)
        self.sensors = dict.fromkeys("AB", "")
        """What a sensor says instead of its temperature, such as `OVLD`."""
        self.settings = {(word, out): start for out in "12" for word, start in _STARTS.items()}
        self._samples = {out: Axis(_ROOM_K, kelvin_per_s, 1e6, clock) for out in "12"}

    @property
    def name(self) -> str:
        return "Lake Shore 335"

    def command(self, text: str) -> None:
        asked, told = _QUESTION.fullmatch(text), _SETTING.fullmatch(text)
        if text == "*IDN?":
            self.reply("LSCI,MODEL335,335A1B2/#######,1.5")
        elif asked is not None:
            self.reply(self._answer(asked[1], asked[2]))
        elif told is not None:
            self._set(told[1], told[2], told[3])

    def _answer(self, word: str, which: str) -> str:
        out = {"A": "1", "B": "2"}.get(which, which)
        if word == "KRDG":
            return self.sensors[which] or f"{self._samples[out].position():+08.3f}"
        if word == "HTR":
            return f"{25.0 if self.settings['RANGE', out] != '0' else 0.0:+06.1f}"
        given = self.settings[word, out]
        if word == "SETP":
            return f"{float(given):+08.3f}"
        if word == "RAMP":
            on, _, rate = given.partition(",")
            return f"{on},{float(rate):+06.1f}"
        return given

    def _set(self, word: str, out: str, text: str) -> None:
        self.settings[word, out] = text
        if self.stuck or word == "RAMP":
            return
        sample = self._samples[out]
        if self.settings["RANGE", out] == "0":
            sample.halt()
        else:
            sample.begin(float(self.settings["SETP", out]))


_STARTS = {"SETP": "295", "RANGE": "0", "RAMP": "0,10"}
