"""What all simulated drivers share: common options, the link, the bench, noise and parameters."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import trio

from daq.core import DeviceParameter, Scalar
from daq.drivers.configured_driver import ConfiguredDriver
from daq.drivers.driver import DriverContext
from daq.drivers.options import NOT_NEGATIVE
from daq.drivers.settings import Setting
from daq.drivers.simulated.bench import Bench
from daq.drivers.simulated.link import open_link, read_fault

__all__ = ["Halt", "SimulatedDriver"]


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


class SimulatedDriver(ConfiguredDriver):
    """A driver whose instrument is simulated.

    Whatever it exchanges with its instrument goes over `self.link`, where latency and faults are.

    Options of every simulated driver: `seed` (of its noise; random when not given), `latency` (of
    an exchange, s), and `fault` (a table, see `daq.drivers.simulated.link.Fault`).
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.random = self._noise_source()
        self.link = open_link(
            context.device_id,
            self.options.number("latency", 0.0, "s", NOT_NEGATIVE),
            read_fault(self.options.table("fault")),
        )
        self.bench: Bench = context.shared.setdefault(Bench, Bench())

    def setting(
        self,
        parameter: DeviceParameter,
        get: Callable[[], Scalar],
        change: Callable[[Any], None] | None = None,
        *,
        tolerance: float = 1e-4,
    ) -> Setting:
        """One that is asked for and told over the link; `get` and `change` are its far end."""
        name = parameter.name

        async def ask() -> Scalar:
            return await self.link.query(f"{name}?", get)

        async def tell(value: Any) -> None:
            if change is not None:
                await self.link.command(f"{name} {value}", partial(change, value))

        return Setting(parameter, ask, tell if change else None, tolerance)

    async def connect(self) -> None:
        self.link.open()
        await self.link.query("*IDN?", lambda: f"daq,{self.context.driver_name},{self.id}")

    async def disconnect(self) -> None:
        self.link.close()
        await trio.lowlevel.checkpoint()

    def _noise_source(self) -> np.random.Generator:
        seed = self.options.integer("seed", -1, limits=NOT_NEGATIVE)
        # The id goes in too, so that devices with the same seed do not have the same noise.
        entropy = None if seed < 0 else [seed, zlib.crc32(self.id.encode())]
        return np.random.Generator(np.random.SFC64(entropy))
