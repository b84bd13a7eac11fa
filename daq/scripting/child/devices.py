"""Devices as a script sees them: parentheses talk to the instrument, plain attributes are facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daq.core import (
    OPERATIONS,
    Call,
    CapabilityError,
    Describe,
    Limits,
    ListDevices,
    did_you_mean,
)
from daq.scripting.child.session import Session

__all__ = ["DeviceOperation", "DeviceProxy", "Devices", "device_id"]


class DeviceOperation:
    """One operation of one device, ready to be called."""

    __slots__ = ("_device", "_name", "_parameters", "_session")

    def __init__(self, session: Session, device: str, name: str) -> None:
        self._session = session
        self._device = device
        self._name = name
        self._parameters = _parameters_of(name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        call = Call(self._device, self._name, self._bind(arguments, named))
        return _writable(self._session.request(call))

    def _bind(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        free = self._parameters[len(arguments) :]
        bound = [*arguments, *(named[name] for name in free if name in named)]
        if len(bound) != len(arguments) + len(named) or len(bound) > len(self._parameters):
            raise TypeError(
                f"{self._device}.{_signature(self._name)} was called with other arguments"
            )
        return bound

    def __bool__(self) -> bool:
        raise TypeError(f"call it: {self._device}.{_signature(self._name)}")

    def __repr__(self) -> str:
        return (
            f"<{self._device}.{self._name}: call it, as in {self._device}.{_signature(self._name)}>"
        )


class DeviceProxy:
    """An instrument by name; only its operations reach it."""

    __slots__ = ("_facts", "_id", "_operations")

    def __init__(self, session: Session, description: Mapping[str, Any]) -> None:
        self._id: str = description["id"]
        names = [*description["operations"], "stop"]
        self._operations = {name: DeviceOperation(session, self._id, name) for name in names}
        self._facts = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in description["facts"].items()
        }
        self._facts["id"] = self._id

    def __getattr__(self, name: str) -> Any:
        if name in self._operations:
            return self._operations[name]
        if self._facts.get(name) is not None:
            return self._facts[name]
        raise AttributeError(self._missing(name))

    def _missing(self, name: str) -> str:
        facts = [key for key, value in self._facts.items() if value is not None]
        hint = did_you_mean(name, [*self._operations, *facts], "; ") or "."
        return (
            f"device '{self._id}' has no '{name}'{hint} It offers "
            f"{', '.join(map(_signature, self._operations))}; facts: {', '.join(sorted(facts))}"
        )

    def __repr__(self) -> str:
        return f"<device '{self._id}': {', '.join(map(_signature, self._operations))}>"


class Devices:
    """`device(id)` and `devices()`: one proxy for each device, described once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, DeviceProxy] = {}

    def device(self, id: str) -> DeviceProxy:  # noqa: A002 - the script language's name
        """The device of that id; an error lists those that exist."""
        if not isinstance(id, str):
            raise TypeError(f"device() takes the id of a device as text, not {type(id).__name__}")
        if id not in self._known:
            description = self._session.request(Describe(id))
            self._known[id] = DeviceProxy(self._session, description)
        return self._known[id]

    def devices(self) -> list[str]:
        """The ids of all devices, sorted."""
        return list(self._session.request(ListDevices()))

    def call(self, device: str, operation: str, *arguments: Any) -> Any:
        """One operation by names."""
        return _writable(self._session.request(Call(device, operation, list(arguments))))

    def require_range(self, motor: str, ends: Sequence[float]) -> None:
        """Raise CapabilityError or LimitError, unless it may move to both of these."""
        proxy = self.device(motor)
        if not hasattr(proxy, "move_abs"):
            raise CapabilityError(f"{motor}: cannot be moved; it is {proxy!r}")
        limits = getattr(proxy, "limits", None)
        if limits is not None:
            for position in ends:
                Limits(*limits).require(motor, "position", position, getattr(proxy, "units", ""))


def device_id(device: object) -> str:
    """The id of a proxy, or the id itself."""
    if isinstance(device, DeviceProxy):
        return str(device.id)
    if isinstance(device, str):
        return device
    raise TypeError(f"a device or its id belongs here, not {type(device).__name__}")


def _parameters_of(operation: str) -> list[str]:
    row = OPERATIONS.get(operation)
    inside = row.signature.strip("()") if row else ""
    return [part.split("=")[0].strip() for part in inside.split(",") if part.strip()]


def _signature(operation: str) -> str:
    row = OPERATIONS.get(operation)
    return f"{operation}{row.signature if row else '()'}"


def _writable(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
