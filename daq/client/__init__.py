"""The client: ordinary Python, without trio. Names load when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daq.client.async_client import AsyncClient
    from daq.client.connection import DEFAULT_ADDRESS, default_address
    from daq.client.devices import DevicesClient
    from daq.client.models import (
        DaemonInfo,
        DeviceInfo,
        DeviceListing,
        ExecutionUpdate,
        Frame,
        FrameQuality,
        LiveStatus,
        ParameterChange,
        ParameterReading,
        PositionUpdate,
        RecordedPoint,
        RunPage,
        Sample,
        StateChange,
        StateUpdate,
        UploadedScript,
    )
    from daq.client.runs import RunsClient
    from daq.client.scripts import ScriptsClient
    from daq.client.streams import StreamsClient

__all__ = [
    "DEFAULT_ADDRESS",
    "AsyncClient",
    "DaemonInfo",
    "DeviceInfo",
    "DeviceListing",
    "DevicesClient",
    "ExecutionUpdate",
    "Frame",
    "FrameQuality",
    "LiveStatus",
    "ParameterChange",
    "ParameterReading",
    "PositionUpdate",
    "RecordedPoint",
    "RunPage",
    "RunsClient",
    "Sample",
    "ScriptsClient",
    "StateChange",
    "StateUpdate",
    "StreamsClient",
    "UploadedScript",
    "default_address",
]

_MODULES = {
    "AsyncClient": "async_client",
    "DEFAULT_ADDRESS": "connection",
    "default_address": "connection",
    "DevicesClient": "devices",
    "RunsClient": "runs",
    "ScriptsClient": "scripts",
    "StreamsClient": "streams",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'models')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
