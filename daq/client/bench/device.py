"""A device of the bench as an object: what every device offers, whatever it can do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar, cast

from daq.client.bench.axis_value import AxisValue
from daq.client.bench.current import DeviceClass
from daq.client.blocking.call import Action
from daq.client.blocking.portal import Portal
from daq.client.blocking.status import MotionProgress, Status
from daq.client.calls.models import DeviceInfo
from daq.client.showing.html import device_html
from daq.core import (
    Capability,
    CapabilityError,
    CommunicationError,
    DeviceDescription,
    DeviceParameter,
    DeviceSnapshot,
    DeviceStop,
    ParameterError,
    Scalar,
    did_you_mean,
    parse_scalar,
)

__all__ = [
    "Device",
    "MissingCapabilityError",
    "MissingParameterError",
    "Parameters",
    "missing_capability",
]

Result = TypeVar("Result")


class MissingCapabilityError(CapabilityError, AttributeError):
    """The device cannot do that. Also an AttributeError, so that `hasattr` says the truth."""


class MissingParameterError(ParameterError, AttributeError):
    """The device has no parameter of that name."""


class Device(metaclass=DeviceClass):
    """A device. `bench["stage"]` gives one of the class that fits what it can do.

    So does `Motor("stage")` inside of `with connect():`.

    It also satisfies `bluesky.protocols` as far as its capabilities go.
    """

    capability: ClassVar[Capability | None] = None
    """What a device must be able to do to be of this class; None for any."""

    parent = None
    """bluesky's: no device is part of another."""

    def __init__(self, portal: Portal, info: DeviceInfo, address: str) -> None:
        self._portal = portal
        self._description = info.description
        self._source = f"daq://{address}/{info.id}"
        self._parameters = Parameters(portal, info.description)

    def __repr__(self) -> str:
        label = f" {self._description.label!r}" if self._description.label else ""
        return f"<{type(self).__name__} {self.name}{label} ({self._description.driver})>"

    def _repr_html_(self) -> str:
        try:
            return device_html(self._description, self.state())
        except CommunicationError:
            return device_html(self._description, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._lacks(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise self._lacks(name)
        super().__setattr__(name, value)

    def _lacks(self, name: str) -> AttributeError:
        """The error for an attribute that it has not: another capability's, or nobody's."""
        others = [cls.capability for cls in Device.__subclasses__() if name in vars(cls)]
        if others:
            needed = Capability.READABLE if Capability.READABLE in others else others[0]
            return missing_capability(self._description, cast("Capability", needed))
        public = [n for n in dir(type(self)) if not n.startswith("_")]
        hint = did_you_mean(name, public, "; ")
        return AttributeError(f"{self.name} has no attribute {name!r}{hint}")

    # ------------------------------------------------------------------------------- what it is

    @property
    def name(self) -> str:
        """Its id on the bench."""
        return self._description.id

    @property
    def portal(self) -> Portal:
        """The way to the asynchronous client, for streams and calls that go on meanwhile."""
        return self._portal

    @property
    def description(self) -> DeviceDescription:
        """Everything that is known about what it is: driver, units, limits, capabilities."""
        return self._description

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        return self._description.capabilities

    @property
    def units(self) -> str:
        """Units of its position or of its readings."""
        return self._description.units

    @property
    def parameters(self) -> Parameters:
        """Its settings, as attributes: `laser.parameters.power = 0.01`."""
        return self._parameters

    def state(self) -> DeviceSnapshot:
        """How it is now, from the daemon's cache: costs the instrument nothing."""
        return self._ask(lambda client: client.devices.state(self.name))

    # ------------------------------------------------------------------------------ what it does

    def call(self, operation: str, *arguments: Any, timeout: float | None = None) -> Any:
        """Any operation by the name that scripts use, such as `home` or `frames`."""
        return self._ask(
            lambda client: client.devices.call(self.name, operation, *arguments, timeout=timeout)
        )

    def stop(self, success: bool = True) -> DeviceStop:
        """Stop it now, whoever uses it; never refused.

        Args:
            success: bluesky's word for whether the stop is part of the plan; makes no difference.
        """
        del success
        return self._ask(lambda client: client.devices.stop(self.name))

    def _ask(self, action: Action[Result]) -> Result:
        return self._portal.call(action)

    def _begin(
        self, action: Action[Result], what: str, progress: MotionProgress | None = None
    ) -> Status[Result]:
        return Status(self._portal, self._portal.start(action), what, progress)

    # ------------------------------------------------------------------------- bluesky.protocols

    @property
    def hints(self) -> dict[str, Any]:
        """bluesky: what is worth a column and a plot."""
        return {"fields": [self.name]} if not self._description.channel.shape else {"fields": []}

    def describe(self) -> dict[str, dict[str, Any]]:
        """bluesky: the data key of what `read` gives."""
        channel = self._description.channel
        key: dict[str, Any] = {
            "source": self._source,
            "dtype": "array" if channel.shape else "number",
            "shape": list(channel.shape),
            "units": channel.units,
        }
        if self._description.limits is not None:
            limits = self._description.limits
            key["limits"] = {"control": {"low": limits.low, "high": limits.high}}
        return {self.name: key}

    def read_configuration(self) -> dict[str, dict[str, Any]]:
        """bluesky: the parameters, as `device_parameter`."""
        now = time.time()
        return {
            f"{self.name}_{name}": {"value": value, "timestamp": now}
            for name, value in self._parameters.items()
        }

    def describe_configuration(self) -> dict[str, dict[str, Any]]:
        """bluesky: the data keys of the parameters."""
        words = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
        return {
            f"{self.name}_{p.name}": {
                "source": f"{self._source}/{p.name}",
                "dtype": words[p.dtype],
                "shape": [],
                "units": p.units,
            }
            for p in self._description.parameters
            if p.readable
        }

    def stage(self) -> list[Device]:
        """bluesky: make ready for a scan; the daemon arms what has to be armed when it triggers."""
        return [self]

    def unstage(self) -> list[Device]:
        """bluesky: the scan is over."""
        return [self]


class Parameters:
    """A device's settings, to be got and set as attributes or by `[name]`."""

    __slots__ = ("_by_name", "_device", "_portal")
    _portal: Portal
    _device: str
    _by_name: dict[str, DeviceParameter]

    def __init__(self, portal: Portal, description: DeviceDescription) -> None:
        object.__setattr__(self, "_portal", portal)
        object.__setattr__(self, "_device", description.id)
        object.__setattr__(self, "_by_name", {p.name: p for p in description.parameters})

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.items())
        return f"<parameters of {self._device}: {settings}>"

    def items(self) -> list[tuple[str, Scalar]]:
        """Names and values of those that can be read."""
        return [(p.name, self[p.name]) for p in self._by_name.values() if p.readable]

    def describe(self, name: str) -> DeviceParameter:
        """What a parameter is: type, units, limits, choices."""
        if name not in self._by_name:
            raise MissingParameterError(
                f"{self._device} has no parameter {name!r}; "
                f"it has {', '.join(self._by_name) or 'none'}"
            )
        return self._by_name[name]

    def __getitem__(self, name: str) -> Scalar:
        row = self.describe(name)
        reading = self._portal.call(lambda client: client.devices.get(self._device, name))
        value = parse_scalar(reading.value, row.dtype)
        if isinstance(value, float) and row.is_axis:
            return AxisValue(value, f"{self._device}.{name}")
        return value

    def __setitem__(self, name: str, value: Scalar) -> None:
        self.describe(name)
        self._portal.call(lambda client: client.devices.set(self._device, name, value))

    def __getattr__(self, name: str) -> Scalar:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Scalar) -> None:
        self[name] = value


def missing_capability(
    description: DeviceDescription, needed: Capability
) -> MissingCapabilityError:
    """The error of a device that is used as what it is not."""
    word = "".join(part.capitalize() for part in needed.value.split("_"))
    return MissingCapabilityError(
        f"{description.id} does not have the {word} capability; it is "
        f"{', '.join(sorted(description.capabilities)) or 'without any'}",
        advice=f"it offers {', '.join(op.name for op in description.operations)}",
    )
