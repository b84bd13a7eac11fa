"""A camera that sees the beam."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import numpy as np
import numpy.typing as npt
import trio

from daq.core import (
    BusyError,
    Capability,
    Category,
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
    StateError,
)
from daq.core.mechanics import Axis
from daq.drivers.driver import DriverContext
from daq.drivers.options import NOT_NEGATIVE, POSITIVE
from daq.drivers.simulated.base import Halt, SimulatedDriver
from daq.drivers.simulated.bench import Light
from daq.drivers.simulated.positioner import Positioner
from daq.drivers.simulated.sensor import NoisePool, Sensor

__all__ = ["SimulatedCamera"]

_CAPABILITIES = (
    Capability.FRAME_PRODUCER,
    Capability.TRIGGERABLE,
)
_EXPOSURE = Limits(1e-5, 10.0)
_TEMPERATURE = Limits(200.0, 300.0)
_INSTANT = 1e6
"""K/s²: cooling has no inertia worth speaking of."""
_TEMPERATURE_NOISE = 0.005
_GAIN = Limits(0.01, 100.0)
_INLINE_PIXELS = 640 * 480
"""Larger frames take longer than a step on the Trio loop may, and are computed in a thread."""


class SimulatedCamera(SimulatedDriver):
    """Delivers frames of the cut beam, u2 counts, at 1 / (exposure + readout) frames a second.

    A trigger takes one frame, which the next `frames` delivers first; `arm` and `stop` forget it.

    Options: `resolution` ([width, height]), `pixel_pitch` (mm), `exposure` (s), `readout` (s),
    `gain` (counts per electron), `quantum_efficiency`, `nd_filter` (optical density),
    `read_noise` (electrons), `offset` (counts), `bits`, `temperature` (of the sensor, K) and
    `cooling_speed` (K/s).
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._exposure = self.options.number("exposure", 0.01, "s", _EXPOSURE)
        self._readout = self.options.number("readout", 0.005, "s", NOT_NEGATIVE)
        self._gain = self.options.number("gain", 1.0, "counts per electron", _GAIN)
        self._sensor = self._read_sensor()
        width, height = self._sensor.size
        self._noise = NoisePool(self.random, width * height)
        self._cooling = self._read_cooling()
        self.options.finish()
        self._halt = Halt()
        self._running = False
        self._armed = False
        self._triggered: Reading | None = None
        gain = DeviceParameter("gain", "float", "", "counts per electron", limits=_GAIN)
        pitch = DeviceParameter(
            "pixel_pitch", "float", "Edge length of a pixel", "mm", writable=False
        )
        self.offer_standard("exposure", limits=_EXPOSURE)
        self.offer_standard(
            "temperature", description="Of the sensor", limits=_TEMPERATURE, settle_s=600.0
        )
        self.offer_settings(
            self.setting(gain, lambda: self._gain, self._set_gain),
            self.setting(pitch, lambda: self._sensor.pitch),
        )

    @property
    def description(self) -> DeviceDescription:
        width, height = self._sensor.size
        return self.describe(
            Category.CAMERA,
            "counts",
            _CAPABILITIES,
            dtype="u2",
            shape=(height, width),
            resolution=(width, height),
            bits_per_pixel=self._sensor.bits,
        )

    async def arm(self) -> None:
        await self.link.command("arm", self._arm)
        if not await self.link.query("armed?", lambda: self._armed):
            raise DeviceError(f"{self.id}: was told to arm and is not armed")

    async def trigger(self) -> int:
        if not await self.link.query("armed?", lambda: self._armed):
            raise StateError(
                f"{self.id}: is not armed, so it does not see the trigger",
                advice="call arm() first",
            )
        await self._begin()
        try:
            frame = await self._next_frame(trio.current_time() + self._exposure)
        finally:
            self._running = False
        if frame is None:
            raise DeviceError(f"{self.id}: was stopped before the triggered frame was complete")
        self._triggered = frame
        return frame.timestamp_ns

    async def frames(self, count: int | None) -> AsyncGenerator[Reading, None]:
        if count is not None and count < 1:
            raise DeviceError(f"{self.id}: at least one frame can be acquired, not {count}")
        await self._begin()
        taken = 0
        try:
            if self._triggered is not None:
                frame, self._triggered = self._triggered, None
                taken = 1
                yield frame
            due = trio.current_time() + self._exposure
            while count is None or taken < count:
                live = await self._next_frame(due)
                if live is None:
                    break
                taken += 1
                due = max(due + self._exposure + self._readout, trio.current_time())
                yield live
        finally:
            self._running = False
        if count is not None and taken < count:
            raise DeviceError(f"{self.id}: was stopped after {taken} of {count} frames")

    async def exposure(self) -> float:
        return await self.link.query("exposure?", lambda: self._exposure)

    async def set_exposure(self, seconds: float) -> None:
        await self.link.command(f"exposure {seconds:g}", lambda: self._expose_for(seconds))
        if await self.exposure() != seconds:
            raise DeviceError(f"{self.id}: did not take the exposure {seconds:g} s")

    async def temperature(self) -> float:
        return await self._cooling.readback()

    async def temperature_setpoint(self) -> float:
        return await self.link.query("setpoint?", lambda: self._cooling.axis.target)

    async def set_temperature(self, kelvin: float) -> None:
        """Returns at once; the sensor follows."""
        await self.link.command(f"temperature {kelvin:g}", lambda: self._cooling.axis.begin(kelvin))

    async def stop(self) -> bool:
        """End the acquisition and disarm; a sensor that is being cooled stays as cold as it is."""
        stopped = await self._cooling.stop()
        if not await self.link.query("busy?", lambda: self._running or self._armed):
            return stopped
        await self.link.command("stop", self._stop)
        return True

    async def poll(self) -> Mapping[str, Scalar]:
        return {
            "exposure": await self.exposure(),
            "temperature": await self.temperature(),
            "armed": await self.link.query("armed?", lambda: self._armed),
            "acquiring": await self.link.query("busy?", lambda: self._running),
        }

    async def _begin(self) -> None:
        if self._running:
            raise BusyError(f"{self.id}: acquires already", advice="stop that acquisition first")
        self._halt.rearm()
        await self.link.command("acquire", self._run)

    async def _next_frame(self, due: float) -> Reading | None:
        """The frame that is complete at `due` (Trio time); None when a stop came before."""
        if await self._halt.came_before(due):
            return None
        light = await self.link.query(
            "frame?", lambda: self.bench.light() if self._running else None
        )
        if light is None:
            raise DeviceError(
                f"{self.id}: no frame came within its exposure of {self._exposure:g} s"
            )
        timestamp_ns = self.context.timebase.now_ns()
        return Reading(await self._render(light), timestamp_ns)

    async def _render(self, light: Light) -> npt.NDArray[np.uint16]:
        width, height = self._sensor.size
        arguments = (light, self._exposure, self._gain, self._noise.draw())
        if width * height <= _INLINE_PIXELS:
            return self._sensor.expose(*arguments)
        return await trio.to_thread.run_sync(self._sensor.expose, *arguments)

    def _read_cooling(self) -> Positioner:
        start = self.options.number("temperature", 293.0, "K", _TEMPERATURE)
        speed = self.options.number("cooling_speed", 20.0, "K/s", POSITIVE)
        axis = Axis(start, speed, _INSTANT, trio.current_time)
        return Positioner(
            self, axis, units="K", tolerance=0.1, timeout=1.0, noise=_TEMPERATURE_NOISE
        )

    def _read_sensor(self) -> Sensor:
        options = self.options
        return Sensor(
            size=options.size("resolution", (640, 480), Limits(8, 8192)),
            pitch=options.number("pixel_pitch", 0.01, "mm", POSITIVE),
            quantum_efficiency=options.number("quantum_efficiency", 0.6, "", Limits(0.0, 1.0)),
            density=options.number("nd_filter", 6.0, "", NOT_NEGATIVE),
            read_noise=options.number("read_noise", 3.0, "electrons", NOT_NEGATIVE),
            offset=options.number("offset", 100.0, "counts", NOT_NEGATIVE),
            bits=options.integer("bits", 16, limits=Limits(8, 16)),
        )

    def _arm(self) -> None:
        self._armed = True
        self._triggered = None

    def _run(self) -> None:
        self._running = True

    def _stop(self) -> None:
        self._halt.raise_()
        self._armed = False
        self._triggered = None

    def _expose_for(self, seconds: float) -> None:
        self._exposure = seconds

    def _set_gain(self, counts_per_electron: float) -> None:
        self._gain = counts_per_electron
