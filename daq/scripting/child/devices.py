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
    NotFoundError,
    Quantity,
    call_misfit,
    did_you_mean,
    split_target,
)
from daq.scripting.child.session import Session

__all__ = ["DeviceOperation", "DeviceProxy", "Devices", "device_id"]


class DeviceOperation:
    """One operation of one device, ready to be called."""

    __slots__ = ("_device", "_name", "_session", "_signature")

    def __init__(self, session: Session, device: str, name: str, signature: str) -> None:
        self._session = session
        self._device = device
        self._name = name
        self._signature = signature

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._request(self._name, self._bind(arguments, named))

    def _request(self, operation: str, arguments: list[Any]) -> Any:
        return _writable(self._session.request(Call(self._device, operation, arguments)))

    def _bind(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        if misfit := call_misfit(self._signature, len(arguments), named):
            raise TypeError(f"{self}: {misfit}")
        free = _parameters_of(self._signature)[len(arguments) :]
        return [*arguments, *(named[name] for name in free if name in named)]

    def __bool__(self) -> bool:
        raise TypeError(f"call it: {self}")

    def __str__(self) -> str:
        return f"{self._device}.{self._name}{self._signature}"

    def __repr__(self) -> str:
        return f"<{self._device}.{self._name}: call it, as in {self}>"


class DeviceGetter(DeviceOperation):
    """`get`: a parameter by its name."""

    __slots__ = ("_rows",)

    def __init__(
        self, session: Session, device: str, name: str, signature: str, rows: Mapping[str, Any]
    ) -> None:
        super().__init__(session, device, name, signature)
        self._rows = rows

    def _request(self, operation: str, arguments: list[Any]) -> Any:
        row = self._rows.get(arguments[0], {})
        return _with_units(super()._request(operation, arguments), row.get("units", ""))


class DeviceParameter(DeviceOperation):
    """A parameter of a device: called to get or set it, given to `record` and to scans as it is."""

    __slots__ = ("choices", "is_axis", "limits", "units")

    def __init__(
        self, session: Session, device: str, name: str, signature: str, row: Mapping[str, Any]
    ) -> None:
        super().__init__(session, device, name, signature)
        self.units: str = row["units"]
        self.limits = tuple(row["limits"]) if row["limits"] else None
        self.choices = tuple(row["choices"])
        self.is_axis: bool = row["is_axis"]
        """Whether it can be scanned as a motor's position can."""

    @property
    def id(self) -> str:
        """`laser.wavelength`."""
        return f"{self._device}.{self._name}"

    def _request(self, operation: str, arguments: list[Any]) -> Any:
        return _with_units(super()._request(operation, arguments), self.units)

    def get(self) -> Any:
        """Its value, asked of the instrument."""
        return self._request("get", [self._name])

    def set(self, value: Any) -> Any:
        """Set it, wait until it is there, and return what it reads back."""
        return self._request("set", [self._name, value])


def _operation(
    session: Session, device: str, name: str, signature: str, rows: Mapping[str, Any]
) -> DeviceOperation:
    if name == "get":
        return DeviceGetter(session, device, name, signature, rows)
    if name in rows and name not in OPERATIONS:
        return DeviceParameter(session, device, name, signature, rows[name])
    return DeviceOperation(session, device, name, signature)


def _with_units(value: Any, units: str) -> Any:
    """A number that `record` stores with its units."""
    return Quantity(value, units) if units and isinstance(value, float) else value


class DeviceProxy:
    """An instrument by name; only its operations reach it."""

    __slots__ = ("_facts", "_id", "_operations")

    def __init__(self, session: Session, description: Mapping[str, Any]) -> None:
        self._id: str = description["id"]
        rows = description["parameters"]
        self._operations: dict[str, DeviceOperation] = {
            name: _operation(session, self._id, name, signature, rows)
            for name, signature in {**description["operations"], "stop": "()"}.items()
        }
        self._facts = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in description["facts"].items()
        }
        self._facts["id"] = self._id

    def __getattr__(self, name: str) -> Any:
        if self._facts.get(name) is not None:
            return self._facts[name]
        if name in self._operations:
            return self._operations[name]
        raise AttributeError(self._missing(name))

    def _missing(self, name: str) -> str:
        facts = [key for key, value in self._facts.items() if value is not None]
        hint = did_you_mean(name, [*self._operations, *facts], "; ") or "."
        return (
            f"device '{self._id}' has no '{name}'{hint} It offers "
            f"{self._offers()}; facts: {', '.join(sorted(facts))}"
        )

    def _offers(self) -> str:
        return ", ".join(f"{op._name}{op._signature}" for op in self._operations.values())  # noqa: SLF001

    def __repr__(self) -> str:
        return f"<device '{self._id}': {self._offers()}>"


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

    def find(self, target: str) -> DeviceProxy | DeviceParameter:
        """The device of that id, or the parameter of `laser.wavelength`."""
        device, parameter = split_target(target)
        proxy = self.device(device)
        if not parameter:
            return proxy
        found = getattr(proxy, parameter, None)
        if not isinstance(found, DeviceParameter):
            raise NotFoundError(f"{device!r} has no parameter {parameter!r}; it is {proxy!r}")
        return found

    def name(self, device: object) -> str:
        """The id of a device or of one of its parameters; an error when there is none such."""
        return str(self.find(device_id(device)).id)

    def require_range(self, axis: str, ends: Sequence[float]) -> None:
        """Raise CapabilityError or LimitError, unless it may move to both of these."""
        found = self.find(axis)
        if not getattr(found, "is_axis", hasattr(found, "move_abs")):
            raise CapabilityError(f"{axis}: cannot be moved", advice=f"{axis} is {found!r}")
        limits = getattr(found, "limits", None)
        if limits is not None:
            for position in ends:
                Limits(*limits).require(axis, "position", position, getattr(found, "units", ""))


def device_id(device: object) -> str:
    """The id of a proxy or of a parameter such as `laser.wavelength`, or the id itself."""
    if isinstance(device, DeviceProxy | DeviceParameter):
        return str(device.id)
    if isinstance(device, str):
        return device
    raise TypeError(f"a device or its id belongs here, not {type(device).__name__}")


def _parameters_of(signature: str) -> list[str]:
    inside = signature.strip("()")
    return [part.split("=")[0].strip() for part in inside.split(",") if part.strip()]


def _writable(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
