"""What drivers share whose options make them what they are: a label, settings, a description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import trio

from daq.core import (
    Capability,
    Category,
    Channel,
    DeviceDescription,
    DeviceParameter,
    Invalid,
    InvalidReadingError,
    Limits,
    Reading,
    Scalar,
    setpoint_of,
    standard,
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
    reading: Channel


class ConfiguredDriver(Driver):
    """A driver that reads its options when it is built, and has settings.

    A subclass reads its options in its constructor and ends that with `self.options.finish()`; it
    says what can be set by `offer_standard` and `offer_settings`, and what it is by `describe`.

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

    def offer_standard(self, name: str, **differing: Any) -> None:
        """Offer a standard parameter, by the driver's methods of its name.

        `temperature()` and `set_temperature(value)`, and `temperature_setpoint()` where the
        instrument tells what it was set to.

        Args:
            name: One of `daq.core.STANDARD`.
            **differing: The fields of its row that are not as usual, such as `limits`.
        """
        row = standard(name, **differing)
        ask_setpoint = getattr(self, row.setpoint, None) if row.setpoint else None
        if ask_setpoint is None:
            row = replace(row, setpoint="")
        change = getattr(self, f"set_{name}") if row.writable else None
        self.offer_settings(Setting(row, getattr(self, name), change, tolerance=None))
        if ask_setpoint is not None:
            self.offer_settings(Setting(setpoint_of(row), ask_setpoint))

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
            capabilities: Beside those that its parameters bring with them.
            dtype: Of its own channel, numpy's type string.
            shape: Of one sample there.
            **details: The fields of `DeviceDescription` that only some kinds have.

        Returns:
            The description, which never changes.
        """
        return DeviceDescription(
            id=self.id,
            driver=self.context.driver_name,
            category=category,
            capabilities=frozenset(capabilities),
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
        """The value of a parameter that was offered, asked of the instrument."""
        return await self._settings.get(name)

    async def set_parameter(self, name: str, value: Scalar) -> Scalar | None:
        """Set a parameter that was offered."""
        return await self._settings.set(name, value)

    async def reading_or_invalid(self, read: Callable[[], Awaitable[Reading]]) -> float | Invalid:
        """For `poll`: what `read` gives, or why there is none now."""
        try:
            return float((await read()).value)
        except InvalidReadingError as error:
            return Invalid(error.message.removeprefix(f"{self.id}: "))

    async def settings(self) -> dict[str, Scalar | Invalid]:
        """All that it is set to now, as a run notes it."""
        state = await self.poll()
        return {**await self._settings.all(state), **state}
