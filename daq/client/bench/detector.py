"""Whatever gives a value when asked, and the subscriptions to it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from daq.client.bench.device import Device
from daq.client.bench.readings import Readings
from daq.client.bench.subscription import RATE_HZ, Subscribing, Subscription
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.status import Status
from daq.client.calls.async_client import AsyncClient
from daq.core import Capability

__all__ = ["Detector", "Signal"]


class Detector(Subscribing, Device):
    """A device that is read, in its `units`.

    meter.read().value
    meter.subscribe(print)
    for reading in meter: ...    # live, until the loop is left
    """

    capability = Capability.READABLE

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._triggered: Status[Readings] | None = None

    @property
    def value(self) -> Any:
        """A fresh reading: a float, or an array."""
        return self.read().value

    def read(self) -> Readings:
        """Take a reading; after `trigger`, the one that it took."""
        status, self._triggered = self._triggered, None
        return self._ask(self._acquire) if status is None else status.wait()

    async def _acquire(self, client: AsyncClient) -> Readings:
        return Readings.of_sample(await client.devices.read(self.name))

    def trigger(self) -> Status[Readings]:
        """Begin a reading; `read` gives it when the Status is done."""
        self._triggered = self._begin(self._acquire, f"{self.name}: the reading")
        return self._triggered

    def stream(self, rate_hz: int = RATE_HZ) -> BlockingStream[Readings]:
        """Live readings at a rate, to iterate over; close it, or use it as a `with` block."""
        if self._description.channel.shape:
            return self._portal.stream(lambda client: self._waveforms(client, rate_hz), depth=4)
        return self._portal.stream(lambda client: self._numbers(client, rate_hz))

    async def _numbers(self, client: AsyncClient, rate_hz: int) -> AsyncGenerator[Readings, None]:
        """Read once a period by the daemon, however many watch."""
        async with aclosing(client.streams.readings(self.name, rate_hz)) as samples:
            async for sample in samples:
                yield Readings.of_sample(sample)

    async def _waveforms(self, client: AsyncClient, rate_hz: int) -> AsyncGenerator[Readings, None]:
        """That stream carries numbers only, so waveforms are asked for one by one."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            yield await self._acquire(client)
            due = max(due + 1 / rate_hz, loop.time())
            await asyncio.sleep(due - loop.time())

    def __iter__(self) -> Iterator[Readings]:
        with self.stream() as readings:
            yield from readings

    @functools.cached_property
    def signal(self) -> Signal:
        """The value as bluesky's suspenders take it: `SuspendFloor(meter.signal, 1e-3)`."""
        return Signal(self)


class Signal:
    """A detector's value as an ophyd signal: callbacks take `value=` and more keywords."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._callbacks: dict[Callable[..., object], Callable[[Readings], object]] = {}
        self.name = detector.name

    def __repr__(self) -> str:
        return f"<Signal {self.name}>"

    def get(self) -> Any:
        """A fresh reading's value."""
        return self._detector.value

    def subscribe(
        self, callback: Callable[..., object], event_type: str | None = None, run: bool = True
    ) -> Subscription:
        """Call `callback(value=..., timestamp=..., obj=...)` for each reading.

        Args:
            callback: Takes keywords.
            event_type: ophyd's; there is one type of events.
            run: Call it once at once.

        Returns:
            The subscription; close it to hear no more.
        """
        del event_type

        def tell(readings: Readings) -> object:
            return callback(value=readings.value, timestamp=readings.timestamp_ns / 1e9, obj=self)

        if run:
            tell(self._detector.read())
        self._callbacks[callback] = tell
        return self._detector.subscribe(tell)

    def clear_sub(self, callback: Callable[..., object]) -> None:
        """End the subscription of a callback."""
        self._detector.clear_sub(self._callbacks.pop(callback, callback))
