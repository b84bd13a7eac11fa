"""The client: ordinary Python, without trio. Names load when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daq.client.bench.bench import Bench, RemoteFunction
    from daq.client.bench.camera import Camera, Digitizer
    from daq.client.bench.connecting import connect
    from daq.client.bench.detector import Detector, Signal, Subscription
    from daq.client.bench.device import Device
    from daq.client.bench.light import Laser, Shutter
    from daq.client.bench.manual_run import ManualRun
    from daq.client.bench.motor import Motor
    from daq.client.bench.readings import Readings
    from daq.client.blocking.blocking_stream import BlockingStream
    from daq.client.blocking.status import Status
    from daq.client.calls.async_client import AsyncClient
    from daq.client.calls.devices import DevicesClient
    from daq.client.calls.models import (
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
    from daq.client.calls.runs import RunsClient
    from daq.client.calls.scripts import ScriptsClient
    from daq.client.calls.streams import StreamsClient
    from daq.client.recorded.run_log import Run, RunLog
    from daq.client.rpc.connection import DEFAULT_ADDRESS, default_address
    from daq.client.rpc.credentials import Credentials
    from daq.client.sending.execution import Execution
    from daq.client.showing.display import Display

_MODULES = {
    "AsyncClient": "calls.async_client",
    "Bench": "bench.bench",
    "BlockingStream": "blocking.blocking_stream",
    "Camera": "bench.camera",
    "Credentials": "rpc.credentials",
    "DEFAULT_ADDRESS": "rpc.connection",
    "Detector": "bench.detector",
    "Device": "bench.device",
    "DevicesClient": "calls.devices",
    "Digitizer": "bench.camera",
    "Display": "showing.display",
    "Execution": "sending.execution",
    "Laser": "bench.light",
    "ManualRun": "bench.manual_run",
    "Motor": "bench.motor",
    "Readings": "bench.readings",
    "RemoteFunction": "bench.bench",
    "Run": "recorded.run_log",
    "RunLog": "recorded.run_log",
    "RunsClient": "calls.runs",
    "ScriptsClient": "calls.scripts",
    "Shutter": "bench.light",
    "Signal": "bench.detector",
    "Status": "blocking.status",
    "StreamsClient": "calls.streams",
    "Subscription": "bench.detector",
    "connect": "bench.connecting",
    "default_address": "rpc.connection",
}
"""Where the names are that are not in `calls.models`."""

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
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'calls.models')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
