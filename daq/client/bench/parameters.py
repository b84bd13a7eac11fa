"""Parameters of a device: got and set by name, and those that are numbers as axes of scans."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

from daq.client.bench.readings import Readings
from daq.client.bench.subscription import RATE_HZ, Subscribing
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.portal import Portal
from daq.client.blocking.status import Status
from daq.client.calls.async_client import AsyncClient
from daq.core import (
    DeviceDescription,
    DeviceError,
    DeviceParameter,
    LimitError,
    ParameterError,
    Scalar,
    did_you_mean,
    parse_scalar,
)

__all__ = ["AxisValue", "MissingParameterError", "Parameters"]


class MissingParameterError(ParameterError, AttributeError):
    """The device has no parameter of that name. Also an AttributeError, so that `hasattr` works."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """A parameter of one device of one bench."""

    portal: Portal
    device: str
    row: DeviceParameter
    source: str
    """`daq://HOST:PORT/laser/wavelength`."""

    @property
    def axis(self) -> str:
        return f"{self.device}.{self.row.name}"

    def get(self) -> Scalar:
        reading = self.portal.call(lambda client: client.devices.get(self.device, self.row.name))
        return parse_scalar(reading.value, self.row.dtype)

    def set(self, value: Scalar) -> None:
        self.portal.call(lambda client: client.devices.set(self.device, self.row.name, value))


class Parameters:
    """A device's settings, to be got and set as attributes or by `[name]`."""

    __slots__ = ("_bound", "_device")
    _device: str
    _bound: Mapping[str, _Bound]

    def __init__(self, portal: Portal, description: DeviceDescription, source: str) -> None:
        bound = {
            row.name: _Bound(portal, description.id, row, f"{source}/{row.name}")
            for row in description.parameters
        }
        object.__setattr__(self, "_device", description.id)
        object.__setattr__(self, "_bound", bound)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bound)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.items())
        return f"<parameters of {self._device}: {settings}>"

    def items(self) -> list[tuple[str, Scalar]]:
        """Names and values of those that can be read."""
        return [(name, self[name]) for name, bound in self._bound.items() if bound.row.readable]

    def describe(self, name: str) -> DeviceParameter:
        """What a parameter is: type, units, limits, choices."""
        return self._find(name).row

    def axis(self, name: str) -> AxisValue:
        """A parameter that is a number as an axis of scans, also one that counts.

        Returns:
            Its value now, as something to scan.

        Raises:
            ParameterError: It is no number that can be got and set.
            MissingParameterError: There is no such parameter.
        """
        bound = self._find(name)
        if not bound.row.is_axis:
            raise ParameterError(f"{bound.axis} is no number that can be got and set")
        return AxisValue(bound.get(), bound.axis, bound)

    def __getitem__(self, name: str) -> Scalar:
        bound = self._find(name)
        value = bound.get()
        is_axis = isinstance(value, float) and bound.row.is_axis
        return AxisValue(value, bound.axis, bound) if is_axis else value

    def __setitem__(self, name: str, value: Scalar) -> None:
        self._find(name).set(value)

    def __getattr__(self, name: str) -> Scalar:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Scalar) -> None:
        self[name] = value

    def _find(self, name: str) -> _Bound:
        if name not in self._bound:
            raise MissingParameterError(
                f"{self._device} has no parameter {name!r}; "
                f"it has {', '.join(self._bound) or 'none'}",
                advice=did_you_mean(name, self._bound),
            )
        return self._bound[name]


