"""Live values of several devices, of which one may leave."""

from __future__ import annotations

import asyncio

import pytest

from daq.cli.polling import Source, merged
from daq.client import Sample
from daq.core import DeviceError, OfflineError


async def values(channel, count, error=None):
    for number in range(count):
        yield Sample(channel, number, float(number), "mW")
    if error is not None:
        raise error


async def taken(*streams):
    told: list[str] = []
    async with merged([Source(stream) for stream in streams], told.append) as samples:
        return [(sample.channel, sample.value) async for sample in samples], told


def test_a_device_that_leaves_ends_its_own_values_and_that_is_told():
    gone = values("laser", 2, OfflineError("laser: disabled by ada"))
    shown, told = asyncio.run(taken(gone, values("meter", 3)))
    assert sorted(shown) == [("laser", 0), ("laser", 1), ("meter", 0), ("meter", 1), ("meter", 2)]
    assert told == ["no more values: laser: disabled by ada"]


@pytest.mark.parametrize("error", [DeviceError("laser: a defect"), ZeroDivisionError("a defect")])
def test_any_other_error_ends_all(error):
    with pytest.raises(type(error), match="a defect"):
        asyncio.run(asyncio.wait_for(taken(values("laser", 0, error), values("meter", 1)), 5))
