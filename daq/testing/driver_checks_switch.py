"""What holds for every source of light: shutter, wavelength and emission do what they were told."""

from __future__ import annotations

import math
from functools import partial

import trio

from daq.core import (
    Capability,
    EmissionControl,
    LimitError,
    Limits,
    ShutterControl,
    WavelengthTunable,
)
from daq.drivers import Driver
from daq.testing.driver_checks import Check
from daq.testing.driver_subject import ConformanceError, Subject, expect, expect_error

__all__ = ["SWITCHING"]

_NM = 1.0
"""How close a tuned wavelength has to be."""


async def the_shutter_obeys(subject: Subject) -> None:
    """It is open or closed when the command returns, also the second time."""
    async with subject.connected() as driver:
        if not isinstance(driver, ShutterControl):
            raise ConformanceError("it declares shutter control and has none")
        for wanted in (False, False, True, True, False):
            await (driver.open_shutter() if wanted else driver.close_shutter())
            expect(await driver.is_shutter_open() is wanted, f"is_shutter_open is not {wanted}")


async def the_wavelength_obeys(subject: Subject) -> None:
    """It is tuned when the command returns; a wavelength outside changes nothing."""
    async with subject.connected() as driver:
        laser, limits = _tunable(driver)
        for fraction in (0.5, 0.4):
            wanted = limits.low + fraction * (limits.high - limits.low)
            await laser.set_wavelength(wanted)
            tuned = await laser.wavelength()
            expect(abs(tuned - wanted) <= _NM, f"tuned to {wanted:g} nm, it is at {tuned:g} nm")
        for outside in (limits.low - 1.0, limits.high + 1.0, math.nan):
            await expect_error(
                LimitError, f"{outside:g} nm", partial(laser.set_wavelength, outside)
            )
        expect(abs(await laser.wavelength() - tuned) <= _NM, "a refused wavelength changed it")


async def a_cancelled_tuning_can_be_repeated(subject: Subject) -> None:
    """Tuning that is cancelled half way and stopped can be started again."""
    async with subject.connected() as driver:
        laser, limits = _tunable(driver)
        with trio.move_on_after(0.01):
            await laser.set_wavelength(limits.high)
        await driver.stop()
        await laser.set_wavelength(limits.low)
        expect(abs(await laser.wavelength() - limits.low) <= _NM, "it does not tune any more")


async def the_emission_obeys(subject: Subject) -> None:
    """It is on or off when the command returns."""
    async with subject.connected() as driver:
        if not isinstance(driver, EmissionControl):
            raise ConformanceError("it declares emission control and has none")
        for wanted in (False, True, True, False):
            await driver.set_emission(wanted)
            expect(await driver.emission() is wanted, f"emission is not {wanted}")


def _tunable(driver: Driver) -> tuple[WavelengthTunable, Limits]:
    limits = driver.description.wavelength_limits
    if not isinstance(driver, WavelengthTunable) or limits is None:
        raise ConformanceError("it declares wavelength tuning without methods or limits")
    return driver, limits


SWITCHING: tuple[tuple[Capability | None, Check], ...] = (
    (Capability.SHUTTER_CONTROLLABLE, the_shutter_obeys),
    (Capability.WAVELENGTH_TUNABLE, the_wavelength_obeys),
    (Capability.WAVELENGTH_TUNABLE, a_cancelled_tuning_can_be_repeated),
    (Capability.EMISSION_CONTROLLABLE, the_emission_obeys),
)
