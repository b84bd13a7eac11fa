"""Thorlabs ELL14 rotator; several of them share an RS-485 bus."""

from __future__ import annotations

import re
from collections.abc import Mapping

import trio

from daq.core import (
    Capability,
    Category,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
)
from daq.drivers.driver import DriverContext
from daq.drivers.last_will import LastWill
from daq.drivers.line_driver import LineDriver
from daq.drivers.motion import MotionTiming
from daq.drivers.settings import Setting
from daq.transport import Dialect, PortSettings

__all__ = ["Ell14"]

_ADDRESSES = tuple("0123456789ABCDEF")
_MODEL = "0E"
_LOOK_S = 0.025
_BUSY_S = 2.0
_POSITIVE = Limits(1e-6, 1e6)
_VELOCITY = Limits(25, 100)
_OK, _BUSY = 0x00, 0x09
_STATUS = {
    0x01: "communication time-out",
    0x02: "mechanical time-out",
    0x03: "command error or not supported",
    0x04: "value out of range",
    0x05: "module isolated",
    0x06: "module out of isolation",
    0x07: "initialisation error",
    0x08: "thermal error",
    0x09: "busy",
    0x0A: "sensor error",
    0x0B: "motor error",
    0x0C: "out of range",
    0x0D: "over-current error",
}


class Ell14(LineDriver):
    """One rotator, in degrees, by its address on the bus.

    Replies are taken whole, by address, mnemonic and length: a hexadecimal digit of somebody else's
    reply is not mistaken for an address. Questions are repeated, motions never. A unit answers a
    move when it has ended, so the bus is free for others, and for `stop`, while it moves.

    Options: `address` (0 to F), `limits`, `tolerance` (deg), `motion_timeout` (s) and those of
    every `LineDriver`.
    """

    tells_serial = True
    usual_port = PortSettings("", baudrate=9600)
    usual_dialect = Dialect(end=b"", timeout_s=0.5, pause_s=0.015)
    attempts = 3

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        options = self.options
        self._address = options.choice("address", "0", _ADDRESSES)
        self._limits = options.limits("limits", Limits(0.0, 360.0), "deg")
        self._tolerance = options.number("tolerance", 0.1, "deg", _POSITIVE)
        timeout_s = options.number("motion_timeout", 10.0, "s", _POSITIVE)
        self.motion_timing = MotionTiming(look_s=_LOOK_S, timeout_s=timeout_s)
        options.finish()
        self._pulses_per_degree = 0.0
        self.offer_settings(
            Setting(
                DeviceParameter("velocity", "int", "Of its highest speed", "%", limits=_VELOCITY),
                self._velocity,
                self._set_velocity,
            )
        )

    @property
    def description(self) -> DeviceDescription:
        return self.describe(
            Category.STAGE,
            "deg",
            [Capability.MOVABLE],
            limits=self._limits,
            tolerance=self._tolerance,
        )

    async def identify(self) -> None:
        identity = r"IN([0-9A-F]{2})(?P<serial>\w{8})\w{12}(?P<pulses>[0-9A-F]{8})"
        match = await self._ask("in", identity, "its identity")
        pulses = int(match["pulses"], 16)
        if match[1].upper() != _MODEL or pulses == 0:
            raise self.wrong_instrument(f"{self._address}in", match[0], "an ELL14 (type 0E)")
        self.serial.require(match["serial"], "ELL14", f"{self.line.address}, {self._address}")
        self._pulses_per_degree = pulses / 360.0

    async def move_abs(self, position: float) -> None:
        self._limits.require(self.id, "position", position, "deg")
        await self._wait_ready()
        pulses = round(position * self._pulses_per_degree)
        await self.line.command(f"{self._address}ma{pulses & 0xFFFFFFFF:08X}")

    async def home(self) -> None:
        await self._wait_ready()
        await self.line.command(f"{self._address}ho0")

    async def position(self) -> Reading:
        deadline = trio.current_time() + _BUSY_S
        while True:
            match = await self._ask("gp", "(?:PO([0-9A-F]{8})|GS([0-9A-F]{2}))", "a position")
            if match[1] is not None:
                return self.reading(_signed(match[1]) / self._pulses_per_degree)
            # The answer to a stop, which nobody waits for, may come first.
            if int(match[2], 16) not in (_OK, _BUSY) or trio.current_time() >= deadline:
                raise self._failed("gp", int(match[2], 16))
            await trio.sleep(_LOOK_S)

    async def is_moving(self) -> bool:
        """Raises DeviceError when the unit reports anything but rest or motion."""
        status = int((await self._ask("gs", "GS([0-9A-F]{2})", "a status"))[1], 16)
        if status not in (_OK, _BUSY):
            raise self._failed("gs", status)
        return status == _BUSY

    async def stop(self) -> bool:
        moving = await self.seems_moving()
        await self.line.command(f"{self._address}st")
        return moving

    def last_will(self) -> tuple[LastWill, ...]:
        a = self._address
        return self.will_of(f"{a}st", f"rotator {a} stopped", f"{a}gs", f"{a}GS00")

    async def poll(self) -> Mapping[str, Scalar]:
        position = float((await self.position()).value)
        return {"position": position, "moving": await self.is_moving()}

    async def _wait_ready(self) -> None:
        """A unit that still moves would take the next move for an error."""
        deadline = trio.current_time() + _BUSY_S
        while await self.is_moving():
            if trio.current_time() >= deadline:
                raise DeviceError(f"{self.id}: it still moves, so it was not sent anywhere else")
            await trio.sleep(_LOOK_S)

    async def _ask(self, command: str, pattern: str, expected: str) -> re.Match[str]:
        asked = self._address + command
        return await self.ask(asked, self._address + pattern, f"{self._address} and {expected}")

    async def _reply(self, command: str) -> str:
        wanted = command[1:3].upper()
        words = {"GP": ("PO", "GS"), "SV": ("GS",)}.get(wanted, (wanted, "GS"))
        return await self.line.query(command, accepts=lambda text: self._is_mine(text, words))

    def _is_mine(self, text: str, words: tuple[str, ...]) -> bool:
        """A whole reply of this unit to such a command, or something that nobody can have meant."""
        if re.fullmatch(r"[0-9A-F](?:IN\w{30}|PO\w{8}|GS\w{2}|GV\w{2}|GJ\w{8}|HO\w{8})", text):
            return text[0] == self._address and text[1:3] in words
        return True

    async def _velocity(self) -> int:
        return int((await self._ask("gv", "GV([0-9A-F]{2})", "a velocity"))[1], 16)

    async def _set_velocity(self, percent: int) -> None:
        match = await self._ask(f"sv{percent:02X}", "GS([0-9A-F]{2})", "a status")
        if int(match[1], 16) != _OK:
            raise self._failed(f"sv{percent:02X}", int(match[1], 16))

    def _failed(self, command: str, status: int) -> DeviceError:
        text = _STATUS.get(status, "unknown status")
        return DeviceError(
            f"{self.id}: {command!r} at address {self._address} was answered with "
            f"GS{status:02X}: {text}"
        )


def _signed(digits: str) -> int:
    number = int(digits, 16)
    return number - (1 << 32) if number & (1 << 31) else number
