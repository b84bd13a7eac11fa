"""A board such as an Arduino: whoever opens its port resets it."""

from __future__ import annotations

import re

from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["SerialBoardSimulator"]

_PULSE = re.compile(r"P\d+ (\d+)")
_OUTPUT = re.compile(r"D(\d+) ([01])")


class SerialBoardSimulator(LineInstrument):
    """Deaf while it boots, then it greets; its outputs are low after each reset.

    Args:
        clock: Its time.
        boot_s: So long it takes from the reset.
        volts: At its analogue inputs.
        latency: Seconds before it answers.
    """

    def __init__(
        self, clock: Clock, boot_s: float = 1.8, volts: float = 1.5, latency: float = 0.002
    ) -> None:
        super().__init__(clock, latency)
        self.resets = 0
        self.volts = volts
        self.outputs: dict[str, str] = {}
        self.pulses: list[int] = []
        """How long each was, ms, since the reset."""
        self._boot_s = boot_s
        self._ready_at = clock()

    @property
    def name(self) -> str:
        return "Serial board"

    def plugged_in(self) -> None:
        super().plugged_in()
        self.resets += 1
        self.outputs.clear()
        self.pulses.clear()
        self._ready_at = self.clock() + self._boot_s
        self.say(b"ready\r\n", self._ready_at)

    def receive(self, data: bytes) -> None:
        if self.clock() >= self._ready_at:
            super().receive(data)

    def command(self, text: str) -> None:
        output, pulse = _OUTPUT.fullmatch(text), _PULSE.fullmatch(text)
        if text == "*IDN?":
            self.reply("BOARD,test stand,42,1.0")
        elif output is not None:
            if not self.stuck:
                self.outputs[output[1]] = output[2]
            self.reply("OK")
        elif pulse is not None:
            self.pulses.append(int(pulse[1]))
            said = f"OK {len(self.pulses)}".encode() + self.end
            self.say(said, self.clock() + int(pulse[1]) / 1000)
        elif re.fullmatch(r"A[0-5]\?", text):
            self.reply(f"{self.volts:.3f}")
        elif re.fullmatch(r"D\d+\?", text):
            self.reply(self.outputs.get(text[1:-1], "0"))
        else:
            self.reply("ERR unknown command")
