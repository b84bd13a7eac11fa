"""A device of the bench as an object: what every device offers, whatever it can do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar, cast, overload

from daq.client.bench.current import DeviceClass
from daq.client.bench.parameters import Parameters
from daq.client.blocking.call import Action
from daq.client.blocking.portal import Portal
from daq.client.blocking.status import MotionProgress, Status
from daq.client.calls.models import DeviceInfo
from daq.client.showing.html import device_html
from daq.core import (
    STANDARD,
    Capability,
    CapabilityError,
    CommunicationError,
    DeviceAction,
    DeviceDescription,
    DeviceSnapshot,
    DeviceStop,
    Scalar,
    did_you_mean,
    parameter_operations,
)

__all__ = [
    "Device",
    "MissingCapabilityError",
    "missing_capability",
]

Result = TypeVar("Result")


class MissingCapabilityError(CapabilityError, AttributeError):
    """The device cannot do that. Also an AttributeError, so that `hasattr` says the truth."""


class Device(metaclass=DeviceClass):
    """A device. `bench["stage"]` gives one of the class that fits what it can do.

    So does `Motor("stage")` inside of `with connect():`.

    It also satisfies `bluesky.protocols` as far as its capabilities go.
    """

    capability: ClassVar[Capability | None] = None
    """What a device must be able to do to be of this class; None for any."""

    parent = None
    """bluesky's: no device is part of another."""

    @overload
    def __init__(self, name: str, /) -> None: ...  # that of the current bench: see `DeviceClass`
    @overload
    def __init__(self, portal: Portal, info: DeviceInfo, address: str, /) -> None: ...

    def __init__(self, *arguments: Any) -> None:
        portal: Portal
        info: DeviceInfo
        portal, info, address = arguments
        self._portal = portal
        self._description = info.description
        self._source = f"daq://{address}/{info.id}"
        self._parameters = Parameters(portal, info.description, self._source)
        self._named = {op.name: op for op in info.description.operations if op.parameter}
        self._acts = {action.name: action for action in info.description.actions}

    def __repr__(self) -> str:
        label = f" {self._description.label!r}" if self._description.label else ""
        return f"<{type(self).__name__} {self.name}{label} ({self._description.driver})>"

    def _repr_html_(self) -> str:
        try:
            return device_html(self._description, self.state())
        except CommunicationError:
            return device_html(self._description, None)

    # A parameter is an attribute by its own name, and by the words that scripts have for it.

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._acts:
            return partial(self._act, self._acts[name])
        operation = self._named.get(name)
        if operation is None:
            limits_of = name.removesuffix("_limits")
            if limits_of != name and limits_of in self._named:
                return self._description.parameter(limits_of).limits
            raise self._lacks(name)
        if operation.value is None:
            return self._parameters[operation.parameter]
        return partial(self._parameters.__setitem__, operation.parameter, operation.value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(type(self), name):
            super().__setattr__(name, value)
        elif name in self._named and self._named[name].parameter == name:
            self._parameters[name] = value
        else:
            raise self._lacks(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._named, *self._acts})

    def _lacks(self, name: str) -> AttributeError:
        """The error for an attribute that it has not: another capability's, or nobody's."""
        others = [cls.capability for cls in Device.__subclasses__() if name in vars(cls)]
        others += [
            op.capability for op in parameter_operations(STANDARD.values()) if op.name == name
        ]
        lacking = [needed for needed in others if needed not in self.capabilities]
        if lacking:
            needed = Capability.READABLE if Capability.READABLE in lacking else lacking[0]
            return missing_capability(self._description, cast("Capability", needed))
        hint = did_you_mean(name, [n for n in dir(self) if not n.startswith("_")], "; ")
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
        """Its parameters by name, also those whose name is taken here: `stage.parameters.label`."""
        return self._parameters

    def state(self) -> DeviceSnapshot:
        """How it is now, from the daemon's cache: costs the instrument nothing."""
        return self._ask(lambda client: client.devices.state(self.name))

    # ------------------------------------------------------------------------------ what it does

    def call(self, operation: str, *arguments: Any, timeout: float | None = None) -> Any:
        """Any operation by the name that scripts use, such as `home` or `frames`.

        An action of the device's own is also a method: `scope.single()`.

        Returns:
            What a script would get: a number, a text, a list, or None.
        """
        return self._ask(
            lambda client: client.devices.call(self.name, operation, *arguments, timeout=timeout)
        )

    def _act(self, action: DeviceAction, *given: Any, **named: Any) -> Any:
        return self.call(action.name, *action.bind(*given, **named))

    def stop(self, success: bool = False) -> DeviceStop:
        """Stop it now, whoever uses it; never refused.

        Args:
            success: bluesky's word for whether the stop is part of the plan: see `Motor`.

        Returns:
            What it did: stopped, already idle, refused or unreachable, and where it rests.
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

    def configure(self, values: Mapping[str, Scalar]) -> tuple[dict[str, Any], dict[str, Any]]:
        """bluesky: set parameters.

        Args:
            values: By name, or by the name that `describe_configuration` has for them.

        Returns:
            The configuration before and after.
        """
        before = self.read_configuration()
        for name, value in values.items():
            self._parameters[name.removeprefix(f"{self.name}_")] = value
        return before, self.read_configuration()

    def stage(self) -> list[Device]:
        """bluesky: make ready for a scan; the daemon arms what has to be armed when it triggers."""
        return [self]

    def unstage(self) -> list[Device]:
        """bluesky: the scan is over."""
        return [self]


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
