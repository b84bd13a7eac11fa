"""Live values of an idle bench: what nobody takes is asked for, and joins what is published."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from fnmatch import fnmatchcase

from daq.client import AsyncClient, DeviceInfo, Sample
from daq.core import Capability, InvalidReadingError, OfflineError

__all__ = ["Source", "merged", "polled", "values_of"]

Samples = AsyncGenerator[Sample, None]


@dataclass(frozen=True, slots=True)
class Source:
    """A stream among those that are merged."""

    samples: Samples
    is_shown: bool = True
    """False where taking them publishes them too, so that they come with the measurements."""


async def polled(daemon: AsyncClient, channels: Sequence[str], rate_hz: int) -> list[Source]:
    """Streams that ask the devices behind these channels, all of them without any."""
    found: list[Source] = []
    for device in (await daemon.devices.list()).devices:
        is_wanted = not channels or _fits(device.id, channels)
        capabilities = device.description.capabilities
        if is_wanted and device.snapshot.state.is_online:
            if Capability.READABLE in capabilities:
                found.append(Source(values_of(daemon, device, "", rate_hz), is_shown=False))
            if Capability.MOVABLE in capabilities:
                found.append(Source(_positions(daemon, device, rate_hz)))
        names = [row.name for row in device.description.parameters]
        wanted = [name for name in names if _fits(f"{device.id}.{name}", channels)]
        if wanted:
            stream = daemon.streams.observables([device.id], wanted, max_rate_hz=rate_hz)
            found.append(Source(stream))
    return found


async def values_of(daemon: AsyncClient, device: DeviceInfo, name: str, rate_hz: int) -> Samples:
    """The values of a device at a rate: its parameter `name`, else its reading or its position.

    Where there is no value now, as in an overload, it is NaN, and the next one is waited for.
    """
    while True:
        try:
            if name:
                stream = daemon.streams.observables([device.id], [name], max_rate_hz=rate_hz)
            elif Capability.READABLE in device.description.capabilities:
                stream = daemon.streams.readings(device.id, rate_hz)
            else:
                stream = _positions(daemon, device, rate_hz)
            async with aclosing(stream):
                async for sample in stream:
                    yield sample
        except InvalidReadingError:
            yield Sample(device.id, time.time_ns(), math.nan, device.description.units)
            await asyncio.sleep(1 / rate_hz)
        else:
            return


@contextlib.asynccontextmanager
async def merged(sources: Sequence[Source], tell: Callable[[str], None]) -> AsyncIterator[Samples]:
    """What all of the streams yield, as it comes. Every one is closed at the end of the block.

    It ends when all have ended. A device that goes offline ends its own only, which is told; any
    other error is raised, once.
    """
    queue: asyncio.Queue[_Item] = asyncio.Queue(maxsize=len(sources))
    pumps = [asyncio.create_task(_pump(source, queue, tell)) for source in sources]
    try:
        async with aclosing(_taken(queue, len(sources))) as samples:
            yield samples
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


_Item = Sample | Exception | None
"""None for a stream that has ended."""


async def _pump(source: Source, queue: asyncio.Queue[_Item], tell: Callable[[str], None]) -> None:
    ending: Exception | None = None
    try:
        async with aclosing(source.samples):
            async for sample in source.samples:
                if source.is_shown:
                    await queue.put(sample)
    except OfflineError as error:
        tell(f"no more values: {error.message}")
    except Exception as error:  # noqa: BLE001 - raised by whoever takes, who would wait for ever
        ending = error
    await queue.put(ending)


async def _taken(queue: asyncio.Queue[_Item], going_on: int) -> Samples:
    while going_on:
        item = await queue.get()
        if isinstance(item, Exception):
            raise item
        if item is None:
            going_on -= 1
        else:
            yield item


async def _positions(daemon: AsyncClient, device: DeviceInfo, rate_hz: int) -> Samples:
    positions = daemon.streams.positions(device.id, rate_hz)
    units, shown_ns = device.description.units, 0
    async with aclosing(positions):
        async for moment in positions:
            if moment.timestamp_ns != shown_ns:
                shown_ns = moment.timestamp_ns
                yield Sample(device.id, shown_ns, moment.position, units)


def _fits(channel: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(channel, pattern) for pattern in patterns)
