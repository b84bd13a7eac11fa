"""A Spectra-Physics Mai Tai: pump, tunable oscillator, shutter."""

from __future__ import annotations

import math
import re
from collections import deque

from daq.core.mechanics import Axis, Switch
from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["MaiTaiSimulator"]

_IDENTITY = "Spectra Physics,MaiTai,{serial}/51054/40856,0245-2.00.34 / CD00000019 / 214-00.004.057"
_FULL = {"WAVELENGTH": "WAV", "POWER": "POW", "SHUTTER": "SHUT", "PCTWARMEDUP": "PCTW",
         "PLASER": "PLAS", "SYSTEM": "SYST", "ERROR": "ERR"}  # fmt: skip
_LOW, _HIGH = 690.0, 1040.0
_MODELOCKED, _EMITS = 2, 1
_PEAK_W, _PEAK_NM, _WIDTH_NM = 3.0, 800.0, 120.0


class MaiTaiSimulator(LineInstrument):
    """Words may be short or in full, in any case; commands are silent.

    Args:
        clock: Its time.
        shutter_s: The shutter takes so long, s.
        start_s: Emission takes so long to begin, s.
        warm_up_s: From switching it on until it may emit, s.
        nm_per_s: Tuning speed.
        latency: Seconds before it answers.
    """

    end = b"\n"
    first_serial = 3227

    def __init__(
        self,
        clock: Clock,
        shutter_s: float = 0.3,
        start_s: float = 1.0,
        warm_up_s: float = 0.0,
        nm_per_s: float = 50.0,
        latency: float = 0.002,
    ) -> None:
        super().__init__(clock, latency)
        self._warm_at = clock() + warm_up_s
        self._warm_up_s = warm_up_s
        self._tuning = Axis(800.0, nm_per_s, 1e6, clock=clock)
        self._wanted = 800.0
        self._shutter = Switch(False, shutter_s, clock)
        self._emission = Switch(False, start_s, clock)
        self._errors: deque[str] = deque(maxlen=10)

    @property
    def name(self) -> str:
        return "Spectra-Physics Mai Tai"

    @property
    def shutter_is_open(self) -> bool:
        """What a person sees who stands before it."""
        return self._shutter.is_on()

    def command(self, text: str) -> None:
        word, _, argument = text.partition(" ")
        short = ":".join(_FULL.get(part, part) for part in re.split(":", word.upper().rstrip("?")))
        if word.endswith("?"):
            answer = self._answer(short)
            if answer is None:
                self._errors.append('-113, "Undefined header"')
            else:
                self.reply(answer)
        elif not self._change(short, argument.strip()):
            self._errors.append('-113, "Undefined header"')

    def _answer(self, word: str) -> str | None:
        answers = {
            "*IDN": lambda: _IDENTITY.format(serial=self.serial),
            "*STB": lambda: str((_EMITS | _MODELOCKED) * self._emission.is_on()),
            "WAV": lambda: f"{self._wanted:.0f}nm",
            "READ:WAV": lambda: f"{self._tuning.position():.0f}nm",
            "WAV:MIN": lambda: f"{_LOW:.0f}nm",
            "WAV:MAX": lambda: f"{_HIGH:.0f}nm",
            "READ:POW": lambda: _watts(self._power()),
            "READ:PCTW": lambda: f"{100 * self._warmth():.2f}%",
            "PLAS:POW": lambda: f"{13.43 * self._emission.is_on():.2f}W",
            "SHUT": lambda: str(int(self._shutter.is_on())),
            "SYST:ERR": lambda: self._errors.popleft() if self._errors else '0, "No error"',
        }
        return answers[word]() if word in answers else None

    def _change(self, word: str, argument: str) -> bool:
        if word in ("ON", "OFF"):
            if word == "OFF" or self._warmth() >= 1.0:
                self._switch(self._emission, word == "ON")
            else:
                self._errors.append('-221, "Settings conflict"')
        elif word == "SHUT" and argument in ("0", "1"):
            self._switch(self._shutter, argument == "1")
        elif word == "WAV":
            self._tune(argument)
        else:
            return False
        return True

    def _tune(self, argument: str) -> None:
        try:
            nm = float(argument)
        except ValueError:
            self._errors.append('-104, "Data type error"')
            return
        if not _LOW <= nm <= _HIGH:
            self._errors.append('-222, "Data out of range"')
            return
        self._wanted = nm
        if not self.stuck:
            self._tuning.begin(nm)

    def _switch(self, what: Switch, wanted: bool) -> None:
        if not self.stuck:
            what.turn(wanted)

    def _warmth(self) -> float:
        left = max(0.0, self._warm_at - self.clock())
        return 1.0 - left / self._warm_up_s if left else 1.0

    def _power(self) -> float:
        detuned = (self._tuning.position() - _PEAK_NM) / _WIDTH_NM
        return _PEAK_W * math.exp(-0.5 * detuned**2) * self._emission.is_on()


def _watts(power: float) -> str:
    return f"{power:.3f}W" if power >= 1.0 or power == 0.0 else f"{power * 1e3:.0f}mW"
