"""Spectra-Physics Mai Tai: a tunable Ti:sapphire laser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from daq.core import DeviceError, DeviceParameter, InterlockError, Limits, Reading
from daq.drivers.driver import DriverContext
from daq.drivers.last_will import LastWill
from daq.drivers.line_driver import LineDriver
from daq.drivers.quantities import parse_quantity
from daq.drivers.settings import Setting
from daq.drivers.tunable_laser import TunableLaser
from daq.transport import Dialect, PortSettings

__all__ = ["MaiTai"]

_EMITS = 1
"""Bit of the status byte."""
_LOOK_S = 0.1
_SECONDS = Limits(0.1, 3600.0)


class MaiTai(TunableLaser, LineDriver):
    """Tunes, switches its emission and its shutter, and reads its power in W.

    Commands are silent: each is followed by questions until the laser says that it is so, or by an
    error after its time is up. The emission is not switched on before it is warm, nor while the
    shutter is open.

    Options: `wavelength_limits` (nm), `wavelength_tolerance` (nm; it tells whole ones),
    `tuning_timeout`, `shutter_timeout`, `emission_timeout` (s), and those of every `TunableLaser`
    and `LineDriver`.
    """

    tells_serial = True
    # The manual: RS-232 at 9600 baud, 8N1, XON/XOFF. Its USB port comes up at 115200 baud without.
    usual_port = PortSettings("", baudrate=9600, flow_control="software")
    usual_dialect = Dialect(end=b"\n", timeout_s=2.0, pause_s=0.02)
    attempts = 2

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        options = self.options
        wavelengths = options.limits("wavelength_limits", Limits(690.0, 1040.0), "nm")
        self._tolerance = options.number("wavelength_tolerance", 1.0, "nm", Limits(0.1, 10.0))
        self._tuning_timeout = options.number("tuning_timeout", 60.0, "s", _SECONDS)
        self._shutter_timeout = options.number("shutter_timeout", 3.0, "s", _SECONDS)
        self._emission_timeout = options.number("emission_timeout", 60.0, "s", _SECONDS)
        options.finish()
        self._halts = 0
        self._tuning = False
        self.offer_light(wavelengths, self._tolerance)
        self.offer_settings(
            self._told("warm_up", "READ:PCTW?", "%", "How warm it is; it emits from 100 on"),
            self._told("pump_power", "PLAS:POW?", "W", "Of the pump laser"),
        )

    async def identify(self) -> None:
        identity = r".*Mai\s*Tai(?:[^,]*,(?P<serial>[^,]*))?.*"
        match = await self.ask_identity("*IDN?", identity, "Spectra Physics,MaiTai,...")
        self.serial.require(match["serial"] or "", "Mai Tai", self.line.address)

    async def read(self) -> Reading:
        return self.reading(await self._quantity("READ:POW?", "W"))

    async def shutter(self) -> bool:
        return (await self.ask("SHUT?", "([01])", "0 or 1"))[1] == "1"

    async def wavelength(self) -> float:
        return await self._quantity("READ:WAV?", "nm")

    async def set_wavelength(self, nm: float) -> None:
        begun, self._tuning = self._halts, True
        await self.line.command(f"WAV {nm:.0f}")
        kept = await self._quantity("WAV?", "nm")
        if kept != round(nm):
            raise DeviceError(f"{self.id}: 'WAV {nm:.0f}' was sent and its setpoint is {kept:g} nm")

        async def has_arrived() -> bool:
            if self._halts != begun:
                raise DeviceError(f"{self.id}: tuning to {nm:g} nm was stopped")
            return abs(await self.wavelength() - nm) <= self._tolerance

        if not await self._comes_true(has_arrived, self._tuning_timeout):
            raise DeviceError(
                f"{self.id}: tuned to {nm:g} nm, it is at {await self.wavelength():g} nm after "
                f"{self._tuning_timeout:g} s; the tolerance is {self._tolerance:g} nm"
            )
        self._tuning = False

    async def emission(self) -> bool:
        status = int((await self.ask("*STB?", r"(\d+)", "the status byte"))[1])
        return bool(status & _EMITS)

    async def set_emission(self, on: bool) -> None:
        word = "ON" if on else "OFF"
        if on and not await self.emission():
            await self._require_startable()
        await self.line.command(word)

        async def is_so() -> bool:
            return await self.emission() is on

        if not await self._comes_true(is_so, self._emission_timeout):
            raise DeviceError(
                f"{self.id}: {word!r} was sent and the emission is still "
                f"{'off' if on else 'on'} after {self._emission_timeout:g} s"
            )

    async def stop(self) -> bool:
        """End the tuning where it is; the shutter stays as it is."""
        if not self._tuning:
            await trio.lowlevel.checkpoint()
            return False
        self._halts += 1
        where = await self.wavelength()
        await self.line.command(f"WAV {where:.0f}")
        self._tuning = False
        return True

    def last_will(self) -> tuple[LastWill, ...]:
        if not self.close_on_stop:
            return ()
        return self.will_of("SHUT 0", "shutter closed", "SHUT?", r"(?:^|\n)0\s")

    async def set_shutter(self, is_open: bool) -> None:
        command = f"SHUT {is_open:d}"
        await self.line.command(command)

        async def is_so() -> bool:
            return await self.shutter() is is_open

        if not await self._comes_true(is_so, self._shutter_timeout):
            raise DeviceError(
                f"{self.id}: {command!r} was sent and the shutter is still "
                f"{'closed' if is_open else 'OPEN'} after {self._shutter_timeout:g} s",
                advice="look at the laser: front panel, key switch and interlock can hold it",
            )

    async def _require_startable(self) -> None:
        if await self.shutter():
            raise InterlockError(
                f"{self.id}: the emission is not switched on while the shutter is open",
                advice="close the shutter first",
            )
        warmth = await self._quantity("READ:PCTW?", "%")
        if warmth < 100.0:
            raise DeviceError(
                f"{self.id}: it is warmed up by {warmth:g} % only; it emits from 100 % on"
            )

    async def _comes_true(self, ask: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
        deadline = trio.current_time() + timeout_s
        while not await ask():
            if trio.current_time() >= deadline:
                return False
            await trio.sleep(_LOOK_S)
        return True

    async def _quantity(self, command: str, units: str) -> float:
        match = await self.ask(command, r"(.*\S.*)", f"a quantity in {units}")
        try:
            return parse_quantity(match[1], units)
        except ValueError as error:
            raise DeviceError(
                f"{self.id}: {command!r} on {self.line.address} was answered with {match[1]!r}; "
                f"expected a quantity in {units}"
            ) from error

    def _told(self, name: str, command: str, units: str, description: str) -> Setting:
        async def get() -> float:
            return await self._quantity(command, units)

        return Setting(DeviceParameter(name, "float", description, units, writable=False), get)
