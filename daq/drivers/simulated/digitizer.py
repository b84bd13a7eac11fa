"""A fast digitizer on a photodiode: pulses whose height follows the light."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

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
)
from daq.drivers.driver import DriverContext
from daq.drivers.options import NOT_NEGATIVE, POSITIVE
from daq.drivers.settings import Setting
from daq.drivers.simulated.base import Halt, SimulatedDriver

__all__ = ["PulseTrain", "SimulatedDigitizer"]

_SAMPLE_RATE = Limits(1e3, 1e8)
_RATE_STEP = 0.06
"""Relative: at the highest rates one nanosecond more for a sample is a tenth."""
_RANGE = Limits(0.01, 100.0)
_RECORD = Limits(2, 10_000_000)
_BLOCKS_PER_SECOND = 50
_INLINE_SAMPLES = 50_000
"""Longer records take longer than a step on the Trio loop may, and are computed in a thread."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PulseTrain:
    """The photodiode's voltage per peak voltage: exponential decays, one after the other."""

    interval_ns: int
    """From pulse to pulse."""
    decay_ns: float

    def sample(self, first_ns: int, period_ns: int, count: int) -> Samples:
        """Samples from `first_ns` after a pulse's rise, `period_ns` apart, peaks at 1."""
        since_rise = (first_ns + period_ns * np.arange(count, dtype=np.int64)) % self.interval_ns
        result = np.exp(since_rise.astype(np.float32) * np.float32(-1.0 / self.decay_ns))
        return np.asarray(result, dtype=np.float32)


class SimulatedDigitizer(SimulatedDriver):
    """Digitizes a photodiode behind the knife edge, in V.

    `read` waits for a pulse and gives one record of `record_length` samples, a tenth of it before
    the pulse; `samples` gives an unbroken series in 50 blocks a second.

    Options: `sample_rate` (S/s; a sample takes whole nanoseconds), `record_length`, `range` (V,
    both ways), `bits`, `noise` (V), `responsivity` (V of a pulse's peak per W), `repetition_rate`
    (Hz), `decay_time` (s), `buffer` (s of samples that it can hold for a slow reader).
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        options = self.options
        self._period_ns = _whole_ns(options.number("sample_rate", 1e6, "S/s", _SAMPLE_RATE))
        self._record_length = options.integer("record_length", 1000, limits=_RECORD)
        self._range = options.number("range", 2.0, "V", _RANGE)
        self._levels = 2 ** options.integer("bits", 14, limits=Limits(8, 16))
        self._noise = options.number("noise", 0.005, "V", NOT_NEGATIVE)
        self._responsivity = options.number("responsivity", 200.0, "V/W", NOT_NEGATIVE)
        self._buffer = options.number("buffer", 5.0, "s", POSITIVE)
        self._pulses = PulseTrain(
            _whole_ns(options.number("repetition_rate", 1000.0, "Hz", Limits(0.01, 1e7))),
            1e9 * options.number("decay_time", 5e-5, "s", POSITIVE),
        )
        options.finish()
        self._halt = Halt()
        self._running = False
        self.offer_settings(*self._input_settings())

    @property
    def description(self) -> DeviceDescription:
        offered, shape = (Capability.READABLE, Capability.SAMPLE_PRODUCER), (self._record_length,)
        return self.describe(Category.DETECTOR, "V", offered, dtype="f4", shape=shape)

    async def read(self) -> Reading:
        count, period_ns = self._record_length, self._period_ns
        await trio.sleep(count * period_ns * 1e-9)
        peak = await self.link.query("record?", self._peak)
        timestamp_ns = self.context.timebase.now_ns()
        before_trigger_ns = count // 10 * period_ns
        return Reading(
            await self._digitize(peak, -before_trigger_ns, period_ns, count), timestamp_ns
        )

    async def samples(self) -> AsyncGenerator[tuple[Reading, int], None]:
        if self._running:
            raise BusyError(f"{self.id}: acquires already", advice="stop that acquisition first")
        period_ns = self._period_ns
        count = max(1, round(1e9 / period_ns / _BLOCKS_PER_SECOND))
        self._halt.rearm()
        await self.link.command("run", self._run)
        began, began_ns = trio.current_time(), self.context.timebase.now_ns()
        first_ns = 0
        try:
            while not await self._halt.came_before(began + (first_ns + count * period_ns) * 1e-9):
                self._refuse_overrun(trio.current_time() - began - first_ns * 1e-9)
                peak = await self.link.query("block?", self._running_peak)
                block = await self._digitize(peak, first_ns, period_ns, count)
                yield Reading(block, began_ns + first_ns), period_ns
                first_ns += count * period_ns
        finally:
            self._running = False

    async def stop(self) -> bool:
        if not await self.link.query("running?", lambda: self._running):
            return False
        await self.link.command("stop", self._halt.raise_)
        return True

    async def poll(self) -> Mapping[str, Scalar]:
        return {"acquiring": await self.link.query("running?", lambda: self._running)}

    async def _digitize(self, peak: float, first_ns: int, period_ns: int, count: int) -> Samples:
        if count <= _INLINE_SAMPLES:
            return self._volts(peak, first_ns, period_ns, count)
        return await trio.to_thread.run_sync(self._volts, peak, first_ns, period_ns, count)

    def _volts(self, peak: float, first_ns: int, period_ns: int, count: int) -> Samples:
        """What the converter gives: pulses, noise, clipped to the range and in its steps."""
        volts = self._pulses.sample(first_ns, period_ns, count)
        volts *= np.float32(peak)
        volts += np.float32(self._noise) * self.random.standard_normal(count, dtype=np.float32)
        step = np.float32(2.0 * self._range / self._levels)
        np.rint(volts / step, out=volts)
        np.clip(volts, -self._levels // 2, self._levels // 2 - 1, out=volts)
        volts *= step
        return volts

    def _peak(self) -> float:
        return self.bench.light().power * self._responsivity

    def _running_peak(self) -> float:
        if not self._running:
            raise DeviceError(f"{self.id}: was told to run and delivers no samples")
        return self._peak()

    def _refuse_overrun(self, behind: float) -> None:
        if behind > self._buffer:
            raise DeviceError(
                f"{self.id}: overrun: its buffer holds {self._buffer:g} s of samples and nobody "
                f"fetched any for {behind:.3g} s",
                advice="lower sample_rate, or make its buffer longer",
            )

    def _input_settings(self) -> tuple[Setting, ...]:
        rate = DeviceParameter(
            "sample_rate", "float", "Of the next acquisition", "S/s", limits=_SAMPLE_RATE
        )
        volts = DeviceParameter("range", "float", "Full scale, both ways", "V", limits=_RANGE)
        length = DeviceParameter(
            "record_length", "int", "Samples of one record", "samples", writable=False
        )
        return (
            self.setting(
                rate, lambda: 1e9 / self._period_ns, self._set_sample_rate, tolerance=_RATE_STEP
            ),
            self.setting(volts, lambda: self._range, self._set_range),
            self.setting(length, lambda: self._record_length),
        )

    def _run(self) -> None:
        self._running = True

    def _set_sample_rate(self, hertz: float) -> None:
        self._period_ns = _whole_ns(hertz)

    def _set_range(self, volts: float) -> None:
        self._range = volts


def _whole_ns(rate: float) -> int:
    return max(1, round(1e9 / rate))
