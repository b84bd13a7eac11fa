"""Builds simulated drivers that stand on one bench."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from daq.drivers import Driver, DriverContext, Timebase


@pytest.fixture
def build() -> Callable[..., Any]:
    """`await build(SimulatedStage, limits=[-1, 1])`: a connected driver on the test's own bench."""
    shared: dict[Any, Any] = {}

    async def build_connected(
        driver: type[Driver], device_id: str = "", *, connect: bool = True, **options: Any
    ) -> Driver:
        name = driver.__name__.removeprefix("Simulated").lower()
        options.setdefault("seed", 1)
        context = DriverContext(device_id or name, f"simulated.{name}", Timebase(), options, shared)
        built = driver(context)
        if connect:
            await built.connect()
        return built

    return build_connected
