"""A Linkam T95 controller of a heating and cooling stage."""

from __future__ import annotations

import math
import re

from daq.core.mechanics import Axis
from daq.simulators.instrument import Clock, SimulatedInstrument

__all__ = ["LinkamT95Simulator"]

_STOPPED, _HEATS, _COOLS, _AT_LIMIT, _HOLDS = 0x01, 0x10, 0x20, 0x30, 0x50
_NO_ERROR, _PUMP_OFF, _FILLER = 0x80, 0x80, 0x80


class LinkamT95Simulator(SimulatedInstrument):
    """Status, error and pump are bytes of any value, a space among them; commands get a `CR`.

    Args:
        clock: Its time.
        latency: Seconds before it answers.
    """

    def __init__(self, clock: Clock, latency: float = 0.002) -> None:
        super().__init__(clock, latency)
        self.error = 0
        """Bits of the error byte: 2 is an open sensor."""
        self.rate = 10.0
        """degC/min."""
        self._input = b""
        self._limit = 25.0
        self._stage = Axis(25.0, 1.0, 1e6, clock)
        self._running = self._held = False

    @property
    def name(self) -> str:
        return "Linkam T95"

    def plugged_in(self) -> None:
        super().plugged_in()
        self._input = b""

    def receive(self, data: bytes) -> None:
        *commands, self._input = (self._input + data).split(b"\r")
        for command in commands:
            self.say(self._carry_out(command.decode("latin-1")) + b"\r")

    def _carry_out(self, text: str) -> bytes:
        number = re.fullmatch(r"([RL]1)(-?\d+)", text)
        if text == "T":
            return self._state()
        if number is not None:
            self._set(number[1], int(number[2]))
        elif text == "S":
            self._start()
        elif text == "O":
            self._held = True
            self._stage.halt()
        elif text == "E":
            self._running = False
            self._stage.halt()
        return b""

    def _set(self, word: str, number: int) -> None:
        if word == "R1":
            self.rate = number / 100
        else:
            self._limit = number / 10
        if self._running and not self._held:
            self._start()

    def _start(self) -> None:
        self._running, self._held = True, False
        if not self.stuck:
            self._stage.velocity = self.rate / 60
            self._stage.begin(self._limit)

    def _state(self) -> bytes:
        tenths = round(self._stage.position() * 10) & 0xFFFF
        head = (self._status(), _NO_ERROR | self.error, _PUMP_OFF, _FILLER, _FILLER, _FILLER)
        return bytes(head) + f"{tenths:04x}".encode()

    def _status(self) -> int:
        if not self._running:
            return _STOPPED
        if self._held:
            return _HOLDS
        if self._stage.is_moving():
            return _HEATS if math.copysign(1, self._limit - self._stage.position()) > 0 else _COOLS
        return _AT_LIMIT
