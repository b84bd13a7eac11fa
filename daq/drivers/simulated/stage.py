"""A linear stage that carries the knife edge, and a rotator that turns the polariser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import trio

from daq.core import (
    Capability,
    Category,
    DeviceDescription,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
)
from daq.core.mechanics import Axis
from daq.drivers.driver import DriverContext
from daq.drivers.motion import MotionLook, MotionTiming
from daq.drivers.options import NOT_NEGATIVE, POSITIVE
from daq.drivers.settings import Setting
from daq.drivers.simulated.base import SimulatedDriver
from daq.drivers.simulated.bench import Focus
from daq.drivers.simulated.positioner import Positioner

__all__ = ["AxisDefaults", "SimulatedAxis", "SimulatedRotator", "SimulatedStage"]


@dataclass(frozen=True, slots=True)
class AxisDefaults:
    """The options of an axis where the configuration says nothing."""

    units: str
    limits: Limits
    velocity: float
    """Units/s."""
    acceleration: float
    """Units/s²."""
    tolerance: float
    noise: float
    """Standard deviation of a readback."""


class SimulatedAxis(SimulatedDriver):
    """One axis that moves in trapezoids on Trio's clock.

    Options, in units of the axis: `limits`, `velocity`, `acceleration`, `position` (where it
    stands at the start), `home`, `tolerance`, `noise`, `backlash`, `timeout` (s beyond the
    computed duration of a motion).
    """

    def __init__(self, context: DriverContext, defaults: AxisDefaults) -> None:
        super().__init__(context)
        units, options = defaults.units, self.options
        self._units = units
        self._limits = options.limits("limits", defaults.limits, units)
        within = self._limits
        self._home = options.number("home", _nearest(0.0, within), units, within)
        self._tolerance = options.number("tolerance", defaults.tolerance, units, POSITIVE)
        self._axis = Axis(
            options.number("position", self._home, units, within),
            options.number("velocity", defaults.velocity, f"{units}/s", POSITIVE),
            options.number("acceleration", defaults.acceleration, f"{units}/s²", POSITIVE),
            trio.current_time,
            options.number("backlash", 0.0, units, NOT_NEGATIVE),
        )
        self._positioner = Positioner(
            self,
            self._axis,
            units=units,
            tolerance=self._tolerance,
            timeout=options.number("timeout", 1.0, "s", NOT_NEGATIVE),
            noise=options.number("noise", defaults.noise, units, NOT_NEGATIVE),
        )
        # Its word about its motion is exact, and a move returns when it has arrived.
        self.motion_timing = MotionTiming(begin_s=0.0, rest_s=0.0, timeout_s=math.inf)
        self.home_position = self._home
        self.offer_settings(*self._motion_settings())

    @property
    def description(self) -> DeviceDescription:
        return self.describe(
            Category.STAGE,
            self._units,
            [Capability.MOVABLE],
            limits=self._limits,
            tolerance=self._tolerance,
        )

    async def move_abs(self, position: float) -> None:
        self._limits.require(self.id, "position", position, self._units)
        await self._positioner.go(position, f"move {position:.6g}")

    async def position(self) -> Reading:
        return self.reading(await self._positioner.readback())

    async def is_moving(self) -> bool:
        return await self._positioner.is_moving()

    async def look_at_motion(self) -> MotionLook:
        moving, position = await self._positioner.look()
        return MotionLook(moving, self.reading(position))

    async def home(self) -> None:
        await self._positioner.go(self._home, "home")

    async def stop(self) -> bool:
        return await self._positioner.stop()

    async def poll(self) -> Mapping[str, Scalar]:
        moving, position = await self._positioner.look()
        return {"position": position, "moving": moving}

    def _motion_settings(self) -> tuple[Setting, ...]:
        axis, units = self._axis, self._units
        speed = DeviceParameter(
            "velocity", "float", "Cruising speed", f"{units}/s", limits=POSITIVE
        )
        ramp = DeviceParameter(
            "acceleration", "float", "Up to it and down", f"{units}/s²", limits=POSITIVE
        )
        return (
            self.setting(speed, lambda: axis.velocity, partial(setattr, axis, "velocity")),
            self.setting(ramp, lambda: axis.acceleration, partial(setattr, axis, "acceleration")),
        )


class SimulatedStage(SimulatedAxis):
    """A linear stage in mm.

    Its option `axis` says what it carries: `edge` (the default: a knife edge along x), `edge_y`
    (one along y), `focus` (the camera along the beam, behind a lens of `focal_length` mm whose
    focus is at `focus` mm) or `free` (nothing in the beam). `edge_offset` is the position in mm at
    which the edge stands in the middle of the beam.
    """

    DEFAULTS = AxisDefaults(
        units="mm",
        limits=Limits(-10.0, 10.0),
        velocity=10.0,
        acceleration=1000.0,
        tolerance=0.002,
        noise=0.0001,
    )

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context, self.DEFAULTS)
        role = self.options.choice("axis", "edge", ("edge", "edge_y", "focus", "free"))
        offset = self.options.number("edge_offset", 0.0, "mm")
        focal_length = self.options.number("focal_length", 100.0, "mm", POSITIVE)
        focus = self.options.number("focus", 0.0, "mm")
        self.options.finish()
        carriage = self._axis.carriage
        if role == "focus":
            self.bench.put_focus(lambda: Focus(focal_length, carriage() - focus))
        elif role != "free":
            self.bench.put_edge(lambda: carriage() - offset, vertical=role == "edge_y")


class SimulatedRotator(SimulatedAxis):
    """A rotation stage in degrees that turns a polariser.

    At 0 degrees the default polariser lets the laser's light through. Options: `extinction_ratio`
    and `polariser_offset` (the position at which the polariser's axis is at 0 degrees).
    """

    DEFAULTS = AxisDefaults(
        units="deg",
        limits=Limits(-360.0, 360.0),
        velocity=360.0,
        acceleration=14400.0,
        tolerance=0.02,
        noise=0.001,
    )

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context, self.DEFAULTS)
        ratio = self.options.number("extinction_ratio", 1000.0, "", Limits(1.0, 1e12))
        offset = self.options.number("polariser_offset", 0.0, "deg")
        self.options.finish()
        self.bench.put_polariser(lambda: self._axis.carriage() - offset, ratio)


def _nearest(value: float, limits: Limits) -> float:
    return min(max(value, limits.low), limits.high)
