"""Thorlabs ELL14 rotators on one RS-485 bus."""

from __future__ import annotations

import re
from collections.abc import Iterable

from daq.core.mechanics import Axis
from daq.simulators.instrument import Clock, SimulatedInstrument

__all__ = ["Ell14Bus"]

_ADDRESSES = "0123456789ABCDEF"
_PULSES_PER_TURN = 143360
_DEGREES_PER_SECOND = 430.0
_DATA = {"ma": 8, "mr": 8, "so": 8, "sj": 8, "sv": 2, "ho": 1, "ca": 1}
"""Characters that follow a mnemonic; others have none."""
_PATIENCE_S = 2.0
"""A command that is not complete by then is forgotten."""
_OK, _TIMED_OUT, _MECHANICAL, _COMMAND, _RANGE, _BUSY = 0x00, 0x01, 0x02, 0x03, 0x04, 0x09


class Ell14Bus(SimulatedInstrument):
    """Hears every command and passes it to the unit whose address it bears.

    Commands have no terminator: their length follows from the mnemonic. Line ends between them are
    passed over.

    Args:
        clock: Its time.
        addresses: Of the units, 0 to F.
        degrees_per_s: At full velocity.
        latency: Seconds before a unit answers.
    """

    first_serial = 11400000

    def __init__(
        self,
        clock: Clock,
        addresses: Iterable[str] = ("2", "3", "8"),
        degrees_per_s: float = _DEGREES_PER_SECOND,
        latency: float = 0.002,
    ) -> None:
        super().__init__(clock, latency)
        self.units = {
            address.upper(): _Unit(self, address.upper(), degrees_per_s) for address in addresses
        }
        for address in self.units:
            if len(address) != 1 or address not in _ADDRESSES:
                raise ValueError(f"an address is one of {_ADDRESSES}, not {address!r}")
        self._input = ""
        self._heard_at = 0.0

    @property
    def name(self) -> str:
        return f"Thorlabs ELL14, addresses {', '.join(self.units)}"

    def plugged_in(self) -> None:
        super().plugged_in()
        self._input = ""

    def receive(self, data: bytes) -> None:
        now = self.clock()
        if self._input and now - self._heard_at > _PATIENCE_S:
            self._reject(self._input)
            self._input = ""
        self._heard_at = now
        self._input += re.sub(r"[\r\n]", "", data.decode("latin-1"))
        while len(self._input) >= 3:
            address, mnemonic = self._input[0].upper(), self._input[1:3]
            if address not in _ADDRESSES or not mnemonic.isalnum():
                self._input = self._input[1:]  # noise: look for the next address
                continue
            length = 3 + _DATA.get(mnemonic, 0)
            if len(self._input) < length:
                return
            text, self._input = self._input[3:length], self._input[length:]
            unit = self.units.get(address)
            if unit is not None:
                unit.command(mnemonic, text)

    def move_unit(self, old: str, new: str) -> None:
        """A unit takes another address."""
        self.units[new] = self.units.pop(old)

    def _reject(self, text: str) -> None:
        unit = self.units.get(text[0].upper())
        if unit is not None:
            unit.status(_TIMED_OUT)


class _Unit:
    """One rotator."""

    def __init__(self, bus: Ell14Bus, address: str, degrees_per_s: float) -> None:
        self.address = address
        self._bus = bus
        self._number = ord(address)
        """Added to the serial number of the bus; an address may be changed."""
        self._full_speed = degrees_per_s * _PULSES_PER_TURN / 360.0
        self._motor = Axis(0.0, self._full_speed, 20 * self._full_speed, clock=bus.clock)
        self._velocity = 100
        self._jog = _PULSES_PER_TURN // 8
        self._offset = 0
        self._arrival: bytes | None = None
        """What it will say when the motion has ended."""

    def command(self, mnemonic: str, text: str) -> None:
        try:
            number = int(text, 16) if text else 0
        except ValueError:
            self.status(_COMMAND)
            return
        if mnemonic == "st":
            self._stop()
        elif self._motor.is_moving() and mnemonic not in ("gs", "gp", "in"):
            self.status(_BUSY)
        elif not (self._ask(mnemonic) or self._move(mnemonic, number)):
            self._set(mnemonic, number, text)

    def status(self, code: int) -> None:
        """Say how it is."""
        self._say(f"GS{code:02X}")

    def _ask(self, mnemonic: str) -> bool:
        answers = {
            "in": f"IN0E{self._bus.serial + self._number:08d}2023170101680{_PULSES_PER_TURN:07X}",
            "gs": f"GS{_BUSY if self._motor.is_moving() else _OK:02X}",
            "gp": f"PO{_hex(self._pulses())}",
            "gj": f"GJ{_hex(self._jog)}",
            "go": f"HO{_hex(self._offset)}",
            "gv": f"GV{self._velocity:02X}",
        }
        if mnemonic not in answers:
            return False
        self._say(answers[mnemonic])
        return True

    def _move(self, mnemonic: str, number: int) -> bool:
        targets = {
            "ma": _signed(number),
            "mr": self._pulses() + _signed(number),
            "fw": self._pulses() + self._jog,
            "bw": self._pulses() - self._jog,
            "ho": self._offset,
        }
        if mnemonic not in targets:
            return False
        target = targets[mnemonic]
        if mnemonic == "ma" and abs(target) > _PULSES_PER_TURN:
            self.status(_RANGE)
        elif self._bus.stuck:
            self.status(_MECHANICAL)
        else:
            self._motor.velocity = self._full_speed * self._velocity / 100
            self._motor.begin(target)
            self._arrival = self._frame(f"PO{_hex(target)}")
            self._bus.say(self._arrival, max(self._motor.ends_at, self._soon()))
        return True

    def _stop(self) -> None:
        if self._motor.is_moving():
            self._motor.halt()
            if self._arrival is not None:
                self._bus.withdraw(self._arrival)
        self.status(_OK)

    def _set(self, mnemonic: str, number: int, text: str) -> None:
        if mnemonic == "sv" and 1 <= number <= 100:
            self._velocity = number
        elif mnemonic == "so":
            self._offset = _signed(number)
        elif mnemonic == "sj":
            self._jog = _signed(number)
        elif mnemonic == "ca" and text.upper() not in self._bus.units:
            self._bus.move_unit(self.address, text.upper())
            self.address = text.upper()
        elif mnemonic != "us":
            self.status(_RANGE if mnemonic in ("sv", "ca") else _COMMAND)
            return
        self.status(_OK)

    def _pulses(self) -> int:
        return round(self._motor.position())

    def _soon(self) -> float:
        return self._bus.clock() + self._bus.latency

    def _frame(self, text: str) -> bytes:
        return f"{self.address}{text}\r\n".encode()

    def _say(self, text: str) -> None:
        self._bus.say(self._frame(text))


def _hex(number: int) -> str:
    """Eight digits of its two's complement."""
    return f"{number & 0xFFFFFFFF:08X}"


def _signed(number: int) -> int:
    return number - (1 << 32) if number & (1 << 31) else number
