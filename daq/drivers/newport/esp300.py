"""One axis of a Newport ESP300 motion controller."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from daq.core import (
    Capability,
    Category,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Limits,
    OfflineError,
    Reading,
    Scalar,
)
from daq.drivers.driver import DriverContext
from daq.drivers.last_will import LastWill
from daq.drivers.line_driver import LineDriver
from daq.drivers.motion import MotionTiming
from daq.drivers.quantities import NUMBER
from daq.drivers.settings import Setting
from daq.transport import Dialect, PortSettings

__all__ = ["Esp300Axis"]

logger = logging.getLogger(__name__)

_UNITS = {"mm": 2, "um": 3, "deg": 7, "rad": 9}
"""`SN` of the units that an axis may be configured in here."""
_ERROR = r"(\d+)\s*,\s*\d+\s*,\s*(.*)"
_MOST_ERRORS = 11
"""The controller keeps ten."""
_POSITIVE = Limits(1e-6, 1e6)


class Esp300Axis(LineDriver):
    """A stage on one of the axes; each axis is a device, and they share the controller's port.

    Every command is sent together with `TB?`, which answers with what was wrong with it. Motors are
    switched on when they are first moved. `MD?` is 1 when the motion is done.

    Options: `axis` (1 to 3), `units` (mm), `limits`, `tolerance`, `motion_timeout` (s that a motion
    may take) and those of every `LineDriver`. The controller tells no serial number, but its stages
    do: `serial` is that of the stage.
    """

    tells_serial = True
    # The manual: 19200 baud, 8N1, RTS/CTS. Without the handshake it may not answer at all.
    usual_port = PortSettings("", baudrate=19200, flow_control="hardware")
    usual_dialect = Dialect(end=b"\r", timeout_s=2.0)

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        options = self.options
        self._axis = options.integer("axis", 1, limits=Limits(1, 3))
        self._units = options.choice("units", "mm", _UNITS)
        units = self._units
        self._limits = options.limits("limits", Limits(-25.0, 25.0), units)
        self._tolerance = options.number("tolerance", 0.005, units, _POSITIVE)
        timeout_s = options.number("motion_timeout", 120.0, "s", _POSITIVE)
        self.motion_timing = MotionTiming(timeout_s=timeout_s)
        options.finish()
        self.offer_settings(
            self._setting("velocity", "VA", "Cruising speed", f"{units}/s"),
            self._setting("acceleration", "AC", "Up to it", f"{units}/s²"),
            self._setting("deceleration", "AG", "Down from it", f"{units}/s²"),
        )

    @property
    def description(self) -> DeviceDescription:
        return self.describe(
            Category.STAGE,
            self._units,
            [Capability.MOVABLE],
            limits=self._limits,
            tolerance=self._tolerance,
        )

    async def identify(self) -> None:
        await self.ask_identity("VE?", r".*ESP30[01].*", "ESP300 Version ...")
        if self.serial.is_wanted:
            stage = await self._ask_axis(
                "ID?", r".*,\s*(?:SN)?\s*([^\s,]+)", "model and serial number"
            )
            place = f"axis {self._axis} of {self.line.address}"
            self.serial.require(stage[1], "stage", place)
        units = int((await self._ask_axis("SN?", r"(\d+)", "the number of its units"))[1])
        if units != _UNITS[self._units]:
            raise DeviceError(
                f"{self.id}: axis {self._axis} counts in units {units} (SN), which is not "
                f"{self._units} ({_UNITS[self._units]})",
                advice="set the option units, or the axis's units on the controller",
            )

    async def move_abs(self, position: float) -> None:
        self._limits.require(self.id, "position", position, self._units)
        await self._power_on()
        await self._tell(f"{self._axis}PA{position:.6f}")

    async def home(self) -> None:
        await self._power_on()
        await self._tell(f"{self._axis}OR")

    async def position(self) -> Reading:
        match = await self._ask_axis("TP?", f"({NUMBER})", f"a position in {self._units}")
        return self.reading(float(match[1]))

    async def is_moving(self) -> bool:
        return (await self._ask_axis("MD?", "([01])", "1 when done, 0 when moving"))[1] == "0"

    async def stop(self) -> bool:
        moving = await self.seems_moving()
        await self._tell(f"{self._axis}ST")
        return moving

    def last_will(self) -> tuple[LastWill, ...]:
        axis = self._axis
        return self.will_of(f"{axis}ST", f"axis {axis} stopped", f"{axis}MD?", r"(?:^|\n)\s*1\s")

    async def poll(self) -> Mapping[str, Scalar]:
        position = float((await self.position()).value)
        return {"position": position, "moving": await self.is_moving()}

    def _setting(self, name: str, word: str, description: str, units: str) -> Setting:
        async def get() -> float:
            return float((await self._ask_axis(f"{word}?", f"({NUMBER})", f"a number, {units}"))[1])

        async def change(value: float) -> None:
            await self._tell(f"{self._axis}{word}{value:.6g}")

        parameter = DeviceParameter(name, "float", description, units, limits=_POSITIVE)
        return Setting(parameter, get, change)

    async def _ask_axis(self, word: str, pattern: str, expected: str) -> re.Match[str]:
        return await self.ask(f"{self._axis}{word}", pattern, expected)

    async def _power_on(self) -> None:
        """Switch a motor on that is off."""
        if (await self._ask_axis("MO?", "([01])", "0 or 1"))[1] == "1":
            return
        await self._tell(f"{self._axis}MO")  # if it stays off, the move is refused

    async def _tell(self, command: str) -> None:
        """Send a command and learn what the controller thinks of it; it is never sent twice."""
        asked = f"{command};TB?"
        mine: list[str] = []
        for _ in range(_MOST_ERRORS):
            match = await self._ask_error(asked)
            code = int(match[1])
            if code == 0:
                break
            text = f"{match[2].strip()} (error {code})"
            if code < 100 or code // 100 == self._axis:
                mine.append(text)
            else:
                logger.warning("%s: the controller says: %s", self.id, text)
            asked = "TB?"
        if mine:
            raise DeviceError(f"{self.id}: {command!r} was refused: {'; '.join(mine)}")

    async def _ask_error(self, asked: str) -> re.Match[str]:
        expected = "an error, a time, a message"
        try:
            return await self.ask(asked, _ERROR, expected, attempts=1)
        except OfflineError:
            raise
        except DeviceError:
            # The command has been heard: what it thinks of it may be asked again.
            return await self.ask("TB?", _ERROR, expected)
