"""Parameters of devices: described, got and set, the standard ones also by their own names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from daq.client.calls.models import ParameterReading
from daq.client.rpc.service import HardwareCalls
from daq.core import (
    STANDARD,
    DeviceParameter,
    Operation,
    Scalar,
    did_you_mean,
    parameter_operations,
    parse_scalar,
)
from daq.wire.convert import parameter_from_wire, scalar_to_text
from daq.wire.generated import daq as pb

__all__ = ["ParameterCalls"]

_NAMED: Mapping[str, Operation] = MappingProxyType(
    {operation.name: operation for operation in parameter_operations(STANDARD.values())}
)


class ParameterCalls(HardwareCalls):
    """Get and set parameters.

    Each standard parameter is a method too, by its own name and by the words that scripts have for
    it: `wavelength(device)` reads it, `wavelength(device, 750.0)` sets it and gives what it reads
    back, `open(device)`, `is_open(device)`.
    """

    async def parameters(self, device: str) -> tuple[DeviceParameter, ...]:
        """What can be got and set."""
        request = pb.ListParametersRequest(device)
        answer = await self._ask("ListParameters", request, pb.ListParametersResponse)
        return tuple(parameter_from_wire(parameter) for parameter in answer.parameters)

    async def get(self, device: str, name: str) -> ParameterReading:
        """Read a parameter."""
        request = pb.GetParameterRequest(device, name)
        answer = await self._operate("GetParameter", request, pb.ParameterValue, repeatable=True)
        return ParameterReading(device, name, answer.value, answer.units)

    async def set(self, device: str, name: str, value: Scalar) -> str:
        """Set a parameter; returns the value read back, as text."""
        request = pb.SetParameterRequest(device, name, scalar_to_text(value))
        answer = await self._operate("SetParameter", request, pb.SetParameterResponse)
        return answer.actual_value

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Scalar]]:
        if name not in _NAMED:
            raise AttributeError(
                f"devices have no call {name!r} here{did_you_mean(name, _NAMED, '; ')}"
            )
        operation = _NAMED[name]

        async def get_or_set(device: str, value: Scalar | None = None) -> Scalar:
            value = operation.value if value is None else value
            if value is None:
                text = (await self.get(device, operation.parameter)).value
            else:
                text = await self.set(device, operation.parameter, value)
            return parse_scalar(text, STANDARD[operation.parameter].dtype)

        return get_or_set

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_NAMED})
