"""Newport 1830-C optical power meter."""

from __future__ import annotations

import math
from collections.abc import Mapping

import trio

from daq.core import (
    Capability,
    Category,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Invalid,
    InvalidReadingError,
    Limits,
    Reading,
    Scalar,
)
from daq.drivers.driver import DriverContext
from daq.drivers.line_driver import LineDriver
from daq.drivers.quantities import NUMBER
from daq.drivers.settings import Setting
from daq.transport import Dialect, PortSettings

__all__ = ["Meter1830c"]

_WAVELENGTH = Limits(300.0, 1100.0)
_FILTERS = ("slow", "medium", "fast")
_ZERO_S = 0.5
_SATURATED, _OVER_RANGE = 4, 8
"""Bits of the status byte."""


class Meter1830c(LineDriver):
    """Reads the power on its detector in W. The wavelength is the one that it is calibrated for.

    It has no identity to ask for: what answers `W?` and `U?` as a 1830-C does is taken for one.
    Setters are silent, so each is read back. A reading in other units, as somebody may choose on
    the front panel, is never taken for watts; one of a saturated detector is an error.

    Options: those of every `LineDriver`, and `wavelength` (nm), which is set on connecting.
    """

    usual_port = PortSettings("", baudrate=9600)
    # It drops a command that comes while it carries out the last one.
    usual_dialect = Dialect(end=b"\n", timeout_s=0.5, pause_s=0.01)
    attempts = 3

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._wavelength = self.options.number("wavelength", math.nan, "nm", _WAVELENGTH)
        self.options.finish()
        # It tells whole nanometres.
        self.offer_standard("wavelength", limits=_WAVELENGTH, tolerance=0.5)
        self.offer_settings(
            self._switch("attenuator", "A", "The detector's attenuator is in place"),
            Setting(
                DeviceParameter("filter", "str", "Averaging", choices=_FILTERS),
                self._filter,
                self._set_filter,
            ),
            Setting(
                DeviceParameter("range", "int", "0 is automatic", limits=Limits(0, 8)),
                self._range,
                self._set_range,
            ),
            self._switch("zero", "Z", "The present power is subtracted"),
        )

    @property
    def description(self) -> DeviceDescription:
        return self.describe(Category.POWER_METER, "W", [Capability.READABLE])

    async def identify(self) -> None:
        await self.line.command("E0")  # whether its echo is on, nobody knows
        try:
            await self.wavelength()
        except DeviceError as error:
            raise type(error)(
                f"{error.message}, as a Newport 1830-C does", advice=error.advice
            ) from error
        await self._use_watts()
        if not math.isnan(self._wavelength):
            await self.set_wavelength(self._wavelength)

    async def read(self) -> Reading:
        text = (await self.ask("D?", f"({NUMBER})", "a power in W"))[1]
        if "E" not in text.upper():  # only watts come with an exponent
            await self._use_watts()
            text = (await self.ask("D?", f"({NUMBER})", "a power in W"))[1]
        reading = self.reading(float(text))
        status = int((await self.ask("Q?", r"(\d{1,3})", "the status byte"))[1])
        if status & (_SATURATED | _OVER_RANGE):
            what = "the detector is saturated" if status & _SATURATED else "the range is exceeded"
            raise InvalidReadingError(
                f"{self.id}: {what}: 'D?' was answered with {text!r}, status {status}",
                advice="use the attenuator, a higher range, or range 0 (automatic)",
            )
        return reading

    async def wavelength(self) -> float:
        return float((await self.ask("W?", r"(\d{3,4})", "a wavelength in nm"))[1])

    async def set_wavelength(self, nm: float) -> None:
        command = f"W{round(nm):04d}"
        await self.line.command(command)
        kept = await self.wavelength()
        if kept != round(nm):
            raise DeviceError(f"{self.id}: {command!r} was sent and the wavelength is {kept:g} nm")

    async def poll(self) -> Mapping[str, Scalar | Invalid]:
        return {
            "reading": await self.reading_or_invalid(self.read),
            "wavelength": await self.wavelength(),
        }

    async def _use_watts(self) -> None:
        await self.line.command("U1")
        units = (await self.ask("U?", r"(\d)", "the number of its units"))[1]
        if units != "1":
            raise DeviceError(f"{self.id}: 'U1' was sent (watts) and 'U?' is {units!r}")

    async def _reply(self, command: str) -> str:
        # An echo, on until `E0` has worked, is no reply.
        return await self.line.query(command, accepts=lambda text: text != command)

    async def _filter(self) -> str:
        return _FILTERS[int((await self.ask("F?", "([123])", "1, 2 or 3"))[1]) - 1]

    async def _set_filter(self, name: str) -> None:
        await self.line.command(f"F{_FILTERS.index(name) + 1}")

    async def _range(self) -> int:
        return int((await self.ask("R?", "([0-8])", "0 to 8"))[1])

    async def _set_range(self, number: int) -> None:
        await self.line.command(f"R{number}")

    def _switch(self, name: str, letter: str, description: str) -> Setting:
        async def get() -> bool:
            return (await self.ask(f"{letter}?", "([01])", "0 or 1"))[1] == "1"

        async def change(on: bool) -> None:
            await self.line.command(f"{letter}{on:d}")
            if letter == "Z":
                await trio.sleep(_ZERO_S)

        return Setting(DeviceParameter(name, "bool", description), get, change)