class AxisValue(Subscribing, float):
    """The value of a parameter: a number as any other, and an axis of scans.

    bench.scan([meter], laser.wavelength, 750, 850, 11)
    RE(bp.scan([meter], laser.wavelength, 750, 850, 11))

    It satisfies `bluesky.protocols` as a motor does; its name there is `laser_wavelength`.
    """

    axis: str
    """Whose value it is: `laser.wavelength`."""
    parent = None
    """bluesky's: it is named by itself."""
    _home: _Bound | None
    _stopped = 0
    """How often it was stopped as part of a plan."""

    def __new__(cls, value: Scalar, axis: str, home: _Bound | None = None) -> Self:
        """A number, whose it is, and its way to the instrument."""
        number = super().__new__(cls, value)
        number.axis = axis
        number._home = home
        return number

    def __reduce__(self) -> tuple[type[AxisValue], tuple[float, str]]:
        return AxisValue, (float(self), self.axis)

    def __hash__(self) -> int:
        # bluesky keeps what it moves in sets and dicts: two axes are two, also at the same value.
        return hash(self.axis)

    __eq__ = float.__eq__

    @property
    def _bound(self) -> _Bound:
        if self._home is None:
            raise ParameterError(
                f"this is a copy of the value of {self.axis}, away from its bench",
                advice="take it from the device again",
            )
        return self._home

    @property
    def units(self) -> str:
        """Its units; none of a copy."""
        return self._home.row.units if self._home is not None else ""

    # ------------------------------------------------------------------------- bluesky.protocols

    @property
    def name(self) -> str:
        """bluesky: `laser_wavelength`; documents take no dot."""
        return self.axis.replace(".", "_", 1)

    @property
    def position(self) -> float:
        """bluesky: what it is now, asked of the instrument."""
        return float(self._bound.get())

    @property
    def hints(self) -> dict[str, Any]:
        """bluesky: what is worth a column and a plot."""
        return {"fields": [self.name]}

    def set(self, value: float) -> Status[float]:
        """bluesky: set it without waiting; the Status ends with what it reads back."""
        bound, stopped = self._bound, self._stopped

        async def set_it(client: AsyncClient) -> float:
            try:
                return float(await client.devices.set(bound.device, bound.row.name, value))
            except DeviceError:
                if stopped == self._stopped:
                    raise
            return float((await client.devices.get(bound.device, bound.row.name)).value)

        what = f"{self.axis} set to {bound.row.in_words(value)}"
        return Status(bound.portal, bound.portal.start(set_it), what)

    def stop(self, success: bool = False) -> None:
        """bluesky: stop the device, so that what was under way ends.

        Args:
            success: That is part of the plan: a Status under way ends well, where it stands.
        """
        self._stopped += success
        bound = self._bound
        bound.portal.call(lambda client: client.devices.stop(bound.device))

    def read(self) -> Readings:
        """bluesky: its value, read back."""
        return Readings(self.name, self.position, time.time_ns(), self._bound.row.units)

    def describe(self) -> dict[str, dict[str, Any]]:
        """bluesky: the data key of what `read` gives."""
        bound = self._bound
        key = {"source": bound.source, "dtype": "number", "shape": [], "units": bound.row.units}
        return {self.name: key}

    def read_configuration(self) -> dict[str, dict[str, Any]]:
        """bluesky: nothing beside the value."""
        return {}

    describe_configuration = read_configuration

    def locate(self) -> dict[str, float]:
        """bluesky: where it is; after `set` that is also what it was set to, within tolerance."""
        value = self.position
        return {"setpoint": value, "readback": value}

    def check_value(self, value: float) -> None:
        """bluesky: raise LimitError for a value that `set` would be refused for."""
        row = self._bound.row
        if not math.isfinite(value):
            raise LimitError(f"{self.axis}: {value} is not a finite number")
        if row.limits is not None:
            row.limits.require(self._bound.device, row.name, value, row.units)

    def stream(self, rate_hz: int = RATE_HZ) -> BlockingStream[Readings]:
        """The value now and each change, at most at a rate, to iterate over."""
        bound = self._bound

        async def readings(client: AsyncClient) -> AsyncGenerator[Readings, None]:
            changes = client.streams.observables(
                [bound.device], [bound.row.name], max_rate_hz=rate_hz
            )
            async with aclosing(changes):
                async for sample in changes:
                    yield Readings(self.name, sample.value, sample.timestamp_ns, sample.units)

        return bound.portal.stream(readings)
