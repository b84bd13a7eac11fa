"""The six simulated drivers keep every contract, and the kit finds those that do not."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
import trio

from daq.core import DeviceAction, DeviceDescription, Reading
from daq.drivers.declarative import shipped_descriptions
from daq.drivers.simulated import (
    SimulatedCamera,
    SimulatedDigitizer,
    SimulatedLaser,
    SimulatedPowerMeter,
    SimulatedRotator,
    SimulatedStage,
)
from daq.testing import ConformanceError, check_driver
from tests.conformance import IN_REAL_TIME, IN_VIRTUAL_TIME

ALWAYS = {
    "description_is_complete",
    "capabilities_are_what_is_implemented",
    "options_are_checked",
    "connects_again_and_again",
    "is_offline_when_disconnected",
    "poll_tells_the_state",
    "poll_survives_cancellation",
    "stop_when_idle_says_so",
    "garbled_answer",
    "owed_safe_state",
}
SETTING = {
    "parameters_keep_their_word",
    "standard_parameters_mean_what_they_say",
    "switches_obey",
    "standard_numbers_arrive",
    "a_setting_that_was_cancelled_can_be_repeated",
}
MOVING = {
    "moves_arrive_where_they_were_sent",
    "limits_hold",
    "stop_ends_a_move_half_way",
    "is_stopped_when_its_caller_goes",
    "late_flag",
}
READING = {"readings_are_true_and_in_order", "a_cancelled_read_spoils_nothing", "overload"}


@pytest.mark.parametrize("latency", [0.0, 0.003])
@pytest.mark.parametrize(
    ("driver", "checks"),
    [
        (SimulatedStage, MOVING),
        (SimulatedRotator, MOVING),
        (SimulatedPowerMeter, READING),
        (
            SimulatedCamera,
            {
                "triggers_need_arming",
                "frames_come_in_order",
                "frames_can_be_left_and_resumed",
                "stop_ends_frames",
            },
        ),
        (SimulatedLaser, READING),
        (SimulatedDigitizer, READING | {"samples_have_no_gaps", "stop_ends_samples"}),
    ],
)
async def test_every_simulated_driver_conforms(driver, checks, latency, autojump_clock):
    options = {"seed": 1, "latency": latency}
    assert set(await check_driver(driver, options)) == ALWAYS | SETTING | checks


@pytest.mark.parametrize("name", IN_VIRTUAL_TIME)
async def test_every_shipped_driver_conforms(name, autojump_clock):
    async with IN_VIRTUAL_TIME[name]() as (make, options):
        assert set(await check_driver(make, options, driver_name=name, timeout=1000.0)) > ALWAYS


def test_no_shipped_driver_or_description_is_left_out():
    tried = {*IN_VIRTUAL_TIME, *IN_REAL_TIME}
    shipped = {point.name for point in entry_points(group="daq.drivers") if _is_ours(point)}
    assert {name.partition(" ")[0] for name in tried} == shipped
    assert {f"declarative {name}" for name in shipped_descriptions()} <= tried


def _is_ours(point):
    return point.value.startswith("daq.drivers.")


class LimitlessStage(SimulatedStage):
    async def move_abs(self, position: float) -> None:
        await self._positioner.go(position, "move")


class LameStage(SimulatedStage):
    async def move_abs(self, position: float) -> None:
        self._limits.require(self.id, "position", position, "mm")
        await trio.lowlevel.checkpoint()


class DeafStage(SimulatedStage):
    async def stop(self) -> bool:
        return await self.is_moving()


class InventiveMeter(SimulatedPowerMeter):
    async def read(self) -> Reading:
        await trio.lowlevel.checkpoint()
        return Reading(math.nan, self.context.timebase.now_ns())


class StaleMeter(SimulatedPowerMeter):
    async def read(self) -> Reading:
        return Reading((await super().read()).value, 0)


class ShortCamera(SimulatedCamera):
    async def frames(self, count: int | None) -> AsyncGenerator[Reading, None]:
        await trio.lowlevel.checkpoint()
        yield Reading(np.zeros((480, 640), np.uint16), self.context.timebase.now_ns())


class PromisingMeter(SimulatedPowerMeter):
    @property
    def description(self) -> DeviceDescription:
        return replace(super().description, actions=(DeviceAction("blink"),))


class HangingMeter(SimulatedPowerMeter):
    async def read(self) -> Reading:
        await trio.sleep_forever()
        raise AssertionError


@pytest.mark.parametrize(
    ("driver", "complaint"),
    [
        (LimitlessStage, "limits_hold: a move to 12 raises LimitError"),
        (LameStage, "it did not begin to move: setpoint 1 mm"),
        (DeafStage, "stopped between -5 and 5, it is at"),
        (InventiveMeter, "a value is not finite"),
        (StaleMeter, "outside of the call"),
        (ShortCamera, "asked for 3 frames, it delivered 1"),
        (PromisingMeter, "it declares the action blink and has no method for it"),
        (HangingMeter, "was not over after 60 s"),
    ],
)
async def test_the_kit_finds_what_a_driver_breaks(driver, complaint, autojump_clock):
    with pytest.raises(ConformanceError) as caught:
        await check_driver(driver, {"seed": 1})
    assert complaint in str(caught.value)
