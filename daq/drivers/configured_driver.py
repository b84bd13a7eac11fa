"""What drivers share whose options make them what they are: a label, settings, a description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

import trio

from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceParameter,
    Limits,
    Reading,
    Scalar,
)
from daq.drivers.driver import Driver, DriverContext
from daq.drivers.options import Options
from daq.drivers.settings import Setting, SettingsTable

__all__ = ["ConfiguredDriver"]


class _Details(TypedDict, total=False):
    """What only some kinds of instruments have; see `DeviceDescription`."""

    limits: Limits
    tolerance: float
    resolution: tuple[int, int]
    bits_per_pixel: int
    exposure_limits: Limits
    wavelength_limits: Limits


class ConfiguredDriver(Driver):
    """A driver that reads its options when it is built, and has settings.

    A subclass reads its options in its constructor and ends that with `self.options.finish()`; it
    says what can be set by `offer_settings`, and what it is by `describe`.

    Option of all of them: `label`.
    """

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.options = Options(context.device_id, context.options)
        self.label = self.options.text("label", "")
        self._settings = SettingsTable(self.id)

    @property
    def id(self) -> str:
        """The device's id, as errors name it."""
        return self.context.device_id

    @property
    def parameters(self) -> tuple[DeviceParameter, ...]:
        """What the description says about the settings."""
        return self._settings.parameters

    def offer_settings(self, *settings: Setting) -> None:
        """Say which parameters there are, in the order in which people see them."""
        self._settings.offer(settings)

    def describe(
        self,
        category: Category,
        units: str,
        capabilities: Iterable[Capability],
        *,
        dtype: str = "f8",
        shape: tuple[int, ...] = (),
        **details: Unpack[_Details],
    ) -> DeviceDescription:
        """A description of such an instrument, with its settings.

        Args:
            category: Its kind.
            units: Of its own channel: of a position, or of a reading.
            capabilities: Beside that it has parameters.
            dtype: Of its own channel, numpy's type string.
            shape: Of one sample there.
            **details: The fields of `DeviceDescription` that only some kinds have.
        """
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=category,
            capabilities=frozenset({*capabilities, Capability.PARAMETERIZED}),
            channel=Channel(self.id, units, dtype, shape),
            label=self.label,
            units=units,
            parameters=self.parameters,
            **details,
        )

    def reading(self, value: float) -> Reading:
        """A value that is true now."""
        return Reading(value, self.context.timebase.now_ns())

    async def stop(self) -> bool:
        """Nothing that moves or acquires by itself."""
        await trio.lowlevel.checkpoint()
        return False

    async def get_parameter(self, name: str) -> Scalar:
        return await self._settings.get(name)

    async def set_parameter(self, name: str, value: Scalar) -> None:
        await self._settings.set(name, value)

    async def settings(self) -> dict[str, Scalar]:
        return {**await self._settings.all(), **await self.poll()}
