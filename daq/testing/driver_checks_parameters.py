"""What holds for every parameter, and for the standard ones by what their rows say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import trio

from daq.core import (
    DTYPES,
    STANDARD,
    Capability,
    DaqError,
    DeviceError,
    DeviceParameter,
    LimitError,
    Scalar,
)
from daq.drivers import Driver
from daq.testing.driver_checks import Check
from daq.testing.driver_subject import Subject, expect, expect_error

__all__ = ["SETTING"]

_LOOK_S = 0.05
_USUAL_TOLERANCE = 0.01
"""How far a number without a tolerance may read back from what it was set to, relative."""


async def parameters_keep_their_word(subject: Subject) -> None:
    """Each has its type, takes its own value back, and refuses what its limits exclude."""
    async with subject.connected() as driver:
        for row in driver.description.parameters:
            if row.readable:
                await _check_parameter(driver, row)
        for call in (
            partial(driver.get_parameter, "no such parameter"),
            partial(driver.set_parameter, "no such parameter", 1),
        ):
            await expect_error(DeviceError, "an unknown parameter", call)


async def standard_parameters_mean_what_they_say(subject: Subject) -> None:
    """One with a standard name is the standard one, and `poll` tells it."""
    async with subject.connected() as driver:
        state = await driver.poll()
        for row in _standard(driver):
            usual = STANDARD[row.name]
            for what in ("dtype", "off", "restrained", "on_pause", "capability"):
                said = getattr(row, what)
                expect(said == getattr(usual, what), f"{row.name} has {what} = {said!r}")
            value = state.get(row.name)
            expect(type(value) is DTYPES[row.dtype], f"poll gives {row.name} = {value!r}")
            if row.is_number and row.writable:
                expect(row.limits is not None, f"the parameter {row.name} lacks limits")


async def switches_obey(subject: Subject) -> None:
    """A shutter or an emission is as it was told when the command returns, twice as well."""
    async with subject.connected() as driver:
        for row in [row for row in _standard(driver) if row.dtype == "bool" and row.writable]:
            for wanted in (False, False, True, True, False):
                await driver.set_parameter(row.name, wanted)
                value = await driver.get_parameter(row.name)
                expect(value is wanted, f"the {row.name} is not {row.in_words(wanted)}")


async def standard_numbers_arrive(subject: Subject) -> None:
    """A wavelength or an exposure reads back as set; one outside its limits changes nothing."""
    async with subject.connected() as driver:
        for row in _standard_numbers(driver):
            limits = row.limits
            assert limits is not None  # noqa: S101 - checked by the one before
            for fraction in (0.5, 0.4):
                await _set(driver, row, limits.low + fraction * (limits.high - limits.low))
            kept = await _what_was_set(driver, row)
            for outside in (limits.low - 1.0, limits.high + 1.0, math.nan):
                await expect_error(
                    LimitError,
                    f"{row.name} = {outside:g}",
                    partial(driver.set_parameter, row.name, outside),
                )
            after = await _what_was_set(driver, row)
            expect(_is_near(row, after, kept), f"a refused {row.name} changed it")


async def a_setting_that_was_cancelled_can_be_repeated(subject: Subject) -> None:
    """What takes time can be broken off half way, stopped, and set again."""
    async with subject.connected() as driver:
        for row in [row for row in _standard_numbers(driver) if row.settles]:
            assert row.limits is not None  # noqa: S101 - checked by another
            with trio.move_on_after(0.01):
                await driver.set_parameter(row.name, row.limits.high)
            await driver.stop()
            await _set(driver, row, row.limits.low)


def _standard(driver: Driver) -> Iterator[DeviceParameter]:
    return (row for row in driver.description.parameters if row.name in STANDARD and row.readable)


def _standard_numbers(driver: Driver) -> list[DeviceParameter]:
    return [row for row in _standard(driver) if row.is_axis and row.limits is not None]


async def _set(driver: Driver, row: DeviceParameter, wanted: Scalar) -> None:
    """Set it and wait as long as its row says."""
    await driver.set_parameter(row.name, wanted)
    deadline = trio.current_time() + row.settle_s
    while not _is_near(row, kept := await _readback(driver, row), wanted):
        in_time = trio.current_time() < deadline
        expect(in_time, f"{row.name} was set to {wanted!r} and reads {kept!r} {row.units}")
        await trio.sleep(_LOOK_S)


async def _readback(driver: Driver, row: DeviceParameter) -> Scalar:
    """What tells that it has arrived: without a tolerance only the setpoint does."""
    name = row.setpoint if row.setpoint and row.tolerance is None else row.name
    return await driver.get_parameter(name)


async def _what_was_set(driver: Driver, row: DeviceParameter) -> Scalar:
    return await driver.get_parameter(row.setpoint or row.name)


def _is_near(row: DeviceParameter, value: Scalar, wanted: Scalar) -> bool:
    if isinstance(value, bool | str) or isinstance(wanted, bool | str):
        return value == wanted
    tolerance = _USUAL_TOLERANCE * abs(wanted) if row.tolerance is None else row.tolerance
    return abs(value - wanted) <= tolerance


async def _check_parameter(driver: Driver, row: DeviceParameter) -> None:
    name, limits = row.name, row.limits
    value = await _what_was_set(driver, row)
    dtype = DTYPES[row.dtype]
    expect(type(value) is dtype, f"the parameter {name} is {value!r}, not a {row.dtype}")
    if not row.writable:
        await expect_error(
            DaqError, f"setting the read-only {name}", lambda: driver.set_parameter(name, value)
        )
        return
    if limits is not None and not isinstance(value, bool | str):
        near = min(max(value, limits.low), limits.high)
        expect(_is_near(row, value, near), f"the parameter {name} = {value!r} is outside {limits}")
        value = dtype(near)
    await driver.set_parameter(name, value)
    kept = await _what_was_set(driver, row)
    expect(kept == value or _is_near(row, kept, value), f"the parameter {name} was not kept")
    if limits is not None:
        below = dtype(limits.low - 1)
        await expect_error(
            LimitError, f"{name} = {below!r}", lambda: driver.set_parameter(name, below)
        )
        after = await _what_was_set(driver, row)
        expect(after == kept or _is_near(row, after, kept), f"a refused value changed {name}")


SETTING: tuple[tuple[Capability | None, Check], ...] = (
    (Capability.PARAMETERIZED, parameters_keep_their_word),
    (Capability.PARAMETERIZED, standard_parameters_mean_what_they_say),
    (Capability.PARAMETERIZED, switches_obey),
    (Capability.PARAMETERIZED, standard_numbers_arrive),
    (Capability.PARAMETERIZED, a_setting_that_was_cancelled_can_be_repeated),
)
