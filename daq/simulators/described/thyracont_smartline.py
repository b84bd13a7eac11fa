"""Thyracont Smartline gauges on one RS-485 line, in their first protocol."""

from __future__ import annotations

from collections.abc import Iterable

from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["SmartlineSimulator"]

_HEAD = 4
"""Three digits of an address, and a letter."""


class SmartlineSimulator(LineInstrument):
    """Who is meant is told by an address; what has a wrong checksum is not answered.

    Args:
        clock: Its time.
        addresses: Of the gauges on the line.
        millibar: What they measure.
        latency: Seconds before one answers.
    """

    end = b"\r"

    def __init__(
        self,
        clock: Clock,
        addresses: Iterable[int] = (1, 2),
        millibar: float = 982.1,
        latency: float = 0.002,
    ) -> None:
        super().__init__(clock, latency)
        self.millibar = dict.fromkeys(addresses, millibar)
        self.noise = 0
        """So many of the next answers are hit by noise: a digit is another."""

    @property
    def name(self) -> str:
        return "Thyracont Smartline"

    def command(self, text: str) -> None:
        body, given = text[:-1], text[-1:]
        if given != _checksum(body) or not body[:3].isdigit() or int(body[:3]) not in self.millibar:
            return
        answer = {"M": f"M{_written(self.millibar[int(body[:3])])}", "T": "TVSP521"}
        said = body[:3] + answer.get(body[3:_HEAD], "NO_DEF")
        checksum = _checksum(said)
        if self.noise:
            self.noise -= 1
            said = said[:-1] + ("8" if said[-1] != "8" else "2")
        self.reply(said + checksum)


def _written(millibar: float) -> str:
    """Four digits and an exponent, which begins at -20."""
    mantissa, _, exponent = f"{millibar:.3e}".partition("e")
    return f"{mantissa.replace('.', '')}{int(exponent) + 20:02d}"


def _checksum(text: str) -> str:
    return chr(sum(text.encode("latin-1")) % 64 + 64)
