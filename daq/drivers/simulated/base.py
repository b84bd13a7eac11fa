"""What all simulated drivers share: common options, the link, the bench, noise and parameters."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import trio

from daq.core import DeviceError, DeviceParameter, LimitError, Limits, Reading, Scalar
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import Options
from daq.drivers.simulated.bench import Bench
from daq.drivers.simulated.link import open_link, read_fault

__all__ = ["NOT_NEGATIVE", "POSITIVE", "Halt", "Setting", "SimulatedDriver"]

NOT_NEGATIVE = Limits(0.0, math.inf)
POSITIVE = Limits(1e-12, 1e12)
"""Finite, because the limits of parameters cross the wire and are shown to people."""

_DTYPES: Mapping[str, type[Scalar]] = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter and the instrument's side of it: how it is read, and how it is set."""

    parameter: DeviceParameter
    get: Callable[[], Scalar]
    set: Callable[[Scalar], None] | None = None


class Halt:
    """Wakes what waits for a motion or an acquisition to end, when it is told to stop."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def raise_(self) -> None:
        """Wake the one who waits."""
        self._event.set()

    def rearm(self) -> None:
        """Forget stops that came before what begins now."""
        self._event = trio.Event()

    async def came_before(self, deadline: float) -> bool:
        """Wait until `deadline` (Trio time); at once True when a stop comes earlier."""
        with trio.move_on_at(deadline):
            await self._event.wait()
        return self._event.is_set()


class SimulatedDriver(Driver):
    """A driver whose instrument is simulated.

    A subclass reads its options in its constructor, ends that with `self.options.finish()`, and
    gives its settable values as `settings_table`. Whatever it exchanges with its instrument goes
    over `self.link`, where latency and faults are.

    Options of every simulated driver: `label`, `seed` (of its noise; random when not given),
    `latency` (of an exchange, s), and `fault` (a table, see `daq.drivers.simulated.link.Fault`).
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.options = Options(context.device_id, context.options)
        self.label = self.options.text("label", "")
        self.random = self._noise_source()
        self.link = open_link(
            context.device_id,
            self.options.number("latency", 0.0, "s", NOT_NEGATIVE),
            read_fault(self.options.table("fault")),
        )
        self.bench: Bench = context.shared.setdefault(Bench, Bench())
        self.settings_table: Mapping[str, Setting] = {}

    @property
    def id(self) -> str:
        """The device's id, as errors name it."""
        return self.context.device_id

    @property
    def parameters(self) -> tuple[DeviceParameter, ...]:
        """What the description says about the settings."""
        return tuple(setting.parameter for setting in self.settings_table.values())

    def offer_settings(self, settings: Iterable[Setting]) -> None:
        """Say which parameters there are, in the order in which people see them."""
        self.settings_table = {setting.parameter.name: setting for setting in settings}

    def reading(self, value: float) -> Reading:
        """A value that is true now."""
        return Reading(value, self.context.timebase.now_ns())

    async def connect(self) -> None:
        self.link.open()
        await self.link.query("*IDN?", lambda: f"daq,{self.context.driver_name},{self.id}")

    async def disconnect(self) -> None:
        self.link.close()
        await trio.lowlevel.checkpoint()

    async def stop(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def settings(self) -> Mapping[str, Scalar]:
        values = {name: await self.get_parameter(name) for name in self.settings_table}
        return {**values, **await self.poll()}

    async def get_parameter(self, name: str) -> Scalar:
        setting = self._setting(name)
        return await self.link.query(f"{name}?", setting.get)

    async def set_parameter(self, name: str, value: Scalar) -> None:
        setting = self._setting(name)
        if setting.set is None:
            raise DeviceError(f"{self.id}: the parameter {name!r} can only be read")
        accepted, apply = self._accepted(setting.parameter, value), setting.set
        await self.link.command(f"{name} {accepted}", lambda: apply(accepted))

    def _noise_source(self) -> np.random.Generator:
        seed = self.options.integer("seed", -1, limits=NOT_NEGATIVE)
        # The id goes in too, so that devices with the same seed do not have the same noise.
        entropy = None if seed < 0 else [seed, zlib.crc32(self.id.encode())]
        return np.random.Generator(np.random.SFC64(entropy))

    def _setting(self, name: str) -> Setting:
        try:
            return self.settings_table[name]
        except KeyError:
            known = ", ".join(self.settings_table) or "no parameters"
            raise DeviceError(
                f"{self.id} has no parameter {name!r}", advice=f"it has: {known}"
            ) from None

    def _accepted(self, parameter: DeviceParameter, value: Scalar) -> Scalar:
        if parameter.dtype == "float" and type(value) is int:
            value = float(value)
        if type(value) is not _DTYPES[parameter.dtype]:
            raise DeviceError(f"{self.id}: {parameter.name} takes {parameter.dtype}, not {value!r}")
        limits = parameter.limits
        if limits is not None and isinstance(value, int | float) and value not in limits:
            raise LimitError.outside(
                self.id, parameter.name, value, limits.low, limits.high, parameter.units
            )
        return value
