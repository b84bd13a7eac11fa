"""The client: ordinary Python, without trio. Names load when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daq.client.async_client import AsyncClient
    from daq.client.bench import Bench, RemoteFunction
    from daq.client.blocking_stream import BlockingStream
    from daq.client.camera import Camera, Digitizer
    from daq.client.connecting import connect
    from daq.client.connection import DEFAULT_ADDRESS, default_address
    from daq.client.credentials import Credentials
    from daq.client.detector import Detector, Signal, Subscription
    from daq.client.device import Device
    from daq.client.devices import DevicesClient
    from daq.client.display import Display
    from daq.client.execution import Execution
    from daq.client.light import Laser, Shutter
    from daq.client.manual_run import ManualRun
    from daq.client.models import (
        Block,
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
    from daq.client.motor import Motor
    from daq.client.readings import Readings
    from daq.client.run_log import Run, RunLog
    from daq.client.runs import RunsClient
    from daq.client.scripts import ScriptsClient
    from daq.client.status import Status
    from daq.client.streams import StreamsClient

_MODULES = {
    "AsyncClient": "async_client",
    "Bench": "bench",
    "BlockingStream": "blocking_stream",
    "Camera": "camera",
    "Credentials": "credentials",
    "DEFAULT_ADDRESS": "connection",
    "Detector": "detector",
    "Device": "device",
    "DevicesClient": "devices",
    "Digitizer": "camera",
    "Display": "display",
    "Execution": "execution",
    "Laser": "light",
    "ManualRun": "manual_run",
    "Motor": "motor",
    "Readings": "readings",
    "RemoteFunction": "bench",
    "Run": "run_log",
    "RunLog": "run_log",
    "RunsClient": "runs",
    "ScriptsClient": "scripts",
    "Shutter": "light",
    "Signal": "detector",
    "Status": "status",
    "StreamsClient": "streams",
    "Subscription": "detector",
    "connect": "connecting",
    "default_address": "connection",
}
"""Where the names are that are not in `models`."""

__all__ = [
    "DEFAULT_ADDRESS",
    "AsyncClient",
    "Bench",
    "Block",
    "BlockingStream",
    "Camera",
    "Credentials",
    "DaemonInfo",
    "Detector",
    "Device",
    "DeviceInfo",
    "DeviceListing",
    "DevicesClient",
    "Digitizer",
    "Display",
    "Execution",
    "ExecutionUpdate",
    "Frame",
    "FrameQuality",
    "Laser",
    "LiveStatus",
    "ManualRun",
    "Motor",
    "ParameterChange",
    "ParameterReading",
    "PositionUpdate",
    "Readings",
    "RecordedPoint",
    "RemoteFunction",
    "Run",
    "RunLog",
    "RunPage",
    "RunsClient",
    "Sample",
    "ScriptsClient",
    "Shutter",
    "Signal",
    "StateChange",
    "StateUpdate",
    "Status",
    "StreamsClient",
    "Subscription",
    "UploadedScript",
    "connect",
    "default_address",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'models')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
